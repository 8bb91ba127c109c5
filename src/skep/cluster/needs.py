"""What a service's spec asks of networking: which networks, which published ports, VIPs or not."""

from __future__ import annotations

from skep.model.spec import EndpointSpec, NetworkAttachmentConfig, ServiceSpec

DNSRR = "dnsrr"
INGRESS_MODE = "ingress"


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
