"""From what a host was assigned and remembers to the view its kernel is planned from. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterable, Mapping

import msgspec

from skep.agent.addresses import Lease, free_address, given_address, next_address, next_name
from skep.agent.locals import GATEWAY_BRIDGE, IFACE_PREFIX, bridge_of, ipam6_of, ipam_of
from skep.agent.options import IFNAME, MACADDRESS, endpoint_options
from skep.agent.records import Record, Wanted
from skep.model import ula
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Attachment
from skep.model.errors import Broken, Invalid, Unavailable
from skep.model.host import (
    INGRESS_SANDBOX,
    MOST_PORTS,
    Bridge,
    Endpoint,
    HostView,
    LocalNetwork,
    Sandbox,
)
from skep.model.ids import mac_of
from skep.plan.layout import overlay_mtu

LEAST_MTU6 = 1280
"""What a link must carry to speak IPv6 (RFC 8200)."""


class Underlay(msgspec.Struct, frozen=True):
    """Where this host's tunnels end, and the MTU of the link that carries them; whether its kernel
    has IPv6, and the links that take their IPv6 routes from routers."""

    vtep: str = ""
    mtu: int = 1500
    ipv6: bool = True
    advertised_to: tuple[str, ...] = ()


def derived_id(*parts: str) -> str:
    """A 64-digit id that follows from what it identifies, the same after every restart."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


def ingress_network(assignment: Assignment) -> NetworkAssignment | None:
    """The ingress network, if the swarm has one."""
    for network in assignment.networks.values():
        if network.spec.ingress:
            return network
    return None


def bridge_endpoint(sandbox_id: str, bridge: Bridge, address: str, link: str) -> Endpoint:
    """An endpoint on one of the host's bridges; its port is named after its id."""
    endpoint_id = derived_id(sandbox_id, bridge.network_id)
    return Endpoint(
        id=endpoint_id,
        network_id=bridge.network_id,
        network_name=bridge.network_name,
        link=link,
        port=f"veth{endpoint_id[:7]}",
        address=address,
        mac=mac_of(address),
    )


def ingress_sandbox(assignment: Assignment, bridges: Iterable[Bridge]) -> Sandbox | None:
    """This host's entry to the mesh: a leg on the ingress network, a leg on docker_gwbridge."""
    network = ingress_network(assignment)
    me = assignment.peers.get(assignment.node_id)
    gateway = next((b for b in bridges if b.name == GATEWAY_BRIDGE), None)
    if network is None or me is None or not me.ingress_address or gateway is None:
        return None
    leg = bridge_endpoint(INGRESS_SANDBOX, gateway, second_address(gateway.address), "eth1")
    inner = Endpoint(
        id=derived_id(INGRESS_SANDBOX, network.id),
        network_id=network.id,
        network_name=network.spec.name,
        link="eth0",
        port="veth0",
        address=me.ingress_address,
        mac=mac_of(me.ingress_address),
    )
    return Sandbox(id=INGRESS_SANDBOX, endpoints=(inner, leg), gateway=leg.id)


def second_address(gateway: str) -> str:
    """The address after a bridge's own: docker_gwbridge keeps it for ingress_sbox."""
    return next_address(str_network(gateway), (), gateway.partition("/")[0], "docker_gwbridge")


def str_network(address: str) -> str:
    """The subnet of an address with prefix: 172.18.0.1/16 -> 172.18.0.0/16."""
    return str(ipaddress.IPv4Interface(address).network)


def host_view(
    assignment: Assignment,
    records: Iterable[Record],
    bridges: tuple[Bridge, ...],
    underlay: Underlay,
) -> HostView:
    """All that decides what this host's kernel should contain."""
    if underlay.ipv6 and assignment.cluster_id:
        bridges = tuple(with_sixth(bridge, assignment.cluster_id) for bridge in bridges)
    sandboxes = [as_assigned(box, assignment) for record in records if (box := record.sandbox)]
    entry = ingress_sandbox(assignment, bridges)
    if entry:
        sandboxes.append(entry)
    here = {e.network_id for box in sandboxes for e in box.endpoints}
    networks = {
        network.id: network if network.present else msgspec.structs.replace(network, present=True)
        for network in assignment.networks.values()
        if network.id in here
    }
    if underlay.ipv6:
        sandboxes = [sixth_sandbox(box, networks, bridges) for box in sandboxes]
    else:
        sandboxes = [without_ipv6(box) for box in sandboxes]
        networks = {id: network_without_ipv6(network) for id, network in networks.items()}
    ingress = ingress_network(assignment)
    view = HostView(
        node_id=assignment.node_id,
        vtep=underlay.vtep,
        underlay_mtu=underlay.mtu,
        data_path_port=assignment.data_path_port,
        ingress_network=ingress.id if ingress else "",
        peers=assignment.peers,
        networks=networks,
        sandboxes=tuple(sandboxes),
        bridges=bridges,
        advertised_to=underlay.advertised_to,
    )
    return without_narrow(view) if underlay.ipv6 else view


