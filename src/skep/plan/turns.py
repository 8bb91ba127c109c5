"""Taking turns among backends: which chain a service's new connections go through.

A map of verdicts leads from a service (its VIP, or its mark) to a chain that fits its number of
backends, and the chain's one rule draws a number and looks service and number up. A chain's counter
is its own. If all services with equally many backends drew from one counter, two of them that are
used in strict alternation would each meet every second number only, which of two backends is always
the same one. So services are spread over `COUNTERS` chains by their marks: marks are given out from
the lowest free one up, so no two services share a counter before there are more than `COUNTERS` of
them, and chains never grow with the services beyond that.

Random numbers and hashes of the client have no memory, so their services share one chain for each
number of places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from skep.model.nft import Atom, Chain, Dnat, Jhash, Key, Lookup, Numgen, Rule, Set
from skep.plan.backends import Balanced
from skep.plan.family import IP, Family
from skep.plan.grammar import PORTED, lookup, named_map, rule

COUNTERS = 64
"""How many counters services with equally many backends are spread over."""

SEED = 0x5BEE
"""The same on every host: a client meets the same task by whatever host it comes in."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A service's new connections: its mark, how they are balanced, and among how many places (see
    `skep.plan.backends`)."""

    mark: int
    balance: str
    count: int


def share(service: Balanced) -> Share:
    """That of a service. What only IPVS can do is done here as well as can be: a hash of its is
    ours, and where connections are not counted all take turns."""
    return Share(
        mark=service.mark,
        balance=_NEAREST.get(service.balance, service.balance),
        count=len(service.places),
    )


def turn_map(shares: Mapping[Atom, Share], kind: str) -> Set:
    """The map of verdicts from each service that has a backend to its chain."""
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (service,): (f"goto {chain_name(share)}",)
        for service, share in shares.items()
        if share.count
    }
    return named_map("turns", (kind,), ("verdict",), elements)


def turn_chains(
    shares: Mapping[Atom, Share], key: Key, target: Lookup | None = None, family: Family = IP
) -> tuple[Chain, ...]:
    """The chains, each once, by name: ``dnat ip to KEY . NUMBER map @backends``, and to the port
    that ``target`` looks up, if there is one."""
    chains = {chain_name(share): share for share in shares.values() if share.count}
    return tuple(
        Chain(chain, (_turn(lookup("backends", key, _number(share, family)), target, family),))
        for chain, share in sorted(chains.items())
    )


def _turn(backend: Lookup, target: Lookup | None, family: Family) -> Rule:
    if target is None:
        return rule(Dnat(backend, family=family.name))
    # nft only takes a port in a rule that speaks of protocols with ports.
    return rule(PORTED, Dnat(backend, target, family.name))


def chain_name(share: Share) -> str:
    """The chain that a service's new connections go through."""
    if share.count == 1:
        return "only_1"
    if share.balance in _NUMBERS:
        return f"{share.balance}_{share.count}"
    return f"turn_{share.count}_{share.mark % COUNTERS}"


def _number(share: Share, family: Family) -> Key:
    if share.count == 1 or share.balance not in _NUMBERS:
        return Numgen(share.count)
    return _NUMBERS[share.balance](share.count, family)


_NEAREST = {"lc": "rr", "sh": "source", "mh": "source"}

_NUMBERS: dict[str, Callable[[int, Family], Key]] = {
    "random": lambda count, _: Numgen(count, "random"),
    "source": lambda count, family: Jhash(family.source, count, SEED),
}
"""What draws a number other than a counter, by the option's word."""
