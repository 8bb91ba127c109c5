"""Laying out a container's sandbox: its endpoints in order, and which one leads out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from skep.agent.addresses import Lease
from skep.agent.locals import BINDING, DEFAULT_BRIDGE, GATEWAY_BRIDGE
from skep.agent.records import Record, Wanted
from skep.agent.view import Layout
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Attachment, Task
from skep.model.errors import Forbidden, Missing, Unavailable
from skep.model.host import SHORT, Binding, Endpoint, LocalNetwork, Sandbox


class Ground(msgspec.Struct, frozen=True):
    """What a container is laid out on: the host's sandboxes, the swarm's networks and its own, and
    the address last given out on each of those, which this keeps; addresses that plugins gave the
    container, by network."""

    sandboxes: tuple[Sandbox, ...]
    assignment: Assignment
    networks: tuple[LocalNetwork, ...]
    cursor: dict[str, str]
    leases: Mapping[str, Lease] = {}

    def local(self, reference: str) -> LocalNetwork | None:
        """One of the host's own networks, by id or name."""
        found = (n for n in self.networks if reference in (n.id, n.name))
        return next(found, None)

    def on_links(self) -> dict[str, NetworkAssignment]:
        """The swarm's networks on links of the host, by id: a container has an address of its own
        there, and needs no docker_gwbridge to get out."""
        networks = self.assignment.networks
        return {id: network for id, network in networks.items() if network.spec.lower}

    def bridge(self, name: str) -> LocalNetwork:
        """A network that every host has where it is needed, by its bridge. Raises `Unavailable`."""
        found = next((n for n in self.networks if n.bridge == name), None)
        if found is None:
            raise Unavailable(f"this host has no bridge {name} now")
        return found


def lay_out(
    record: Record, task: Task | None, attachments: tuple[Attachment, ...], ground: Ground
) -> Record:
    """The record with an endpoint on each of its networks; those that it has already stay as they
    are. ``attachments`` are the addresses that the swarm gave it lately.

    Raises `Unavailable` (no room, network not known yet), `Missing`, `Invalid`, `Forbidden`.
    """
    layout = Layout(record.sandbox_id, ground.sandboxes)
    for endpoint in record.endpoints:
        layout.keep(endpoint)
    given = {each.network_id: each for each in attachments}
    for item in record.wanted:
        network = _swarm(ground, item.network)
        if network is not None and network.id in given:
            _overlay(layout, network, given.pop(network.id), task, item)
        elif network is None and not layout.has(_local(ground, item.network).id):
            _bridge(layout, _local(ground, item.network), item, record, ground)
    for attachment in given.values():
        found = ground.assignment.networks.get(attachment.network_id)
        if found is None:
            raise Unavailable(f"network {attachment.network_id} is not known to this host yet")
        _overlay(layout, found, attachment, task, None)
    gateway = _gateway(layout, record, task, ground)
    return msgspec.structs.replace(record, endpoints=tuple(layout.endpoints), gateway=gateway)


def _swarm(ground: Ground, reference: str) -> NetworkAssignment | None:
    networks = ground.assignment.networks
    if reference in networks:
        return networks[reference]
    return next((n for n in networks.values() if n.spec.name == reference), None)


def _local(ground: Ground, reference: str) -> LocalNetwork:
    found = ground.local("bridge" if reference == "default" else reference)
    if found is None:
        raise Missing(f"network {reference} not found")
    if found.config_only:
        raise Forbidden("cannot create endpoint on configuration-only network")
    return found


def _overlay(
    layout: Layout,
    network: NetworkAssignment,
    attachment: Attachment,
    task: Task | None,
    item: Wanted | None,
) -> None:
    service = network.services.get(task.service_id) if task else None
    vips = (service.vip, service.vip6) if service else ()
    own = tuple(vip.partition("/")[0] for vip in vips if vip)
    layout.overlay(network, attachment, own, attachment.aliases)
    if item is not None:
        layout.adjust(item)


def _bridge(
    layout: Layout, network: LocalNetwork, item: Wanted, record: Record, ground: Ground
) -> Endpoint:
    lease = ground.leases.get(network.id)
    after = ground.cursor.get(network.id, "")
    endpoint = layout.leased(network, lease) if lease else layout.bridge(network, item, after)
    if not item.address and lease is None:
        ground.cursor[network.id] = endpoint.address.partition("/")[0]
    layout.adjust(item, names_of(record, item))
    return endpoint


def names_of(record: Record, item: Wanted) -> tuple[str, ...]:
    """What a container answers to on a network of its host's own: its name first."""
    host_names = (record.hostname,) if record.hostname else ()
    names = (record.name, *item.aliases, record.id[:SHORT], *host_names)
    return tuple(dict.fromkeys(each for each in names if each))


