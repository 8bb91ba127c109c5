"""The whole picture of a cluster, from its records and what its hosts showed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from skep.model.cluster import Node
from skep.model.glance import Gauge, Glimpse, Lan, Space
from skep.model.host import INGRESS_SANDBOX, Bridge, Sandbox
from skep.model.netstate import HOST as HOSTS_OWN
from skep.plan.layout import overlay_namespace
from skep.topology import graph as g
from skep.topology.delays import tunnels
from skep.topology.graph import Graph, Line, Part, Rate, Thing
from skep.topology.objects import networks, services
from skep.topology.sources import Sources
from skep.topology.tasks import Placed, boxes


def build(sources: Sources) -> Graph:
    """Draw everything, nothing folded."""
    things: dict[str, Thing] = {}
    lines: dict[str, Line] = {}
    rates: dict[str, Rate] = {}
    placed = boxes(sources)
    drawn = [thing for each in placed for thing in [each.thing]]
    for thing in (*_hosts(sources, placed), *networks(sources), *drawn):
        things[thing.id] = thing
    for thing, more in services(sources, drawn):
        things[thing.id] = thing
        lines |= {line.id: line for line in more}
    for node in sources.nodes:
        glimpse = sources.glimpses.get(node.id)
        if glimpse is not None:
            for thing in _inside(glimpse, sources):
                things[thing.id] = thing
    for line, rate in _joined(sources, placed):
        if line.target in things:
            lines[line.id] = line
            if rate is not None:
                rates[line.id] = rate
    lines |= {line.id: line for line in tunnels(sources)}
    rates |= dict(_underlays(sources))
    return Graph(things=things, lines=lines, rates=rates, boxes=len(drawn))


def host_id(node_id: str) -> str:
    """The id of a host's thing."""
    return f"host:{node_id}"


def overlay_id(node_id: str, network_id: str) -> str:
    """The id of a swarm network's namespace on a host."""
    return f"overlay:{node_id}/{network_id}"


def lan_id(node_id: str, network_id: str) -> str:
    """The id of a network on a host that has no bridge of ours."""
    return f"lan:{node_id}/{network_id}"


def bridge_id(node_id: str, name: str) -> str:
    """The id of a bridge in a host's own namespace."""
    return f"bridge:{node_id}/{name}"


# --- hosts


def _hosts(sources: Sources, placed: list[Placed]) -> Iterator[Thing]:
    counts: dict[str, int] = {}
    for each in placed:
        counts[each.thing.parent] = counts.get(each.thing.parent, 0) + 1
    for node in sources.nodes:
        glimpse = sources.glimpses.get(node.id)
        id = host_id(node.id)
        yield msgspec.structs.replace(
            _host(node, glimpse, sources.silences.get(node.id, "")), count=counts.get(id, 0)
        )
    lost = counts.get(g.NOT_PLACED, 0)
    if lost:
        yield Thing(
            id=g.NOT_PLACED, kind=g.HOST, name="not placed", count=lost, state=g.CHANGING,
            note="tasks that no host runs yet",
        )  # fmt: skip


def _host(node: Node, glimpse: Glimpse | None, silence: str) -> Thing:
    state, note = g.OK, ""
    if node.state == "down":
        state, note = g.BROKEN, f"down: {node.message}" if node.message else "down"
    elif glimpse is None:
        state, note = g.UNKNOWN, silence or "not heard of yet"
    elif silence:
        state, note = g.UNKNOWN, silence
    elif glimpse.refused:
        state, note = g.BROKEN, f"its kernel refused {glimpse.refused} operations"
    elif glimpse.held_until:
        state, note = g.DOUBTFUL, "held: nothing is repaired there"
    elif node.spec.availability != "active":
        state, note = g.OK, node.spec.availability
    description = node.description
    facts = {
        "role": "manager" if node.manager_address else node.spec.role,
        "availability": node.spec.availability,
        "address": node.address,
        "tunnels' address": node.vtep,
        "processors": f"{node.description.nano_cpus / 1e9:.3g}" if description.nano_cpus else "",
        "memory": f"{description.memory_bytes / (1 << 30):.1f} GiB" if description.memory_bytes
        else "",
        "repairs": str(glimpse.repairs) if glimpse else "",
    }  # fmt: skip
    carrier = next((each for each in _own(glimpse) if not each.ours), None)
    return Thing(
        id=host_id(node.id),
        kind=g.HOST,
        name=description.hostname,
        state=state,
        note=note,
        asked=description.hostname,
        facts={key: value for key, value in facts.items() if value},
        parts=(_part(carrier),) if carrier else (),
    )


def _own(glimpse: Glimpse | None) -> tuple[Gauge, ...]:
    """The links of a host's own namespace."""
    return glimpse.spaces.get(HOSTS_OWN, Space()).gauges if glimpse else ()


def _part(gauge: Gauge) -> Part:
    return Part(
        name=gauge.name, kind=gauge.kind, mac=gauge.mac, mtu=gauge.mtu, index=gauge.index,
        vni=gauge.vni, up=gauge.up,
    )  # fmt: skip


def _underlays(sources: Sources) -> Iterator[tuple[str, Rate]]:
    for node_id, glimpse in sources.glimpses.items():
        for gauge in _own(glimpse):
            rate = sources.flows.get(node_id, {}).get((HOSTS_OWN, gauge.name))
            if not gauge.ours and rate is not None:
                yield host_id(node_id), rate


# --- inside a host


