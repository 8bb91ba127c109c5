"""What nftables' rules do to a packet: the vocabulary of `skep.model.nft`, evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from skep.model.netstate import Namespace
from skep.model.nft import (
    Atom,
    Chain,
    Counter,
    Ct,
    Dnat,
    Fib,
    Foreign,
    Forget,
    Hook,
    Jhash,
    Key,
    Lookup,
    Masquerade,
    Match,
    Meta,
    Numgen,
    Payload,
    Redirect,
    Reject,
    Rule,
    SetField,
    SetMark,
    SetSegment,
    Snat,
    Statement,
    Table,
    Update,
    Verdict,
    Vmap,
)
from skep.plan.family import family_of
from skep.plan.journey import Flow, Marked, Place, RuleAt, Step, Translated, Unread
from skep.plan.layout import holds

BaseChain = tuple[Table, Chain, Hook]
"""A base chain, the table it is in, and its hook."""


class Moment:
    """A packet at a hook, with all that rules can ask of it or change."""

    def __init__(self, at: Place, flow: Flow, slot: int) -> None:
        self.at = at
        self.flow = flow
        self.slot = slot
        self.mark = 0
        self.incoming = at.link
        self.outgoing = ""
        self.sender = ""
        self.fresh = True
        self.direction = "original"
        self.connection_mark = 0
        self.translated = False
        self.is_local: Callable[[str], bool] = lambda _address: False
        self.masquerade: Callable[[], str] = lambda: ""
        self.hops: list[Step] = []
        self.rule: RuleAt | None = None

    def readdress(self, chain: str, after: Flow) -> None:
        """Change the packet's flow, and say so."""
        if after != self.flow:
            # A translation without a chain is its connection's, made by no rule now.
            rule = self.rule if chain else None
            self.hops.append(
                Translated(at=self.at, chain=chain, before=self.flow, after=after, rule=rule)
            )
            self.flow = after


class _Miss(Exception):  # noqa: N818 - a rule that does not apply is no error
    """The rule does not apply; go on with the next."""


def families(flow: Flow) -> tuple[str, ...]:
    """The families of tables that see a packet."""
    return (family_of(flow.target).name, "inet")


def base_chains(
    namespace: Namespace, hook: str, seen_by: tuple[str, ...] = ("ip", "ip6", "inet")
) -> list[BaseChain]:
    """The base chains of a hook in the order they run."""
    found = [
        (table, chain, chain.hook)
        for table in namespace.tables
        if table.family in seen_by
        for chain in table.chains
        if chain.hook is not None and chain.hook.hook == hook
    ]
    return sorted(found, key=lambda each: each[2].priority)


def judge(table: Table, chain: Chain, moment: Moment) -> str:
    """Run a packet through a base chain: "" if it may go on, else why it may not."""
    verdict = _run(table, chain, moment)
    if verdict is None:
        assert chain.hook is not None, f"{chain.name} is no base chain"
        verdict = Verdict(chain.hook.policy)
        moment.rule = RuleAt(table.family, table.name, chain.name, -1)
    if isinstance(verdict, Reject):
        return f"refused ({verdict.how}) by chain {chain.name}"
    return f"dropped by chain {chain.name}" if verdict.kind == "drop" else ""


def _run(table: Table, chain: Chain, moment: Moment) -> Verdict | Reject | None:
    """The verdict of a chain; None if its end was reached or it returned."""
    for number, rule in enumerate(chain.rules):
        moment.rule = RuleAt(table.family, table.name, chain.name, number)
        try:
            verdict = _apply(table, chain, rule, moment)
        except _Miss:
            continue
        if isinstance(verdict, Verdict) and verdict.kind == "return":
            return None
        if verdict is not None:
            return verdict
    return None


def _apply(table: Table, chain: Chain, rule: Rule, moment: Moment) -> Verdict | Reject | None:
    for statement in rule.statements:
        verdict = _perform(table, chain, statement, moment)
        if verdict is not None:
            return verdict
    return None


def _perform(
    table: Table, chain: Chain, statement: Statement, moment: Moment
) -> Verdict | Reject | None:
    match statement:
        case Match():
            if not _matches(table, statement, moment):
                raise _Miss
        case SetMark():
            _mark(table, chain, statement, moment)
        case SetField():
            moment.readdress(chain.name, _rewritten(statement, moment))
        case Counter() | Update() | Forget() | SetSegment():
            # What packets write down is not known: the walker's packet is nobody's second.
            pass
        case Reject(how=how):
            if how == "tcp reset" and moment.flow.protocol != "tcp":
                raise _Miss
            return statement
        case Verdict(kind="jump", chain=name):
            return _run(table, next(each for each in table.chains if each.name == name), moment)
        case Verdict(kind="goto", chain=name):
            return _go_to(table, name, moment)
        case Verdict():
            return statement
        case Vmap():
            return _go_on(table, statement, moment)
        case Foreign(text=text):
            moment.hops.append(Unread(at=moment.at, chain=chain.name, text=text, rule=moment.rule))
            raise _Miss
        case _:
            moment.readdress(chain.name, _translate(table, statement, moment))
            return Verdict("accept")
    return None


def _go_on(table: Table, where: Vmap, moment: Moment) -> Verdict | Reject:
    """The verdict of the chain that a map leads to."""
    (verdict,) = _look_up(table, Lookup(where.keys, where.map), moment)
    return _go_to(table, str(verdict).removeprefix("goto "), moment)


