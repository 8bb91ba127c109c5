"""Where the subnets of a host's own bridges come from, unless their makers say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import IPv4Interface, IPv4Network, ip_network
from typing import NamedTuple

from skep.model.errors import Invalid, Unavailable

LONGEST = 30
"""The longest prefix that leaves room for a gateway and a container."""


class Pool(NamedTuple):
    """A prefix from which subnets of ``size`` bits are cut."""

    base: IPv4Network
    size: int


DEFAULT = (
    *(Pool(IPv4Network(f"172.{number}.0.0/16"), 16) for number in range(17, 32)),
    Pool(IPv4Network("192.168.0.0/16"), 20),
)
"""Docker's."""


class HostSubnets(NamedTuple):
    """What a host is told of its bridges: docker0's address with prefix ("" for one of the pools),
    and the pools."""

    bip: str = ""
    pools: tuple[Pool, ...] = DEFAULT

    @property
    def chosen(self) -> tuple[tuple[str, int], ...]:
        """The pools, base and size, if they are others than Docker's."""
        return () if self.pools == DEFAULT else tuple((str(p.base), p.size) for p in self.pools)


def pool(text: str) -> Pool:
    """A pool as ``--default-address-pool`` has it: base=10.0.0.0/8,size=24. Raises `Invalid`."""
    said = dict(part.partition("=")[::2] for part in text.split(","))
    base, size = said.pop("base", ""), said.pop("size", "")
    try:
        found = Pool(IPv4Network(base), int(size))
    except ValueError:
        raise Invalid(f"{text!r} is no pool: write base=10.0.0.0/8,size=24") from None
    if said or not found.base.prefixlen <= found.size <= LONGEST:
        raise Invalid(
            f"{text!r} is no pool: its subnets are of {found.base.prefixlen} to {LONGEST} bits"
        )
    return found


def bridge_address(text: str) -> str:
    """docker0's address as ``--bip`` has it, 10.9.0.1/24; "" is none. Raises `Invalid`."""
    try:
        found = IPv4Interface(text) if text else None
    except ValueError:
        raise Invalid(f"{text!r} is no address with prefix, like 10.9.0.1/24") from None
    if found is None:
        return ""
    network = found.network
    ends = (network.network_address, network.broadcast_address)
    if "/" not in text or network.prefixlen > LONGEST or found.ip in ends:
        raise Invalid(f"{text!r} is no address of a subnet with room for containers")
    return text


def free_subnet(pools: Sequence[Pool], taken: Collection[str]) -> str:
    """The first of the pools' subnets that overlaps none of the prefixes ``taken``. Raises
    `Unavailable`."""
    used = [each for each in map(_network, taken) if isinstance(each, IPv4Network)]
    for base, size in pools:
        near = [each for each in used if each.overlaps(base)]
        number, count = 0, 1 << (size - base.prefixlen)
        while number < count:
            found = IPv4Network((int(base[0]) + (number << (32 - size)), size))
            in_the_way = next((each for each in near if each.overlaps(found)), None)
            if in_the_way is None:
                return str(found)
            # Behind all of it: there may be millions.
            behind = int(in_the_way[-1]) + 1 - int(base[0])
            number = max(number + 1, behind >> (32 - size))
    raise Unavailable(
        "no free subnet for a host bridge: all default pools are taken by links and routes of the "
        "host (skepd --default-address-pool gives others)"
    )


def _network(prefix: str) -> object:
    return ip_network(prefix, strict=False)
