"""IPv4 and IPv6 side by side: what differs between them, and a host's view as either sees it.

What is planned for IPv4 is planned for IPv6 by the same functions, from a view in which every
address is the IPv6 one. Each family has a table of its own in nftables; marks are common to both.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from skep.model.assignment import NetworkAssignment
from skep.model.cluster import Subnet
from skep.model.host import HostView, Sandbox
from skep.model.nft import Atom, Payload

T = TypeVar("T", bound=msgspec.Struct)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: its name in nftables (ip, ip6), the type of its addresses there, how long
    they are in bits, all of them, its default route's destination, how nft rejects without a reset,
    its loopback address, the protocol of its control messages."""

    name: str
    kind: str
    bits: int
    everywhere: str
    default: str
    refusal: str
    loopback: str
    echo: str

    @property
    def source(self) -> Payload:
        """A packet's source address."""
        return Payload(self.name, "saddr")

    @property
    def target(self) -> Payload:
        """A packet's target address."""
        return Payload(self.name, "daddr")

    def has(self, address: Atom) -> bool:
        """Whether an address or prefix is of this family."""
        return (":" in str(address)) == (self.bits == 128)


IP = Family(
    name="ip",
    kind="ipv4_addr",
    bits=32,
    everywhere="0.0.0.0/0",
    default="default",
    refusal="icmp",
    loopback="127.0.0.1",
    echo="icmp",
)
IP6 = Family(
    name="ip6",
    kind="ipv6_addr",
    bits=128,
    everywhere="::/0",
    default="::/0",
    refusal="icmpv6",
    loopback="::1",
    echo="icmpv6",
)


def family_of(address: str) -> Family:
    """The family of an address or prefix."""
    return IP6 if ":" in address else IP


def sixth(view: HostView) -> HostView:
    """The view as IPv6 sees it: addresses of endpoints, services, subnets and bridges are the IPv6
    ones, and what has none is left out. Peers, by whose MACs the way back is found, are as they
    are.

    Of a swarm network's endpoints and services, those without one have the address "".
    """
    return msgspec.structs.replace(
        view,
        networks={
            key: _network(network)
            for key, network in view.networks.items()
            if any(subnet.config6 for subnet in network.subnets)
        },
        sandboxes=tuple(map(sandbox6, view.sandboxes)),
        bridges=tuple(
            msgspec.structs.replace(
                bridge,
                address=bridge.address6,
                mode=bridge.mode6,
                inhibited=False,
                source=bridge.source6,
            )
            for bridge in view.bridges
            if bridge.address6
        ),
    )


def _network(network: NetworkAssignment) -> NetworkAssignment:
    return msgspec.structs.replace(
        network,
        subnets=tuple(
            Subnet(config=subnet.config6, vni=subnet.vni)
            for subnet in network.subnets
            if subnet.config6
        ),
        endpoints={
            key: msgspec.structs.replace(endpoint, address=endpoint.address6)
            for key, endpoint in network.endpoints.items()
        },
        services={
            key: msgspec.structs.replace(service, vip=service.vip6)
            for key, service in network.services.items()
        },
    )


def sandbox6(sandbox: Sandbox) -> Sandbox:
    """A sandbox as IPv6 sees it: with the endpoints that have an IPv6 address."""
    return msgspec.structs.replace(
        sandbox,
        endpoints=tuple(
            msgspec.structs.replace(
                endpoint,
                address=endpoint.address6,
                vips=tuple(vip for vip in endpoint.vips if IP6.has(vip)),
            )
            for endpoint in sandbox.endpoints
            if endpoint.address6
        ),
    )


def is_single(address: str) -> bool:
    """Whether an address with prefix length stands for itself alone, as a VIP does."""
    return address.endswith(f"/{family_of(address).bits}")


def of_family(family: Family, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Those of some addresses or prefixes that are of a family."""
    return tuple(each for each in addresses if family.has(each))
