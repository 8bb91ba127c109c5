"""Where things are on a host: which namespace and bridge an endpoint plugs into, and with what MTU.

Every other module of ``plan`` asks here, so that the names of namespaces, bridges and tunnels are
decided once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

import msgspec

from skep.model.assignment import NetworkAssignment
from skep.model.host import Bridge, Endpoint, Handed, HostView, Lower, Sandbox
from skep.model.netstate import HOST, Address, Link, Peer
from skep.model.secure import WIREGUARD_OVERHEAD, WIREGUARD_OVERHEAD6, is_encrypted
from skep.model.ula import mirrored

VXLAN_OVERHEAD = 50
"""Bytes that the tunnel's outer IPv4, UDP and VXLAN headers and the inner Ethernet header take from
the underlay; an outer IPv6 header takes 20 more."""
VXLAN_OVERHEAD6 = 70

TRANSLATING = ("nat", "nat-unprotected")
"""Gateway modes in which what leaves has the host's address."""

ROUTED = "routed"

MTU_OPTION = "com.docker.network.driver.mtu"


class Plug(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox's endpoint and the bridge that it is plugged into."""

    sandbox: str
    endpoint: Endpoint
    namespace: str
    bridge: str
    mtu: int
    hairpin: bool = False
    lower: Lower | None = None
    handed: Handed | None = None

    @property
    def paired(self) -> bool:
        """Whether the interface is an end of a pair with a port."""
        return self.lower is None and self.handed is None

    def port(self) -> Link:
        """The bridge's end of the veth pair, from which both are made."""
        return Link(
            name=self.endpoint.port,
            kind="veth",
            mtu=self.mtu,
            master=self.bridge,
            hairpin=self.hairpin,
            peer=Peer(self.sandbox, self.endpoint.link),
            owner=True,
        )

    def interface(self) -> Link:
        """What the sandbox has: an end of the veth pair, a link of its own on its parent, or one
        that a plugin has made."""
        if self.handed is not None:
            return Link(
                name=self.endpoint.link,
                kind="moved",
                mac=self.endpoint.mac,
                source=self.handed.source,
            )
        if self.lower is not None:
            return Link(
                name=self.endpoint.link,
                kind=self.lower.driver,
                mtu=self.mtu,
                mac=self.endpoint.mac if _has_own_mac(self.lower) else "",
                parent=self.lower.parent,
                mode=self.lower.mode,
            )
        return Link(
            name=self.endpoint.link,
            kind="veth",
            mtu=self.mtu,
            mac=self.endpoint.mac,
            peer=Peer(self.namespace, self.endpoint.port),
        )


def _has_own_mac(lower: Lower) -> bool:
    """All others have their parent's."""
    return lower.driver == "macvlan" and lower.mode != "passthru"


def ipv6_on(link: str) -> dict[str, str]:
    """The sysctl that lets a link speak IPv6, in namespaces where none does by default."""
    return {f"net.ipv6.conf.{link}.disable_ipv6": "0"}


def link_local(link: str, address: str) -> Address:
    """The link-local address of a link that speaks IPv6: who forwards asks from it for neighbours.
    It mirrors an IPv4 address, and is there at once where the kernel's own would be waited for."""
    return Address(link, mirrored("fe80::/64", address))


def bare(address: str) -> str:
    """An address without its prefix length."""
    return address.partition("/")[0]


def number(address: str) -> int:
    """An address (an optional prefix length is ignored) as a number, for order and offset."""
    plain = bare(address)
    if ":" in plain:
        return number6(plain)
    octets = plain.split(".")
    assert len(octets) == 4, f"not an address: {address}"
    return int.from_bytes(bytes(map(int, octets)), "big")


@lru_cache(maxsize=1 << 16)
def number6(address: str) -> int:
    """A bare IPv6 address as a number: reading one takes long."""
    return int(IPv6Address(address))


def holds(subnet: str, address: str) -> bool:
    """Whether ``address`` lies in ``subnet`` (CIDR); none of the other family does."""
    if (":" in subnet) != (":" in address):
        return False
    bits = 128 if ":" in subnet else 32
    length = int(subnet.partition("/")[2] or bits)
    return (number(subnet) ^ number(address)) >> (bits - length) == 0


def subnet_of(address: str) -> str:
    """The subnet (CIDR) that an address with prefix length is in."""
    length = int(address.partition("/")[2])
    if ":" in address:
        return str(IPv6Network((number(address) >> (128 - length) << (128 - length), length)))
    network = number(address) >> (32 - length) << (32 - length)
    return f"{'.'.join(map(str, network.to_bytes(4, 'big')))}/{length}"


def overlay_namespace(network_id: str) -> str:
    """The namespace that holds a swarm network's bridge and tunnel."""
    return f"1-{network_id[:10]}"


def subnet_index(network: NetworkAssignment, address: str) -> int | None:
    """Which of the network's subnets ``address`` is in: N of brN and vxlanN."""
    if len(network.subnets) == 1:
        return 0
    for index, subnet in enumerate(network.subnets):
        if holds(subnet.config.subnet, address):
            return index
    return None


def overlay_mtu(view: HostView, network: NetworkAssignment) -> int:
    """The MTU inside a swarm network: the underlay's (or what the network's option says it is)
    less the tunnel's headers, and those of WireGuard if it is encrypted."""
    option = network.spec.options.get(MTU_OPTION, "")
    underlay = int(option) if option.isdecimal() else view.underlay_mtu
    if is_encrypted(network.spec.options):
        underlay -= WIREGUARD_OVERHEAD6 if ":" in view.vtep else WIREGUARD_OVERHEAD
    return underlay - tunnel_overhead(view)


def tunnel_overhead(view: HostView) -> int:
    """The bytes that a tunnel's headers take, from the underlay's packets or WireGuard's."""
    return VXLAN_OVERHEAD6 if ":" in view.vtep else VXLAN_OVERHEAD


def bridge_of(view: HostView, network_id: str) -> Bridge | None:
    """The host bridge that is this local network, if it is one."""
    return next((bridge for bridge in view.bridges if bridge.network_id == network_id), None)


def plug(view: HostView, sandbox: Sandbox, endpoint: Endpoint) -> Plug | None:
    """Where an endpoint is plugged in; None while its network is not known here (any more), or its
    plugin has not handed it over."""
    if any(each.network_id == endpoint.network_id for each in view.remotes):
        return _handed_plug(sandbox, endpoint)
    lower = next((each for each in view.lowers if each.network_id == endpoint.network_id), None)
    if lower is not None:
        return Plug(
            sandbox=sandbox.namespace,
            endpoint=endpoint,
            namespace=HOST,
            bridge="",
            mtu=lower.mtu,
            lower=lower,
        )
    bridge = bridge_of(view, endpoint.network_id)
    if bridge is not None:
        namespace, name, mtu = HOST, bridge.name, bridge.mtu
    else:
        network = view.networks.get(endpoint.network_id)
        index = None if network is None else subnet_index(network, endpoint.address)
        if network is None or index is None:
            return None
        namespace, name = overlay_namespace(network.id), f"br{index}"
        mtu = overlay_mtu(view, network)
    # Where bridges consult the IP rules, a container that asks for its own published port is
    # answered by the port that it asked through.
    published = endpoint.id == sandbox.gateway and bool(sandbox.ports or sandbox.bindings)
    return Plug(
        sandbox=sandbox.namespace,
        endpoint=endpoint,
        namespace=namespace,
        bridge=name,
        mtu=mtu,
        hairpin=published and namespace == HOST,
    )


def _handed_plug(sandbox: Sandbox, endpoint: Endpoint) -> Plug | None:
    if endpoint.handed is None:
        return None
    return Plug(
        sandbox=sandbox.namespace,
        endpoint=endpoint,
        namespace=HOST,
        bridge="",
        mtu=0,
        handed=endpoint.handed,
    )


def plugs(view: HostView) -> Iterator[Plug]:
    """All endpoints of all sandboxes with where they are plugged in."""
    for sandbox in view.sandboxes:
        yield from sandbox_plugs(view, sandbox)


def sandbox_plugs(view: HostView, sandbox: Sandbox) -> Iterator[Plug]:
    """The endpoints of one sandbox with where they are plugged in."""
    for endpoint in sandbox.endpoints:
        found = plug(view, sandbox, endpoint)
        if found is not None:
            yield found


def overlays(view: HostView) -> dict[str, NetworkAssignment]:
    """The swarm networks that need a namespace here, by its name: those that the manager says are
    present, and those that a sandbox still uses (a container that is stopping keeps its link)."""
    used = {endpoint.network_id for sandbox in view.sandboxes for endpoint in sandbox.endpoints}
    return {
        overlay_namespace(network.id): network
        for network in view.networks.values()
        if network.subnets and not network.spec.lower and (network.present or network.id in used)
    }


def gateway_endpoint(sandbox: Sandbox) -> Endpoint | None:
    """The endpoint that carries the sandbox's default route."""
    return next((each for each in sandbox.endpoints if each.id == sandbox.gateway), None)


def endpoint_on(sandbox: Sandbox, network_id: str) -> Endpoint | None:
    """The sandbox's endpoint on a network ("" is no network)."""
    found = (each for each in sandbox.endpoints if each.network_id == network_id)
    return next(found, None) if network_id else None
