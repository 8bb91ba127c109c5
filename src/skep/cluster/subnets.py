"""Subnets and VNIs: what a network may ask for, and what it gets when it does not ask.

Addresses are counted as integers here; ``ipaddress`` objects are too slow to walk over a subnet.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from skep.cluster.view import View
from skep.model import ula
from skep.model.errors import Clash, Forbidden, Invalid, Unavailable
from skep.model.spec import IpamConfig

Address = IPv4Address | IPv6Address
Subnetwork = IPv4Network | IPv6Network

LONGEST_PREFIX = 30
"""A longer prefix leaves no room for a gateway and an endpoint."""
LONGEST_PREFIX6 = 126

MOST_ENDPOINTS = 1 << 32
"""Addresses of a subnet that are given out at most: an IPv6 subnet has more than can be counted."""

INGRESS_VNI = 4096
LAST_VNI = 0xFFFFFF


def parse_network(text: str, word: str) -> Subnetwork:
    """A subnet in CIDR notation. ``word`` says what it is: "subnet", "ip-range".

    Raises `Invalid` in Docker's words.
    """
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise config_error(f"invalid {word} {text}: invalid CIDR block notation") from None
    if "/" not in text:
        raise config_error(f"invalid {word} {text}: invalid CIDR block notation")
    if str(found) != text:
        raise config_error(f"invalid {word} {text}: it should be {found}")
    return found


def parse_address(text: str, word: str, subnet: Subnetwork) -> Address:
    """An address within ``subnet``. Raises `Invalid` in Docker's words."""
    try:
        found = ip_address(text)
    except ValueError:
        raise config_error(f"invalid {word}: invalid address") from None
    if found not in subnet:
        raise config_error(f"invalid {word}: parent subnet {subnet} doesn't contain this address")
    return found


def config_error(text: str) -> Invalid:
    """Docker's refusal of a network's address configuration."""
    return Invalid(f"invalid network config:\n{text}")


def completed(config: IpamConfig) -> IpamConfig:
    """A user's subnet, checked, with its gateway filled in: the first address nobody reserved.

    Raises `Invalid` in Docker's words.
    """
    subnet = parse_network(config.subnet, "subnet")
    longest = LONGEST_PREFIX if subnet.version == 4 else LONGEST_PREFIX6
    if subnet.prefixlen > longest:
        raise config_error(f"invalid subnet {subnet}: a network needs a /{longest} or larger")
    if config.ip_range:
        _check_range(config.ip_range, subnet)
    if config.gateway:
        _check_host(parse_address(config.gateway, f"gateway {config.gateway}", subnet), subnet)
    for name, text in config.auxiliary_addresses.items():
        address = parse_address(text, f"auxiliary address {name}", subnet)
        if text == config.gateway:
            raise config_error(f"invalid auxiliary address {name}: {address} is the gateway")
    return config if config.gateway else _with_gateway(config, subnet)


def _check_range(text: str, subnet: Subnetwork) -> None:
    wanted = parse_network(text, "ip-range")
    if wanted.version != subnet.version:
        raise config_error(f"invalid ip-range {text}: it is not of the family of {subnet}")
    if wanted.prefixlen < subnet.prefixlen:
        raise config_error(
            f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"
        )
    if wanted.network_address not in subnet:
        raise config_error(
            f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"
        )


def _check_host(address: Address, subnet: Subnetwork) -> None:
    if address in (subnet.network_address, subnet.broadcast_address):
        raise config_error(f"invalid gateway {address}: it names no host of {subnet}")


def _with_gateway(config: IpamConfig, subnet: Subnetwork) -> IpamConfig:
    taken = {ip_address(each) for each in config.auxiliary_addresses.values()}
    free = (str(host) for host in subnet.hosts() if host not in taken)
    gateway = next(free, None)
    if gateway is None:
        raise config_error(f"invalid subnet {subnet}: auxiliary addresses leave no gateway")
    return IpamConfig(
        subnet=config.subnet,
        ip_range=config.ip_range,
        gateway=gateway,
        auxiliary_addresses=config.auxiliary_addresses,
    )


def endpoint_range(config: IpamConfig) -> range:
    """The addresses endpoints are given, as integers: the ip-range's, or the subnet's hosts."""
    subnet = parsed(config.subnet)
    first, last = int(subnet.network_address) + 1, int(subnet.broadcast_address) - 1
    if config.ip_range:
        inner = parsed(config.ip_range)
        first = max(first, int(inner.network_address))
        last = min(last, int(inner.broadcast_address))
    return range(first, min(last + 1, first + MOST_ENDPOINTS))


