"""``/networks``: the swarm's networks and the host's own, in one list."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from skep.api import errors
from skep.api.call import Call, empty, json
from skep.api.filters import Filters, moment
from skep.api.ports import Joined, LocalNetwork, NetworksPort, Ports
from skep.api.shapes import network as shapes
from skep.api.shapes.base import Json
from skep.api.shapes.endpoint import Networks
from skep.api.shapes.network import SwarmNetwork
from skep.cluster import control
from skep.model.container import Spec
from skep.model.errors import Clash, Forbidden, Invalid, Missing, Unavailable
from skep.model.secure import is_encrypted
from skep.model.spec import IpamConfig, NetworkSpec

FILTERS = ("driver", "id", "name", "label", "scope", "type", "dangling")
PRUNE_FILTERS = ("until", "label", "label!")
BUILT_IN = frozenset({"bridge", "host", "none", "docker_gwbridge"})
KINDS = ("builtin", "custom")
IN_USE = "is in use by"

AnyNetwork = LocalNetwork | SwarmNetwork


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /networks``."""
    filters = call.filters(*FILTERS)
    _check_type(filters)
    found = (_shown(network) for network in everything(call.ports).values())
    return json(
        [
            network
            for network in found
            if _passes(network, filters) and _dangles(network, filters, call.ports)
        ]
    )


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /networks/{id}``, in full: what is on this host, peers, with ``verbose`` services."""
    network = find(call.ports, call.parts["id"], scope=call.query("scope"))
    view = call.ports.host.view()
    shown = _shown(network)
    shown["Containers"] = shapes.attached(view, network.id)
    present = view.networks.get(network.id)
    if present is not None:
        shown["Peers"] = shapes.peers(view, present)
        if is_encrypted(present.spec.options):
            shown["Encryption"] = shapes.encryption(present, call.ports.encryption())
        if call.flag("verbose"):
            shown["Services"] = shapes.services(view, present)
            shown["Hosts"] = shapes.hosts(view, present, call.ports.cluster.versions())
    return json(shown)


async def create(call: Call) -> web.StreamResponse:
    """``POST /networks/create``: the swarm's networks, and this host's own."""
    spec = in_order(await call.decode(NetworkSpec))
    if not spec.name.strip():
        raise Invalid("invalid name: name is empty")
    if spec.name in BUILT_IN:
        raise Forbidden(f"operation is not permitted on predefined {spec.name} network")
    if any(network.name == spec.name for network in call.ports.host.local_networks()):
        raise Clash(f"network with name {spec.name} already exists")
    in_swarm = spec.driver == "overlay" or (spec.lower and spec.scope == "swarm")
    if not in_swarm or spec.config_only:
        if any(_name(network) == spec.name for network in everything(call.ports).values()):
            raise Clash(f"network with name {spec.name} already exists")
        made = await _own(call.ports).create(spec)
        return json({"Id": made, "Warning": ""}, status=201)
    try:
        call.ports.cluster.state()
    except Unavailable as unavailable:
        raise errors.not_manager(unavailable) from unavailable
    made = await call.ports.cluster.change(
        lambda draft, context: control.create_network(draft, context, spec)
    )
    return json({"Id": made, "Warning": ""}, status=201)


def in_order(spec: NetworkSpec) -> NetworkSpec:
    """With its subnets by address, IPv4 first: the docker client sends several in any order. What
    is no subnet is left to be refused."""
    try:
        config = sorted(spec.ipam.config, key=_place)
    except ValueError:
        return spec
    return replace(spec, ipam=replace(spec.ipam, config=tuple(config)))


def _place(config: IpamConfig) -> tuple[int, int]:
    if not config.subnet:
        return (0, 0)
    subnet = ipaddress.ip_network(config.subnet, strict=False)
    return (subnet.version, int(subnet.network_address))


class Update(Spec, frozen=True):
    """What can be changed of a network: it can get more subnets."""

    add_subnets: tuple[IpamConfig, ...] = ()


async def update(call: Call) -> web.StreamResponse:
    """``POST /skep/networks/{id}/update``: more subnets for a swarm network, while it is in use."""
    network = find(call.ports, call.parts["id"])
    if isinstance(network, LocalNetwork):
        raise Forbidden(f"{network.name} is a network of this host and cannot be changed")
    wanted = await call.decode(Update)
    try:
        call.ports.cluster.state()
    except Unavailable as unavailable:
        raise errors.not_manager(unavailable) from unavailable
    await call.ports.cluster.change(
        lambda draft, context: control.add_subnets(draft, context, network.id, wanted.add_subnets)
    )
    return json({"Warnings": None})


async def remove(call: Call) -> web.StreamResponse:
    """``DELETE /networks/{id}``."""
    network = find(call.ports, call.parts["id"])
    if isinstance(network, LocalNetwork):
        await _own(call.ports).remove(network)
        return empty()
    await _remove(call.ports, network.id)
    return empty()


async def prune(call: Call) -> web.StreamResponse:
    """``POST /networks/prune``: all that nothing uses but predefined and ingress ones, and forms
    for others."""
    filters = call.filters(*PRUNE_FILTERS)
    before = [moment(text, time.time()) for text in filters.get("until")]

    def wanted(labels: Mapping[str, str], created_at: float) -> bool:
        old = all(created_at < each for each in before)
        return old and filters.labels("label", labels) and filters.without_labels("label!", labels)

    deleted = []
    for own in call.ports.host.local_networks():
        kept = own.name in BUILT_IN or own.config_only
        fits = not kept and wanted(own.labels, own.created_at)
        if fits and await _removed_own(call.ports, own):
            deleted.append(own.name)
    for network in list(_managed(call.ports).values()):
        fits = not network.spec.ingress and wanted(network.spec.labels, network.created_at)
        if fits and await _removed_unused(call.ports, network.id):
            deleted.append(network.spec.name)
    return json({"NetworksDeleted": deleted})


class Connect(Spec, frozen=True):
    """``POST /networks/{id}/connect``: which container, and Docker's EndpointSettings. ``force``
    belongs to disconnecting; some clients send it here, too, where there is nothing to force."""

    container: str = ""
    force: bool = False
    endpoint_config: dict[str, Any] | None = None


class Disconnect(Spec, frozen=True):
    """``POST /networks/{id}/disconnect``."""

    container: str = ""
    force: bool = False


async def connect(call: Call) -> web.StreamResponse:
    """``POST /networks/{id}/connect``."""
    network = find(call.ports, call.parts["id"])
    wanted = await call.decode(Connect)
    container = call.ports.host.find(wanted.container)
    await _own(call.ports).connect(container, _joined(network), wanted.endpoint_config or {})
    return empty(200)


async def disconnect(call: Call) -> web.StreamResponse:
    """``POST /networks/{id}/disconnect``."""
    network = find(call.ports, call.parts["id"])
    wanted = await call.decode(Disconnect)
    container = call.ports.host.find(wanted.container)
    await _own(call.ports).disconnect(container, _joined(network))
    return empty(200)


def _joined(network: AnyNetwork) -> Joined:
    driver = network.driver if isinstance(network, LocalNetwork) else network.spec.driver
    return Joined(network.id, _name(network), driver)


def _own(ports: Ports) -> NetworksPort:
    if ports.networks is None:
        raise Unavailable("the networks of this host cannot be changed now")
    return ports.networks


async def _removed_own(ports: Ports, network: LocalNetwork) -> bool:
    """Remove it; False if something uses it."""
    try:
        await _own(ports).remove(network)
    except Forbidden:
        return False
    return True


def everything(ports: Ports) -> Mapping[str, AnyNetwork]:
    """All networks that this host knows of, by id."""
    local = {network.id: network for network in ports.host.local_networks()}
    return {**local, **ports.host.swarm_networks(), **_managed(ports)}


def names(ports: Ports) -> Networks:
    """What showing a container's networks takes."""
    swarm = {**ports.host.swarm_networks(), **_managed(ports)}
    return Networks(
        ports.host.local_networks(), {id: network.spec.name for id, network in swarm.items()}
    )


