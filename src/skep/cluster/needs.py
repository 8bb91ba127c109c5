"""What a service's spec asks for: networks, published ports, VIPs or not, secrets and configs."""

from __future__ import annotations

from skep.model.cluster import Service
from skep.model.spec import (
    EndpointSpec,
    NetworkAttachmentConfig,
    PortConfig,
    ServiceSpec,
    TaskSpec,
)

DNSRR = "dnsrr"
INGRESS_MODE = "ingress"
HOST_MODE = "host"

STACK_LABEL = "com.docker.stack.namespace"
"""What ``docker stack deploy`` labels all that belongs to a stack with."""


def bare(address: str) -> str:
    """An address without its prefix length."""
    return address.partition("/")[0]


def networks_of(spec: ServiceSpec) -> tuple[NetworkAttachmentConfig, ...]:
    """The networks that a service asks for; the spec's own list is the older place for them."""
    return spec.task_template.networks or spec.networks


def endpoint_of(spec: ServiceSpec) -> EndpointSpec:
    """How the service wants to be reached, defaults filled in."""
    return spec.endpoint_spec or EndpointSpec()


def is_round_robin(spec: ServiceSpec) -> bool:
    """Whether the service is found by its tasks' addresses instead of a VIP."""
    return endpoint_of(spec).mode == DNSRR


def publishes_ingress(spec: ServiceSpec) -> bool:
    """Whether the service publishes a port on every node, and so needs the ingress network."""
    return any(port.publish_mode == INGRESS_MODE for port in endpoint_of(spec).ports)


def task_networks(spec: ServiceSpec, ingress_id: str) -> tuple[str, ...]:
    """The networks of each task, in the order of its interfaces: ingress first, then the spec's.

    ``ingress_id`` is the ingress network's id, "" if there is none.
    """
    ingress = [ingress_id] if ingress_id and publishes_ingress(spec) else []
    return tuple(dict.fromkeys([*ingress, *(config.target for config in networks_of(spec))]))


def virtual_networks(spec: ServiceSpec, ingress_id: str) -> tuple[str, ...]:
    """The networks on which the service has a VIP, the ingress network first."""
    return () if is_round_robin(spec) else task_networks(spec, ingress_id)


def is_everywhere(spec: ServiceSpec) -> bool:
    """Whether the service has a task on every node that will do, instead of a number of them."""
    return spec.mode.global_ is not None or spec.mode.global_job is not None


def is_allocated(service: Service) -> bool:
    """Whether the service has the addresses and ports that its spec asks for."""
    allocated = service.endpoint
    if allocated is None or allocated.spec != endpoint_of(service.spec):
        return False
    if is_round_robin(service.spec):
        return True
    wanted = {config.target for config in networks_of(service.spec)}
    held = {vip.network_id for vip in allocated.virtual_ips}
    # Whose id the ingress network's is cannot be told from the service alone.
    return wanted <= held and len(held) == len(wanted) + publishes_ingress(service.spec)


def host_ports(spec: ServiceSpec) -> tuple[PortConfig, ...]:
    """The ports that each task publishes on its own host; 0 asks the host for any."""
    return tuple(port for port in endpoint_of(spec).ports if port.publish_mode == HOST_MODE)


def ingress_ports(ports: tuple[PortConfig, ...]) -> tuple[PortConfig, ...]:
    """Those of a service's ports that every host publishes."""
    return tuple(port for port in ports if port.publish_mode == INGRESS_MODE)


def stack_of(spec: ServiceSpec) -> str:
    """The stack that the service belongs to, "" for none."""
    return spec.labels.get(STACK_LABEL, "")


def secret_ids(spec: TaskSpec) -> tuple[str, ...]:
    """The secrets that a task gets as files."""
    container = spec.container_spec
    return tuple(reference.secret_id for reference in container.secrets) if container else ()


def config_ids(spec: TaskSpec) -> tuple[str, ...]:
    """The configs that a task gets as files."""
    container = spec.container_spec
    return tuple(reference.config_id for reference in container.configs) if container else ()


def secret_path(target: str) -> str:
    """Where a secret's file is in the container."""
    return target if target.startswith("/") else f"/run/secrets/{target}"


def config_path(target: str) -> str:
    """Where a config's file is in the container."""
    return target if target.startswith("/") else f"/{target}"
