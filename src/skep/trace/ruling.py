"""Rules that a packet met: where they stand, what they counted, what they chose among."""

from __future__ import annotations

from skep.model.nft import Atom, Dnat, Key, Lookup, Meta, Payload, Table
from skep.plan.journey import Flow, Place, RuleAt, Translated
from skep.trace.scene import Host

OURS = "skep"
"""What the names of Skep's tables begin with."""


def rule_words(host: Host | None, at: Place, rule: RuleAt | None) -> str:
    """A rule's table, chain, place, handle and counters."""
    if rule is None:
        return "as conntrack remembers from the connection's first packet"
    owner = "" if rule.table.startswith(OURS) else " (not Skep's)"
    what = f"rule {rule.number + 1}" if rule.number >= 0 else "policy"
    words = f"nft table {rule.family} {rule.table}{owner}, chain {rule.chain}, {what}"
    count = host.count(at.namespace, rule) if host else None
    if count is not None:
        words += f", handle {count.handle}"
        if count.packets >= 0:
            words += f", counted {count.packets} packets, {count.bytes} bytes"
    return words


def rule_facts(host: Host | None, at: Place, rule: RuleAt | None) -> dict[str, str | int]:
    """The same for programs; ``rule`` is its number from 0."""
    if rule is None:
        return {}
    facts: dict[str, str | int] = {
        "table": f"{rule.family} {rule.table}",
        "chain": rule.chain,
        "rule": rule.number,
    }
    count = host.count(at.namespace, rule) if host else None
    if count is not None:
        facts["handle"] = count.handle
        if count.packets >= 0:
            facts |= {"packets": count.packets, "bytes": count.bytes}
    return facts


def backends_of(host: Host | None, step: Translated, mark: int) -> tuple[list[str], int]:
    """The addresses that this packet could have been sent to, and which of them it was."""
    table, lookup = _looked_up(host, step)
    if table is None or lookup is None:
        return [], 0
    wanted = [_value(key, step.before, mark) for key in lookup.keys]
    elements = next((s.elements for s in table.sets if s.name == lookup.map), frozenset())
    found = [each for each in elements if _fits(wanted, each)]
    ordered = sorted(found, key=lambda e: [(isinstance(a, str), a) for a in e])
    addresses = [str(each[len(wanted)]) for each in ordered]
    if step.after.target not in addresses:
        return [], 0
    return addresses, addresses.index(step.after.target)


def _looked_up(host: Host | None, step: Translated) -> tuple[Table | None, Lookup | None]:
    """The table and the map that a translation's rule looked into, if it did."""
    rule = step.rule
    if rule is None or host is None or rule.number < 0:
        return None, None
    for table in host.state[step.at.namespace].tables:
        if (table.family, table.name) != (rule.family, rule.table):
            continue
        chain = next(each for each in table.chains if each.name == rule.chain)
        for statement in chain.rules[rule.number].statements:
            if isinstance(statement, Dnat) and isinstance(statement.to, Lookup):
                return table, statement.to
    return None, None


def _value(key: Key, flow: Flow, mark: int) -> Atom | None:
    """What a key is for this packet; None for a turn, which may be any."""
    match key:
        case Meta(key="mark"):
            return mark
        case Meta(key="l4proto"):
            return flow.protocol
        case Payload(field="daddr"):
            return flow.target
        case Payload(field="dport"):
            return flow.target_port
        case _:
            return None


def _fits(wanted: list[Atom | None], element: tuple[Atom, ...]) -> bool:
    pairs = zip(wanted, element, strict=False)
    return all(value is None or value == atom for value, atom in pairs)
