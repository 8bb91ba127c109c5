"""What a manager tells a host to be: everything its agent needs, and nothing else.

An assignment is a full picture at ``index`` (the store's revision). On the wire it travels as the
difference to the last one the host acknowledged (see ``cluster.delta``); all collections are maps
by id for that reason.
"""

from __future__ import annotations

import msgspec

from skep.model.cluster import Subnet, Task
from skep.model.secure import TunnelKey
from skep.model.spec import NetworkSpec, PortConfig


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the assignment's parts."""


class PeerNode(Entry, frozen=True):
    """Another host, or this one: its name, addresses, labels, and its ingress_sbox's ingress
    addresses (with prefix; the IPv6 one is "" if the ingress network has none); the public halves
    of its tunnel keys."""

    id: str
    hostname: str
    address: str
    vtep: str
    ingress_address: str
    manager_address: str = ""
    labels: dict[str, str] = {}
    ingress_address6: str = ""
    keys: tuple[TunnelKey, ...] = ()


class NetworkEndpoint(Entry, frozen=True):
    """An endpoint on a network, wherever it is.

    ``names`` are all it answers to (container or task name first). ``ready``: running and healthy,
    so it belongs into names and balancing; before that only neighbours and FDB know it.
    ``stack`` is the stack that its service belongs to, "" for none. ``address6`` is its IPv6
    address, "" on a network without.
    """

    task_id: str
    node_id: str
    address: str
    mac: str
    names: tuple[str, ...] = ()
    service_id: str = ""
    ready: bool = False
    stack: str = ""
    address6: str = ""


class NetworkService(Entry, frozen=True):
    """A service on a network. ``vip`` and ``vip6`` are "" for DNS round robin (and the latter on a
    network without IPv6), ``mark`` its firewall mark.

    ``ports`` are those published in ingress mode, and only set on the ingress network. ``stack``
    is the stack that the service belongs to, "" for none. ``created_at`` (Unix seconds) decides who
    has a name that several services claim. ``options`` are those of its labels that begin with
    ``skep.`` (see `skep.model.options`).
    """

    id: str
    name: str
    vip: str = ""
    mark: int = 0
    aliases: tuple[str, ...] = ()
    ports: tuple[PortConfig, ...] = ()
    stack: str = ""
    created_at: float = 0.0
    options: dict[str, str] = {}
    vip6: str = ""


class NetworkAssignment(Entry, frozen=True):
    """A swarm network that this host needs, or may need (``present`` false: known by name only, so
    that users can inspect it and attach to it; endpoints and services are then empty)."""

    id: str
    spec: NetworkSpec
    created_at: float
    subnets: tuple[Subnet, ...] = ()
    present: bool = False
    endpoints: dict[str, NetworkEndpoint] = {}
    services: dict[str, NetworkService] = {}


class Payload(Entry, frozen=True):
    """A secret's or config's content, for a host whose tasks use it."""

    id: str
    name: str
    data: bytes
    version: int = 0


class Assignment(Entry, frozen=True):
    """The whole of it. ``tasks`` are this host's own, service tasks and attachments alike.

    ``settled`` is the index up to which every connected host has applied what it was told; it is
    only kept up to date for hosts that have a task to stop. ``generation`` is that of the tunnel
    keys that every host is to have.
    """

    index: int = 0
    node_id: str = ""
    cluster_id: str = ""
    data_path_port: int = 4789
    mesh_key: bytes = b""
    settled: int = 0
    generation: int = 0
    peers: dict[str, PeerNode] = {}
    networks: dict[str, NetworkAssignment] = {}
    tasks: dict[str, Task] = {}
    secrets: dict[str, Payload] = {}
    configs: dict[str, Payload] = {}


class MapDelta(Entry, frozen=True):
    """Entries of one map to set (already encoded values by key) and keys to remove."""

    put: dict[str, msgspec.Raw] = {}
    remove: tuple[str, ...] = ()


class AssignmentDelta(Entry, frozen=True):
    """The change from the assignment at ``base`` (0: from nothing) to the one at ``index``."""

    base: int
    index: int
    scalars: msgspec.Raw
    peers: MapDelta = MapDelta()
    networks: MapDelta = MapDelta()
    tasks: MapDelta = MapDelta()
    secrets: MapDelta = MapDelta()
    configs: MapDelta = MapDelta()
    endpoints: dict[str, MapDelta] = {}
    services: dict[str, MapDelta] = {}
