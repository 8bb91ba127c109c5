"""The host's own networks: none, host, bridge (docker0) and docker_gwbridge, made at need."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from skep.agent.pools import HostSubnets, free_subnet
from skep.agent.twice import Twice
from skep.model.host import Bridge, LocalNetwork, Lower
from skep.model.spec import LOWER_MODES, IpamConfig

GATEWAY_BRIDGE = "docker_gwbridge"
DEFAULT_BRIDGE = "docker0"


PREDEFINED = frozenset({"bridge", "host", "none", GATEWAY_BRIDGE})

BRIDGE_PREFIX = "com.docker.network.bridge."
ICC = BRIDGE_PREFIX + "enable_icc"
MASQUERADE = BRIDGE_PREFIX + "enable_ip_masquerade"
INHIBIT = BRIDGE_PREFIX + "inhibit_ipv4"
BRIDGE_NAME = BRIDGE_PREFIX + "name"
BINDING = BRIDGE_PREFIX + "host_binding_ipv4"
MODE = BRIDGE_PREFIX + "gateway_mode_ipv4"
MODE6 = BRIDGE_PREFIX + "gateway_mode_ipv6"
TRUSTED = BRIDGE_PREFIX + "trusted_host_interfaces"
SOURCE = "com.docker.network.host_ipv4"
SOURCE6 = "com.docker.network.host_ipv6"
IPV6 = "com.docker.network.enable_ipv6"
MTU = "com.docker.network.driver.mtu"
PARENT = "parent"

IFACE_PREFIX = "com.docker.network.container_iface_prefix"

TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's strconv.ParseBool takes, and so Docker."""

BRIDGE_OPTIONS = {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.bridge.name": DEFAULT_BRIDGE,
    MTU: "1500",
}
GATEWAY_OPTIONS = {
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.name": GATEWAY_BRIDGE,
}


def truth(text: str) -> bool:
    """A boolean option that was checked when it was given."""
    return text in TRUE


def bridge_network(
    name: str, subnet: str, options: Mapping[str, str], *, id: str, now: float
) -> LocalNetwork:
    """A bridge network on ``subnet``, whose first address is the gateway unless it names one."""
    inner = ipaddress.IPv4Interface(subnet)
    gateway = inner.ip if inner.ip != inner.network[0] else inner.network[1]
    return LocalNetwork(
        id=id,
        name=name,
        driver="bridge",
        created_at=now,
        subnet=str(inner.network),
        gateway=str(gateway),
        bridge=options["com.docker.network.bridge.name"],
        options=dict(options),
    )


def bridge_of(network: LocalNetwork) -> Bridge:
    """The bridge that a network of driver bridge is."""
    options = network.options
    mode = options.get(MODE, "nat")
    six = f"{network.gateway6}/{network.subnet6.partition('/')[2]}" if network.subnet6 else ""
    return Bridge(
        network_id=network.id,
        network_name=network.name,
        name=network.bridge,
        address=f"{network.gateway}/{network.subnet.partition('/')[2]}",
        icc=truth(options.get(ICC, "true")),
        masquerade=truth(options.get(MASQUERADE, "true")),
        mtu=int(options.get(MTU, "0")) or 1500,
        address6="" if options.get(MODE6) == "isolated" else six,
        internal=network.internal,
        inhibited=truth(options.get(INHIBIT, "false")) or mode == "isolated",
        mode=mode,
        mode6=options.get(MODE6, "nat"),
        named=network.name not in PREDEFINED,
        source=options.get(SOURCE, ""),
        source6=options.get(SOURCE6, ""),
        trusted=tuple(filter(None, options.get(TRUSTED, "").split(":"))),
    )


def lower_of(network: LocalNetwork) -> Lower:
    """What a network on a parent link is to the kernel."""
    mode = network.options.get(f"{network.driver}_mode", LOWER_MODES[network.driver][0])
    inward, mtu = network.internal, network.options.get(MTU, "")
    return Lower(
        network_id=network.id,
        network_name=network.name,
        driver=network.driver,
        mode=mode,
        parent=network.options[PARENT],
        vlan=network.vlan,
        gateway="" if inward else network.gateway,
        gateway6="" if inward else network.gateway6,
        mtu=int(mtu) if mtu.isdecimal() else 0,
    )


