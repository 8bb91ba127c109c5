"""Requests about swarm-scoped networks."""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster import rpc
from skep.cluster.context import Context
from skep.cluster.control.names import check_name
from skep.cluster.entries import give_ingress_addresses, take_ingress_addresses
from skep.cluster.linkoptions import MTU, check_mtu
from skep.cluster.lives import is_live
from skep.cluster.needs import publishes_ingress
from skep.cluster.parents import subnets_on_links
from skep.cluster.segments import segments
from skep.cluster.state import Draft
from skep.cluster.subnets import INGRESS_VNI, choose_vnis, parse_vnis, used_vnis
from skep.model.cluster import Network, Subnet
from skep.model.errors import Clash, Invalid, Unsupported
from skep.model.secure import ENCRYPTED_OPTION, OFF, ON
from skep.model.spec import IpamConfig, NetworkSpec

DRIVER = "overlay"
VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"
LEAST_MTU = 576
LEAST_MTU6 = 1280
"""What every link of IPv6 carries (RFC 8200)."""
MOST_OVERHEAD = 150
"""Bytes that an encrypted tunnel takes at most of a packet on the underlay."""

LATER = {
    "dsr": "direct server return (option dsr) is not supported",
}
"""Driver options that Docker acts on and Skep does not: better refused than ignored."""


def create_network(draft: Draft, context: Context, spec: NetworkSpec) -> str:
    """Make an overlay network; answers its id.

    Its subnets are as `skep.cluster.segments` says; an ingress network gives every node an address
    at once. Raises `Invalid`, `Clash`
    (name or VXLAN id taken), `Forbidden` (subnet overlaps), `Unsupported`, `Unavailable` (pools
    used up).
    """
    spec = replace(spec, driver=spec.driver or DRIVER)
    _check(draft, spec)
    subnets = subnets_on_links(draft, spec) if spec.lower else _tunnelled(draft, spec)
    ipv6 = any(each.config6 for each in subnets) if spec.form else spec.enable_i_pv6
    network = Network(
        id=context.new_id(),
        created_at=context.now,
        updated_at=context.now,
        spec=replace(spec, scope="swarm", enable_i_pv6=ipv6),
        subnets=subnets,
    )
    draft.put(network)
    if spec.ingress:
        give_ingress_addresses(draft)
    return network.id


def _tunnelled(draft: Draft, spec: NetworkSpec) -> tuple[Subnet, ...]:
    """The subnets of an overlay network, each with the number of its tunnel."""
    pairs = segments(draft, spec)
    vnis = _vnis(draft, spec, len(pairs))
    return tuple(
        Subnet(four, vni, config6=six) for (four, six), vni in zip(pairs, vnis, strict=True)
    )


def _check(draft: Draft, spec: NetworkSpec) -> None:
    if spec.driver != DRIVER and not spec.lower:
        raise Unsupported(
            f"networks of driver {spec.driver} cannot have the scope swarm: use --driver overlay, "
            "or macvlan or ipvlan on links of the hosts"
        )
    if spec.scope not in ("", "swarm", "global"):
        raise Invalid(f"an overlay network cannot have the scope {spec.scope}")
    if spec.config_only or (spec.form and not spec.lower):
        raise Unsupported(
            "an overlay network cannot be made from a configuration network: its subnets are the "
            "same on all hosts, so give them with --subnet"
        )
    if spec.ingress and spec.lower:
        raise Invalid("the ingress network is an overlay network: use --driver overlay")
    if spec.attachable and spec.ingress:
        raise rpc.invalid("ingress network cannot be attachable")
    check_name(spec.name)
    if spec.enable_i_pv4 is False:
        raise Unsupported(
            "an overlay network of IPv6 alone (--ipv4=false) is not supported: leave IPv4 on, it "
            "does not show where nobody uses it"
        )
    _check_options(spec)
    if draft.network_named(spec.name) is not None:
        raise Clash(f"network with name {spec.name} already exists")
    if spec.ingress and draft.ingress is not None:
        raise rpc.exists(f"ingress network ({draft.ingress.id}) is already present")