def _go_to(table: Table, name: str, moment: Moment) -> Verdict | Reject:
    """The verdict of a chain from which nothing comes back."""
    chain = next(each for each in table.chains if each.name == name)
    return _run(table, chain, moment) or Verdict("return")


def _translate(table: Table, how: Dnat | Redirect | Masquerade | Snat, moment: Moment) -> Flow:
    flow = moment.flow
    if isinstance(how, Masquerade):
        return msgspec.structs.replace(flow, source=moment.masquerade())
    if isinstance(how, Snat):
        return msgspec.structs.replace(flow, source=how.to)
    if isinstance(how, Redirect):
        target, port = family_of(flow.target).loopback, how.port
    elif isinstance(how.to, Lookup):
        address, *rest = _look_up(table, how.to, moment)
        if isinstance(how.port, Lookup):
            rest = list(_look_up(table, how.port, moment))
        target, port = str(address), int(rest[0]) if rest else 0
    elif isinstance(how.port, Lookup):
        assert not how.to, "a look-up of the port beside an address that is none"
        target, port = flow.target, int(_look_up(table, how.port, moment)[0])
    else:
        target, port = how.to, how.port
    return msgspec.structs.replace(flow, target=target, target_port=port or flow.target_port)


def _rewritten(how: SetField, moment: Moment) -> Flow:
    assert how.key.protocol in ("ip", "ip6"), "nothing but addresses is ever rewritten"
    if how.key.field == "saddr":
        return msgspec.structs.replace(moment.flow, source=how.value)
    return msgspec.structs.replace(moment.flow, target=how.value)


def _mark(table: Table, chain: Chain, how: SetMark, moment: Moment) -> None:
    if isinstance(how.value, Lookup):
        mark = int(_look_up(table, how.value, moment)[0])
    elif isinstance(how.value, int):
        mark = how.value
    else:
        mark = int(_value(how.value, moment))
    if how.target == "ct":
        moment.connection_mark = mark
    else:
        moment.mark = mark
    moment.hops.append(
        Marked(at=moment.at, chain=chain.name, target=how.target, mark=mark, rule=moment.rule)
    )


def _matches(table: Table, match: Match, moment: Moment) -> bool:
    left = tuple(_value(key, moment) for key in match.left)
    right = match.right
    if isinstance(right, str) and right.startswith("@"):
        found = any(_same(left, element) for element in _elements(table, right[1:]))
    elif isinstance(right, tuple):
        found = any(_same(left, (atom,)) for atom in right)
    else:
        found = _same(left, (right,))
    return found != (match.op == "!=")


def _look_up(table: Table, lookup: Lookup, moment: Moment) -> tuple[Atom, ...]:
    """The data that a map holds for the packet; `_Miss` if none."""
    left = tuple(_value(key, moment) for key in lookup.keys)
    for element in _elements(table, lookup.map):
        if _same(left, element[: len(left)]):
            return element[len(left) :]
    raise _Miss


def _elements(table: Table, name: str) -> Iterator[tuple[Atom, ...]]:
    for each in table.sets:
        if each.name == name:
            yield from each.elements


def _same(left: tuple[Atom, ...], right: tuple[Atom, ...]) -> bool:
    return len(left) == len(right) and all(map(_equal, left, right))


def _equal(value: Atom, literal: Atom) -> bool:
    if isinstance(literal, str) and "/" in literal:
        return holds(literal, str(value))
    return value == literal


def _value(key: Key, moment: Moment) -> Atom:
    match key:
        case Meta(key=name):
            return _meta(name, moment)
        case Ct(key=name):
            return _connection(name, moment)
        case Payload(protocol=protocol, field=field):
            return _payload(protocol, field, moment)
        case Fib(flag=flag):
            address = moment.flow.target if flag == "daddr" else moment.flow.source
            return "local" if moment.is_local(address) else "unicast"
        case Numgen(modulus=modulus) | Jhash(modulus=modulus):
            return moment.slot % modulus


def _meta(name: str, moment: Moment) -> Atom:
    values: dict[str, Atom] = {
        "mark": moment.mark,
        "iifname": moment.incoming,
        "oifname": moment.outgoing,
        "l4proto": moment.flow.protocol,
        "protocol": family_of(moment.flow.target).name,
    }
    return values[name]


def _connection(name: str, moment: Moment) -> Atom:
    values: dict[str, Atom] = {
        "mark": moment.connection_mark,
        "state": "new" if moment.fresh else "established",
        "direction": moment.direction,
        "status": "dnat" if moment.translated else "",
    }
    return values[name]


def _payload(protocol: str, field: str, moment: Moment) -> Atom:
    flow = moment.flow
    if protocol == "ether":
        return moment.sender if field == "saddr" else family_of(flow.target).name
    if protocol in ("ip", "ip6"):
        if protocol != family_of(flow.target).name:
            raise _Miss
        return flow.source if field == "saddr" else flow.target
    if field == "type" and protocol == flow.protocol:
        return "echo-request" if moment.direction == "original" else "echo-reply"
    if flow.protocol.startswith("icmp") or protocol not in ("th", flow.protocol):
        raise _Miss
    return flow.source_port if field == "sport" else flow.target_port
