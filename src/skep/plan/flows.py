"""Which flows must be cut: those that were sent where nothing is sent any more.

Connection tracking keeps a flow's translation whatever becomes of the rule that made it. A TCP
connection to a task that stops is to end in peace, and ends by itself. A flow of datagrams never
ends while its client goes on, and would be lost for good.
"""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.netstate import Namespace
from skep.model.nft import Atom, Dnat, Set, Table
from skep.model.ops import CutFlows
from skep.plan.layout import holds, subnet_of

Sent = tuple[tuple[Atom, ...], tuple[Atom, ...]]
"""Who is sent where: a map's key without the turn, and its data (address, or address and port)."""


def cuts(ns: str, want: Table, have: Table) -> Iterator[CutFlows]:
    """The flows to forget in ``ns`` when ``have`` has become ``want``, in an order of their own."""
    wanted = {each.name: each for each in want.sets}
    gone = {
        to
        for each in have.sets
        if _translates(each)
        for who, to in _sent(each) - _sent(wanted.get(each.name))
        if "tcp" not in who
    }
    for address, *port in sorted(gone, key=str):
        yield CutFlows(ns=ns, address=str(address), port=int(port[0]) if port else 0)


def stale(want: Namespace, have: Namespace) -> Iterator[CutFlows]:
    """The observed flows to forget: those to one of the namespace's own subnets that are sent where
    nothing in ``want`` leads. Whoever should have cut them may have died before."""
    targets = {each for table in want.tables for each in _targets(table)}
    subnets = [subnet_of(each.address) for each in want.addresses]
    for flow in sorted(have.flows, key=str):
        led = {(flow.address, 0), (flow.address, flow.port)} & targets
        if not led and any(holds(each, flow.address) for each in subnets):
            yield CutFlows(ns=want.name, address=flow.address, port=flow.port)


def _targets(table: Table) -> Iterator[tuple[str, int]]:
    """The addresses and ports (0: any) that a table translates to."""
    for each in table.sets:
        if _translates(each):
            for _, (address, *port) in _sent(each):
                yield str(address), int(port[0]) if port else 0
    for chain in table.chains:
        for rule in chain.rules:
            for part in rule.statements:
                if isinstance(part, Dnat) and isinstance(part.to, str) and part.to:
                    yield part.to, part.port if isinstance(part.port, int) else 0


def _translates(each: Set) -> bool:
    return each.data[:1] in (("ipv4_addr",), ("ipv6_addr",))


def _sent(found: Set | None) -> set[Sent]:
    if found is None:
        return set()
    width = len(found.key)
    turns = [kind == "integer" for kind in found.key]
    return {
        (
            tuple(atom for atom, turn in zip(each, turns, strict=False) if not turn),
            each[width:],
        )
        for each in found.elements
    }