def _inside(glimpse: Glimpse, sources: Sources) -> Iterator[Thing]:
    names = {each.id: each.spec.name for each in sources.networks}
    for network_id in glimpse.networks:
        yield _overlay(glimpse, network_id, names.get(network_id, network_id[:10]))
    for bridge in glimpse.bridges:
        yield _bridge(glimpse, bridge)
    for lan in glimpse.lans:
        yield _lan(glimpse, lan)
    for box in glimpse.sandboxes:
        if box.id == INGRESS_SANDBOX:
            yield _mesh(glimpse, box)


def _overlay(glimpse: Glimpse, network_id: str, name: str) -> Thing:
    namespace = overlay_namespace(network_id)
    space = glimpse.spaces.get(namespace)
    gauges = [each for each in space.gauges if each.kind in ("bridge", "vxlan")] if space else []
    state, note = _looked(glimpse, namespace, [each.kind for each in gauges if each.up])
    return Thing(
        id=overlay_id(glimpse.node_id, network_id),
        kind=g.OVERLAY,
        name=name,
        parent=host_id(glimpse.node_id),
        state=state,
        note=note,
        namespace=namespace,
        networks=(f"network:{network_id}",),
        facts={"entries of other hosts": str(sum(space.remotes.values()))} if space else {},
        parts=tuple(_part(each) for each in gauges),
    )


def _looked(glimpse: Glimpse, namespace: str, kinds: list[str]) -> tuple[str, str]:
    """Whether an overlay's namespace has what it needs."""
    missing = [kind for kind in ("bridge", "vxlan") if kind not in kinds]
    if namespace not in glimpse.spaces:
        note = f"the namespace {namespace} is missing"
    elif missing:
        note = f"no {' and no '.join(missing)} is up in {namespace}"
    else:
        return g.OK, ""
    return (g.CHANGING if glimpse.busy else g.BROKEN), note


def _bridge(glimpse: Glimpse, bridge: Bridge) -> Thing:
    gauge = next((each for each in _own(glimpse) if each.name == bridge.name), None)
    state, note = g.OK, ""
    if gauge is None or not gauge.up:
        note = f"{bridge.name} is {'missing' if gauge is None else 'down'}"
        state = g.CHANGING if glimpse.busy else g.BROKEN
    part = _part(gauge) if gauge else Part(name=bridge.name, kind="bridge")
    return Thing(
        id=bridge_id(glimpse.node_id, bridge.name),
        kind=g.BRIDGE,
        name=bridge.name,
        parent=host_id(glimpse.node_id),
        state=state,
        note=note,
        parts=(msgspec.structs.replace(part, address=bridge.address, address6=bridge.address6),),
    )


def _lan(glimpse: Glimpse, lan: Lan) -> Thing:
    gauge = next((each for each in _own(glimpse) if each.name == lan.parent), None)
    # Of the links that are not ours only the one that carries the tunnels is looked at.
    down = gauge is not None and not gauge.up
    return Thing(
        id=lan_id(glimpse.node_id, lan.network_id),
        kind=g.LAN,
        name=lan.network_name,
        parent=host_id(glimpse.node_id),
        state=g.BROKEN if down else g.OK,
        note=f"{lan.parent} is down" if down else "",
        networks=(f"network:{lan.network_id}",) if lan.swarm else (),
        facts={"by": f"{lan.driver} on {lan.parent}" if lan.parent else lan.driver},
        parts=(_part(gauge),) if gauge else (),
    )


def _mesh(glimpse: Glimpse, box: Sandbox) -> Thing:
    found = Placed.of_mesh(glimpse, box)
    return msgspec.structs.replace(
        found.thing,
        id=f"mesh:{glimpse.node_id}",
        kind=g.MESH,
        name=INGRESS_SANDBOX,
        parent=host_id(glimpse.node_id),
        asked=f"{glimpse.hostname}/{INGRESS_SANDBOX}",
    )


# --- lines


def _joined(sources: Sources, placed: list[Placed]) -> Iterator[tuple[Line, Rate | None]]:
    """Boxes and meshes on bridges, overlays on tunnel devices."""
    ends = {node_id: _ends(glimpse) for node_id, glimpse in sources.glimpses.items()}
    for glimpse in sources.glimpses.values():
        flows = sources.flows.get(glimpse.node_id, {})
        for box in glimpse.sandboxes:
            if box.id == INGRESS_SANDBOX:
                mesh = Placed.of_mesh(glimpse, box)
                yield from _plugs(f"mesh:{glimpse.node_id}", mesh, sources, ends)
        for network_id in glimpse.networks:
            id = overlay_id(glimpse.node_id, network_id)
            line = Line(
                id=f"vxlan:{id}", kind=g.VXLAN, source=id, target=host_id(glimpse.node_id),
                network=f"network:{network_id}",
            )  # fmt: skip
            yield line, flows.get((overlay_namespace(network_id), "vxlan0"))
    for each in placed:
        yield from _plugs(each.thing.id, each, sources, ends)


def _ends(glimpse: Glimpse) -> dict[str, str]:
    """By network id, what on a host interfaces of a network without an overlay are plugged into."""
    bridges = {each.network_id: bridge_id(glimpse.node_id, each.name) for each in glimpse.bridges}
    return bridges | {
        each.network_id: lan_id(glimpse.node_id, each.network_id) for each in glimpse.lans
    }


def _plugs(
    id: str, placed: Placed, sources: Sources, ends: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[Line, Rate | None]]:
    node_id, flows = placed.node_id, sources.flows.get(placed.node_id, {})
    others = ends.get(node_id, {})
    for link, network_id in placed.plugs:
        network = f"network:{network_id}"
        line = Line(
            id=f"plug:{id}/{link or network_id}", kind=g.PLUG, source=id,
            target=others.get(network_id) or overlay_id(node_id, network_id),
            network=network if network in placed.thing.networks else "",
        )  # fmt: skip
        yield line, flows.get((placed.thing.namespace, link))