def _gateway(layout: Layout, record: Record, task: Task | None, ground: Ground) -> str:
    """The endpoint with the default route: of the networks that lead out the one with the highest
    priority, then the first by name; docker_gwbridge, if there is none beside an overlay or a
    plugin's network that is not internal. What leads nowhere any more is taken away."""
    found = _ways_out(layout, record, ground)
    swarm = [e for e in layout.endpoints if e.network_id in ground.assignment.networks]
    overlays = [e for e in swarm if e.network_id not in ground.on_links()]
    outward = [e for e in overlays if not ground.assignment.networks[e.network_id].spec.internal]
    published = task is not None and bool(task.host_ports)
    gateway = ground.local(GATEWAY_BRIDGE)
    if published and overlays and not outward:
        raise Unavailable("ports in mode host cannot be reached: all networks are internal")
    if published or ((outward or _stranded(layout, ground)) and not found):
        network = ground.bridge(GATEWAY_BRIDGE)
    elif record.task_id and not swarm:
        network = ground.bridge(DEFAULT_BRIDGE)
    else:
        if gateway is not None and not any(w.network == GATEWAY_BRIDGE for w in record.wanted):
            layout.drop(gateway.id)
        return found
    there = next((e for e in layout.endpoints if e.network_id == network.id), None)
    return (there or _bridge(layout, network, Wanted(network=network.name), record, ground)).id


def _stranded(layout: Layout, ground: Ground) -> bool:
    """Whether a plugin has made an endpoint that leads nowhere, and does not mind another way."""
    inward = {network.id for network in ground.networks if network.internal}
    handed = (each.handed for each in layout.endpoints if each.network_id not in inward)
    return any(each is not None and not (each.leads_out or each.aside) for each in handed)


def _ways_out(layout: Layout, record: Record, ground: Ground) -> str:
    """The id of the best endpoint on a network of the host's own that leads out, "" for none."""
    wanted = {_id(ground, item.network): item.gw_priority for item in record.wanted}
    own = {each.id: each for each in ground.networks if not each.internal and each.id in wanted}
    links = {id for id, network in ground.on_links().items() if not network.spec.internal}
    ways = [
        (-wanted.get(each.network_id, 0), each.network_name, each.id)
        for each in layout.endpoints
        if each.network_id in links
        or (each.network_id in own and _leads_out(each, own[each.network_id]))
    ]
    return min(ways)[2] if ways else ""


def _leads_out(endpoint: Endpoint, network: LocalNetwork) -> bool:
    if network.remote:
        return endpoint.handed is not None and endpoint.handed.leads_out
    return bool(network.subnet)


def _id(ground: Ground, reference: str) -> str:
    swarm = _swarm(ground, reference)
    found = swarm or ground.local("bridge" if reference == "default" else reference)
    return found.id if found else reference


def parted(record: Record, network_id: str, ground: Ground) -> Record:
    """The record without its endpoint on a network; the default route goes elsewhere, if it led
    there. Raises `Unavailable` if there is no room on docker_gwbridge, which is then needed."""
    left = tuple(each for each in record.endpoints if each.network_id != network_id)
    return led_out(msgspec.structs.replace(record, endpoints=left), None, ground)


def led_out(record: Record, task: Task | None, ground: Ground) -> Record:
    """The record with its way out chosen anew, now that plugins have said what leads where. Raises
    `Unavailable`."""
    layout = Layout(record.sandbox_id, ground.sandboxes)
    for endpoint in record.endpoints:
        layout.keep(endpoint)
    gateway = _gateway(layout, record, task, ground)
    return msgspec.structs.replace(record, endpoints=tuple(layout.endpoints), gateway=gateway)


def needs_bridge(record: Record, ground: Ground) -> bool:
    """Whether docker_gwbridge must be there before the way out can be chosen."""
    layout = Layout(record.sandbox_id, ground.sandboxes)
    for endpoint in record.endpoints:
        layout.keep(endpoint)
    return _stranded(layout, ground) and not _ways_out(layout, record, ground)


def reachable(record: Record, ground: Ground, wanted: Iterable[Binding]) -> tuple[Binding, ...]:
    """The ports to publish, at the address that the network which leads out says, if none is asked
    for. Raises `Unavailable` if they cannot be reached."""
    leg = next((each for each in record.endpoints if each.id == record.gateway), None)
    if leg is None:
        raise Unavailable(
            f"ports of container {record.name} cannot be published: no network of it leads out"
        )
    network = next((each for each in ground.networks if each.id == leg.network_id), None)
    shared = ground.on_links().get(leg.network_id)
    if shared is not None or (network is not None and not network.bridge):
        driver = shared.spec.driver if shared else network.driver if network else ""
        raise Unavailable(
            f"ports of container {record.name} cannot be published: on network {leg.network_name} "
            f"({driver}) it has an address of its own, where they are reached"
        )
    usual = network.options.get(BINDING, "") if network else ""
    found = []
    for binding in wanted:
        address = binding.address or ("" if usual in ("", "0.0.0.0", "::") else usual)
        if ":" in address and not leg.address6:
            raise Unavailable(
                f"port {binding.port}/{binding.protocol} of container {record.name} cannot be "
                f"published at {address}: network {leg.network_name} has no IPv6"
            )
        found.append(msgspec.structs.replace(binding, address=address))
    return tuple(found)
