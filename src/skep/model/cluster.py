"""The objects of a cluster, as the store keeps them. Each has one writer per field:

users write specs; the manager writes allocations and desired states; agents write what they
observed (through their session). References point one way: task -> service -> network.

``version`` is the store's revision of the object's last change (Docker's ``Version.Index``), 0
until it is stored. Instants are Unix seconds as float; 0.0 is "never".
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from skep.model.secure import TunnelKey
from skep.model.spec import (
    EndpointSpec,
    GenericResource,
    IpamConfig,
    NetworkSpec,
    NodeSpec,
    PortConfig,
    SecretSpec,
    ServiceSpec,
    TaskSpec,
)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all stored objects."""

    id: str
    version: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0


class Tokens(msgspec.Struct, frozen=True):
    """The secrets halves of the join tokens (25 base-36 digits each)."""

    worker: str
    manager: str


class Cluster(Record, frozen=True):
    """The one record of the swarm itself. ``ca_key`` never leaves the managers.

    ``generation`` is that of the tunnel keys, begun at ``generation_at``."""

    ca_certificate: str
    ca_key: str
    tokens: Tokens
    address_pools: tuple[str, ...] = ("10.0.0.0/8",)
    subnet_size: int = 24
    data_path_port: int = 4789
    task_history: int = 5
    heartbeat: float = 5.0
    certificate_days: int = 90
    mesh_key: bytes = b""
    labels: dict[str, str] = {}
    generation: int = 1
    generation_at: float = 0.0


class Platform(msgspec.Struct, frozen=True):
    """A host's architecture and operating system, in Go's words."""

    architecture: str = "x86_64"
    os: str = "linux"


class NodeDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself when its session begins."""

    hostname: str
    platform: Platform = Platform()
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic_resources: tuple[GenericResource, ...] = ()
    engine_version: str = ""
    engine_labels: dict[str, str] = {}
    images: tuple[str, ...] = ()


class TakenPort(msgspec.Struct, frozen=True, order=True):
    """A port of a host that a program of that host listens on, at ``address`` ("" for any), and
    who that is: "nginx (pid 123)"."""

    protocol: str
    port: int
    address: str
    holder: str

    @property
    def words(self) -> str:
        """As it is written: 80/tcp."""
        return f"{self.port}/{self.protocol}"


class Form(msgspec.Struct, frozen=True):
    """A configuration network of a host: where addresses come from, and the driver's options."""

    name: str
    ipam: tuple[IpamConfig, ...] = ()
    options: dict[str, str] = {}
    ipv6: bool = False
    internal: bool = False


class Grounds(msgspec.Struct, frozen=True):
    """What a host has for networks on its links: the drivers that its kernel knows, and its
    configuration networks."""

    drivers: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()


class Node(Record, frozen=True):
    """A host of the cluster.

    ``address`` is where others reach it, ``vtep`` the address its VXLAN tunnels end at.
    ``ingress_address`` (with prefix) is its ingress_sbox's own address on the ingress network,
    ``ingress_address6`` its IPv6 one, "" if that network has none.
    ``state`` is unknown, down, ready or disconnected. ``taken`` are the ports that programs of its
    own listen on, ``keys`` the public halves of its tunnel keys, at most one for each slot;
    ``grounds`` is what it has for networks on its links.
    """

    spec: NodeSpec = NodeSpec()
    description: NodeDescription = NodeDescription(hostname="")
    address: str = ""
    vtep: str = ""
    manager_address: str = ""
    state: str = "unknown"
    message: str = ""
    ingress_address: str = ""
    seen_at: float = 0.0
    ingress_address6: str = ""
    taken: tuple[TakenPort, ...] = ()
    keys: tuple[TunnelKey, ...] = ()
    grounds: Grounds = Grounds()


class Subnet(msgspec.Struct, frozen=True):
    """A subnet that the cluster gave to a network, the VNI that carries it, and the allocation's
    cursor: the last address given out, so that a freed one rests as long as it can.

    A network on links of the hosts has no VNI (0), and one of these for each range of its subnet.

    On a network with IPv6, ``config6`` is the IPv6 subnet on the same bridge, with its own cursor.
    """

    config: IpamConfig
    vni: int
    cursor: str = ""
    config6: IpamConfig | None = None
    cursor6: str = ""


