"""Rules of others: what they drop of that which the cluster and its containers need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface

from skep.model.host import Bridge
from skep.model.netstate import HOST
from skep.plan.journey import OUTSIDE, Dropped, Flow, Packet, Place, RuleAt
from skep.plan.layout import bridge_of, gateway_endpoint
from skep.plan.publish import doors, inward_bridges
from skep.plan.walk import walk
from skep.trace import firewall
from skep.trace.checks.paths import CLUSTER_PORT, MESH_PORT
from skep.trace.finding import ERROR, Finding
from skep.trace.ruling import OURS, rule_words
from skep.trace.scene import Host, Scene

STRANGER = "203.0.113.254"
"""An address of nobody (RFC 5737), to see what a firewall does with packets that are let through
or not by where they go alone."""

Remedy = Callable[[RuleAt], str]
Need = tuple[str, Place, Packet, Remedy]
"""What it is called, where it begins, the packet, and what lets it through."""


def firewalls(scene: Scene) -> Iterator[Finding]:
    """Other people's rules that drop what the cluster needs."""
    for host in scene.hosts.values():
        if not any(each.foreign for each in host.inspection.insides.values()):
            continue
        for what, start, packet, remedy in (*_cluster(host), *_published(host), *_ways_out(host)):
            end = walk({host.vtep: host.state}, start, packet).end
            if not isinstance(end, Dropped) or end.rule is None:
                continue
            if end.rule.table.startswith(OURS):
                continue
            rule = end.rule
            yield Finding(
                severity=ERROR,
                check="firewalls",
                host=host.name,
                where=f"nft table {rule.family} {rule.table}, chain {rule.chain}",
                what=f"{what} is dropped by {rule_words(host, end.at, rule)}",
                why="the cluster needs it",
                fix=f"on {host.name}: {remedy(rule)}",
            )


def _cluster(host: Host) -> Iterator[Need]:
    """What other hosts send."""
    peers = [peer for peer in host.view.peers.values() if peer.vtep not in ("", host.vtep)]
    mine = host.view.peers.get(host.node_id)
    for peer in peers[:1]:
        tunnel = Flow("udp", peer.vtep, host.vtep, 40000, host.view.data_path_port)
        yield _port(host, f"UDP {tunnel.target_port} (tunnels)", tunnel)
        mesh = Flow("udp", peer.address, host.vtep, MESH_PORT, MESH_PORT)
        yield _port(host, f"UDP {MESH_PORT} (mesh)", mesh)
        if mine is not None and mine.manager_address:
            cluster = Flow("tcp", peer.address, host.vtep, 40000, CLUSTER_PORT)
            yield _port(host, f"TCP {CLUSTER_PORT} (cluster)", cluster)


def _port(host: Host, what: str, flow: Flow) -> Need:
    def remedy(rule: RuleAt) -> str:
        return firewall.to_port(host, HOST, rule, flow)

    return what, Place(host.vtep, HOST, OUTSIDE), Packet(flow), remedy


def _published(host: Host) -> Iterator[Need]:
    """One published port of each bridge."""
    outside = Place(host.vtep, HOST, OUTSIDE)
    for bridge in inward_bridges(host.view):
        inner = ip_interface(bridge.address).network
        for door in doors(host.view):
            target = door.address or host.vtep
            if ":" in target or ip_address(door.to[0]) not in inner:
                continue
            flow = Flow(door.protocol, STRANGER, target, 40000, door.port)
            what = f"published port {door.port} of {door.holder}"
            yield what, outside, Packet(flow), _through(host, bridge, "out")
            break


def _ways_out(host: Host) -> Iterator[Need]:
    """A container of each bridge that speaks with the outside."""
    told = set()
    for box in host.view.sandboxes:
        leg = gateway_endpoint(box) if box.container_name else None
        bridge = None if leg is None else bridge_of(host.view, leg.network_id)
        if bridge is None or bridge.internal or bridge.name in told:
            continue
        told.add(bridge.name)
        out = Flow("tcp", "", STRANGER, 40000, 443)
        what = f"containers' way out of {bridge.name}"
        yield what, Place(host.vtep, box.namespace), Packet(out), _through(host, bridge, "in")


def _through(host: Host, bridge: Bridge, way: str) -> Remedy:
    def remedy(rule: RuleAt) -> str:
        return firewall.through(host, HOST, rule, bridge.name, way)

    return remedy
