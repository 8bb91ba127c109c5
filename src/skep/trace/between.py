"""What lies between two hosts, and what fits through: links, the mesh's word, sizes.

The walker knows neither. A journey that it brings through may still end on the underlay, or be good
for small packets only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from skep.model.inspection import Device, PeerSight
from skep.model.netstate import HOST
from skep.plan.journey import Crossed, Journey, Place, Plugged, Routed, Switched, Tunnelled
from skep.plan.layout import VXLAN_OVERHEAD, holds
from skep.trace.drift import place, repair_promise
from skep.trace.report import DOUBTFUL, Trouble
from skep.trace.scene import Host, Scene
from skep.trace.verdict import Judged

PER_ROUND = 5
"""Peers that a host probes every second."""

ENOUGH_PROBES = 3
"""Probes from which the mesh's word counts."""

LOSSY, MANY_PROBES = 0.15, 10
"""The share of lost probes that is worth a word, and of how many: one that was lost while a daemon
was started again is not."""


def judge_between(scene: Scene, journey: Journey) -> Iterator[Judged]:
    """What is wrong between the hosts of each tunnel on the way, in order."""
    for number, step in enumerate(journey.hops):
        if isinstance(step, Tunnelled):
            found = _between(scene, step.at.host, step.host)
            if found is not None:
                vtep, trouble = found
                yield Judged(step=number, at=Place(vtep, HOST), trouble=trouble)


def _between(scene: Scene, here: str, there: str) -> tuple[str, Trouble] | None:
    """At which end, and what."""
    host = scene.hosts.get(here)
    if host is None:
        return None
    trouble = _no_way(host, there)
    if trouble is None and (far := _far_down(scene, there)) is not None:
        return there, far
    trouble = trouble or _lost(scene, host, there, sight(host, there))
    return None if trouble is None else (here, trouble)


def device_of(host: Host) -> Device | None:
    """The host's link to the underlay."""
    found = (each for each in host.inspection.devices if each.name == host.underlay)
    return next(found, None)


def sight(host: Host, there: str) -> PeerSight | None:
    """What a host's mesh says of another host."""
    for peer in host.view.peers.values():
        if peer.vtep == there:
            return host.inspection.mesh.get(peer.id)
    return None


def _no_way(host: Host, there: str) -> Trouble | None:
    where, device = place(host, HOST), device_of(host)
    if host.inspection.devices and device is None:
        return Trouble(
            where=where,
            why=f"no link of {host.name} has the tunnels' address {host.vtep}",
            should=f"{host.vtep} on a link that is up",
            todo=f"on {host.name}: ip address",
        )
    if device is not None and not (device.up and device.carrier):
        state = "has no carrier" if device.up else "is down"
        return Trouble(
            where=where,
            why=f"{device.name}, which carries the tunnels, {state}",
            should="up",
            todo=f"on {host.name}: ip link set {device.name} up",
        )
    routes = host.inspection.routes
    if routes and not any(holds(each.destination, there) for each in routes):
        return Trouble(
            where=where,
            why=f"the host has no route to {there}",
            should="a route to every other host of the cluster",
            todo=f"on {host.name}: ip route get {there}",
        )
    return None


def _far_down(scene: Scene, there: str) -> Trouble | None:
    host = scene.hosts.get(there)
    return None if host is None else _no_way(host, there) if _is_down(host) else None


def _is_down(host: Host) -> bool:
    device = device_of(host)
    return device is not None and not (device.up and device.carrier)


def cut_off(host: Host, seen: PeerSight) -> bool:
    """Whether a peer is out of reach: all its probes are lost, or the latest several are."""
    if seen.probes < ENOUGH_PROBES:
        return False
    rounds = math.ceil(len(host.view.peers) / PER_ROUND)
    silence = host.inspection.begun_at - seen.seen_at
    lately = seen.loss * seen.probes >= ENOUGH_PROBES and silence > 4 * rounds + 2
    return seen.loss >= 1.0 or lately


def is_lossy(seen: PeerSight) -> bool:
    """Whether so many probes of a peer are lost that it is worth a word."""
    return seen.probes >= MANY_PROBES and seen.loss >= LOSSY


def _lost(scene: Scene, host: Host, there: str, seen: PeerSight | None) -> Trouble | None:
    if seen is None or seen.probes < ENOUGH_PROBES:
        return None
    name = scene.name(there)
    ago = host.inspection.begun_at - seen.seen_at
    last = f"last heard {ago:.0f} s ago" if seen.seen_at else "never heard"
    if cut_off(host, seen):
        return Trouble(
            where=f"between {host.name} and {name}",
            why=f"nothing comes back from {name} ({there}) on the underlay: "
            f"{seen.loss * seen.probes:.0f} of {seen.probes} probes lost, {last}",
            should="UDP 4789 and 7946 and TCP 2377 open between all hosts",
            todo=f"on {host.name}: ping {seen.address}; then look at the switch, security groups "
            f"and firewalls between {host.name} and {name}",
        )
    if is_lossy(seen):
        return Trouble(
            where=f"between {host.name} and {name}",
            why=f"{seen.loss:.0%} of the last {seen.probes} probes to {name} were lost",
            should="no loss",
            todo=f"on {host.name}: ping -f {seen.address}; look at the links between",
            state=DOUBTFUL,
        )
    return None


