"""What lies between each two hosts, both ways: a line each, whatever state it is in."""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.inspection import ManagerCheck, PeerSight, TunnelCheck
from skep.trace.between import ENOUGH_PROBES, cut_off, is_lossy, sight
from skep.trace.finding import Pair
from skep.trace.scene import Host, Scene

OK, NOTHING = "ok", "-"


def matrix(scene: Scene) -> Iterator[Pair]:
    """By what each host that answered saw of every other one."""
    names = {vtep: scene.name(vtep) for vtep in (*scene.hosts, *scene.silent)}
    ordered = sorted(names, key=lambda vtep: names[vtep])
    for here in (vtep for vtep in ordered if vtep in scene.hosts):
        for there in ordered:
            if there != here:
                yield _pair(scene, scene.hosts[here], there)


def _pair(scene: Scene, host: Host, there: str) -> Pair:
    node = next((peer.id for peer in host.view.peers.values() if peer.vtep == there), "")
    seen = sight(host, there)
    tunnel = next((each for each in host.inspection.tunnels if each.node_id == node), None)
    manager = next((each for each in host.inspection.managers if each.node_id == node), None)
    return Pair(
        here=host.name,
        there=scene.name(there),
        delay_ms=round(seen.rtt * 1000, 3) if seen else 0.0,
        loss=round(seen.loss, 3) if seen else 0.0,
        probes=seen.probes if seen else 0,
        mesh=_mesh(host, seen),
        full_size=_full_size(seen),
        tunnel=_tunnel(tunnel),
        cluster=_cluster(manager),
    )


def _mesh(host: Host, seen: PeerSight | None) -> str:
    if seen is None or seen.probes < ENOUGH_PROBES:
        return NOTHING
    if cut_off(host, seen):
        return "cut off"
    return "lossy" if is_lossy(seen) else OK


def _full_size(seen: PeerSight | None) -> str:
    if seen is None or seen.large_probes < ENOUGH_PROBES:
        return NOTHING
    if seen.large_loss < 1.0:
        return f"{seen.large_size} ok"
    return f"up to {seen.path_mtu}" if seen.path_mtu else f"{seen.large_size} lost"


def _tunnel(check: TunnelCheck | None) -> str:
    if check is None:
        return NOTHING
    if not check.small:
        return "nothing comes back"
    if not check.large:
        return f"{check.large_size} lost"
    return "no TCP" if check.tcp else f"{check.large_size} ok"


def _cluster(check: ManagerCheck | None) -> str:
    if check is None:
        return NOTHING
    return check.why or OK
