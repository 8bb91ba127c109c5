"""A host's kernel: what it contains, and changing it. The one door to the rest of this package."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from skep.kernel import conntrack, features, gauging, inside, ipvs, sockets, wireguard
from skep.kernel.handles import Handle, Handles
from skep.kernel.netns import NamespaceThread
from skep.kernel.nftables import Library, Rejected
from skep.kernel.nfttrace import Tracer
from skep.kernel.observing import all_links, observe
from skep.kernel.perform import Performer
from skep.kernel.reading import reading
from skep.kernel.rtnetlink import inet
from skep.kernel.rtnetlink import links as link_messages
from skep.kernel.sentences import place
from skep.kernel.watch import Watcher
from skep.model.errors import Broken, Missing
from skep.model.flows import Tracked
from skep.model.glance import Space
from skep.model.inspection import Device, HostRoute, Inside
from skep.model.netstate import HOST, NETNS_DIR, Address, HostState, Link, Namespace, SentFlow
from skep.model.ops import AddLink, Failure, Op
from skep.model.readings import LinkTraffic
from skep.model.secure import SECURE

T = TypeVar("T")

ADDRESSES, LISTENERS = "the addresses of the host", "who listens on the host, or in a sandbox"
NO_SYSCTLS: Mapping[str, Collection[str]] = {}


class Kernel:
    """The kernel of the host whose namespace is ``home`` (a path; default: this process's own),
    with its other namespaces pinned in ``netns_dir``.

    All work is done one piece after the other on a thread of its own. Raises `Broken` if this
    host lacks what that needs (libnftables, root).
    """

    def __init__(self, netns_dir: str = NETNS_DIR, home: str | None = None) -> None:
        self._library = Library()
        try:
            self._thread = NamespaceThread(home)
        except OSError as error:
            raise Broken(f"cannot enter the network namespace {home}: {error.strerror}") from None
        try:
            self._watcher = self._thread.call(None, partial(Watcher, netns_dir))
        except OSError as error:
            self._thread.close()
            raise Broken(f"cannot watch the network namespaces: {error.strerror}") from None
        self._handles = Handles(netns_dir, self._watcher.watch, self._watcher.forget)
        self.regained = self._handles.regained
        """Namespaces that were pinned again since somebody last took their names out of it."""
        self._performer = Performer(self._handles, self._library)
        self._performer.ipvs = self._thread.call(None, _ipvs_there)

    async def close(self) -> None:
        """Let go of everything; the kernel's contents stay as they are."""
        self._watcher.stop()
        await self._thread.run(None, self._close)
        self._thread.close()

    def _close(self) -> None:
        self._handles.close()
        self._watcher.close()

    async def observe(
        self,
        names: Collection[str] | None = None,
        sysctls: Mapping[str, Collection[str]] = NO_SYSCTLS,
        *,
        flows: bool = False,
    ) -> HostState:
        """What there is of ours: in ``names`` (those that exist and that Skep made; `HOST` is the
        host's own), or by default in the host's namespace and all that Skep made.

        ``sysctls`` says per namespace which of them to read, ``flows`` whether to read where flows
        are sent. Raises `Broken` if a namespace cannot be read.
        """
        seen = await self._thread.run(None, partial(self._observe, names, sysctls))
        return await self._thread.run(None, partial(self._with_flows, seen)) if flows else seen

    def _with_flows(self, seen: HostState) -> HostState:
        return {name: msgspec.structs.replace(each, flows=self._sent(name))
                for name, each in seen.items()}  # fmt: skip

    def _sent(self, name: str) -> frozenset[SentFlow]:
        try:
            handle = self._handles.find(name)
            if handle is None:
                return frozenset()
            with reading(f"the flows of {place(name)}"), handle.entered():
                return conntrack.sent()
        except FileNotFoundError:
            return frozenset()

    def _observe(
        self, names: Collection[str] | None, sysctls: Mapping[str, Collection[str]]
    ) -> HostState:
        if names is None:
            self._handles.drop_stale()
            names = [HOST, *self._handles.pinned()]
        found = (self._observe_one(name, sysctls.get(name, ())) for name in names)
        return {seen.name: seen for seen in found if seen}

    def _observe_one(self, name: str, sysctls: Collection[str]) -> Namespace | None:
        try:
            with reading(place(name)):
                handle = self._handles.find(name)
                if handle is None:
                    return None
                found = (self._handles.find(each) for each in (HOST, SECURE))
                underlays = [each for each in found if each is not None]
                seen = observe(handle, self._library, sysctls, self._performer.ipvs, underlays)
        except FileNotFoundError:
            return None
        except Broken:
            self._handles.drop(name)
            raise
        self._watcher.learn(seen)
        return seen

    async def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        """Perform ``ops`` in order, all of them, and answer those that failed.

        To remove what is not there, or add a rule that is, is no failure. The `SetElements` of one
        table are one transaction, made where the first of them stands; if it fails, all of them
        have failed.
        """
        for op in ops:
            if isinstance(op, AddLink) and op.link.kind == "wireguard":
                name = op.link.name
                begun = await self._thread.run(None, partial(wireguard.start, self._handles, name))
                if begun is not None:
                    await wireguard.started(begun, name)
        return await self._thread.run(None, partial(self._performer.perform, ops))

    def path(self, name: str) -> str:
        """Where the namespace ``name`` is pinned, if there is one."""
        return self._handles.path(name)

    async def connections(self, namespace: str) -> int:
        """How many TCP connections others have open to servers in a namespace of ours; 0 if there
        is none of that name. Raises `Broken` if they cannot be read."""
        what = f"the connections of {place(namespace)}"
        return await self._told(what, partial(self._connections, namespace))

    async def _told(self, what: str, work: Callable[[], T]) -> T:
        """What the kernel tells. Raises `Broken` if it does not."""
        with reading(what):
            return await self._thread.run(None, work)

    def _connections(self, namespace: str) -> int:
        handle = self._handles.find(namespace)
        if handle is None:
            return 0
        found = handle.socket.dump(inet.get_addresses())
        links = {link.index: name for name, link in all_links(handle).items()}
        parsed = [inet.parse_address(message, links) for message in found]
        own = {each.address.partition("/")[0] for each in parsed if each is not None}
        with handle.entered():
            return sockets.connections(own)

    async def tracked(self, namespace: str) -> tuple[Tracked, ...]:
        """The conversations that a namespace of ours tracks; none if there is no such. Raises
        `Broken` if it cannot be read."""
        return await self._thread.run(None, partial(self._tracked, namespace))

    def _tracked(self, namespace: str) -> tuple[Tracked, ...]:
        try:
            with reading(f"the flows of {place(namespace)}"):
                return self._within(namespace, conntrack.tracked)
        except (Missing, FileNotFoundError):
            return ()

    async def tunnels(self) -> tuple[LinkTraffic, ...]:
        """What the tunnels in all namespaces of ours have carried."""
        return await self._thread.run(None, self._tunnels)

    def _tunnels(self) -> tuple[LinkTraffic, ...]:
        found = []
        for name in self._handles.pinned():
            try:
                handle = self._handles.find(name)
                dump = handle.socket.dump(link_messages.get_traffic()) if handle is not None else []
            except OSError:
                # It is going just now; what it carried goes with it.
                continue
            for message in dump:
                kind, traffic = link_messages.parse_traffic(message, name)
                if kind == "vxlan":
                    found.append(traffic)
        return tuple(found)

    async def refusals(self) -> dict[str, int]:
        """How many packets our rules have dropped for their sender, by why."""
        return await self._thread.run(None, self._refusals)

    def _refusals(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for name in (HOST, *self._handles.pinned()):
            # What is going just now takes its counts along.
            with contextlib.suppress(OSError, Rejected):
                handle = self._handles.find(name)
                if handle is not None:
                    found.update(inside.refusals(handle, self._library))
        return dict(found)

    async def listeners(self, namespace: str = HOST) -> dict[tuple[str, int], int]:
        """The ports (protocol, number) of the host, or in a namespace of ours, that somebody
        listens on, each with the number of a file by which `holder` finds who; none if there is
        no namespace of that name. Raises `Broken` if they cannot be read."""
        return await self._told(LISTENERS, partial(self._listeners, namespace))

    def _listeners(self, namespace: str) -> dict[tuple[str, int], int]:
        handle = self._handles.find(namespace)
        if handle is None:
            return {}
        with handle.entered():
            return sockets.listeners()

    async def taken(self) -> list[tuple[str, sockets.Seen]]:
        """The host's sockets that listen, each with its protocol. Raises `Broken` if they cannot be
        read."""
        return await self._told(LISTENERS, sockets.taken)

    async def holders(self, inodes: Collection[int]) -> dict[int, str]:
        """Who holds each of some sockets, in words: "nginx (pid 123)". Raises `Broken`."""
        with reading(LISTENERS):
            return await asyncio.to_thread(sockets.holders, inodes)

    async def holder(self, inode: int) -> str:
        """Who holds a socket, in words."""
        return await asyncio.to_thread(sockets.holder, inode)

    async def inside(self, name: str) -> Inside:
        """What a namespace of ours, or the host's, shows beside its observation; nothing if it is
        gone. Raises `Broken` if it cannot be read."""
        return await self._thread.run(None, partial(self._inside, name))

    def _inside(self, name: str) -> Inside:
        try:
            with reading(place(name)):
                handle = self._handles.find(name)
                return Inside() if handle is None else inside.look(handle, self._library)
        except FileNotFoundError:
            return Inside()

    async def load_ipvs(self) -> str:
        """Have IPVS, loading its module if need be: "" or why there is none. What there is of it
        in namespaces of ours is part of what is observed from then on."""
        if self._performer.ipvs is None:
            said = await asyncio.to_thread(features.load, "ip_vs")
            self._performer.ipvs = await self._thread.run(None, _ipvs_there)
            if self._performer.ipvs is None:
                return said or "its module is loaded, but nobody answers for it"
        return ""

    async def wireguard(self) -> str:
        """What encrypts here: "kernel", "wireguard-go", or "" for nothing."""
        return await self._thread.run(None, partial(wireguard.available, self._handles))

    async def spaces(self, also: str = "") -> dict[str, Space]:
        """The links with their counters of all namespaces of ours and the host's; of the host's own
        links those of our group, and that with the address ``also``. What is just going is left
        out."""
        return await self._thread.run(None, partial(self._spaces, also))

    def _spaces(self, also: str) -> dict[str, Space]:
        found = {}
        for name in (HOST, *self._handles.pinned()):
            with contextlib.suppress(OSError):
                handle = self._handles.find(name)
                if handle is not None:
                    found[name] = gauging.space(handle, also)
        return found

    async def features(self) -> dict[str, str]:
        """What Skep needs of the kernel: each feature's name, and "" or why it does not work."""
        return await asyncio.to_thread(features.probe, self._library)

    async def devices(self) -> tuple[Device, ...]:
        """All links of the host's own namespace, whoever made them."""
        return await self._thread.run(None, lambda: inside.devices(self._handles.get(HOST)))

    async def routes(self) -> tuple[HostRoute, ...]:
        """The host's own routes, whoever made them."""
        return await self._thread.run(None, inside.routes)

    async def within(self, name: str, work: Callable[[], T]) -> T:
        """Do something short inside a namespace of ours, or the host's: sockets that it opens stay
        there. Raises `Missing` if there is none of that name, and whatever ``work`` raises."""
        return await self._thread.run(None, partial(self._within, name, work))

    def _within(self, name: str, work: Callable[[], T]) -> T:
        handle = self._handles.find(name)
        if handle is None:
            raise Missing(f"this host has no network namespace {name}")
        with handle.entered():
            return work()

    async def trace_rules(self, name: str, protocol: str, token: int, tunnel: int) -> Tracer:
        """Watch which rules a probe's packets meet in a namespace of ours, or the host's, until
        `untrace`. Raises `Missing`, or `Broken` if the kernel does not tell."""

        def open_tracer() -> Tracer:
            return Tracer(self._library, protocol, token, tunnel)

        try:
            return await self.within(name, open_tracer)
        except (OSError, Rejected) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise Broken(f"its rules cannot be watched: {reason}") from error

    async def untrace(self, tracers: Collection[Tracer]) -> None:
        """Close tracers, their tables with them."""

        def close() -> None:
            for each in tracers:
                each.close()

        # libnftables is for one thread at a time, also when a context of it ends.
        await self._thread.run(None, close)

    def changes(self) -> AsyncIterator[str]:
        """The names of namespaces in which something changed that `Namespace` holds (of sysctls,
        only forwarding and reverse path filters), or whose name vanished or was unmounted: of the
        host's own and all that `observe` or `apply` touched, whoever changed them. A name is told
        once for all that happened since it was last told.

        For one reader at a time. Ends when the kernel is closed.
        """
        return self._watcher.changes(lambda: self._thread.run(None, self._handles.drop_stale))

    async def mtu_of(self, address: str) -> int:
        """The MTU in bytes of the host's link that has ``address`` ("192.0.2.1").

        Raises `Missing` if none has it, `Broken` if they cannot be read.
        """
        for link, assigned in await self._told(ADDRESSES, self._host_addresses):
            if assigned.address.partition("/")[0] == address:
                return link.mtu
        raise Missing(f"no network interface of this host has the address {address}")

    async def addresses(self) -> tuple[tuple[str, str], ...]:
        """The addresses of all the host's links, loopback included: (name, "ip/prefix"). Raises
        `Broken` if they cannot be read."""
        found = await self._told(ADDRESSES, self._host_addresses)
        return tuple((assigned.link, assigned.address) for _, assigned in found)

    async def routed(self) -> tuple[tuple[str, str], ...]:
        """The prefixes that the host has routes to, connected ones included: (link, prefix).
        Default routes are left out. Raises `Broken` if they cannot be read."""
        return await self._told("the routes of the host", self._routed)

    def _routed(self) -> tuple[tuple[str, str], ...]:
        handle: Handle = self._handles.get(HOST)
        names = {link.index: name for name, link in all_links(handle).items()}
        found = (inet.destination(each) for each in handle.socket.dump(inet.get_routes()))
        return tuple((names.get(index, ""), prefix) for index, prefix in filter(None, found))

    async def makes(self, kind: str) -> bool:
        """Whether the kernel can make links of a kind (macvlan, ipvlan); none is made."""
        return await self._thread.run(None, partial(self._makes, kind))

    def _makes(self, kind: str) -> bool:
        (refused,) = self._handles.get(HOST).socket.send([link_messages.probe(kind)])
        if refused is None:
            self._handles.get(HOST).socket.send([link_messages.delete("skep-probe")])
        return refused is None or refused.errno != errno.EOPNOTSUPP

    async def links(self) -> frozenset[str]:
        """The names of all the host's links."""
        return await self._thread.run(None, lambda: frozenset(all_links(self._handles.get(HOST))))

    def _host_addresses(self) -> list[tuple[Link, Address]]:
        handle: Handle = self._handles.get(HOST)
        links = all_links(handle)
        names = {link.index: name for name, link in links.items()}
        found = handle.socket.dump(inet.get_addresses())
        parsed = [inet.parse_address(message, names) for message in found]
        return [(links[each.link], each) for each in parsed if each is not None]


def _ipvs_there() -> ipvs.Ipvs | None:
    try:
        return ipvs.find()
    except OSError:
        # No generic netlink at all.
        return None
