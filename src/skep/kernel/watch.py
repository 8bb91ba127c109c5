"""Noticing changes: one socket hears the rtnetlink events of all watched namespaces, another those
of nftables; inotify tells when a namespace's name vanishes, the table of mounts when it means
another namespace, or none.

A socket hears other namespaces (NETLINK_LISTEN_ALL_NSID) once they have a number in its own, which
comes with each event. So hundreds of namespaces need no sockets of their own.

Source: netlink(7), inotify(7), linux/net_namespace.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

from skep.kernel.handles import Handle
from skep.kernel.mounts import Mounts
from skep.kernel.rtnetlink import inet, links, neighbours
from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import RECEIVE_SIZE, SO_RCVBUFFORCE, SOL_NETLINK, Socket
from skep.model.netstate import HOST, Namespace

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NETLINK_LISTEN_ALL_NSID = 8

LINK, NEIGHBOUR, ADDRESS, ROUTE, RULE = 1, 3, 5, 7, 8
ADDRESS6, ROUTE6, RULE6 = 9, 11, 19
SETTINGS, SETTINGS6 = 24, 25
"""Multicast groups of rtnetlink. Neighbours of both families are told to one. Settings are those
sysctls whose change the kernel announces: forwarding, and reverse path filters."""
GROUPS = (LINK, NEIGHBOUR, ADDRESS, ROUTE, RULE, ADDRESS6, ROUTE6, RULE6, SETTINGS, SETTINGS6)
NEW_SETTING = 80
NFTABLES = 7
"""The multicast group of nfnetlink that nftables announces to."""

MOUNTS_SETTLE = 0.1
"""Seconds in which changes of mounts are gathered."""

EVENT_BUFFER = 8 << 20
DATAGRAMS_AT_ONCE = 64

NEWNSID, GETNSID = 88, 90
NSID, NSID_FD = 1, 3
ANY_NUMBER = -1
NSID_HEADER = b"\0\0\0\0"

NFT_HEADER = 4
NFT_TABLE = 1
NFT_NEW_GENERATION = 15
OUR_TABLES = b"skep"

IN_MOVED_FROM = 0x40
IN_DELETE = 0x200
IN_OVERFLOW = 0x4000
INOTIFY_EVENT = struct.Struct("=iIII")

_libc = ctypes.CDLL(None, use_errno=True)


class Watched:
    """A namespace under watch. ``permanent`` are the (link number, address) of its permanent
    neighbours when it was last observed; None if that is not known. Entries that come and go by
    themselves are no change, but their going looks the same as a permanent one's."""

    def __init__(self, handle: Handle) -> None:
        self.name = handle.name
        self.handle = handle
        self.permanent: set[tuple[int, str]] | None = None

    def concerned(self, message: Message) -> bool:
        """Whether an rtnetlink event is about something that `Namespace` holds."""
        if message.kind == NEW_SETTING:
            return True
        match message.kind:
            case links.NEWLINK | links.DELLINK:
                return True
            case inet.NEWADDR | inet.DELADDR:
                return not inet.is_kernels_address(message)
            case inet.NEWROUTE | inet.DELROUTE | inet.NEWRULE | inet.DELRULE:
                return self.name != HOST
            case neighbours.NEWNEIGH | neighbours.DELNEIGH:
                return self._neighbour(message)
        return False

    def _neighbour(self, message: Message) -> bool:
        family, link, state, flags, _ = neighbours.HEADER.unpack_from(message.body)
        found = nl.attributes(message.body, neighbours.HEADER.size)
        address = found.get(neighbours.NDA_DST, b"")
        if len(address) not in (4, 16):
            return False
        if family == nl.AF_BRIDGE:
            return bool(flags & neighbours.SELF)
        key = (link, nl.as_ip(address))
        if state & neighbours.PERMANENT and message.kind == neighbours.NEWNEIGH:
            if self.permanent is not None:
                self.permanent.add(key)
            return True
        known = self.permanent is None or key in self.permanent
        if self.permanent is not None:
            self.permanent.discard(key)
        return known


def _event_socket(protocol: int, groups: Collection[int]) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    opened = socket.socket(socket.AF_NETLINK, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, EVENT_BUFFER)
    opened.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
    opened.bind((0, sum(1 << group - 1 for group in groups)))
    return opened


def _watch_directory(path: str) -> int:
    os.makedirs(path, mode=0o755, exist_ok=True)
    descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if _libc.inotify_add_watch(descriptor, path.encode(), IN_DELETE | IN_MOVED_FROM) < 0:
        error = ctypes.get_errno()
        os.close(descriptor)
        raise OSError(error, os.strerror(error), path)
    return descriptor


