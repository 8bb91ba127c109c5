"""The peer mesh: hosts probe one another over the underlay, so that a broken path has a name.

Every second a few peers are probed in turn; what comes back is kept per peer (see `probes`). It
feeds no decision by itself: it is what the doctor, the metrics and failure detection look at.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from skep.agent.pathsize import GRAIN, LEAST, LEAST6
from skep.agent.probes import (
    ECHO,
    IPV6_MORE,
    PROBE,
    Packet,
    Peer,
    PeerHealth,
    echo,
    large_probe,
    probe,
    read,
    write,
)
from skep.kernel import pathmtu
from skep.model.errors import Unavailable

PORT = 7946
INTERVAL = 1.0
PER_ROUND = 5
NOWHERE_ELSE: Mapping[str, str] = MappingProxyType({})

DONT_FRAGMENT = 3
"""IP_PMTUDISC_PROBE: packets are never cut, whatever the kernel believes of the path."""
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23


class Mesh:
    """This host's part in the mesh."""

    def __init__(self, bind_address: str, port: int = PORT) -> None:
        """For the underlay address ("0.0.0.0" for all of IPv4, "::" for all) and UDP port that all
        hosts use."""
        self._bind = (bind_address, port)
        self._six = ":" in bind_address
        self._port = port
        self._node_id = ""
        self._key = b""
        self._peers: dict[str, Peer] = {}
        self._addresses: dict[str, str] = {}
        self._turn: list[str] = []
        self._sequence = 0
        self._ends: Mapping[str, str] = {}
        self._narrow: dict[str, int] = {}
        self.mtu = 0
        self.own = ""
        """Where this host's tunnels end, "" while that is not known."""
        self._voices: dict[bool, socket.socket] = {}
        self.grain = GRAIN
        self.on_narrow: Callable[[dict[str, int]], None] = lambda _: None
        """Called with the peers that packets of full size do not get to, and how large ones do
        (bytes), when that has changed."""
        self.on_elsewhere: Callable[[str, str], None] = lambda *_: None
        """Called with the node id of a peer that sends from an address where it is not known to be,
        and that address. Its datagrams are its own; where from, anybody on the way can change."""
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, opened: socket.socket | None = None) -> None:
        """Answer from now on (on a socket that was `bound` elsewhere, if one is given), and probe
        whom `set_peers` names. Raises `Unavailable` if the port is
        taken or the address is not this host's."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Socket(self), sock=opened or self.bound()
            )
        except OSError as error:
            address, port = self._bind
            raise Unavailable(f"cannot use UDP {address}:{port}: {error.strerror}") from error
        self._tick()

    def bound(self) -> socket.socket:
        """A socket of the calling thread's network namespace, ready for `start`. Raises OSError."""
        family = socket.AF_INET6 if self._six else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            opened.setblocking(False)
            if self._six:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                opened.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, DONT_FRAGMENT)
            opened.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, DONT_FRAGMENT)
            opened.bind(self._bind)
            self._find_voice()
        except OSError:
            opened.close()
            raise
        return opened

    def _find_voice(self) -> None:
        """Be able to tell the kernel of narrow paths; without the right to, it is not told."""
        with contextlib.suppress(PermissionError):
            self._voices[False] = pathmtu.opened(socket.AF_INET)
            if self._six:
                self._voices[True] = pathmtu.opened(socket.AF_INET6)

    def set_peers(
        self,
        node_id: str,
        key: bytes,
        peers: Mapping[str, str],
        ends: Mapping[str, str] = NOWHERE_ELSE,
    ) -> None:
        """Who this host is, the cluster's mesh key (b"" keeps silent), and its peers' addresses by
        node id (this host's own is left out); ``ends`` are where their tunnels end, which large
        probes are sent to. What is known of a peer that stays is kept."""
        addresses = {peer: address for peer, address in peers.items() if peer != node_id}
        self._peers = {
            peer: self._peers[peer]
            if self._addresses.get(peer) == address
            else Peer(address, self._narrow.get(peer, 0))
            for peer, address in addresses.items()
        }
        self._node_id, self._key, self._addresses = node_id, key, addresses
        self._ends = {peer: end for peer, end in ends.items() if end}

    def recall(self, narrow: Mapping[str, int]) -> None:
        """What was known of the paths to peers before this process began; before `set_peers`."""
        self._narrow = dict(narrow)

    def snapshot(self) -> dict[str, PeerHealth]:
        """What is known of each peer, by node id."""
        now = time.monotonic_ns()
        for peer in self._peers.values():
            peer.expire(now)
        return {node_id: peer.health() for node_id, peer in self._peers.items()}

    async def close(self) -> None:
        """Fall silent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        for each in self._voices.values():
            each.close()

    def probe_some(self) -> None:
        """Probe the next few peers; all get their turn."""
        if not self._key or self._transport is None:
            return
        for _ in range(min(PER_ROUND, len(self._peers))):
            node_id = self._next()
            self._sequence += 1
            now = time.monotonic_ns()
            self._peers[node_id].probed(self._sequence, now)
            packet = probe(self._node_id, self._sequence, now)
            self._send(packet, self._place(self._addresses[node_id]), node_id)
            if self.mtu:
                self._probe_large(node_id)
                self._tell_kernel(node_id)
        self._tell()

    def _probe_large(self, node_id: str) -> None:
        """See whether a packet that fills the underlay's ``mtu`` (bytes; 0: not known) gets whole
        to where the peer's tunnels end; and if not, which one does."""
        there = self._ends.get(node_id, self._addresses[node_id])
        six = ":" in there
        least = LEAST6 if six else LEAST
        for size in self._peers[node_id].large_sizes(self.mtu, least, self.grain):
            self._sequence += 1
            now = time.monotonic_ns()
            self._peers[node_id].probed_large(self._sequence, now, size, self.mtu)
            room = size - (IPV6_MORE if six else 0)
            packet = large_probe(self._node_id, self._sequence, now, room)
            self._send(packet, self._place(there), node_id, size)

    def _tell_kernel(self, node_id: str) -> None:
        """Each turn again, where the path is narrow: the kernel forgets, with every route that
        changes."""
        there, mtu = (
            self._ends.get(node_id, self._addresses[node_id]),
            self._peers[node_id].path_mtu,
        )
        voice = self._voices.get(":" in there)
        if voice is None or not mtu or not self.own or (":" in self.own) != (":" in there):
            return
        # An address that is just being changed can be neither sent to nor from.
        with contextlib.suppress(OSError):
            pathmtu.tell(voice, self.own, there, self._port, mtu)

    def _tell(self) -> None:
        found = {node_id: peer.path_mtu for node_id, peer in self._peers.items() if peer.path_mtu}
        if found != self._narrow:
            self._narrow = found
            self.on_narrow(found)

    def _place(self, address: str) -> tuple[str, int]:
        """A peer's address, as the socket writes it: one of both families knows no others."""
        mapped = self._six and ":" not in address
        return (f"::ffff:{address}" if mapped else address), self._port

    def received(self, datagram: bytes, source: tuple[str, int]) -> None:
        """Something arrived. What is not a peer's is ignored."""
        if not self._key:
            return
        packet = read(datagram, self._node_id, self._key)
        if packet is None or packet.sender not in self._peers:
            return
        at = source[0].removeprefix("::ffff:")
        if at not in (self._addresses[packet.sender], self._ends.get(packet.sender)):
            self.on_elsewhere(packet.sender, at)
        if packet.kind == ECHO:
            self._peers[packet.sender].answered(packet.sequence, time.monotonic_ns(), time.time())
        elif packet.kind == PROBE:
            self._send(echo(self._node_id, packet), source, packet.sender, len(datagram))

    def _send(
        self, packet: Packet, to: tuple[str, int], receiver: str, at_most: int = 1400
    ) -> None:
        datagram = write(packet, receiver, self._key)
        if self._transport is not None and len(datagram) <= at_most:
            # Of a family that this host does not have, or none: nobody answers there.
            with contextlib.suppress(ValueError):
                self._transport.sendto(datagram, to)

    def _next(self) -> str:
        while True:
            if not self._turn:
                self._turn = sorted(self._peers)
            candidate = self._turn.pop()
            if candidate in self._peers:
                return candidate

    def _tick(self) -> None:
        # First, so that whatever goes wrong with one round, there is another.
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)
        self.probe_some()


class _Socket(asyncio.DatagramProtocol):
    """Hands datagrams over. An unreachable peer (ICMP) is not news here: its echo is missing."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._mesh.received(data, addr)