def _check_options(spec: NetworkSpec) -> None:
    for option, sentence in LATER.items():
        value = spec.options.get(option)
        if value is not None:
            raise Unsupported(sentence)
    secrecy = spec.options.get(ENCRYPTED_OPTION, "")
    if secrecy.lower() not in ON | OFF:
        raise Invalid(
            f"invalid value for {ENCRYPTED_OPTION}: {secrecy!r} is neither true nor false"
        )
    check_mtu(spec.options, LEAST_MTU)
    mtu = spec.options.get(MTU)
    if mtu is not None and spec.enable_i_pv6 and int(mtu) - MOST_OVERHEAD < LEAST_MTU6:
        raise Invalid(
            f"invalid value for {MTU}: IPv6 needs packets of {LEAST_MTU6} bytes inside the network,"
            f" which take an MTU of {LEAST_MTU6 + MOST_OVERHEAD}"
        )
    if spec.ipam.driver not in ("", "default"):
        raise Invalid(
            f"legacy plugin {spec.ipam.driver} of type IpamDriver is not supported in swarm mode"
        )
    if spec.ipam.options:
        raise Unsupported("IPAM options are not supported yet")


def _vnis(draft: Draft, spec: NetworkSpec, count: int) -> list[int]:
    wanted = parse_vnis(spec.options[VXLAN_IDS]) if spec.options.get(VXLAN_IDS) else ()
    if len(wanted) > count:
        raise Invalid(f"{len(wanted)} VXLAN ids for {count} subnets")
    if spec.ingress and not wanted and INGRESS_VNI not in used_vnis(draft):
        wanted = (INGRESS_VNI,)
    return choose_vnis(draft, wanted, count)


def add_subnets(
    draft: Draft, context: Context, reference: str, configs: tuple[IpamConfig, ...]
) -> None:
    """Give a network more subnets; what is on it stays as it is, and reaches them.

    Raises `Missing`, `Invalid`, `Forbidden` (subnet overlaps), `Unsupported` (ingress network).
    """
    network = draft.find_network(reference)
    if network.spec.ingress:
        raise Unsupported(
            "the ingress network cannot get another subnet, because answers of the routing mesh "
            "find their way within one: remove it and make it anew with a larger one"
        )
    if network.spec.lower:
        raise Unsupported(
            f"network {network.spec.name} is on a segment of the hosts, which has one subnet: make "
            "another network"
        )
    if not configs:
        raise Invalid("invalid network config:\nno subnet to add was given")
    ipam = replace(network.spec.ipam, config=configs)
    pairs = segments(draft, replace(network.spec, ipam=ipam))
    vnis = choose_vnis(draft, (), len(pairs))
    added = [Subnet(four, vni, config6=six) for (four, six), vni in zip(pairs, vnis, strict=True)]
    subnets = (*network.subnets, *added)
    draft.put(replace(network, subnets=subnets, updated_at=context.now))


def remove_network(draft: Draft, _context: Context, reference: str) -> None:
    """Remove a network that nothing uses. Without the ingress network there is no routing mesh,
    until another one is made.

    Raises `Missing`, `Invalid` (in use).
    """
    network = draft.find_network(reference)
    if network.spec.ingress:
        for service in draft.services.values():
            if publishes_ingress(service.spec):
                raise rpc.precondition(
                    f"ingress network cannot be removed because service {service.id} depends on it"
                )
    for service in draft.services_of_network(network.id):
        raise rpc.precondition(f"network {network.id} is in use by service {service.id}")
    for task in draft.tasks_of_network(network.id):
        if is_live(task):
            raise rpc.precondition(f"network {network.id} is in use by task {task.id}")
    if network.spec.ingress:
        take_ingress_addresses(draft)
    draft.delete(network)