class Watcher:
    """Collects the names of changed namespaces. Made, told of handles and closed on the namespace
    thread, at home; read on the event loop's. Raises OSError if the sockets cannot be had."""

    def __init__(self, netns_dir: str) -> None:
        with contextlib.ExitStack() as opened:
            self._directory = _watch_directory(netns_dir)
            opened.callback(os.close, self._directory)
            self._route = opened.enter_context(_event_socket(NETLINK_ROUTE, GROUPS))
            self._nft = opened.enter_context(_event_socket(NETLINK_NETFILTER, [NFTABLES]))
            self._socket = opened.enter_context(contextlib.closing(Socket()))
            self._mounts = opened.enter_context(contextlib.closing(Mounts()))
            self._opened = opened.pop_all()
        self._by_number: dict[int | None, Watched] = {}
        self._by_name: dict[str, tuple[int | None, Watched]] = {}
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._looking: asyncio.TimerHandle | None = None
        self._closed = False

    def close(self) -> None:
        """Close all sockets. Whoever reads must have stopped (see `stop`)."""
        self._opened.close()

    def watch(self, handle: Handle) -> None:
        """Watch a namespace from now on. Raises OSError."""
        number = None if handle.path is None else self._number(handle)
        watched = Watched(handle)
        self._by_number[number] = watched
        self._by_name[handle.name] = (number, watched)

    def _number(self, handle: Handle) -> int:
        """The namespace's number in ours, given to it if it had none."""
        with handle.descriptor() as opened:
            target = nl.number(NSID_FD, opened)
            any_number = nl.attribute(NSID, struct.pack("=i", ANY_NUMBER))
            new = Request(NEWNSID, 0, NSID_HEADER + any_number + target)
            (refused,) = self._socket.send([new])
            if refused is not None and refused.errno != errno.EEXIST:
                raise OSError(refused.errno, refused.sentence)
            (answer,) = self._socket.ask([Request(GETNSID, 0, NSID_HEADER + target)])
        if not isinstance(answer, Message):
            raise OSError(answer.errno, answer.sentence)
        return nl.as_number(nl.attributes(answer.body, len(NSID_HEADER))[NSID])

    def forget(self, handle: Handle) -> None:
        """Stop watching a namespace."""
        number, _ = self._by_name.pop(handle.name)
        self._by_number.pop(number, None)

    def learn(self, seen: Namespace) -> None:
        """Take note of the permanent neighbours that were observed in a namespace."""
        entry = self._by_name.get(seen.name)
        if entry is not None:
            entry[1].permanent = {
                (seen.links[each.link].index, each.address) for each in seen.neighbours
            }

    async def changes(self, tidy: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
        """Names of changed namespaces, each once however much changed since it was last told.

        ``tidy`` is awaited before each round, to let go of namespaces that have vanished.
        """
        loop = asyncio.get_running_loop()
        readers = {self._route: self._read_route, self._nft: self._read_nft}
        for each, read in readers.items():
            loop.add_reader(each, read)
        loop.add_reader(self._directory, self._read_directory)
        loop.add_reader(self._mounts.fileno(), self._mounts_changed)
        try:
            while True:
                await self._wake.wait()
                if self._closed:
                    return
                self._wake.clear()
                changed, self._changed = self._changed, {}
                await tidy()
                for name in changed:
                    yield name
        finally:
            if not self._closed:
                self._detach(loop)

    def _detach(self, loop: asyncio.AbstractEventLoop) -> None:
        for each in (self._route, self._nft, self._directory, self._mounts.fileno()):
            loop.remove_reader(each)
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def stop(self) -> None:
        """End `changes`; the sockets may be closed afterwards. On the event loop's thread."""
        self._detach(asyncio.get_running_loop())
        self._closed = True
        self._wake.set()

    def _report(self, name: str) -> None:
        self._changed[name] = None
        self._wake.set()

    def _report_all(self) -> None:
        """Events were lost: anything may have happened anywhere."""
        for _, watched in list(self._by_name.values()):
            watched.permanent = None
            self._report(watched.name)

    def _read_route(self) -> None:
        for watched, message in self._received(self._route):
            if watched.concerned(message):
                self._report(watched.name)

    def _read_nft(self) -> None:
        for watched, message in self._received(self._nft):
            if message.kind & 0xFF == NFT_NEW_GENERATION:
                continue
            table = nl.attributes(message.body, NFT_HEADER).get(NFT_TABLE, b"")
            if table.startswith(OUR_TABLES):
                self._report(watched.name)

    def _received(self, source: socket.socket) -> Iterator[tuple[Watched, Message]]:
        """Events of watched namespaces, not more at once than is fair to others on the loop."""
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                data, ancillary, _, _ = source.recvmsg(RECEIVE_SIZE, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._report_all()
                continue
            number = nl.as_number(ancillary[0][2]) if ancillary else None
            watched = self._by_number.get(number)
            if watched is not None:
                yield from ((watched, message) for message, _, _ in nl.messages(data))

    def _mounts_changed(self) -> None:
        """Every container mounts something, so many changes are one look."""
        self._mounts.seen()
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(MOUNTS_SETTLE, self._look_at_mounts)

    def _look_at_mounts(self) -> None:
        self._looking = None
        for _, watched in list(self._by_name.values()):
            if watched.handle.path is not None and watched.handle.stale():
                self._report(watched.name)

    def _read_directory(self) -> None:
        try:
            data = os.read(self._directory, RECEIVE_SIZE)
        except BlockingIOError:
            return
        start = 0
        while start < len(data):
            _, mask, _, length = INOTIFY_EVENT.unpack_from(data, start)
            start += INOTIFY_EVENT.size + length
            name = data[start - length : start].rstrip(b"\0").decode(errors="replace")
            if mask & IN_OVERFLOW:
                self._report_all()
            elif name in self._by_name:
                self._report(name)
