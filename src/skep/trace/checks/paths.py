"""Between hosts: the underlay, the tunnels, managers' ports, firewalls in the way."""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.inspection import PeerSight, TunnelCheck
from skep.plan.layout import VXLAN_OVERHEAD
from skep.trace.between import ENOUGH_PROBES, cut_off, device_of, is_lossy, sight
from skep.trace.finding import ERROR, WARNING, Finding
from skep.trace.scene import Host, Scene

SLOW = 0.1
"""Seconds of delay between two hosts from which it is worth a word."""
MESH_PORT, CLUSTER_PORT = 7946, 2377


def underlay(scene: Scene) -> Iterator[Finding]:
    """Loss, delay and size of what goes between each two hosts, by what they see of each other."""
    for here, there, known in pairs(scene):
        cut = [seen for host, seen in known if cut_off(host, seen)]
        seen = [each for _, each in known if each.probes >= ENOUGH_PROBES]
        if not seen:
            continue
        worst = max(seen, key=lambda each: each.loss)
        if cut:
            yield _cut(here, there, cut[0])
            continue
        if is_lossy(worst):
            yield _lossy(here, there, worst, sum(map(is_lossy, seen)))
        elif min(each.rtt for each in seen) >= SLOW:
            yield _pair(
                WARNING, f"{here} and {there}",
                f"{min(each.rtt for each in seen) * 1000:.0f} ms between {here} and {there}",
                "services that ask one another wait as long for every answer",
                f"on {here}: traceroute {worst.address}",
            )  # fmt: skip
        large = max(seen, key=lambda each: each.large_loss)
        if is_lossy(worst) or not is_narrow(large):
            continue
        if all(each.path_mtu for each in seen if is_narrow(each)):
            yield _pair(
                WARNING, f"{here} and {there}",
                f"packets of {large.large_size} bytes do not get from {here} to {there}, those of "
                f"up to {min(each.path_mtu for each in seen if is_narrow(each))} do",
                "TCP on the networks is told of smaller segments; what else is larger is sent in "
                "pieces, or its sender told, which takes more packets than it should",
                f"on {here}: ping -M do -s {large.large_size - 28} {large.address}; raise the MTU "
                "between, or lower that of the hosts' links: networks follow",
            )  # fmt: skip
        else:
            yield _pair(
                ERROR, f"{here} and {there}",
                f"packets of {large.large_size} bytes do not get from {here} to {there}, "
                "small ones do",
                "connections open and then hang, as soon as much is sent",
                f"on {here}: ping -M do -s {large.large_size - 28} {large.address}; raise the MTU "
                "between, or lower that of the hosts' links: networks follow",
            )  # fmt: skip


def addresses(scene: Scene) -> Iterator[Finding]:
    """Hosts without the address that others send their tunnels' packets to."""
    for host in scene.hosts.values():
        if not host.view.node_id or host.underlay or not host.inspection.devices:
            continue
        yield Finding(
            severity=ERROR,
            check="underlay",
            host=host.name,
            where=host.vtep,
            what=f"{host.vtep} is on no link of {host.name}",
            why="the tunnels of its networks end there, so nothing of them gets through; it was "
            "asked for by itself, so no other address is taken instead",
            fix=f"on {host.name}: give a link this address again (ip address add); or leave the "
            "swarm and join it with an interface's name (--advertise-addr eth0), whose address is "
            "followed when it changes",
        )


def pairs(scene: Scene) -> Iterator[tuple[str, str, list[tuple[Host, PeerSight]]]]:
    """Each two hosts of which at least one answered, and what the mesh says both ways."""
    names = {vtep: scene.name(vtep) for vtep in (*scene.hosts, *scene.silent)}
    ordered = sorted(names, key=lambda vtep: names[vtep])
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 :]:
            ways = ((one, other), (other, one))
            known = [(scene.hosts[a], b) for a, b in ways if a in scene.hosts]
            found = [
                (host, seen) for host, there in known if (seen := sight(host, there)) is not None
            ]
            if found:
                first, second = (one, other) if one in scene.hosts else (other, one)
                yield names[first], names[second], found


def is_narrow(seen: PeerSight) -> bool:
    """Whether packets that fill the underlay's MTU do not get to a peer."""
    return seen.large_probes >= ENOUGH_PROBES and seen.large_loss >= 1.0


def _lossy(here: str, there: str, seen: PeerSight, ways: int) -> Finding:
    both = "each way" if ways > 1 else f"from {here} to {there}"
    return _pair(
        WARNING, f"{here} and {there}",
        f"{seen.loss:.0%} of the last {seen.probes} probes between {here} and {there} were lost "
        f"({both})",
        "connections stall for a fifth of a second with each lost packet",
        f"on {here}: ping -f {seen.address}; look at the links and their errors (ip -s link)",
    )  # fmt: skip


def _cut(here: str, there: str, seen: PeerSight) -> Finding:
    return _pair(
        ERROR, f"{here} and {there}",
        f"nothing gets through between {here} and {there}: {seen.loss * seen.probes:.0f} of the "
        f"last {seen.probes} probes (UDP {MESH_PORT}) were lost, the latest among them",
        "containers on the two hosts cannot reach each other",
        f"on {here}: ping {seen.address}; open UDP 7946 and 4789 and TCP 2377 between the hosts",
    )  # fmt: skip


