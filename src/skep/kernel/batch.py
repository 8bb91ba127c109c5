"""Consecutive rtnetlink operations of one namespace, done with one send.

The kernel wants links by number. A batch asks for the numbers it needs once, before it is sent;
so an operation on a link that the batch itself makes has to wait for the next batch.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeGuard

from skep.kernel.handles import Handles
from skep.kernel.rtnetlink import inet, links, neighbours
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Socket
from skep.kernel.sentences import failure, place
from skep.model import ops
from skep.model.netstate import HOST, Link
from skep.model.ops import AddLink, DelLink, Failure, Op, SetLink

REMOVALS = (
    DelLink,
    ops.DelAddress,
    ops.DelRoute,
    ops.DelRule,
    ops.DelNeighbour,
    ops.DelFdb,
    ops.DelTable,
)
BATCHED = (
    AddLink,
    SetLink,
    ops.AddAddress,
    ops.AddRoute,
    ops.AddRule,
    ops.SetNeighbour,
    ops.SetFdb,
    *REMOVALS[:-1],
)
"""The operations that are rtnetlink messages."""

GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL})
"""What the kernel answers when that which is to be removed is not there: as good as removed."""


class Step(NamedTuple):
    """An operation and the message that performs it."""

    op: Op
    request: Request


def excused(op: Op, error: int) -> bool:
    """Whether the kernel's refusal only means that things are already as ``op`` wants them."""
    if isinstance(op, REMOVALS):
        return error in GONE
    return isinstance(op, ops.AddRule) and error == errno.EEXIST


def sender(op: Op) -> str:
    """The namespace from which ``op`` is sent: a VXLAN device belongs to its sender's underlay."""
    if isinstance(op, AddLink) and op.link.vxlan is not None:
        return op.link.vxlan.underlay
    return HOST if isinstance(op, AddLink) and op.link.parent else op.ns


def links_needed(op: Op) -> tuple[str, ...]:
    """The links whose numbers the message for ``op`` contains."""
    match op:
        case AddLink(link=link) | SetLink(link=link):
            return (link.master,) if link.master else ()
        case ops.AddAddress(address=address) | ops.DelAddress(address=address):
            return (address.link,)
        case ops.AddRoute(route=route) | ops.DelRoute(route=route):
            return (route.link,)
        case ops.SetNeighbour(neighbour=neighbour) | ops.DelNeighbour(neighbour=neighbour):
            return (neighbour.link,)
        case ops.SetFdb(fdb=fdb) | ops.DelFdb(fdb=fdb):
            return (fdb.link,)
    return ()


def links_touched(op: Op) -> Collection[str]:
    """The links of its own namespace that ``op`` makes or unmakes."""
    match op:
        case AddLink(link=link):
            own = link.peer is not None and link.peer.namespace == op.ns
            return (link.name, link.peer.name) if link.peer and own else (link.name,)
        case DelLink(name=name):
            return (name,)
    return ()


def find_links(socket: Socket, names: Collection[str]) -> dict[str, int]:
    """The numbers of those of ``names`` that exist."""
    asked = sorted(names)
    answers = socket.ask([links.get(name) for name in asked])
    return {
        name: links.index_of(answer)
        for name, answer in zip(asked, answers, strict=True)
        if isinstance(answer, Message)
    }


def request(op: Op, number: Mapping[str, int]) -> Request:
    """The message for any operation that refers to no other namespace.

    Raises ValueError if a literal in it is none.
    """
    found = _link_request(op, number) or _inet_request(op, number) or _lower_request(op, number)
    assert found is not None, f"not a rtnetlink operation: {op!r}"
    return found


def _master(link: Link, number: Mapping[str, int]) -> int:
    return number[link.master] if link.master else 0


def _link_request(op: Op, number: Mapping[str, int]) -> Request | None:
    match op:
        case AddLink(link=link):
            return links.create(link, _master(link, number))
        case SetLink(link=link):
            return links.change(link, _master(link, number))
        case DelLink(name=name):
            return links.delete(name)
    return None


