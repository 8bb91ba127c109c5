"""A host's own view: its sandboxes, endpoints and bridges, and all that ``plan`` needs of them."""

from __future__ import annotations

from typing import Any

import msgspec

from skep.model.assignment import NetworkAssignment, PeerNode
from skep.model.secure import TunnelKey
from skep.model.spec import IpamConfig, PortConfig

MOST_PORTS = 1000
"""How many endpoints a bridge carries: one network's on one host, or all of docker_gwbridge's. A
Linux bridge has 1,023 ports (BR_MAX_PORTS), of which tunnels and the mesh need some."""

SHORT = 12
"""How many hex digits of a sandbox id name its namespace."""

INGRESS_SANDBOX = "ingress_sbox"

OWN_DRIVERS = frozenset({"null", "host", "bridge", "macvlan", "ipvlan", "overlay"})
"""The network drivers that are no plugins."""


class HandedRoute(msgspec.Struct, frozen=True):
    """A route that a plugin wants: by ``via``, or on its link if that is ""."""

    destination: str
    via: str = ""


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin has handed over for an endpoint: a link in the host's namespace, ``source``,
    and routes. ``gateway`` and ``gateway6`` (without prefix, "" for none) lead out. One that is
    ``aside`` wants no other way out to be made for it."""

    source: str
    gateway: str = ""
    gateway6: str = ""
    routes: tuple[HandedRoute, ...] = ()
    aside: bool = False

    @property
    def leads_out(self) -> bool:
        """Whether there is a default route by it."""
        routes = (each.destination in ("default", "::/0") for each in self.routes)
        return bool(self.gateway or self.gateway6) or any(routes)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox's interface on one network.

    ``link`` is its name inside the sandbox (eth0…), ``port`` the bridge side's name (vethN in an
    overlay's namespace, veth<7 hex> on a host bridge). ``address`` and ``address6`` (IPv6, "" for
    none) have a prefix length. ``vips`` are the VIPs (no prefix, of both families) of the service
    that the container itself belongs to. ``sysctls`` are those that its user wants set. On a
    plugin's network there is no interface before the plugin has ``handed`` it over.
    """

    id: str
    network_id: str
    network_name: str
    link: str
    port: str
    address: str
    mac: str
    vips: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    address6: str = ""
    sysctls: dict[str, str] = {}
    handed: Handed | None = None


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a container that its user publishes on this host (``-p``), at ``address``: "" for
    any, "0.0.0.0" and "::" for any of one family. As asked for, ``published`` is 0 for any port and
    ``last`` the end of a range, 0 for none; as carried out, ``published`` is the port."""

    protocol: str
    port: int
    address: str = ""
    published: int = 0
    last: int = 0


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """A container's network namespace. ``gateway`` is the endpoint that carries the default route
    (on docker_gwbridge or docker0), also listed in ``endpoints``; "" for none. ``ports`` are those
    that this host alone publishes for its task (mode host), ``options`` its service's;
    ``bindings`` those that a user publishes for it."""

    id: str
    container_id: str = ""
    container_name: str = ""
    task_id: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    gateway: str = ""
    ports: tuple[PortConfig, ...] = ()
    options: dict[str, str] = {}
    bindings: tuple[Binding, ...] = ()

    @property
    def namespace(self) -> str:
        """The name of its network namespace."""
        return self.id if self.id == INGRESS_SANDBOX else self.id[:SHORT]


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge in the host's namespace: docker0, docker_gwbridge or a user's own.

    ``icc`` false keeps its containers from each other; ``address`` is the gateway with prefix,
    ``address6`` that of IPv6, "" if it has none. Nothing is forwarded to or from an ``internal``
    one. ``mode`` and ``mode6`` are Docker's gateway modes: nat (from elsewhere only published ports
    are reached), nat-unprotected, routed (nothing is translated), isolated. The host itself has no
    IPv4 address on it if ``inhibited``. On a bridge that is ``named`` containers have names.
    ``source`` and ``source6`` are the host's addresses that its containers speak with outside, ""
    for whichever the way out has. What comes by the ``trusted`` links reaches every port.
    """

    network_id: str
    network_name: str
    name: str
    address: str
    icc: bool = True
    masquerade: bool = True
    mtu: int = 1500
    address6: str = ""
    internal: bool = False
    inhibited: bool = False
    mode: str = "nat"
    mode6: str = "nat"
    named: bool = False
    source: str = ""
    source6: str = ""
    trusted: tuple[str, ...] = ()


