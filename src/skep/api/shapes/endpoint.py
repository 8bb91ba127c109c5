"""A container's place on its networks: ``NetworkSettings`` and what ``docker ps`` shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skep.api.ports import Container, LocalNetwork
from skep.api.shapes.base import Json
from skep.api.shapes.network import GATEWAY_NETWORK
from skep.model.host import SHORT, Binding, Endpoint, Place, Sandbox
from skep.model.netstate import NETNS_DIR

DEFAULT_NETWORK = "bridge"
DEFAULT_MODES = ("", "default", DEFAULT_NETWORK)


class Networks:
    """What naming a container's networks takes: ids and gateways of the host's own networks, and
    the names of all networks by id (users may have asked by id)."""

    def __init__(self, local: Iterable[LocalNetwork], names: Mapping[str, str]) -> None:
        self._local = {network.id: network for network in local}
        self._names = {**names, **{n.id: n.name for n in self._local.values()}}
        self._ids = {name: id for id, name in self._names.items()}

    def name(self, reference: str) -> str:
        """The network's name for what the user wrote."""
        return self._names.get(reference, reference)

    def id(self, name: str) -> str:
        """The id of a network by name, "" if there is none."""
        return self._ids.get(name, "")

    def gateway(self, network_id: str) -> str:
        """The gateway of one of the host's own networks; an overlay has none of its own."""
        network = self._local.get(network_id)
        return network.gateway if network else ""

    def gateway6(self, network_id: str) -> str:
        """`gateway` of IPv6."""
        network = self._local.get(network_id)
        return network.gateway6 if network else ""


def settings(container: Container, networks: Networks) -> Json:
    """``NetworkSettings`` of ``docker inspect``. The members beside ``Networks`` that describe an
    endpoint are filled for the default bridge alone, as in Docker."""
    box = container.sandbox
    attached = container_networks(container, networks)
    running = bool(box and box.endpoints)
    default = attached.get(DEFAULT_NETWORK, {}) if running else {}
    return {
        "Bridge": "",
        "SandboxID": box.id if box and running else "",
        "SandboxKey": f"{NETNS_DIR}/{box.namespace}" if box and running else "",
        "Ports": bound_ports(container) if running else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": default.get("EndpointID", ""),
        "Gateway": default.get("Gateway", ""),
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": default.get("IPAddress", ""),
        "IPPrefixLen": default.get("IPPrefixLen", 0),
        "IPv6Gateway": "",
        "MacAddress": default.get("MacAddress", ""),
        "Networks": attached,
    }


def container_networks(container: Container, networks: Networks) -> Json:
    """``Networks``: by name, with what each endpoint has while the container runs.

    The leg on docker_gwbridge is the host's business and not listed, unless it was asked for.
    """
    shown = {}
    for reference in asked_networks(container):
        name = networks.name(reference)
        shown[name] = _blank(container, reference, networks.id(name))
    endpoints = container.sandbox.endpoints if container.sandbox else ()
    for endpoint in endpoints:
        name = endpoint.network_name
        if name == GATEWAY_NETWORK and name not in shown:
            continue
        blank = shown.get(name) or _blank(container, name, endpoint.network_id)
        shown[name] = {**blank, **_filled(endpoint, networks)}
        if name != DEFAULT_NETWORK:
            shown[name]["DNSNames"] = _dns_names(container, endpoint, blank["Aliases"] or [])
    return shown


def _dns_names(container: Container, endpoint: Endpoint, aliases: list[str]) -> list[str]:
    """What it answers to there; on the default bridge, as in Docker, to nothing."""
    return list(endpoint.names) or [container.name, *aliases, container.id[:SHORT]]


def asked_networks(container: Container) -> tuple[str, ...]:
    """The networks that the user named, or the one that the network mode stands for."""
    if container.network_mode.startswith("container:"):
        return ()
    if container.network_mode in ("host", "none"):
        return (container.network_mode,)
    if container.networks:
        return tuple(DEFAULT_NETWORK if n in DEFAULT_MODES else n for n in container.networks)
    return () if container.task_id else (DEFAULT_NETWORK,)


def ports(container: Container) -> list[Json]:
    """``Ports`` of ``docker ps``: what is published, and what is only exposed."""
    shown = []
    for port, places in bound_ports(container).items():
        number, _, protocol = port.partition("/")
        inner: Json = {"PrivatePort": int(number), "Type": protocol or "tcp"}
        for place in places or ():
            shown.append({"IP": place["HostIp"], **inner, "PublicPort": int(place["HostPort"])})
        if not places:
            shown.append(inner)
    return shown


def bound_ports(container: Container) -> Json:
    """``Ports`` of ``docker inspect``: by port of the container, where it is published; None for
    one that is not."""
    box = container.sandbox
    shown: Json = dict.fromkeys(container.exposed_ports)
    if box is None:
        return shown
    leg = next((each for each in box.endpoints if each.id == box.gateway), None)
    for binding in _bindings(container, box, leg):
        any_address = ["0.0.0.0", "::"] if leg and leg.address6 else ["0.0.0.0"]
        places = [binding.address] if binding.address else any_address
        key = f"{binding.port}/{binding.protocol}"
        shown[key] = (shown.get(key) or []) + [
            {"HostIp": place, "HostPort": str(binding.published)} for place in places
        ]
    return shown


def _bindings(container: Container, box: Sandbox, leg: Endpoint | None) -> Iterable[Binding]:
    """What is published of a container that is reached by ``leg``. A plugin publishes what was
    asked for; which port it chose where that was left to it, it does not say."""
    if leg is None or leg.handed is None:
        return box.bindings
    return (each for each in container.published if each.published and not each.last)


def asked_ports(container: Container) -> Json:
    """``HostConfig.PortBindings``: as the user wrote them."""
    shown: Json = {}
    for each in container.published:
        number = str(each.published or "")
        asked = {
            "HostIp": each.address,
            "HostPort": f"{number}-{each.last}" if each.last else number,
        }
        shown.setdefault(f"{each.port}/{each.protocol}", []).append(asked)
    return shown


def _blank(container: Container, reference: str, network_id: str) -> Json:
    wanted = {
        "IPv4Address": container.addresses.get(reference, ""),
        "IPv6Address": container.addresses6.get(reference, ""),
    }
    place = container.places.get(reference, Place())
    return {
        "IPAMConfig": {key: value for key, value in wanted.items() if value} or None,
        "Links": list(place.links) or None,
        "Aliases": list(container.aliases.get(reference, ())) or None,
        "MacAddress": place.mac,
        "DriverOpts": dict(place.options) or None,
        "GwPriority": place.gw_priority,
        "NetworkID": network_id,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


def _filled(endpoint: Endpoint, networks: Networks) -> Json:
    address, _, prefix = endpoint.address.partition("/")
    address6, _, prefix6 = endpoint.address6.partition("/")
    handed = endpoint.handed
    gateway6 = handed.gateway6 if handed else networks.gateway6(endpoint.network_id)
    return {
        "MacAddress": endpoint.mac,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.id,
        "Gateway": handed.gateway if handed else networks.gateway(endpoint.network_id),
        "IPv6Gateway": gateway6 if address6 else "",
        "IPAddress": address,
        "IPPrefixLen": int(prefix or 0),
        "GlobalIPv6Address": address6,
        "GlobalIPv6PrefixLen": int(prefix6 or 0),
    }