def _inet_request(op: Op, number: Mapping[str, int]) -> Request | None:
    match op:
        case ops.AddAddress(address=address):
            return inet.add_address(address, number[address.link])
        case ops.DelAddress(address=address):
            return inet.delete_address(address, number[address.link])
        case ops.AddRoute(route=route):
            return inet.add_route(route, number[route.link])
        case ops.DelRoute(route=route):
            return inet.delete_route(route, number[route.link])
        case ops.AddRule(rule=rule):
            return inet.add_rule(rule)
        case ops.DelRule(rule=rule):
            return inet.delete_rule(rule)
    return None


def _lower_request(op: Op, number: Mapping[str, int]) -> Request | None:
    match op:
        case ops.SetNeighbour(neighbour=neighbour):
            return neighbours.set_neighbour(neighbour, number[neighbour.link])
        case ops.DelNeighbour(neighbour=neighbour):
            return neighbours.delete_neighbour(neighbour, number[neighbour.link])
        case ops.SetFdb(fdb=fdb):
            return neighbours.set_fdb(fdb, number[fdb.link])
        case ops.DelFdb(fdb=fdb):
            return neighbours.delete_fdb(fdb, number[fdb.link])
    return None


def _is_port(op: Op) -> TypeGuard[AddLink | SetLink]:
    """Whether ``op`` leaves a bridge's port whose settings as such may not be as wanted."""
    made = isinstance(op, AddLink) and op.link.hairpin
    return made or (isinstance(op, SetLink) and op.link.kind == "veth" and bool(op.link.master))


