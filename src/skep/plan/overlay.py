"""The namespace of a swarm network: a bridge and a tunnel per subnet, a port per local endpoint,
and a permanent neighbour and forwarding entry for everything that is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from skep.model.assignment import NetworkAssignment
from skep.model.host import HostView
from skep.model.ids import mac_of
from skep.model.netstate import HOST, Address, Fdb, Link, Namespace, Neighbour, Vxlan
from skep.model.nft import Table
from skep.model.secure import SECURE, is_encrypted
from skep.plan.layout import (
    Plug,
    bare,
    ipv6_on,
    link_local,
    overlay_mtu,
    overlay_namespace,
    subnet_index,
)
from skep.plan.narrow import segments
from skep.plan.sources import sources

SYSCTLS = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
    # Running the bridge's frames through the host's IP rules costs 8 % of every round trip.
    "net.bridge.bridge-nf-call-iptables": "0",
}

SYSCTLS6 = {
    # Bridge and tunnel alone are to speak IPv6, with the addresses that they are given.
    "net.ipv6.conf.default.disable_ipv6": "1",
    "net.ipv6.conf.default.addr_gen_mode": "1",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.bridge.bridge-nf-call-iptables": "0",
    "net.bridge.bridge-nf-call-ip6tables": "0",
}

Remote = tuple[tuple[str, ...], str, str]
"""The addresses of somebody elsewhere on the network, the IPv4 one first, its MAC, and the VTEP of
the host it is on."""


def overlay(view: HostView, network: NetworkAssignment, ports: Iterable[Plug]) -> Namespace:
    """The namespace of ``network``; ``ports`` are the local endpoints plugged into it."""
    ports = list(ports)
    links = [*_trunks(view, network), *(each.port() for each in ports)]
    tunnels = {link.name for link in links if link.kind == "vxlan"}
    elsewhere = list(_remotes(view, network))
    remotes = [
        (f"vxlan{index}", remote)
        for remote in elsewhere
        if (index := subnet_index(network, remote[0][0])) is not None and f"vxlan{index}" in tunnels
    ]
    return Namespace(
        name=overlay_namespace(network.id),
        links={"lo": Link(name="lo")} | {link.name: link for link in links},
        addresses=frozenset(_gateways(network)),
        neighbours=frozenset(
            Neighbour(link, at, mac) for link, (addresses, mac, _) in remotes for at in addresses
        ),
        fdb=frozenset(Fdb(link, mac, vtep) for link, (_, mac, vtep) in remotes),
        tables=_tables(view, network, ports, elsewhere),
        sysctls=_sysctls(network, tunnels),
    )


def _tables(
    view: HostView, network: NetworkAssignment, ports: list[Plug], elsewhere: list[Remote]
) -> tuple[Table, ...]:
    """One, of all that is to say of the network's frames; none if that is nothing."""
    ends = ((mac, vtep) for _, mac, vtep in elsewhere)
    parts = [*sources(network, ports), *segments(view, network, ends)]
    if len(parts) < 2:
        return tuple(parts)
    chains = tuple(chain for part in parts for chain in part.chains)
    return (structs.replace(parts[0], chains=chains, sets=parts[0].sets + parts[1].sets),)


def _sysctls(network: NetworkAssignment, tunnels: Iterable[str]) -> dict[str, str]:
    sixths = {f"br{index}" for index, each in enumerate(network.subnets) if each.config6}
    sysctls = dict(SYSCTLS6 if sixths else SYSCTLS)
    for link in (*sixths, *(each for each in tunnels if each.replace("vxlan", "br") in sixths)):
        # A tunnel answers neighbour solicitations only where it may speak IPv6 itself.
        sysctls |= ipv6_on(link)
    if len(network.subnets) > 1:
        sysctls["net.ipv4.ip_forward"] = "1"
    if len(sixths) > 1:
        sysctls["net.ipv6.conf.all.forwarding"] = "1"
    return sysctls


def _trunks(view: HostView, network: NetworkAssignment) -> Iterator[Link]:
    """Bridges and tunnels. A network that must be encrypted sends from where there is only
    WireGuard: without that it stays local rather than being carried in the open."""
    underlay = SECURE if is_encrypted(network.spec.options) else HOST
    mtu = overlay_mtu(view, network)
    for index, subnet in enumerate(network.subnets):
        yield Link(name=f"br{index}", kind="bridge", mtu=mtu)
        if view.vtep:
            tunnel = Vxlan(subnet.vni, view.data_path_port, view.vtep, underlay)
            yield Link(
                name=f"vxlan{index}", kind="vxlan", mtu=mtu, master=f"br{index}", vxlan=tunnel
            )


def _gateways(network: NetworkAssignment) -> Iterator[Address]:
    for index, subnet in enumerate(network.subnets):
        prefix = subnet.config.subnet.partition("/")[2]
        yield Address(f"br{index}", f"{bare(subnet.config.gateway)}/{prefix}")
        if subnet.config6:
            prefix = subnet.config6.subnet.partition("/")[2]
            yield Address(f"br{index}", f"{bare(subnet.config6.gateway)}/{prefix}")
            yield link_local(f"br{index}", subnet.config.gateway)


def _remotes(view: HostView, network: NetworkAssignment) -> Iterator[Remote]:
    vteps = {
        peer.id: peer.vtep for peer in view.peers.values() if peer.id != view.node_id and peer.vtep
    }
    for endpoint in network.endpoints.values():
        if endpoint.address and endpoint.node_id in vteps:
            addresses = _both(network, endpoint.address, endpoint.address6)
            yield addresses, endpoint.mac.lower(), vteps[endpoint.node_id]
    if network.id == view.ingress_network:
        for peer in view.peers.values():
            if peer.ingress_address and peer.id in vteps:
                addresses = _both(network, peer.ingress_address, peer.ingress_address6)
                yield addresses, mac_of(peer.ingress_address), peer.vtep


def _both(network: NetworkAssignment, address: str, address6: str) -> tuple[str, ...]:
    """The addresses that are known here: a network may be without IPv6 on one host alone."""
    index = subnet_index(network, bare(address))
    spoken = index is not None and network.subnets[index].config6 is not None
    return (bare(address), bare(address6)) if address6 and spoken else (bare(address),)
