"""Performing operations in order: what failed is a value, and the rest goes on.

Everything here runs on the namespace thread.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from skep.kernel import conntrack, moving, netns, sysctl, wireguard
from skep.kernel.batch import BATCHED, Batch, excused
from skep.kernel.handles import Handle, Handles
from skep.kernel.ipvs import Ipvs
from skep.kernel.nftables import Library, Nftables, Rejected
from skep.kernel.nfttext import TableChange
from skep.kernel.rtnetlink import links
from skep.kernel.rtnetlink.socket import Socket
from skep.kernel.sentences import failure
from skep.model.netstate import GROUP
from skep.model.ops import (
    AddLink,
    AddNamespace,
    CutFlows,
    DelDestination,
    DelNamespace,
    DelTable,
    DelVirtual,
    Failure,
    Op,
    ReplaceTable,
    ReturnLink,
    SetDestination,
    SetSysctl,
    SetTimeouts,
    SetVirtual,
)


class Performer:
    """Does what `skep.model.ops` says."""

    def __init__(self, handles: Handles, library: Library) -> None:
        self._handles = handles
        self._library = library
        self.ipvs: Ipvs | None = None

    def perform(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        """Do all of ``ops`` in order; consecutive rtnetlink messages of one namespace travel
        together, and all changes of one table's parts are made where the first of them is."""
        failures: list[Failure] = []
        batch: Batch | None = None
        begun: set[tuple[str, str, str]] = set()
        for op in ops:
            if isinstance(op, BATCHED) and not _special(op):
                if batch is not None and not batch.fits(op):
                    failures += batch.perform()
                    batch = None
                batch = batch or Batch(self._handles, op)
                batch.add(op)
                continue
            failures += batch.perform() if batch else []
            batch = None
            if not isinstance(op, TableChange):
                failures += self._attempt([op], self._work(op))
            elif _table(op) not in begun:
                begun.add(_table(op))
                failures += self._change_table(_same_table(op, ops))
        return (*failures, *(batch.perform() if batch else []))

    def _attempt(self, ops: Sequence[Op], work: Callable[[], None]) -> list[Failure]:
        """Do ``work``, on which all of ``ops`` depend."""
        try:
            work()
        except Rejected as rejected:
            return _failures(ops, rejected.errno, str(rejected))
        except OSError as error:
            return _failures(ops, error.errno or 0, str(error.strerror))
        return []

    def _work(self, op: Op) -> Callable[[], None]:
        match op:
            case AddLink(link=link) if link.source:
                return lambda: moving.bring(self._handles, op)
            case ReturnLink():
                return lambda: moving.give_back(self._handles, op)
            case AddLink():
                return lambda: wireguard.make(self._handles, op)
            case AddNamespace(ns=name):
                return lambda: self._add_namespace(name)
            case DelNamespace(ns=name):
                return lambda: self._delete_namespace(name)
            case SetSysctl():
                return lambda: self._set_sysctl(op)
            case ReplaceTable(ns=name, table=table):
                return lambda: self._nft(name, lambda nft: nft.replace(table))
            case DelTable(ns=name, family=family, name=table_name):
                return lambda: self._nft(name, lambda nft: nft.delete(family, table_name))
            case CutFlows(ns=name, address=address, port=port):
                return lambda: self._cut_flows(name, address, port)
            case SetTimeouts(timeouts=timeouts):
                return lambda: self._with_ipvs(op, lambda ipvs: ipvs.set_timeouts(timeouts))
            case SetVirtual(service=service):
                return lambda: self._with_ipvs(op, lambda ipvs: ipvs.set_service(service))
            case DelVirtual(service=service):
                return lambda: self._with_ipvs(op, lambda ipvs: ipvs.delete_service(service))
            case SetDestination(service=service, destination=to):
                return lambda: self._with_ipvs(op, lambda ipvs: ipvs.set_destination(service, to))
            case DelDestination(service=service, destination=to):
                return lambda: self._with_ipvs(
                    op, lambda ipvs: ipvs.delete_destination(service, to)
                )
        raise AssertionError(f"no such operation: {op!r}")

    def _with_ipvs(self, op: Op, work: Callable[[Ipvs], None]) -> None:
        if self.ipvs is None:
            raise OSError(errno.ENOENT, "the kernel has no IPVS (module ip_vs)")
        with self._handles.get(op.ns).entered():
            work(self.ipvs)

    def _nft(self, namespace: str, work: Callable[[Nftables], None]) -> None:
        with self._handles.get(namespace).entered(), self._library.opened() as nft:
            work(nft)

    def _change_table(self, ops: list[TableChange]) -> list[Failure]:
        return self._attempt(ops, lambda: self._nft(ops[0].ns, lambda nft: nft.change(ops)))

    def _cut_flows(self, namespace: str, address: str, port: int) -> None:
        with self._handles.get(namespace).entered():
            conntrack.cut(address, port)

    def _set_sysctl(self, op: SetSysctl) -> None:
        with self._handles.get(op.ns).entered():
            try:
                sysctl.write(op.key, op.value)
            except FileNotFoundError:
                raise FileNotFoundError(errno.ENOENT, "there is no such sysctl") from None

    def _add_namespace(self, name: str) -> None:
        path = self._handles.path(name)
        self._handles.drop(name)
        try:
            # Ours from its first moment on: one that is nobody's would never be removed.
            netns.create(path, _claim_loopback)
            self._handles.get(name)
            return
        except FileExistsError:
            if not _untouched(self._handles.get(name)):
                self._handles.drop(name)
                raise FileExistsError(
                    errno.EEXIST, "a namespace of this name exists, and Skep did not make it"
                ) from None
        (refused,) = self._handles.get(name).socket.send([links.claim_loopback(GROUP)])
        if refused is not None:
            raise OSError(refused.errno, refused.sentence)

    def _delete_namespace(self, name: str) -> None:
        """The kernel takes a namespace apart at its leisure. A VXLAN device must not wait for
        that: it would still hold its VNI when the network comes back a moment later."""
        handle = self._handles.find(name)
        if handle is None and name in self._handles.pinned():
            raise PermissionError(errno.EPERM, "Skep did not make it")
        if handle is not None:
            found = [links.parse(each) for each in handle.socket.dump(links.get_all())]
            tunnels = [link.name for link in found if link.kind == "vxlan" and link.group == GROUP]
            handle.socket.send([links.delete(tunnel) for tunnel in tunnels])
        self._handles.drop(name)
        netns.remove(self._handles.path(name))


def _claim_loopback() -> None:
    """Mark the namespace that the calling thread is in as one of ours. Raises OSError."""
    opened = Socket()
    try:
        (refused,) = opened.send([links.claim_loopback(GROUP)])
    finally:
        opened.close()
    if refused is not None:
        raise OSError(refused.errno, refused.sentence)


def _untouched(handle: Handle) -> bool:
    """Whether nobody has used the namespace yet: what a crash while making one leaves behind."""
    found = [links.parse(each) for each in handle.socket.dump(links.get_all())]
    return not any(link.up for link in found)


def _failures(ops: Sequence[Op], error: int, reason: str) -> list[Failure]:
    return [failure(op, error, reason) for op in ops if not excused(op, error)]


def _special(op: Op) -> bool:
    """Whether more than a message is needed for it."""
    return isinstance(op, AddLink) and (op.link.kind == "wireguard" or bool(op.link.source))


def _table(op: TableChange) -> tuple[str, str, str]:
    return op.ns, op.family, op.table


def _same_table(first: TableChange, ops: Sequence[Op]) -> list[TableChange]:
    return [op for op in ops if isinstance(op, TableChange) and _table(op) == _table(first)]