def without_narrow(view: HostView) -> HostView:
    """The view with IPv4 alone on networks whose packets are too small for IPv6, which the kernel
    would refuse. Neighbours on hosts that are not as narrow do without them, too."""
    narrow = {
        id
        for id, network in view.networks.items()
        if not network.spec.lower
        and any(each.config6 for each in network.subnets)
        and overlay_mtu(view, network) < LEAST_MTU6
    }
    if not narrow:
        return view
    return msgspec.structs.replace(
        view,
        networks={
            id: network_without_ipv6(network) if id in narrow else network
            for id, network in view.networks.items()
        },
        sandboxes=tuple(without_ipv6(box, narrow) for box in view.sandboxes),
    )


def with_sixth(bridge: Bridge, cluster_id: str) -> Bridge:
    """docker_gwbridge with the address that every host of the cluster has there; docker0 has none,
    as in Docker."""
    if bridge.name != GATEWAY_BRIDGE:
        return bridge
    subnet = ula.cluster_subnet(cluster_id, ula.GATEWAY)
    return msgspec.structs.replace(bridge, address6=ula.mirrored(subnet, bridge.address))


def sixth_sandbox(
    box: Sandbox, networks: Mapping[str, NetworkAssignment], bridges: Iterable[Bridge]
) -> Sandbox:
    """A sandbox with the IPv6 addresses that follow from its IPv4 ones: on docker_gwbridge, and on
    swarm networks whose users need not know of IPv6."""
    gateways = {b.network_id: b.address6 for b in bridges if b.address6 and not b.named}
    changed = []
    for endpoint in box.endpoints:
        address6 = endpoint.address6
        if endpoint.network_id in gateways:
            subnet = str(ipaddress.IPv6Interface(gateways[endpoint.network_id]).network)
            address6 = ula.mirrored(subnet, endpoint.address)
        elif endpoint.network_id in networks:
            subnets = networks[endpoint.network_id].subnets
            address6 = ula.sixth_address(subnets, endpoint.address, address6)
        changed.append(msgspec.structs.replace(endpoint, address6=address6))
    return msgspec.structs.replace(box, endpoints=tuple(changed))


def without_ipv6(box: Sandbox, networks: Collection[str] | None = None) -> Sandbox:
    """A sandbox that has no IPv6 on these networks (None: on none at all)."""
    endpoints = tuple(
        msgspec.structs.replace(e, address6="", vips=tuple(vip for vip in e.vips if ":" not in vip))
        if networks is None or e.network_id in networks
        else e
        for e in box.endpoints
    )
    return msgspec.structs.replace(box, endpoints=endpoints)


def network_without_ipv6(network: NetworkAssignment) -> NetworkAssignment:
    """A network as a host has it on which it can have no IPv6."""
    return msgspec.structs.replace(
        network,
        subnets=tuple(msgspec.structs.replace(each, config6=None) for each in network.subnets),
        endpoints={
            key: msgspec.structs.replace(each, address6="")
            for key, each in network.endpoints.items()
        },
        services={
            key: msgspec.structs.replace(each, vip6="") for key, each in network.services.items()
        },
    )


def as_assigned(box: Sandbox, assignment: Assignment) -> Sandbox:
    """A task's sandbox with its service's options as they are now; one that is to stop has no
    ports any more, though its connections go on."""
    if not box.ports:
        return box
    task = assignment.tasks.get(box.task_id)
    if task is None or not task.wanted:
        return msgspec.structs.replace(box, ports=())
    return msgspec.structs.replace(box, options=task.options)


