"""The ports that this host publishes for its own tasks (mode host): checked, and chosen at need.

A published port takes what comes for it from every address of the host, so a program that listens
there would hear nothing any more: it is in the way, and so is another task's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import msgspec

from skep.agent.binding import overlap, settle
from skep.model.cluster import TakenPort
from skep.model.errors import Clash
from skep.model.host import Binding, HostView
from skep.model.spec import PortConfig
from skep.plan.publish import EVERYWHERE, doors

DYNAMIC = range(32768, 61000)
"""Ports for those who ask for any. Source: the kernel's default ip_local_port_range, which is what
Docker chooses from."""

Port = tuple[str, int]
"""Protocol and number."""


class HostPorts:
    """Chooses ports. ``listening`` says which are listened on here, even if only for an answer,
    ``programs`` who serves at which of them."""

    def __init__(
        self,
        listening: Callable[[], Awaitable[Collection[Port]]],
        programs: Callable[[], Awaitable[tuple[TakenPort, ...]]],
    ) -> None:
        self._listening = listening
        self._programs = programs
        self._cursor = DYNAMIC.start
        self.addresses: Callable[[], Awaitable[Collection[tuple[str, str]]]] = _none
        """The addresses of this host's links: (link, address with prefix)."""

    async def choose(
        self, wanted: tuple[PortConfig, ...], address: str, view: HostView
    ) -> tuple[PortConfig, ...]:
        """The wanted ports with all numbers filled in, to be published at ``address`` ("" for
        all). Raises `Clash` naming who is in the way."""
        if not wanted:
            return ()
        listening = set(await self._listening())
        held = [*_published(view), *await self._programs()]
        published = {(each.protocol, each.port) for each in held}
        chosen: list[PortConfig] = []
        for port in wanted:
            key = (port.protocol, port.published_port)
            for each in held:
                same = (each.protocol, each.port) == key
                if same and overlap(address, each.address):
                    raise Clash(in_use(key, each.holder))
            if not port.published_port:
                taken = {*listening, *published, *((p.protocol, p.published_port) for p in wanted)}
                taken |= {(p.protocol, p.published_port) for p in chosen}
                port = self._any(port, taken)  # noqa: PLW2901
            chosen.append(port)
        return tuple(chosen)

    async def bind(
        self, wanted: tuple[Binding, ...], view: HostView, name: str
    ) -> tuple[Binding, ...]:
        """The ports that a user publishes for container ``name``, with all numbers filled in.
        Raises `Broken` naming who is in the way."""
        if not wanted:
            return ()
        listening = set(await self._listening())
        held = [*_published(view), *await self._programs()]

        def free(protocol: str) -> Iterator[int]:
            begin, self._cursor = self._cursor, self._cursor + 1
            for step in range(len(DYNAMIC)):
                number = DYNAMIC[(begin - DYNAMIC.start + step) % len(DYNAMIC)]
                if (protocol, number) not in listening:
                    self._cursor = number + 1
                    yield number

        return settle(wanted, held, free, name)

    def _any(self, port: PortConfig, taken: set[Port]) -> PortConfig:
        """The next free one: what was given back lately is not given out again at once."""
        size = len(DYNAMIC)
        for step in range(size):
            number = DYNAMIC[(self._cursor - DYNAMIC.start + step) % size]
            if (port.protocol, number) not in taken:
                self._cursor = number + 1
                return msgspec.structs.replace(port, published_port=number)
        raise Clash(f"all {port.protocol} ports from {DYNAMIC.start} on are in use on this host")


async def strange(ports: HostPorts | None, wanted: Collection[Binding]) -> list[str]:
    """A sentence for each address to publish at that this host does not have (yet)."""
    named = sorted({each.address for each in wanted} - {*EVERYWHERE})
    if ports is None or not named:
        return []
    own = {ip_interface(prefix).ip for _, prefix in await ports.addresses()}
    return [
        f"This host has no address {each}: what is published there is reached once it has"
        for each in named
        if not _is_own(each, own)
    ]


async def _none() -> Collection[tuple[str, str]]:
    return ()


def _is_own(address: str, own: Collection[IPv4Address | IPv6Address]) -> bool:
    found = ip_address(address)
    return found.is_loopback or found in own


def _published(view: HostView) -> Iterator[TakenPort]:
    """What is published on this host already."""
    for each in doors(view):
        yield TakenPort(each.protocol, each.port, each.address, each.holder)


def in_use(port: Port, holder: str) -> str:
    """The sentence for a port that is not free."""
    return f"port {port[1]}/{port[0]} is in use on this host by {holder}"
