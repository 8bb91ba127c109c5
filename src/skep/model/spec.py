"""What users ask for, in the Engine API's own nouns and field names.

The structs decode Docker's JSON as it is (after ``null`` members are dropped: Go clients send
``null`` for empty lists and maps) and encode back to it. Durations are nanoseconds, memory bytes.

Source: Docker Engine API 1.50: ServiceSpec, TaskSpec, EndpointSpec, NetworkCreateRequest.
"""

from __future__ import annotations

import msgspec

SECOND = 1_000_000_000


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """Base: immutable, keyword-only, PascalCase on the wire, defaults left out."""


class Mount(Spec, frozen=True):
    """A mount of a container: bind, volume or tmpfs."""

    type: str = "volume"
    source: str = ""
    target: str = ""
    read_only: bool = False


class DnsConfig(Spec, frozen=True):
    """``--dns``, ``--dns-search``, ``--dns-option``."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class ContainerSpec(Spec, frozen=True):
    """The container of a service's task."""

    image: str = ""
    labels: dict[str, str] = {}
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    hostname: str = ""
    env: tuple[str, ...] = ()
    dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    init: bool | None = None
    stop_signal: str = ""
    tty: bool = msgspec.field(default=False, name="TTY")
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    stop_grace_period: int | None = None
    hosts: tuple[str, ...] = ()
    dns_config: DnsConfig | None = msgspec.field(default=None, name="DNSConfig")
    isolation: str = ""
    sysctls: dict[str, str] = {}
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()


class Limit(Spec, frozen=True):
    """Resource limits: CPU in billionths, memory in bytes, number of processes."""

    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0
    pids: int = 0


class Reservation(Spec, frozen=True):
    """Resources set aside on the node."""

    nano_cpus: int = msgspec.field(default=0, name="NanoCPUs")
    memory_bytes: int = 0


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


class Placement(Spec, frozen=True):
    """Where tasks may run."""

    constraints: tuple[str, ...] = ()
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
    force_update: int = 0
    runtime: str = ""


class Replicated(Spec, frozen=True):
    """``--replicas N``."""

    replicas: int | None = None


class ServiceMode(Spec, frozen=True):
    """Exactly one of the modes is set."""

    replicated: Replicated | None = None
    # "Global" is any object; None means not this mode.
    global_: dict[str, str] | None = msgspec.field(default=None, name="Global")
    replicated_job: dict[str, int] | None = None
    global_job: dict[str, str] | None = None


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


class NodeSpec(Spec, frozen=True):
    """What users decide about a node: role worker or manager; active, pause or drain."""

    name: str = ""
    labels: dict[str, str] = {}
    role: str = "worker"
    availability: str = "active"
