"""Affinity with an end: a client stays with its backend for so long after its last new connection.

What packets write down is the backend's number (map `sticky`, by mark and client), and not its
address: a second map leads from mark and number to the address, and there a backend that leaves is
taken away in the transaction that takes it away everywhere. So its clients are balanced anew at
once, without a look at who they were.

The number travels in the connection's mark, since a rule has no other place to put it between two
look-ups. Numbers stay below the marks of return paths (`skep.plan.returning`).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from skep.model.nft import (
    Atom,
    Chain,
    Ct,
    Dnat,
    Forget,
    Hook,
    Lookup,
    Rule,
    Set,
    SetMark,
    Update,
    Vmap,
)
from skep.plan.backends import Balanced
from skep.plan.family import Family
from skep.plan.grammar import MARK, NEW, PORTED, SNAT, base, is_not, lookup, named_map, rule
from skep.plan.layout import number

NUMBERS = 0xFFFFFF
"""The highest number of a backend. Source: `skep.plan.returning.RETURN_BASE`."""

BEFORE_SOURCES = SNAT - 10
"""Where a new connection is written down: its target is the backend's, its source the client's."""

NUMBER = Ct("mark")


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What a table needs of it: nothing, if no service has an affinity."""

    sets: tuple[Set, ...] = ()
    rules: tuple[Rule, ...] = ()
    chains: tuple[Chain, ...] = ()


def keeping(
    services: Collection[Balanced], family: Family, target: Lookup | None = None
) -> Keeping:
    """For those of ``services`` that have one: sets; the rules that stand before the turns, which
    know the port by ``target`` if there is one; the chains that write down."""
    kept = [each for each in services if each.affinity and each.mark]
    if not kept:
        return Keeping()
    kinds = ("mark", family.kind)
    numbered = _numbers(kept)
    holders: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (mark, each): (address,) for (mark, address), each in numbered.items()
    }
    sets = (
        Set("sticky", kinds, frozenset(), ("mark",), dynamic=True),
        named_map("holders", ("mark", "mark"), (family.kind,), holders),
        named_map("numbers", kinds, ("mark",), {key: (each,) for key, each in numbered.items()}),
        named_map(
            "keeps",
            ("mark",),
            ("verdict",),
            {(each.mark,): (f"goto {_chain_name(each.affinity)}",) for each in kept},
        ),
    )
    return Keeping(sets=sets, rules=_rules(family, target), chains=_chains(kept, family))


def _numbers(services: Collection[Balanced]) -> dict[tuple[Atom, ...], int]:
    """Each backend's number by mark and address: the address's last bits, or the next number that
    no other backend of the mark has."""
    found: dict[tuple[Atom, ...], int] = {}
    taken: set[tuple[int, int]] = set()
    for service in services:
        for address in service.backends:
            if (service.mark, address) in found:
                continue
            each = number(address) & NUMBERS or 1
            while (service.mark, each) in taken:
                each = each % NUMBERS + 1
            taken.add((service.mark, each))
            found[service.mark, address] = each
    return found


def _rules(family: Family, target: Lookup | None) -> tuple[Rule, ...]:
    holder = lookup("holders", MARK, NUMBER)
    known = SetMark("ct", lookup("sticky", MARK, family.source))
    # Whoever comes past the second rule stayed with one who is gone; what is written anew below is
    # only taken where nothing is written.
    stale = rule(is_not(NUMBER, 0), Forget("sticky", (MARK, family.source), NUMBER))
    if target is None:
        return rule(known), rule(Dnat(holder, family=family.name)), stale
    return rule(known), rule(PORTED, Dnat(holder, target, family.name)), stale


def _chains(kept: Collection[Balanced], family: Family) -> tuple[Chain, ...]:
    chosen = SetMark("ct", lookup("numbers", MARK, family.target))
    writing = [
        Chain(
            _chain_name(seconds),
            (rule(chosen, Update("sticky", (MARK, family.source), seconds, NUMBER)),),
        )
        for seconds in sorted({each.affinity for each in kept})
    ]
    hook = Hook("filter", "postrouting", BEFORE_SOURCES)
    return base("postrouting-keep", hook, [rule(NEW, Vmap((MARK,), "keeps"))]), *writing


def _chain_name(seconds: int) -> str:
    return f"keep_{seconds}"