class Batch:
    """Operations that share namespace and sender, in order."""

    def __init__(self, handles: Handles, first: Op) -> None:
        self._handles = handles
        self._place = (first.ns, sender(first))
        self._ops: list[Op] = []
        self._touched: set[str] = set()

    def fits(self, op: Op) -> bool:
        """Whether ``op`` may join: the links it is about are not made or unmade by the batch."""
        about = (*links_needed(op), *links_touched(op))
        return (op.ns, sender(op)) == self._place and self._touched.isdisjoint(about)

    def add(self, op: Op) -> None:
        """Let ``op`` join."""
        self._ops.append(op)
        self._touched.update(links_touched(op))

    def perform(self) -> list[Failure]:
        """Do it all; the failures are in the operations' order within each stage."""
        namespace, sending = self._place
        try:
            return self._perform(namespace, sending)
        except FileNotFoundError as error:
            return [
                failure(op, errno.ENOENT, str(error.strerror))
                for op in self._ops
                if not excused(op, errno.ENOENT)
            ]
        except OSError as error:
            # Half-read answers make a socket useless: the next use opens another.
            self._handles.drop(namespace)
            self._handles.drop(sending)
            return [failure(op, error.errno or 0, str(error.strerror)) for op in self._ops]

    def _perform(self, namespace: str, sending: str) -> list[Failure]:
        handle = self._handles.get(namespace)
        needed = {name for op in self._ops for name in links_needed(op)}
        number = find_links(handle.socket, needed) if needed else {}
        failures: list[Failure] = []
        with contextlib.ExitStack() as files:
            steps = []
            for op in self._ops:
                outcome = self._prepare(op, number, files)
                if isinstance(outcome, Step):
                    steps.append(outcome)
                elif outcome is not None:
                    failures.append(outcome)
            failures += self._send(self._handles.get(sending).socket, steps)
        failed = {id(each.op) for each in failures}
        return failures + self._finish([step.op for step in steps if id(step.op) not in failed])

    def _prepare(
        self, op: Op, number: Mapping[str, int], files: contextlib.ExitStack
    ) -> Step | Failure | None:
        """The message for ``op``; or why there is none; or nothing if there is nothing to do."""
        missing = [name for name in links_needed(op) if name not in number]
        if missing:
            if excused(op, errno.ENODEV):
                return None
            return failure(op, errno.ENODEV, f"there is no link {missing[0]}")
        try:
            return Step(op, self._request(op, number, files))
        except ValueError as error:
            return failure(op, errno.EINVAL, str(error))
        except FileNotFoundError as error:
            return failure(op, errno.ENOENT, str(error.strerror))

    def _request(self, op: Op, number: Mapping[str, int], files: contextlib.ExitStack) -> Request:
        if not isinstance(op, AddLink):
            return request(op, number)
        master = _master(op.link, number)
        if op.link.kind == "veth":
            assert op.peer is not None and op.link.peer is not None, "a veth link has a peer"
            end = files.enter_context(self._handles.get(op.link.peer.namespace).descriptor())
            return links.create_veth(op.link, master, op.peer, end)
        if op.link.parent:
            found = find_links(self._handles.get(HOST).socket, [op.link.parent])
            if op.link.parent not in found:
                reason = f"there is no link {op.link.parent} on the host"
                raise FileNotFoundError(errno.ENODEV, reason)
            home = files.enter_context(self._handles.get(op.ns).descriptor())
            made = op.link if op.ns == HOST else links.passing(op.link)
            return links.create_upon(made, found[op.link.parent], home)
        if sender(op) != op.ns:
            target = files.enter_context(self._handles.get(op.ns).descriptor())
            return links.create_elsewhere(op.link, master, target)
        return links.create(op.link, master)

    def _send(self, socket: Socket, steps: list[Step]) -> list[Failure]:
        answers = socket.send([step.request for step in steps])
        return [
            failure(step.op, answer.errno, answer.sentence)
            for step, answer in zip(steps, answers, strict=True)
            if answer is not None and not excused(step.op, answer.errno)
        ]

    def _finish(self, done: list[Op]) -> list[Failure]:
        """Bring up the far ends of new veth pairs, and put them into their bridges; name links on
        the host's."""
        failures = []
        for op in done:
            if _is_port(op):
                # Not taken from the message that makes the link, or puts it into its bridge.
                socket = self._handles.get(op.ns).socket
                failures += self._send(socket, [Step(op, links.set_port(op.link))])
            if isinstance(op, AddLink) and op.peer is not None and op.link.peer is not None:
                failures += self._finish_peer(op, op.peer, op.link.peer.namespace)
            if isinstance(op, AddLink) and op.link.parent and op.ns != HOST:
                failures += self._name(op)
        return failures

    def _name(self, op: AddLink) -> list[Failure]:
        """Give a link on one of the host's its name, and bring it up; or there is none."""
        socket, made = self._handles.get(op.ns).socket, links.passing(op.link)
        number = find_links(socket, [made.name])
        if made.name not in number:
            return [failure(op, errno.ENODEV, f"there is no link {made.name}")]
        steps = [
            Step(op, links.rename(number[made.name], op.link.name)),
            Step(op, links.change(op.link, 0)),
        ]
        failures = self._send(socket, steps[:1]) or self._send(socket, steps[1:])
        if failures:
            socket.send([links.delete(made.name)])
        return failures

    def _finish_peer(self, op: Op, peer: Link, namespace: str) -> list[Failure]:
        if not peer.up and not peer.master:
            return []
        try:
            socket = self._handles.get(namespace).socket
        except FileNotFoundError as error:
            return [failure(op, errno.ENOENT, str(error.strerror))]
        if not peer.master:
            return self._send(socket, [Step(op, links.raise_link(peer.name))])
        number = find_links(socket, [peer.master])
        if peer.master not in number:
            reason = f"there is no link {peer.master} in {place(namespace)}"
            return [failure(op, errno.ENODEV, reason)]
        return self._send(socket, [Step(op, links.change(peer, number[peer.master]))])
