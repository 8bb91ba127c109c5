"""This host's part in encrypted networks: keys, WireGuard's links, and the proof that they work.

The links, their addresses and routes are part of the planned kernel; here they get their keys and
peers, and it is decided by which of two links each peer is reached.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from skep.agent.mesh import Mesh
from skep.agent.network import Network
from skep.agent.statefile import forget, read, write_atomically
from skep.kernel.kernel import Kernel
from skep.kernel.wireguard import WireGuard
from skep.model.assignment import Assignment
from skep.model.errors import Broken, Refusal
from skep.model.host import HostView
from skep.model.secure import (
    SECURE,
    SLOTS,
    WIREGUARD_GRAIN,
    OwnKey,
    Pair,
    SeenTunnel,
    TunnelKey,
    link_of,
)
from skep.plan.encrypt import choose, differs, is_secure, secure_mtu, secure_peers, tunnels

BEAT = 1.0
"""Seconds between looks at the links."""

FIRST_PORT, LAST_PORT = 51830, 51929
"""UDP ports that links listen on: for each slot every second one, the first that is free."""

PROVEN_FOR = 15.0
"""Seconds that an answer to a probe counts; more with many peers, who are probed in turn."""

log = structlog.get_logger("skep.secure")


class Secure:
    """One host's encryption. ``tell`` is given the public halves of its keys when they change."""

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        path: Path,
        tell: Callable[[tuple[TunnelKey, ...]], Awaitable[None]],
    ) -> None:
        self._kernel = kernel
        self._wireguard = WireGuard(kernel.path(SECURE))
        self._network = network
        self._path = path
        self._tell = tell
        self._keys: dict[int, OwnKey] = {}
        self._seen: dict[int, SeenTunnel] = {}
        self._probing: Mesh | None = None
        self.by = ""

    async def enter(self) -> None:
        """This host is in a swarm: take up the keys that it has, and what runs."""
        self.by = await self._kernel.wireguard()
        try:
            kept = read(self._path, list[OwnKey]) or []
        except Broken as broken:
            log.warning("tunnel keys unreadable; new ones are made", why=str(broken))
            kept = []
        self._keys = {key.generation: key for key in kept}
        await self._publish()

    async def assigned(self, assignment: Assignment) -> None:
        """Have a key of the generation that every host is to have."""
        wanted = assignment.generation
        if not self.by or not wanted or wanted in self._keys:
            return
        keep = {n: key for n, key in self._keys.items() if wanted - len(SLOTS) < n < wanted}
        try:
            self._keys = keep | {wanted: make_key(wanted)}
        except Broken as broken:
            log.warning("no tunnel key", generation=wanted, why=str(broken))
            return
        try:
            write_atomically(self._path, msgspec.json.encode(list(self._keys.values())))
        except Broken as broken:
            # It does its work from memory; only the next start will have to make another one.
            log.warning("tunnel key not kept", why=str(broken))
        log.info("new tunnel key", generation=wanted)
        await self._publish()

    async def _publish(self) -> None:
        self._network.keys = tuple(key.told for key in self._keys.values())
        self._network.changed()
        await self._tell(self._network.keys)

    async def run(self) -> None:
        """Look after the links until cancelled."""
        while True:
            try:
                await self.look()
            except Refusal as refusal:
                log.warning("encryption is not as it should be", why=str(refusal))
            await asyncio.sleep(BEAT)

    async def look(self) -> None:
        """Bring links to what they should be, and peers to the link that is proven. Raises
        `Broken`."""
        view = self._network.view()
        if not is_secure(view):
            await self._fall_silent()
            return
        now = time.time()
        self._seen = {}
        for tunnel in tunnels(view, self._keys):
            seen = await self._wireguard.read(tunnel.link)
            if seen is not None and differs(tunnel, seen, now):
                await self._wireguard.write(tunnel)
                seen = await self._wireguard.read(tunnel.link)
            if seen is not None:
                self._seen[tunnel.key.told.slot] = seen
        self._steer(choose(view, self._seen, now))
        await self._probe(view)

    def _steer(self, chosen: dict[str, int]) -> None:
        if chosen != self._network.secure_slots:
            self._network.secure_slots = chosen
            self._network.changed()
            self._network.converger.want()

    async def _probe(self, view: HostView) -> None:
        """Have the peers asked, inside, whether they are there."""
        if self._probing is None:
            mesh = Mesh("::" if ":" in view.vtep else "0.0.0.0")
            mesh.grain = WIREGUARD_GRAIN
            mesh.recall(self._network.paths.sealed)
            mesh.on_narrow = self._network.paths.found_sealed
            try:
                opened: socket.socket = await self._kernel.within(SECURE, mesh.bound)
                await mesh.start(opened)
            except (Refusal, OSError):
                return  # The namespace is only about to be made.
            self._probing = mesh
        self._probing.mtu, self._probing.own = secure_mtu(view), view.vtep
        peers = {peer.id: peer.vtep for peer in secure_peers(view)}
        self._probing.set_peers(view.node_id, self._network.assignment.mesh_key, peers)

    async def _fall_silent(self) -> None:
        """Nothing here is encrypted any more; a socket would keep the namespace alive."""
        self._seen = {}
        if self._probing is not None:
            await self._probing.close()
            self._probing = None

    async def leave(self) -> None:
        """This host left its swarm: forget its keys."""
        await self._fall_silent()
        self._keys = {}
        self._network.keys, self._network.secure_slots = (), {}
        self._network.changed()
        forget(self._path)

    def pairs(self) -> tuple[Pair, ...]:
        """What is known of the encryption to each peer, as of now."""
        view = self._network.view()
        if not is_secure(view):
            return ()
        heard = self._probing.snapshot() if self._probing is not None else {}
        peers = secure_peers(view)
        patience = max(PROVEN_FOR, PROVEN_FOR * len(peers) / 50)
        found = []
        for peer in peers:
            slot = view.secure_slots.get(peer.id)
            key = next((key for key in peer.keys if key.slot == slot), None)
            health = heard.get(peer.id)
            answered = health is not None and health.seen_at > time.time() - patience
            found.append(
                Pair(
                    node_id=peer.id,
                    hostname=peer.hostname,
                    encrypted=answered,
                    why="" if answered else self._lacking(peer.keys, slot),
                    generation=key.generation if key else 0,
                    handshake=self._handshake(key),
                )
            )
        return tuple(found)

    def _handshake(self, key: TunnelKey | None) -> float:
        seen = self._seen.get(key.slot) if key else None
        peers = seen.peers if seen and key else ()
        return next((each.handshake for each in peers if key and each.public == key.public), 0.0)

    def _lacking(self, keys: tuple[TunnelKey, ...], slot: int | None) -> str:
        """Why nothing passes to a peer with these keys."""
        if not self.by:
            return "this host has no WireGuard: install wireguard-go and wireguard-tools"
        if not keys:
            return "the other host has no WireGuard, or has not told its key yet"
        if slot is None or slot not in self._seen:
            return f"{link_of(slot or 0)} does not run here"
        return "the other host does not answer through the tunnel"


def make_key(generation: int) -> OwnKey:
    """A fresh key, with a UDP port that is free now. Raises `Broken` if none is."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    port = _free_port(generation % len(SLOTS))
    return OwnKey(generation, _text(private.private_bytes_raw()), _text(public), port)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _free_port(slot: int) -> int:
    for port in range(FIRST_PORT + slot, LAST_PORT + 1, len(SLOTS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            try:
                opened.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise Broken(f"all UDP ports from {FIRST_PORT} to {LAST_PORT} are taken")
