"""What users ask for, in the Engine API's own nouns and field names.

The structs decode Docker's JSON as it is (after ``null`` members are dropped: Go clients send
``null`` for empty lists and maps) and encode back to it. Durations are nanoseconds, memory bytes.

Source: Docker Engine API 1.50: ServiceSpec, TaskSpec, EndpointSpec, NetworkCreateRequest.
"""

from __future__ import annotations

import msgspec

from skep.model.container import ContainerSpec, DnsConfig, DriverConfig, Mount, Spec

SECOND = 1_000_000_000


class Limit(Spec, frozen=True):
    """Resource limits: CPU in billionths, memory in bytes, number of processes."""

    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0
    pids: int = 0


class NamedResource(Spec, frozen=True):
    """One named unit of a generic resource: kind and value."""

    kind: str = ""
    value: str = ""


class DiscreteResource(Spec, frozen=True):
    """A number of units of a generic resource."""

    kind: str = ""
    value: int = 0


class GenericResource(Spec, frozen=True):
    """A resource that only its users know the meaning of; exactly one member is set."""

    named_resource_spec: NamedResource | None = None
    discrete_resource_spec: DiscreteResource | None = None


class Reservation(Spec, frozen=True):
    """Resources set aside on the node."""

    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0
    generic_resources: tuple[GenericResource, ...] = ()


class Resources(Spec, frozen=True):
    """Limits and reservations of a task."""

    limits: Limit | None = None
    reservations: Reservation | None = None


class RestartPolicy(Spec, frozen=True):
    """When a stopped task is replaced: none, on-failure or any; delays in nanoseconds."""

    condition: str = "any"
    delay: int | None = None
    max_attempts: int | None = None
    window: int | None = None


class SpreadOver(Spec, frozen=True):
    """Spread over the values of a label: node.labels.x, engine.labels.x, node.id, …"""

    spread_descriptor: str = ""


class Preference(Spec, frozen=True):
    """One placement preference."""

    spread: SpreadOver | None = None


class Placement(Spec, frozen=True):
    """Where tasks may run."""

    constraints: tuple[str, ...] = ()
    preferences: tuple[Preference, ...] = ()
    max_replicas: int = 0
    platforms: tuple[dict[str, str], ...] = ()


class NetworkAttachmentConfig(Spec, frozen=True):
    """A network of a task: id or name, and aliases there."""

    target: str = ""
    aliases: tuple[str, ...] = ()
    driver_opts: dict[str, str] = {}


class TaskSpec(Spec, frozen=True):
    """What each task of a service runs."""

    container_spec: ContainerSpec | None = None
    resources: Resources | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    log_driver: DriverConfig | None = None
    force_update: int = 0
    runtime: str = ""


class Replicated(Spec, frozen=True):
    """``--replicas N``."""

    replicas: int | None = None


class ReplicatedJob(Spec, frozen=True):
    """Run to completion so many times, so many at once (0: all of them)."""

    max_concurrent: int | None = None
    total_completions: int | None = None


class ServiceMode(Spec, frozen=True):
    """Exactly one of the modes is set."""

    replicated: Replicated | None = None
    replicated_job: ReplicatedJob | None = None
    global_job: dict[str, str] | None = None
    # "Global" is any object; None means not this mode.
    global_: dict[str, str] | None = msgspec.field(default=None, name="Global")


class PortConfig(Spec, frozen=True):
    """A published port: protocol tcp, udp or sctp; published 0 asks for a dynamic one."""

    name: str = ""
    protocol: str = "tcp"
    target_port: int = 0
    published_port: int = 0
    publish_mode: str = "ingress"


class EndpointSpec(Spec, frozen=True):
    """How the service is reached: ``vip`` or ``dnsrr``, and its published ports."""

    mode: str = "vip"
    ports: tuple[PortConfig, ...] = ()


class UpdateConfig(Spec, frozen=True):
    """How an update or rollback proceeds; delays in nanoseconds."""

    parallelism: int = 0
    delay: int = 0
    failure_action: str = ""
    monitor: int = 0
    max_failure_ratio: float = 0.0
    order: str = ""


class ServiceSpec(Spec, frozen=True):
    """A service as its user wrote it."""

    name: str = ""
    labels: dict[str, str] = {}
    task_template: TaskSpec = TaskSpec()
    mode: ServiceMode = ServiceMode()
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    endpoint_spec: EndpointSpec | None = None


class IpamConfig(Spec, frozen=True):
    """One subnet of a network."""

    subnet: str = ""
    ip_range: str = msgspec.field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = {}


class Ipam(Spec, frozen=True):
    """Address management of a network."""

    driver: str = "default"
    options: dict[str, str] | None = None
    config: tuple[IpamConfig, ...] = ()


LOWER_MODES = {
    "macvlan": ("bridge", "private", "vepa", "passthru"),
    "ipvlan": ("l2", "l3", "l3s"),
}
"""The drivers that put containers onto a link of their host, with their modes, the usual first."""


class NetworkSpec(Spec, frozen=True):
    """``POST /networks/create``."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: dict[str, str] = {}
    enable_i_pv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    enable_i_pv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    ipam: Ipam = msgspec.field(default=Ipam(), name="IPAM")
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    check_duplicate: bool = False

    @property
    def lower(self) -> bool:
        """Whether containers are on a link of their host, and not on a bridge of ours."""
        return self.driver in LOWER_MODES

    @property
    def form(self) -> str:
        """The configuration network that it is made from, "" for none."""
        return self.config_from.get("Network", "")


class SecretSpec(Spec, frozen=True):
    """A secret or a config as its user wrote it. ``data`` is base64 on the wire."""

    name: str = ""
    labels: dict[str, str] = {}
    data: bytes = b""
    templating: DriverConfig | None = None


class NodeSpec(Spec, frozen=True):
    """What users decide about a node: role worker or manager; active, pause or drain."""

    name: str = ""
    labels: dict[str, str] = {}
    role: str = "worker"
    availability: str = "active"


__all__ = [
    "SECOND",
    "ContainerSpec",
    "DnsConfig",
    "DriverConfig",
    "Mount",
    "Spec",
    "Limit",
    "NamedResource",
    "DiscreteResource",
    "GenericResource",
    "Reservation",
    "Resources",
    "RestartPolicy",
    "SpreadOver",
    "Preference",
    "Placement",
    "NetworkAttachmentConfig",
    "TaskSpec",
    "Replicated",
    "ReplicatedJob",
    "ServiceMode",
    "PortConfig",
    "EndpointSpec",
    "UpdateConfig",
    "ServiceSpec",
    "IpamConfig",
    "Ipam",
    "NetworkSpec",
    "SecretSpec",
    "NodeSpec",
]