def ipam_of(network: LocalNetwork) -> IpamConfig:
    """Where a network's IPv4 addresses come from."""
    four = (each for each in network.ipam if ":" not in each.subnet)
    return next(four, IpamConfig(subnet=network.subnet, gateway=network.gateway))


def ipam6_of(network: LocalNetwork) -> IpamConfig | None:
    """Where a network's IPv6 addresses come from, None without."""
    return next((each for each in network.ipam if ":" in each.subnet), None)


class Locals:
    """The host's own networks, remembered on disk."""

    def __init__(self, path: Path) -> None:
        self._kept = Twice(path, tuple[LocalNetwork, ...])
        self._networks: tuple[LocalNetwork, ...] = ()
        self.subnets = HostSubnets()

    def load(self) -> None:
        """Read them if there are any. Raises `Broken` if they cannot be understood."""
        self._networks = self._kept.load() or ()

    def all(self) -> tuple[LocalNetwork, ...]:
        """Every local network."""
        return self._networks

    def named(self, reference: str) -> LocalNetwork | None:
        """By name or by (prefix of) id; "default" is the default bridge."""
        name = "bridge" if reference == "default" else reference
        for network in self._networks:
            if network.name == name:
                return network
        found = [n for n in self._networks if len(name) >= 4 and n.id.startswith(name)]
        return found[0] if len(found) == 1 else None

    def ensure_defaults(
        self, new_id: Callable[[], str], now: float, taken: Collection[str]
    ) -> None:
        """Make none, host and bridge on a host that has never had them."""
        if self._networks:
            return
        self._save(
            (
                LocalNetwork(id=new_id(), name="none", driver="null", created_at=now),
                LocalNetwork(id=new_id(), name="host", driver="host", created_at=now),
                bridge_network(
                    "bridge",
                    self.subnets.bip or free_subnet(self.subnets.pools, taken),
                    BRIDGE_OPTIONS,
                    id=new_id(),
                    now=now,
                ),
            )
        )

    def readdressed(self) -> LocalNetwork | None:
        """The default bridge with the address that the host was told; None if it has it."""
        old, bip = self.named("bridge"), self.subnets.bip
        if not bip or old is None:
            return None
        new = bridge_network(old.name, bip, old.options, id=old.id, now=old.created_at)
        return None if (new.subnet, new.gateway) == (old.subnet, old.gateway) else new

    def replace(self, network: LocalNetwork) -> None:
        """Put a network in the place of that of its id."""
        self._save(tuple(network if n.id == network.id else n for n in self._networks))

    def ensure_gateway(self, new_id: Callable[[], str], now: float, taken: Collection[str]) -> None:
        """Make docker_gwbridge, which every host of a swarm has."""
        if self.named(GATEWAY_BRIDGE):
            return
        used = [*taken, *(n.subnet for n in self._networks if n.subnet)]
        subnet = free_subnet(self.subnets.pools, used)
        gateway = bridge_network(GATEWAY_BRIDGE, subnet, GATEWAY_OPTIONS, id=new_id(), now=now)
        self._save((*self._networks, gateway))

    def drop_gateway(self) -> None:
        """Forget docker_gwbridge (the host left its swarm and nothing uses it)."""
        self._save(tuple(n for n in self._networks if n.name != GATEWAY_BRIDGE))

    def lowers(self) -> tuple[Lower, ...]:
        """The networks that share a link of the host."""
        return tuple(lower_of(n) for n in self._networks if n.driver in LOWER_MODES)

    def add(self, network: LocalNetwork) -> None:
        """Remember a user's network. Raises `Broken` if it cannot be written down."""
        self._save((*self._networks, network))

    def drop(self, network_id: str) -> None:
        """Forget a user's network."""
        self._save(tuple(n for n in self._networks if n.id != network_id))

    def bridges(self) -> tuple[Bridge, ...]:
        """The bridges that the host's kernel should have."""
        return tuple(bridge_of(network) for network in self._networks if network.bridge)

    def _save(self, networks: tuple[LocalNetwork, ...]) -> None:
        self._kept.keep(networks)
        self._networks = networks