# --- sizes


def judge_sizes(scene: Scene, journey: Journey) -> Iterator[Judged]:
    """Where packets that the sending link may carry are too large. A bridge tells nobody: what does
    not fit is gone."""
    largest = 0
    for number, step in enumerate(journey.hops):
        if isinstance(step, Routed):
            largest = _mtu(scene, step.at, step.link)
            continue
        for at, link in _passed(step):
            mtu = _mtu(scene, at, link)
            if largest and 0 < mtu < largest:
                yield Judged(step=number, at=at, trouble=_too_small(scene, at, link, mtu, largest))
        if isinstance(step, Tunnelled):
            for vtep, trouble in _narrow(scene, step, largest):
                yield Judged(step=number, at=Place(vtep, HOST), trouble=trouble)


def _passed(step: object) -> Iterator[tuple[Place, str]]:
    """The links that a step puts a frame through."""
    match step:
        case Plugged(at=at):
            yield at, at.link
        case Switched(at=at, port=port):
            yield at, port
        case Crossed(to=to):
            yield to, to.link
        case Tunnelled(at=at, link=link):
            yield at, link


def _mtu(scene: Scene, at: Place, link: str) -> int:
    host = scene.hosts.get(at.host)
    found = host.link(at.namespace, link) if host else None
    return found.mtu if found else 0


def _too_small(scene: Scene, at: Place, link: str, mtu: int, largest: int) -> Trouble:
    host = scene.hosts[at.host]
    planned = host.desired.get(at.namespace)
    wanted = planned.links.get(link) if planned else None
    right = wanted is not None and wanted.mtu == mtu
    return Trouble(
        where=place(host, at.namespace),
        why=f"{link} takes {mtu} bytes, its sender may send {largest}: larger packets are lost",
        should=f"mtu {largest if right or wanted is None else wanted.mtu} on {link}",
        todo="give the network the same com.docker.network.driver.mtu on all hosts"
        if right
        else repair_promise(host),
        state=DOUBTFUL,
    )


def _narrow(scene: Scene, step: Tunnelled, largest: int) -> Iterator[tuple[str, Trouble]]:
    """What is too large for the underlay, at either end or (by the mesh) between; and at which."""
    ends = [(vtep, scene.hosts[vtep]) for vtep in (step.at.host, step.host) if vtep in scene.hosts]
    found = [(vtep, each) for vtep, host in ends if (each := _narrow_end(host, largest))]
    yield from found
    sender = scene.hosts.get(step.at.host)
    between = large_lost(scene, sender, step.host) if sender and not found else None
    if between is not None:
        yield step.at.host, between


def _narrow_end(host: Host, largest: int) -> Trouble | None:
    device = device_of(host)
    if device is None or not 0 < device.mtu < largest + VXLAN_OVERHEAD:
        return None
    fitting = device.mtu - VXLAN_OVERHEAD
    return Trouble(
        where=place(host, HOST),
        why=f"{device.name} takes {device.mtu} bytes: with the tunnel's "
        f"{VXLAN_OVERHEAD} bytes around it, no packet over {fitting} fits, "
        f"and the sender may send {largest}",
        should=f"mtu {largest + VXLAN_OVERHEAD} on {device.name}, or networks made with "
        f"-o com.docker.network.driver.mtu={device.mtu}",
        todo=f"on {host.name}: ip link set {device.name} mtu {largest + VXLAN_OVERHEAD}",
        state=DOUBTFUL,
    )


def large_lost(scene: Scene, host: Host, there: str) -> Trouble | None:
    """What the mesh says of packets as large as the underlay's MTU."""
    seen = sight(host, there)
    if seen is None or seen.large_probes < ENOUGH_PROBES or cut_off(host, seen):
        return None
    if seen.large_loss < 1.0:
        return None
    name = scene.name(there)
    others = "small ones do"
    if seen.path_mtu:
        others = f"those of up to {seen.path_mtu} do, and TCP is told of smaller segments"
    return Trouble(
        where=f"between {host.name} and {name}",
        why=f"packets of {seen.large_size} bytes do not get from {host.name} to {name}, "
        f"{others}: the path's MTU is smaller than the links'",
        should=f"a path MTU of {seen.large_size}",
        todo=f"on {host.name}: ping -M do -s {seen.large_size - 28} {seen.address}; find the link "
        "between, or lower the MTU of the hosts' links: networks follow",
        state=DOUBTFUL,
    )
