"""Short names for the nftables phrases that `skep.plan` writes, so that rules read as in nft(8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skep.model.nft import (
    Atom,
    Chain,
    Ct,
    Hook,
    Key,
    Lookup,
    Match,
    Meta,
    Payload,
    Rule,
    Set,
    Statement,
)

TABLE = "skep"
"""The name of every table of ours, in whatever family."""

RAW, MANGLE, DNAT, FILTER, SNAT = -300, -150, -100, 0, 100
"""The customary priorities of base chains. Source: nft(8), "STANDARD PRIORITY NAMES"."""

SOURCE = Payload("ip", "saddr")
TARGET = Payload("ip", "daddr")
SENDER = Payload("ether", "saddr")
RECEIVER = Payload("ether", "daddr")
PROTOCOL = Meta("l4proto")
PORT = Payload("th", "dport")
MARK = Meta("mark")
IN = Meta("iifname")
OUT = Meta("oifname")
NEW = Match((Ct("state"),), "new")
PORTED = Match((PROTOCOL,), ("sctp", "tcp", "udp"))
"""The protocols whose ports can be published."""
TRANSLATED = Match((Ct("status"),), "dnat")


def is_(key: Key, value: Atom) -> Match:
    """``KEY VALUE``."""
    return Match((key,), value)


def is_not(key: Key, value: Atom) -> Match:
    """``KEY != VALUE``."""
    return Match((key,), value, "!=")


def rule(*statements: Statement) -> Rule:
    """One rule."""
    return Rule(statements)


def lookup(name: str, *keys: Key) -> Lookup:
    """``KEY [. KEY …] map @NAME``."""
    return Lookup(keys, name)


def base(name: str, hook: Hook, rules: Iterable[Rule]) -> Chain:
    """A base chain."""
    return Chain(name, tuple(rules), hook)


def named_set(name: str, kind: str, members: Iterable[Atom]) -> Set:
    """A set of single atoms."""
    return Set(name, (kind,), frozenset((member,) for member in members))


def joined_set(
    name: str,
    kinds: tuple[str, ...],
    members: Iterable[tuple[Atom, ...]],
    *,
    interval: bool = False,
) -> Set:
    """A set of several atoms each; with ``interval``, prefixes may be among them."""
    return Set(name, kinds, frozenset(members), interval=interval)


def named_map(
    name: str,
    key: tuple[str, ...],
    data: tuple[str, ...],
    elements: Mapping[tuple[Atom, ...], tuple[Atom, ...]],
) -> Set:
    """A map; ``elements`` is a mapping so that no key can occur twice, which nft would refuse."""
    return Set(name, key, frozenset((*left, *right) for left, right in elements.items()), data)