def find(ports: Ports, reference: str, *, scope: str = "") -> AnyNetwork:
    """By full id, name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
    candidates = {
        id: network
        for id, network in everything(ports).items()
        if scope in ("", _shown(network)["Scope"])
    }
    if reference in candidates:
        return candidates[reference]
    found = [network for network in candidates.values() if _name(network) == reference]
    found = found or [network for id, network in candidates.items() if id.startswith(reference)]
    if not found:
        raise Missing(f"network {reference} not found")
    if len(found) > 1:
        raise Invalid(
            f"network {reference} is ambiguous ({len(found)} matches found on name or ID prefix)"
        )
    return found[0]


def _managed(ports: Ports) -> Mapping[str, SwarmNetwork]:
    """The swarm's networks as a manager knows them: all. Empty on other hosts."""
    if not ports.cluster.membership().manager:
        return {}
    return ports.cluster.state().networks


async def _remove(ports: Ports, network_id: str) -> None:
    await ports.cluster.change(
        lambda draft, context: control.remove_network(draft, context, network_id)
    )


async def _removed_unused(ports: Ports, network_id: str) -> bool:
    """Remove it; False if something uses it."""
    try:
        await _remove(ports, network_id)
    except (Invalid, Clash) as refused:
        if IN_USE not in str(refused):
            raise
        return False
    return True


def _name(network: AnyNetwork) -> str:
    return network.name if isinstance(network, LocalNetwork) else network.spec.name


def _shown(network: AnyNetwork) -> Json:
    if isinstance(network, LocalNetwork):
        return shapes.local_network(network)
    return shapes.swarm_network(network)


def _check_type(filters: Filters) -> None:
    for kind in filters.get("type"):
        if kind not in KINDS:
            raise Invalid(f"invalid filter: 'type'='{kind}'")


def _passes(network: Json, filters: Filters) -> bool:
    """The filters on what a network is. As in Docker, the ingress network counts as custom."""
    kind = "builtin" if network["Name"] in BUILT_IN - {"docker_gwbridge"} else "custom"
    return (
        filters.exact("driver", network["Driver"])
        and filters.exact("scope", network["Scope"])
        and filters.exact("type", kind)
        and filters.matches("name", network["Name"])
        and filters.matches("id", network["Id"])
        and filters.labels("label", network["Labels"])
    )


def _dangles(network: Json, filters: Filters, ports: Ports) -> bool:
    """``dangling=true``: custom networks without endpoints here and without services."""
    wanted = filters.truth("dangling")
    if wanted is None:
        return True
    if network["Name"] in BUILT_IN or network["Ingress"]:
        return not wanted
    used = bool(shapes.attached(ports.host.view(), network["Id"]))
    if network["Scope"] == "swarm" and ports.cluster.membership().manager:
        state = ports.cluster.state()
        used = used or bool(state.services_of_network(network["Id"]))
    return used != wanted