@lru_cache(maxsize=4096)
def parsed(subnet: str) -> Subnetwork:
    """A stored subnet. The same few are asked for with every address."""
    return ip_network(subnet)


def reserved(config: IpamConfig) -> frozenset[int]:
    """The gateway and the auxiliary addresses, as integers."""
    texts = [config.gateway, *config.auxiliary_addresses.values()]
    return frozenset(int(ip_address(text)) for text in texts if text)


def taken_subnets(view: View) -> list[tuple[Subnetwork, str]]:
    """The subnets of all swarm networks, each with its network's name, and the one that every host
    has of the cluster's IPv6 prefix."""
    cluster = view.cluster
    own = ula.cluster_subnet(cluster.id if cluster else "", ula.GATEWAY)
    return [
        *(
            (parsed(config.subnet), network.spec.name)
            for network in view.networks.values()
            for subnet in network.subnets
            for config in (subnet.config, subnet.config6)
            if config is not None
        ),
        (parsed(own), "docker_gwbridge"),
    ]


def check_overlap(subnet: Subnetwork, taken: Iterable[tuple[Subnetwork, str]]) -> None:
    """Raises `Forbidden` in Docker's words, naming the network in the way."""
    for other, name in taken:
        if subnet.overlaps(other):
            raise Forbidden(
                "invalid pool request: Pool overlaps with other one on this address space: "
                f"{subnet} and {other} of network {name}"
            )


def free_subnet(view: View, known: Iterable[tuple[Subnetwork, str]]) -> IPv4Network:
    """The lowest subnet of the cluster's pools that overlaps none of those that are ``known`` to be
    taken.

    Raises `Unavailable` when the pools are used up.
    """
    cluster = view.cluster
    assert cluster is not None, "networks are made in a swarm"
    taken = sorted(subnet for subnet, _ in known if isinstance(subnet, IPv4Network))
    for pool in cluster.address_pools:
        found = _free_within(IPv4Network(pool), cluster.subnet_size, taken)
        if found is not None:
            return found
    pools = ", ".join(cluster.address_pools)
    raise Unavailable(f"no free /{cluster.subnet_size} subnet is left in the swarm's pools {pools}")


def _free_within(pool: IPv4Network, size: int, taken: list[IPv4Network]) -> IPv4Network | None:
    step = 1 << (32 - size)
    start = int(pool.network_address)
    for other in taken:
        first, last = int(other.network_address), int(other.broadcast_address)
        if first >= start + step:
            break
        if last >= start:
            start += -(-(last + 1 - start) // step) * step
    if start + step - 1 > int(pool.broadcast_address):
        return None
    return IPv4Network((start, size))


def used_vnis(view: View) -> dict[int, str]:
    """All VNIs in use, each with its network's name."""
    return {
        subnet.vni: network.spec.name
        for network in view.networks.values()
        for subnet in network.subnets
        if subnet.vni
    }


def choose_vnis(view: View, wanted: tuple[int, ...], count: int) -> list[int]:
    """``count`` VNIs for a new network: the ``wanted`` ones, then the lowest free above ingress's.

    Raises `Clash` if a wanted one is in use.
    """
    used = used_vnis(view)
    chosen: list[int] = []
    for vni in wanted[:count]:
        if vni in used or vni in chosen:
            raise Clash(f"VXLAN id {vni} is already in use by network {used.get(vni, 'itself')}")
        chosen.append(vni)
    candidate = INGRESS_VNI + 1
    while len(chosen) < count:
        if candidate not in used and candidate not in chosen:
            chosen.append(candidate)
        candidate += 1
        assert candidate <= LAST_VNI, "more networks than VXLAN ids"
    return chosen


def parse_vnis(text: str) -> tuple[int, ...]:
    """The option ``vxlanid_list``: numbers with commas. Raises `Invalid`."""
    found = []
    for part in text.split(","):
        if not part.strip().isdecimal() or not INGRESS_VNI <= int(part) <= LAST_VNI:
            limits = f"it must be between {INGRESS_VNI} and {LAST_VNI}"
            raise Invalid(f"invalid VXLAN id {part.strip()!r}: {limits}")
        found.append(int(part))
    return tuple(found)