def _pair(severity: str, where: str, what: str, why: str, fix: str) -> Finding:
    return Finding(
        severity=severity,
        check="underlay",
        host="",
        where=where,
        what=what,
        why=why,
        fix=fix,
    )


def tunnels(scene: Scene) -> Iterator[Finding]:
    """Echoes through the ingress network's tunnels, where the underlay is not to blame. What is
    wrong both ways is said once."""
    told: set[frozenset[str]] = set()
    for host in scene.hosts.values():
        for check in host.inspection.tunnels:
            other = scene.by_node(check.node_id)
            if other is None or _is_lost(host, other) or _is_lost(other, host):
                continue
            found = _tunnel(scene, host, other, check)
            pair = frozenset((host.node_id, other.node_id))
            if found is not None and pair not in told:
                told.add(pair)
                yield found


def _tunnel(scene: Scene, host: Host, other: Host, check: TunnelCheck) -> Finding | None:
    """What is wrong with a tunnel; None if nothing is, or the underlay tells it already."""
    link, port = host.underlay or "any", host.view.data_path_port
    look = f"tcpdump -ni {link} udp port {port} on both hosts shows where they end"
    if not check.small:
        what = "nothing comes back through the tunnel"
        why = "containers on the two hosts cannot reach each other, though the hosts can"
        fix = f"let UDP {port} through between the hosts; {look}"
    elif not check.large:
        seen = sight(host, other.vtep)
        if seen is not None and is_narrow(seen):
            return None
        if is_too_small(scene, host) or is_too_small(scene, other):
            return None
        what = f"the tunnel carries small packets, not such of {check.large_size} bytes"
        why = "connections open and then hang, as soon as much is sent"
        fix = f"on {host.name}: ping -M do -s {check.large_size + 22} {other.vtep}; raise the MTU "
        fix += "between the hosts, or lower that of their links: networks follow"
    elif check.tcp:
        what = f"the tunnel carries ICMP, not TCP: {check.tcp}"
        why = "checksums are spoilt by a network card's offloading, or a filter reads them"
        fix = f"ethtool -K {link} tx-udp_tnl-csum-segmentation off tx off; {look}"
    else:
        return None
    return Finding(
        severity=ERROR,
        check="tunnels",
        host=host.name,
        where=f"{host.name} and {other.name}, UDP {port}",
        what=what,
        why=why,
        fix=fix,
    )


def _is_lost(host: Host, other: Host) -> bool:
    seen = sight(host, other.vtep)
    return seen is not None and cut_off(host, seen)


def managers(scene: Scene) -> Iterator[Finding]:
    """Managers' ports."""
    for host in scene.hosts.values():
        for check in host.inspection.managers:
            if check.why:
                peer = host.view.peers.get(check.node_id)
                name = peer.hostname if peer else check.node_id
                yield Finding(
                    severity=ERROR,
                    check="managers",
                    host=host.name,
                    where=f"{host.name} to {name}, TCP {check.address}",
                    what=f"{host.name} cannot connect to manager {name}: {check.why}",
                    why="it hears of no change of the cluster, and counts as down",
                    fix=f"let TCP {CLUSTER_PORT} through to {check.address}; "
                    "see whether skepd runs there",
                )


def sizes(scene: Scene) -> Iterator[Finding]:
    """Underlay links that are too small for the networks' packets."""
    for host in scene.hosts.values():
        device, needed = device_of(host), _needed_mtu(scene)
        if device is None or not is_too_small(scene, host):
            continue
        yield Finding(
            severity=ERROR,
            check="mtu",
            host=host.name,
            where=device.name,
            what=f"{device.name} takes {device.mtu} bytes; the networks' packets of up to "
            f"{needed - VXLAN_OVERHEAD}, with the tunnel's {VXLAN_OVERHEAD} around them, do not "
            "fit",
            why="large packets are lost: of TCP until hosts have measured it, of others for good",
            fix=f"on {host.name}: ip link set {device.name} mtu {needed}; "
            "or the same MTU on all other hosts",
        )


def is_too_small(scene: Scene, host: Host) -> bool:
    """Whether the host's link to the underlay does not take what tunnels may send, its own or those
    of others: its own follow its link."""
    device = device_of(host)
    return device is not None and 0 < device.mtu < _needed_mtu(scene)


def _needed_mtu(scene: Scene) -> int:
    """The MTU of the underlay that the largest packets of all tunnels ask for; 0 without any."""
    sizes = [
        link.mtu + VXLAN_OVERHEAD
        for host in scene.hosts.values()
        for namespace in host.inspection.state.values()
        for link in namespace.links.values()
        if link.vxlan is not None
    ]
    return max(sizes, default=0)


def links(scene: Scene) -> Iterator[Finding]:
    """Underlay links that are down."""
    for host in scene.hosts.values():
        device = device_of(host)
        if device is not None and not (device.up and device.carrier):
            yield Finding(
                severity=ERROR,
                check="underlay",
                host=host.name,
                where=device.name,
                what=f"{device.name} {'has no carrier' if device.up else 'is down'}",
                why="it carries the tunnels",
                fix=f"on {host.name}: ip link set {device.name} up; look at its cable",
            )
