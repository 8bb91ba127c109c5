"""Encrypted networks: the namespace that their tunnels send from, and WireGuard's links in it.

A VXLAN device of an encrypted network has its underlay in `SECURE`, where there are only WireGuard
links: it cannot send in the clear, whatever happens to them. Inside, hosts have the addresses that
their tunnels end at outside, too, so that entries of networks are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from skep.model.assignment import PeerNode
from skep.model.host import HostView
from skep.model.netstate import Address, Link, Namespace, Route
from skep.model.secure import (
    PROVEN_FOR,
    SECURE,
    WIREGUARD_GRAIN,
    WIREGUARD_OVERHEAD,
    WIREGUARD_OVERHEAD6,
    OwnKey,
    SeenTunnel,
    Tunnel,
    TunnelKey,
    TunnelPeer,
    is_encrypted,
    link_of,
)
from skep.plan.layout import overlays

QUIET = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


def is_secure(view: HostView) -> bool:
    """Whether an encrypted network is present here."""
    return any(is_encrypted(network.spec.options) for network in overlays(view).values())


def secure_mtu(view: HostView) -> int:
    """The MTU inside of WireGuard's links."""
    return view.underlay_mtu - overhead(view.vtep)


def inside(view: HostView) -> dict[str, int]:
    """By node id, the largest packets (bytes) that get to peers within WireGuard as they are: as
    measured inside, or as follows from the path outside. Where the kernel knows how narrow that is,
    it cuts WireGuard's packets up, and larger ones seem to pass."""
    added = overhead(view.vtep)
    room = {
        node_id: size - added - (size - added) % WIREGUARD_GRAIN
        for node_id, size in view.paths.items()
    }
    found = (room, view.secure_paths)
    return {
        node_id: min(sizes[node_id] for sizes in found if node_id in sizes)
        for node_id in room.keys() | view.secure_paths.keys()
    }


def overhead(vtep: str) -> int:
    """What WireGuard adds to a packet (bytes) on an underlay of that address's family."""
    return WIREGUARD_OVERHEAD6 if ":" in vtep else WIREGUARD_OVERHEAD


def secure_peers(view: HostView) -> list[PeerNode]:
    """The hosts to have encrypted tunnels to: those with endpoints on encrypted networks that are
    present here, too."""
    wanted = set()
    for network in overlays(view).values():
        if is_encrypted(network.spec.options):
            wanted |= {each.node_id for each in network.endpoints.values()}
            if network.id == view.ingress_network:
                wanted |= view.peers.keys()
    wanted.discard(view.node_id)
    found = (view.peers[node_id] for node_id in sorted(wanted) if node_id in view.peers)
    return [peer for peer in found if peer.vtep]


def secure_namespace(view: HostView) -> Namespace:
    """The namespace: this host's address, WireGuard's links, and a route to each peer by the link
    that is proven for it."""
    links = {
        link_of(key.slot): Link(name=link_of(key.slot), kind="wireguard", mtu=secure_mtu(view))
        for key in view.keys
    }
    return Namespace(
        name=SECURE,
        links={"lo": Link(name="lo")} | links,
        addresses=frozenset({Address("lo", single(view.vtep))} if view.vtep else ()),
        routes=frozenset(_routes(view)),
        sysctls={} if ":" in view.vtep else QUIET,
    )


def _routes(view: HostView) -> Iterator[Route]:
    for peer in secure_peers(view):
        shared = generations(view, peer)
        if shared:
            slot = view.secure_slots.get(peer.id)
            chosen = slot if slot in shared else max(shared, key=lambda each: shared[each])
            yield Route(destination=single(peer.vtep), link=link_of(chosen), source=view.vtep)


def generations(view: HostView, peer: PeerNode) -> dict[int, int]:
    """The slots in which both this host and a peer have a key, with the newer's generation."""
    own = {key.slot: key.generation for key in view.keys}
    return {key.slot: max(key.generation, own[key.slot]) for key in peer.keys if key.slot in own}


def single(address: str) -> str:
    """An address with the prefix of itself alone."""
    return f"{address}/{128 if ':' in address else 32}"


def tunnels(view: HostView, keys: Mapping[int, OwnKey]) -> list[Tunnel]:
    """What WireGuard's links should be; ``keys`` are this host's by generation."""
    peers = secure_peers(view)
    found = []
    for own in keys.values():
        ends = tuple(
            TunnelPeer(key.public, place(peer.vtep, key.port), single(peer.vtep))
            for peer in peers
            for key in peer.keys
            if key.slot == own.told.slot
        )
        found.append(Tunnel(link_of(own.told.slot), own, ends))
    return found


def place(address: str, port: int) -> str:
    """An address and a port as WireGuard writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def differs(want: Tunnel, have: SeenTunnel, now: float) -> bool:
    """Whether a link has to be told anew what it should be. A peer that speaks from elsewhere than
    was said may do so: WireGuard answers to where its seal is right."""
    if (have.public, have.port) != (want.key.public, want.key.port):
        return True
    seen = {each.public: each for each in have.peers}
    if {each.public for each in want.peers} != seen.keys():
        return True
    return any(
        seen[each.public].address != each.address
        or (
            seen[each.public].endpoint != each.endpoint
            and not proven(seen[each.public].handshake, now)
        )
        for each in want.peers
    )


def proven(handshake: float, now: float) -> bool:
    """Whether a handshake at an instant (Unix seconds) shows that the tunnel works."""
    return now - handshake < PROVEN_FOR


def choose(view: HostView, seen: Mapping[int, SeenTunnel], now: float) -> dict[str, int]:
    """By which slot each peer is to be reached: the newest keys with which there has been a
    handshake; without any, the newest."""
    chosen = {}
    for peer in secure_peers(view):
        shared = generations(view, peer)
        if not shared:
            continue
        keys = {key.slot: key for key in peer.keys}
        good = [slot for slot in shared if _shaken(seen.get(slot), keys[slot], now)]
        chosen[peer.id] = max(good or shared, key=lambda slot: shared[slot])
    return chosen


def _shaken(tunnel: SeenTunnel | None, key: TunnelKey, now: float) -> bool:
    return tunnel is not None and any(
        each.public == key.public and proven(each.handshake, now) for each in tunnel.peers
    )
