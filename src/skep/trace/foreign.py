"""Tables that Skep did not write, cut down to what the walker can judge.

The reader of nftables keeps every expression of a kind that it knows; the walker knows the values
of fewer. What it does not know becomes `Foreign`, which it reports instead of guessing.

Source: libnftables-json(5).
"""

from __future__ import annotations

import msgspec

from skep.model.nft import (
    Chain,
    Counter,
    Ct,
    Fib,
    Foreign,
    Key,
    Lookup,
    Match,
    Meta,
    Numgen,
    Payload,
    Reject,
    Rule,
    SetMark,
    Statement,
    Table,
    Verdict,
)

_META = frozenset({"mark", "iifname", "oifname", "l4proto"})
_CT = frozenset({"mark", "state", "direction", "status"})
_PORTS = frozenset({"th", "tcp", "udp", "sctp"})
_OPS = frozenset({"==", "!="})


def readable(table: Table, devices: dict[str, str]) -> Table:
    """The table as the walker may judge it. ``devices`` maps the names of the host's own links to
    what the walker calls them."""
    known = {each.name for each in table.sets}
    chains = {each.name for each in table.chains}

    def read(statement: Statement) -> Statement:
        if isinstance(statement, Foreign):
            return _understood(statement)
        if _is_known(statement, known, chains):
            return _renamed(statement, devices)
        return Foreign(msgspec.json.encode(statement).decode())

    def cut(rule: Rule) -> Rule:
        return Rule(tuple(read(each) for each in rule.statements))

    return msgspec.structs.replace(
        table,
        chains=tuple(
            Chain(each.name, tuple(cut(rule) for rule in each.rules), each.hook)
            for each in table.chains
        ),
    )


def _understood(statement: Foreign) -> Statement:
    """What is no word of Skep's own rules, but has a plain meaning to who follows a packet."""
    said: object = msgspec.json.decode(statement.text)
    match said:
        case {"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": {"set": [*states]}}}:
            return Match((Ct("state"),), tuple(map(str, states)))
        case {"reject": {"type": kind, **more}}:
            return Reject(" ".join((kind, *map(str, more.values()))))
        case {"reject": None}:
            return Reject("icmp port-unreachable")
        case {"goto": {"target": str(chain)}}:
            return Verdict("goto", chain)
        case {"log": _} | {"comment": _}:
            return Counter()
        case _:
            return statement


def _is_known(statement: Statement, sets: set[str], chains: set[str]) -> bool:
    match statement:
        case Match(left=left, right=right, op=op):
            named = isinstance(right, str) and right.startswith("@")
            if named and str(right)[1:] not in sets:
                return False
            return op in _OPS and all(map(_is_known_key, left)) and not _has_wildcard(right)
        case SetMark(value=value):
            return not isinstance(value, Lookup) or _is_known_lookup(value, sets)
        case Verdict(kind="jump", chain=chain):
            return chain in chains
        case _:
            where = getattr(statement, "to", None)
            return not isinstance(where, Lookup) or _is_known_lookup(where, sets)


def _is_known_lookup(lookup: Lookup, sets: set[str]) -> bool:
    return lookup.map in sets and all(map(_is_known_key, lookup.keys))


def _is_known_key(key: Key) -> bool:
    match key:
        case Meta(key=name):
            return name in _META
        case Ct(key=name):
            return name in _CT
        case Payload(protocol=protocol, field=field):
            return (protocol, field) in _FIELDS
        case Fib() | Numgen():
            return True
        case _:
            return False


_FIELDS = frozenset(
    {(family, field) for family in ("ip", "ip6") for field in ("saddr", "daddr")}
    | {("ether", "saddr")}
    | {("icmp", "type"), ("icmpv6", "type")}
    | {(protocol, field) for protocol in _PORTS for field in ("sport", "dport")}
)


def _has_wildcard(right: object) -> bool:
    several = right if isinstance(right, tuple) else (right,)
    return any(isinstance(each, str) and each.endswith("*") for each in several)


def _renamed(statement: Statement, devices: dict[str, str]) -> Statement:
    if not isinstance(statement, Match) or statement.left[0] not in _DEVICE_KEYS:
        return statement
    right = statement.right
    if isinstance(right, tuple):
        renamed = tuple(devices.get(str(each), each) for each in right)
        return msgspec.structs.replace(statement, right=renamed)
    return msgspec.structs.replace(statement, right=devices.get(str(right), right))


_DEVICE_KEYS = (Meta("iifname"), Meta("oifname"))
