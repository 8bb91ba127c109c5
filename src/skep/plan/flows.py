"""Which flows must be cut: those that were sent where nothing is sent any more.

Connection tracking keeps a flow's translation whatever becomes of the rule that made it. A TCP
connection to a task that stops is to end in peace, and ends by itself. A flow of datagrams never
ends while its client goes on, and would be lost for good.
"""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.nft import Atom, Set, Table
from skep.model.ops import CutFlows

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
