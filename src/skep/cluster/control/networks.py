"""Requests about swarm-scoped networks."""

from __future__ import annotations

from ipaddress import IPv4Network

from msgspec.structs import replace

from skep.cluster import rpc
from skep.cluster.context import Context
from skep.cluster.control.names import check_name
from skep.cluster.lives import is_live
from skep.cluster.needs import publishes_ingress
from skep.cluster.state import Draft
from skep.cluster.subnets import (
    INGRESS_VNI,
    check_overlap,
    choose_vnis,
    completed,
    free_subnet,
    parse_vnis,
    taken_subnets,
    used_vnis,
)
from skep.model.cluster import Network, Subnet
from skep.model.errors import Clash, Invalid, Unsupported
from skep.model.spec import Ipam, IpamConfig, NetworkSpec

DRIVER = "overlay"
VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"
MTU = "com.docker.network.driver.mtu"
ENCRYPTED = "encrypted"
LEAST_MTU = 576
MOST_MTU = 65535

LATER = {
    ENCRYPTED: "encrypted overlay networks are not supported yet",
    "dsr": "direct server return (option dsr) is not supported",
}
"""Driver options that Docker acts on and Skep does not: better refused than ignored."""


def create_network(draft: Draft, context: Context, spec: NetworkSpec) -> str:
    """Make an overlay network; answers its id.

    Without subnets it gets the lowest free one of the swarm's pools. Raises `Invalid`, `Clash`
    (name or VXLAN id taken), `Forbidden` (subnet overlaps), `Unsupported`, `Unavailable` (pools
    used up).
    """
    _check(draft, spec)
    configs = _subnets(draft, spec.ipam)
    vnis = _vnis(draft, spec, len(configs))
    network = Network(
        id=context.new_id(),
        created_at=context.now,
        updated_at=context.now,
        spec=replace(spec, driver=DRIVER, scope="swarm"),
        subnets=tuple(Subnet(config, vni) for config, vni in zip(configs, vnis, strict=True)),
    )
    draft.put(network)
    return network.id


def _check(draft: Draft, spec: NetworkSpec) -> None:
    if spec.driver not in ("", DRIVER):
        raise Unsupported(f"swarm-scoped networks of driver {spec.driver} are not supported yet")
    if spec.scope not in ("", "swarm", "global"):
        raise Invalid(f"an overlay network cannot have the scope {spec.scope}")
    if spec.config_only or spec.config_from.get("Network"):
        raise Unsupported("config-only networks are not supported yet")
    if spec.attachable and spec.ingress:
        raise rpc.invalid("ingress network cannot be attachable")
    check_name(spec.name)
    if spec.enable_i_pv6 or spec.enable_i_pv4 is False:
        raise Unsupported("overlay networks are IPv4 only: IPv6 is not supported yet")
    _check_options(spec)
    if draft.network_named(spec.name) is not None:
        raise Clash(f"network with name {spec.name} already exists")
    if spec.ingress and draft.ingress is not None:
        raise rpc.exists(f"ingress network ({draft.ingress.id}) is already present")


def _check_options(spec: NetworkSpec) -> None:
    for option, sentence in LATER.items():
        value = spec.options.get(option)
        if value is not None and not (option == ENCRYPTED and value.lower() == "false"):
            raise Unsupported(sentence)
    mtu = spec.options.get(MTU)
    if mtu is not None and not (mtu.isdecimal() and LEAST_MTU <= int(mtu) <= MOST_MTU):
        raise Invalid(f"invalid value for {MTU}: {mtu!r} is not between {LEAST_MTU} and {MOST_MTU}")
    if spec.ipam.driver not in ("", "default"):
        raise Unsupported(f"IPAM driver {spec.ipam.driver} is not supported yet")
    if spec.ipam.options:
        raise Unsupported("IPAM options are not supported yet")


def _subnets(draft: Draft, ipam: Ipam) -> list[IpamConfig]:
    """The network's subnets, completed: the user's, or one from the pools."""
    if not ipam.config:
        return [completed(IpamConfig(subnet=str(free_subnet(draft))))]
    taken = taken_subnets(draft)
    found = []
    for config in ipam.config:
        if not config.subnet:
            if len(ipam.config) > 1 or config.ip_range or config.gateway:
                raise Invalid("invalid network config:\neach subnet of a network must be given")
            config = replace(config, subnet=str(free_subnet(draft)))  # noqa: PLW2901
        config = completed(config)  # noqa: PLW2901
        subnet = IPv4Network(config.subnet)
        check_overlap(subnet, taken)
        taken.append((subnet, "that is being created"))
        found.append(config)
    return found


def _vnis(draft: Draft, spec: NetworkSpec, count: int) -> list[int]:
    wanted = parse_vnis(spec.options[VXLAN_IDS]) if spec.options.get(VXLAN_IDS) else ()
    if len(wanted) > count:
        raise Invalid(f"{len(wanted)} VXLAN ids for {count} subnets")
    if spec.ingress and not wanted and INGRESS_VNI not in used_vnis(draft):
        wanted = (INGRESS_VNI,)
    return choose_vnis(draft, wanted, count)


def remove_network(draft: Draft, _context: Context, reference: str) -> None:
    """Remove a network that nothing uses.

    Raises `Missing`, `Invalid` (in use), `Unsupported` (the ingress network).
    """
    network = draft.find_network(reference)
    if network.spec.ingress:
        for service in draft.services.values():
            if publishes_ingress(service.spec):
                raise rpc.precondition(
                    f"ingress network cannot be removed because service {service.id} depends on it"
                )
        raise Unsupported("removing the ingress network is not supported yet")
    for service in draft.services_of_network(network.id):
        raise rpc.precondition(f"network {network.id} is in use by service {service.id}")
    for task in draft.tasks_of_network(network.id):
        if is_live(task):
            raise rpc.precondition(f"network {network.id} is in use by task {task.id}")
    draft.delete(network)
