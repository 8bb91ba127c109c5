"""Unique local IPv6 prefixes (RFC 4193) of a cluster, and IPv6 addresses made from IPv4 ones.

A cluster's prefix follows from its id, so that nobody has to choose one, all hosts know it, and two
clusters that are joined by a router do not collide.
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from skep.model.cluster import Subnet

MESH = 0
"""The number of the routing mesh's first subnet in a cluster's prefix."""
FIRST, LAST = 1, 0xFEFF
"""The numbers of subnets for networks that ask for IPv6 without a subnet."""
GATEWAY = 0xFFFF
"""The number of docker_gwbridge's, the same on every host."""


def cluster_subnet(cluster_id: str, number: int) -> str:
    """The /64 of a number (0 to 65535) in a cluster's prefix, a /48."""
    prefix = b"\xfd" + sha256(cluster_id.encode()).digest()[:5]
    start = int.from_bytes(prefix, "big") << 80 | number << 64
    return str(IPv6Network((start, 64)))


def mirrored(subnet: str, address: str) -> str:
    """The address of ``subnet`` (IPv6) whose last 32 bits are an IPv4 address, with the subnet's
    prefix length. A prefix length of the IPv4 address is ignored."""
    network = IPv6Network(subnet)
    last = int(IPv4Address(address.partition("/")[0]))
    return f"{IPv6Address(int(network.network_address) | last)}/{network.prefixlen}"


def sixth_address(subnets: tuple[Subnet, ...], address: str, given: str = "") -> str:
    """The IPv6 address, with prefix length, of who has an IPv4 address on a network: the one that
    it was given, or on a network whose users need not know of IPv6 the one that mirrors the IPv4
    address; "" on a network without."""
    if given or not address:
        return given
    for subnet in subnets:
        inside = len(subnets) == 1 or _holds(subnet.config.subnet, address)
        if subnet.config6 is not None and inside:
            return mirrored(subnet.config6.subnet, address)
    return ""


def _holds(subnet: str, address: str) -> bool:
    network, _, length = subnet.partition("/")
    difference = int(IPv4Address(network)) ^ int(IPv4Address(address.partition("/")[0]))
    return difference >> (32 - int(length)) == 0