class Network(Record, frozen=True):
    """A swarm-scoped network: the user's spec and what was allocated for it."""

    spec: NetworkSpec
    subnets: tuple[Subnet, ...] = ()


class VirtualIp(msgspec.Struct, frozen=True):
    """A service's addresses (with prefix length of the subnet) on one network; ``address6`` is ""
    on a network without IPv6."""

    network_id: str
    address: str
    address6: str = ""


class ServiceEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was allocated for a service: its spec's ports with dynamic ones filled in, its VIPs (the
    ingress network's first), and its firewall mark (0: none)."""

    spec: EndpointSpec = EndpointSpec()
    ports: tuple[PortConfig, ...] = ()
    virtual_ips: tuple[VirtualIp, ...] = ()
    mark: int = 0


class UpdateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the last update goes. ``state`` is updating, paused, completed, rollback_started,
    rollback_paused or rollback_completed.

    Of the ``slots`` that had to be renewed when it began, ``failures`` got a task that ended early.
    """

    state: str
    started_at: float = 0.0
    completed_at: float = 0.0
    message: str = ""
    slots: int = 0
    failures: int = 0


class JobStatus(msgspec.Struct, frozen=True):
    """Which run of a job this is, and when it was last asked for."""

    iteration: int = 0
    last_execution: float = 0.0


class Service(Record, frozen=True):
    """A service: what the user wants, what was allocated."""

    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    spec_version: int = 0
    endpoint: ServiceEndpoint | None = None
    update_status: UpdateStatus | None = None
    job: JobStatus | None = None


class Secret(Record, frozen=True):
    """A secret. Its data leaves the managers only for hosts whose tasks use it."""

    spec: SecretSpec


class Config(Record, frozen=True):
    """A config: as a secret, but users may read it back."""

    spec: SecretSpec


class TaskState(IntEnum):
    """A task's life. It only moves forward. Source: swarmkit's task model."""

    NEW = 0
    ALLOCATED = 64
    PENDING = 128
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832

    @property
    def word(self) -> str:
        """The API's word for it."""
        return self.name.lower()


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What was observed of a task, and when. ``error`` is a sentence for ``docker service ps``."""

    state: TaskState = TaskState.NEW
    timestamp: float = 0.0
    message: str = ""
    error: str = ""
    container_id: str = ""
    pid: int = 0
    exit_code: int = 0
    ports: tuple[PortConfig, ...] = ()


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A task's place on a network: its addresses with prefix (``address6`` is "" on a network
    without IPv6), its aliases there."""

    network_id: str
    address: str
    aliases: tuple[str, ...] = ()
    address6: str = ""


class Task(Record, frozen=True):
    """One run of one container on one host, or (``container_name`` set, no service) the attachment
    of a container that a user started by hand on a host to swarm networks.

    A global service's task has its ``node_id`` from the start; any is only assigned once its state
    says so. ``host_ports`` are the ports it publishes on its own host (mode host),
    ``generic_resources`` those of its host that were set aside for it. ``replaces`` is the task
    that it takes over from, ``running_since`` when a manager first heard of it running.
    ``options`` are those of its service's labels that begin with ``skep.``.
    """

    service_id: str = ""
    slot: int = 0
    node_id: str = ""
    spec: TaskSpec = TaskSpec()
    spec_version: int = 0
    service_name: str = ""
    container_name: str = ""
    labels: dict[str, str] = {}
    desired_state: TaskState = TaskState.RUNNING
    status: TaskStatus = TaskStatus()
    attachments: tuple[Attachment, ...] = ()
    job_iteration: int = 0
    host_ports: tuple[PortConfig, ...] = ()
    generic_resources: tuple[GenericResource, ...] = ()
    replaces: str = ""
    running_since: float = 0.0
    options: dict[str, str] = {}

    @property
    def wanted(self) -> bool:
        """Whether it should run; of a job, run to its end. If not, it should stop, or is history.

        Its container is kept while it is wanted, even after a job's task has ended.
        """
        return self.desired_state < TaskState.SHUTDOWN

    @property
    def name(self) -> str:
        """``service.slot.id``, as container and DNS name; a hand-started container's own name."""
        if self.container_name:
            return self.container_name
        return f"{self.service_name}.{self.slot or self.node_id}.{self.id}"