class Lower(msgspec.Struct, frozen=True, kw_only=True):
    """A network that shares a link of the host, ``parent``, by ``driver`` macvlan or ipvlan in
    ``mode``. ``vlan`` is the number of the VLAN for which that link is made, 0 if it was there.
    Gateways ("" for none) are without prefix."""

    network_id: str
    network_name: str
    driver: str
    mode: str
    parent: str
    vlan: int = 0
    gateway: str = ""
    gateway6: str = ""
    mtu: int = 0


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A network whose interfaces a plugin makes (``driver``)."""

    network_id: str
    network_name: str
    driver: str


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides what this host's kernel should contain.

    ``underlay_mtu`` is the MTU of the link that carries ``vtep``. ``networks`` are those present
    here; ``sandboxes`` includes the ingress sandbox when this host has one. ``advertised_to`` are
    the links of the host's own that take their IPv6 routes from routers' advertisements.
    ``balancer`` is what shares connections out here: nft or ipvs. ``keys`` are this host's own
    tunnel keys, none where it has no WireGuard; ``secure_slots`` says by which of them peers are to
    be reached. ``paths`` are the largest packets (bytes) that get to a peer's tunnel end, of the
    peers that not all do which the link takes; ``secure_paths`` the same inside WireGuard.
    """

    node_id: str = ""
    vtep: str = ""
    underlay_mtu: int = 1500
    data_path_port: int = 4789
    ingress_network: str = ""
    peers: dict[str, PeerNode] = {}
    networks: dict[str, NetworkAssignment] = {}
    sandboxes: tuple[Sandbox, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    lowers: tuple[Lower, ...] = ()
    remotes: tuple[Remote, ...] = ()
    advertised_to: tuple[str, ...] = ()
    balancer: str = "nft"
    keys: tuple[TunnelKey, ...] = ()
    secure_slots: dict[str, int] = {}
    paths: dict[str, int] = {}
    secure_paths: dict[str, int] = {}


class LocalNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network of this host alone: none, host, bridge (docker0), docker_gwbridge, and those that
    users make.

    ``subnet`` and ``gateway`` ("172.17.0.0/16", "172.17.0.1") and ``bridge``, the device's name,
    are "" for none and host. ``subnet6`` and ``gateway6`` are those of IPv6, "" without. ``ipam``
    is what a user's network was given, gateways filled in. A ``config_only`` network is a form for
    others, which name it in ``config_from``. ``vlan`` is the number of the VLAN that a network on a
    parent link has made, 0 for none. ``ipam_driver`` is the plugin that gives the addresses, "" for
    Skep itself, ``pool`` and ``pool6`` its names for the subnets; ``scope`` is what the plugin that
    is the driver says.
    """

    id: str
    name: str
    driver: str
    created_at: float
    subnet: str = ""
    gateway: str = ""
    bridge: str = ""
    options: dict[str, str] = {}
    subnet6: str = ""
    gateway6: str = ""
    ipam: tuple[IpamConfig, ...] = ()
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    config_only: bool = False
    config_from: str = ""
    vlan: int = 0
    labels: dict[str, str] = {}
    scope: str = "local"
    ipam_driver: str = ""
    ipam_options: dict[str, str] = {}
    pool: str = ""
    pool6: str = ""

    @property
    def remote(self) -> bool:
        """Whether its driver is a plugin."""
        return self.driver not in OWN_DRIVERS


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asked for of a container's place on a network, beside addresses and aliases."""

    mac: str = ""
    links: tuple[str, ...] = ()
    options: dict[str, str] = {}
    gw_priority: int = 0


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A container that this host keeps a record of (all that were created through Skep).

    ``network_mode`` and ``networks`` are as the user asked; ``sandbox`` is None when it has none
    (host network, another container's). ``task_id`` is set for tasks of services. ``health`` is
    starting, healthy or unhealthy while it runs with a health check, else "". ``published``
    are the ports to publish as its user wrote them, what became of them is in the sandbox.
    ``limits`` are those that were changed since it was created, by the names of Docker's Resources.
    ``asked`` is what of the create request its user is shown again as it was said. ``created_at``
    is when that request came (Unix seconds).
    """

    id: str
    name: str
    image: str
    network_mode: str
    created_at: float = 0.0
    networks: tuple[str, ...] = ()
    aliases: dict[str, tuple[str, ...]] = {}
    addresses: dict[str, str] = {}
    addresses6: dict[str, str] = {}
    sandbox: Sandbox | None = None
    task_id: str = ""
    exposed_ports: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    health: str = ""
    published: tuple[Binding, ...] = ()
    publish_all: bool = False
    places: dict[str, Place] = {}
    limits: dict[str, int | str] = {}
    asked: dict[str, Any] = {}