class Layout:
    """Lays out the endpoints of one sandbox beside those that the host has already.

    Interface names inside count up from eth0 in the order of attaching; ports in an overlay's
    namespace take the lowest free vethN there; bridge addresses are chosen here.
    """

    def __init__(self, sandbox_id: str, others: Iterable[Sandbox]) -> None:
        self._sandbox_id = sandbox_id
        self._others = [
            endpoint for box in others if box.id != sandbox_id for endpoint in box.endpoints
        ]
        self.endpoints: list[Endpoint] = []

    def overlay(
        self,
        network: NetworkAssignment,
        attachment: Attachment,
        vips: tuple[str, ...],
        names: tuple[str, ...],
    ) -> None:
        """An endpoint on a swarm network, at the address that the cluster gave it. Raises
        `Unavailable` if the network's bridge has no port left."""
        if not network.spec.lower:
            self._check_room(network.id, f"network {network.spec.name}")
        lower = network.spec.lower
        ports = [e.port for e in self._others if e.network_id == network.id]
        self.endpoints.append(
            Endpoint(
                id=derived_id(self._sandbox_id, network.id),
                network_id=network.id,
                network_name=network.spec.name,
                link=next_name("eth", [e.link for e in self.endpoints]),
                port="" if lower else next_name("veth", ports),
                address=attachment.address,
                mac=mac_of(attachment.address),
                vips=vips,
                names=names,
                address6=attachment.address6,
            )
        )

    def bridge(self, network: LocalNetwork, wanted: Wanted, after: str) -> Endpoint:
        """An endpoint on a network of this host, at the wanted addresses or the next free ones.

        Raises `Unavailable` if it is full, `Invalid` or `Forbidden` for an address that cannot be
        given.
        """
        if network.bridge:
            self._check_room(network.id, network.bridge)
        taken = self.taken(network)
        link = next_name(network.options.get(IFACE_PREFIX, "eth"), [e.link for e in self.endpoints])
        four = ipam_of(network)
        address = given_address(four, wanted.address, taken, network.name) or free_address(
            four, taken, after, network.name
        )
        address6 = self._sixth(network, wanted, taken)
        return self._add(network, Lease(address=address, address6=address6), link)

    def leased(self, network: LocalNetwork, lease: Lease) -> Endpoint:
        """An endpoint at the addresses that a plugin gave. Raises `Broken` if one is in use."""
        if network.bridge:
            self._check_room(network.id, network.bridge)
        taken = self.taken(network)
        for address in filter(None, (lease.address, lease.address6)):
            if address.partition("/")[0] in taken:
                raise Broken(
                    f'plugin "{network.ipam_driver}": it gave {address}, which is in use on '
                    f"network {network.name}"
                )
        link = next_name(network.options.get(IFACE_PREFIX, "eth"), [e.link for e in self.endpoints])
        return self._add(network, lease, link)

    def _add(self, network: LocalNetwork, lease: Lease, link: str) -> Endpoint:
        endpoint_id = derived_id(self._sandbox_id, network.id)
        # An interface that a plugin makes has a MAC of its own.
        mac = "" if network.remote else mac_of(lease.address)
        endpoint = Endpoint(
            id=endpoint_id,
            network_id=network.id,
            network_name=network.name,
            link=link,
            port=f"veth{endpoint_id[:7]}" if network.bridge else "",
            address=lease.address,
            address6=lease.address6,
            mac=lease.mac or mac,
        )
        self.endpoints.append(endpoint)
        return endpoint

    def taken(self, network: LocalNetwork) -> set[str]:
        """The addresses on a network that other containers have."""
        there = [e for e in self._others if e.network_id == network.id]
        taken = {a.partition("/")[0] for e in there for a in (e.address, e.address6) if a}
        if network.bridge == GATEWAY_BRIDGE:
            gateway = bridge_of(network).address
            taken.add(second_address(gateway).partition("/")[0])
        return taken

    def _sixth(self, network: LocalNetwork, wanted: Wanted, taken: set[str]) -> str:
        six = ipam6_of(network)
        if six is None:
            if wanted.address6:
                raise Invalid(
                    f"network {network.name} has no IPv6: {wanted.address6} cannot be an address"
                )
            return ""
        given = given_address(six, wanted.address6, taken, network.name)
        return given or free_address(six, taken, "", network.name)

    def keep(self, endpoint: Endpoint) -> None:
        """An endpoint that the sandbox has already."""
        self.endpoints.append(endpoint)

    def has(self, network_id: str) -> bool:
        """Whether there is an endpoint on a network."""
        return any(each.network_id == network_id for each in self.endpoints)

    def drop(self, network_id: str) -> None:
        """No endpoint on a network any more."""
        self.endpoints = [each for each in self.endpoints if each.network_id != network_id]

    def adjust(self, wanted: Wanted, names: tuple[str, ...] | None = None) -> None:
        """Give the last endpoint the MAC and the options that its user wants, and its names.

        Raises `Invalid` for an option that cannot be carried out.
        """
        last = self.endpoints[-1]
        link, sysctls = endpoint_options(wanted.options, last.link)
        if any(each.link == link for each in self.endpoints[:-1]):
            raise Invalid(f"interface {link} is there already: choose another {IFNAME}")
        self.endpoints[-1] = msgspec.structs.replace(
            last,
            link=link,
            mac=wanted.mac or wanted.options.get(MACADDRESS) or last.mac,
            sysctls=sysctls,
            names=last.names if names is None else names,
        )

    def _check_room(self, network_id: str, words: str) -> None:
        count = sum(each.network_id == network_id for each in self._others)
        if count >= MOST_PORTS:
            raise Unavailable(f"{words}: {count} of {MOST_PORTS} endpoints of one host in use")
