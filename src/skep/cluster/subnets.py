"""Subnets and VNIs: what a network may ask for, and what it gets when it does not ask.

Addresses are counted as integers here; ``ipaddress`` objects are too slow to walk over a subnet.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from skep.cluster.view import View
from skep.model.errors import Clash, Forbidden, Invalid, Unavailable, Unsupported
from skep.model.spec import IpamConfig

LONGEST_PREFIX = 30
"""A longer prefix leaves no room for a gateway and an endpoint."""

INGRESS_VNI = 4096
LAST_VNI = 0xFFFFFF


def parse_network(text: str, word: str) -> IPv4Network:
    """An IPv4 subnet in CIDR notation. ``word`` says what it is: "subnet", "ip-range".

    Raises `Invalid` in Docker's words, `Unsupported` for IPv6.
    """
    if ":" in text:
        raise Unsupported(f"invalid {word} {text}: overlay networks are IPv4 only")
    try:
        found = IPv4Network(text, strict=False)
    except ValueError:
        raise config_error(f"invalid {word} {text}: invalid CIDR block notation") from None
    if "/" not in text:
        raise config_error(f"invalid {word} {text}: invalid CIDR block notation")
    if str(found) != text:
        raise config_error(f"invalid {word} {text}: it should be {found}")
    return found


def parse_address(text: str, word: str, subnet: IPv4Network) -> IPv4Address:
    """An address within ``subnet``. Raises `Invalid` in Docker's words."""
    try:
        found = IPv4Address(text)
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
    if subnet.prefixlen > LONGEST_PREFIX:
        raise config_error(
            f"invalid subnet {subnet}: an overlay network needs a /{LONGEST_PREFIX} or larger"
        )
    if config.ip_range:
        _check_range(config.ip_range, subnet)
    if config.gateway:
        _check_host(parse_address(config.gateway, f"gateway {config.gateway}", subnet), subnet)
    for name, text in config.auxiliary_addresses.items():
        address = parse_address(text, f"auxiliary address {name}", subnet)
        if text == config.gateway:
            raise config_error(f"invalid auxiliary address {name}: {address} is the gateway")
    return config if config.gateway else _with_gateway(config, subnet)


def _check_range(text: str, subnet: IPv4Network) -> None:
    wanted = parse_network(text, "ip-range")
    if wanted.prefixlen < subnet.prefixlen:
        raise config_error(
            f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"
        )
    if not wanted.subnet_of(subnet):
        raise config_error(
            f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"
        )


def _check_host(address: IPv4Address, subnet: IPv4Network) -> None:
    if address in (subnet.network_address, subnet.broadcast_address):
        raise config_error(f"invalid gateway {address}: it names no host of {subnet}")


def _with_gateway(config: IpamConfig, subnet: IPv4Network) -> IpamConfig:
    taken = set(config.auxiliary_addresses.values())
    free = (str(host) for host in subnet.hosts() if str(host) not in taken)
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
    return range(first, last + 1)


@lru_cache(maxsize=4096)
def parsed(subnet: str) -> IPv4Network:
    """A stored subnet. The same few are asked for with every address."""
    return IPv4Network(subnet)


def reserved(config: IpamConfig) -> frozenset[int]:
    """The gateway and the auxiliary addresses, as integers."""
    texts = [config.gateway, *config.auxiliary_addresses.values()]
    return frozenset(int(IPv4Address(text)) for text in texts if text)


def taken_subnets(view: View) -> list[tuple[IPv4Network, str]]:
    """The subnets of all swarm networks, each with its network's name."""
    return [
        (parsed(subnet.config.subnet), network.spec.name)
        for network in view.networks.values()
        for subnet in network.subnets
    ]


def check_overlap(subnet: IPv4Network, taken: Iterable[tuple[IPv4Network, str]]) -> None:
    """Raises `Forbidden` in Docker's words, naming the network in the way."""
    for other, name in taken:
        if subnet.overlaps(other):
            raise Forbidden(
                "invalid pool request: Pool overlaps with other one on this address space: "
                f"{subnet} and {other} of network {name}"
            )


def free_subnet(view: View) -> IPv4Network:
    """The lowest subnet of the cluster's pools that overlaps no network.

    Raises `Unavailable` when the pools are used up.
    """
    cluster = view.cluster
    assert cluster is not None, "networks are made in a swarm"
    taken = sorted(subnet for subnet, _ in taken_subnets(view))
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
