"""From ``docker network create`` to a network of this host: checked and completed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import msgspec

from skep.agent.locals import (
    BINDING,
    BRIDGE_NAME,
    BRIDGE_PREFIX,
    FALSE,
    ICC,
    IFACE_PREFIX,
    INHIBIT,
    IPV6,
    MASQUERADE,
    MODE,
    MODE6,
    MTU,
    PARENT,
    SOURCE,
    SOURCE6,
    TRUE,
    TRUSTED,
)
from skep.agent.pools import DEFAULT, Pool, free_subnet
from skep.cluster.linkoptions import check_mtu, mode_of
from skep.cluster.subnets import Subnetwork, check_overlap, completed
from skep.model import ula
from skep.model.errors import Clash, Forbidden, Invalid, Missing, Unavailable, Unsupported
from skep.model.host import LocalNetwork
from skep.model.spec import LOWER_MODES, Ipam, IpamConfig, NetworkSpec

Subnets = tuple[IpamConfig, IpamConfig | None]
"""That of IPv4, and that of IPv6 if there is one."""

LEAST_MTU, LEAST_MTU6 = 68, 1280
BOOLEANS = (ICC, MASQUERADE, INHIBIT, IPV6, BRIDGE_PREFIX + "default_bridge")
LAST_VLAN = 4094
MODES = ("nat", "nat-unprotected", "routed", "isolated")
PLAIN = frozenset(
    {
        *BOOLEANS,
        BRIDGE_NAME,
        BINDING,
        MODE,
        MODE6,
        MTU,
        IFACE_PREFIX,
        SOURCE,
        SOURCE6,
        TRUSTED,
        IPV6,
    }
)
"""The options that a bridge knows."""

LINK_NAME = re.compile(r"[^\s/:]{1,15}")
NETWORK_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class Around(msgspec.Struct, frozen=True):
    """What a new network must get along with: the host's networks, all subnets that are taken with
    the words for whose they are, prefixes that the host has routes to, names of its links, of the
    drivers macvlan and ipvlan those that its kernel has, and where other subnets come from."""

    networks: tuple[LocalNetwork, ...]
    subnets: tuple[tuple[Subnetwork, str], ...] = ()
    routes: tuple[str, ...] = ()
    links: frozenset[str] = frozenset()
    drivers: frozenset[str] = frozenset()
    pools: tuple[Pool, ...] = DEFAULT


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """What plugins say of a network: the scope of its driver; the subnets that they gave (None:
    Skep itself is to give them) under the plugin's names for them."""

    scope: str = "local"
    subnets: tuple[IpamConfig, ...] | None = None
    pool: str = ""
    pool6: str = ""


def made(
    spec: NetworkSpec, around: Around, *, id: str, now: float, leased: Leased | None = None
) -> LocalNetwork:
    """The network that ``spec`` asks for; ``leased`` where a plugin has to do with it.

    Raises `Invalid`, `Clash`, `Forbidden` (subnet taken), `Missing` (driver, configuration
    network), `Unsupported`, `Unavailable` (pools used up).
    """
    if not NETWORK_NAME.fullmatch(spec.name):
        raise Invalid(f"invalid name: {spec.name}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    if spec.config_only:
        return _form(spec, id=id, now=now)
    spec = configured(spec, around.networks)
    driver = spec.driver or "bridge"
    if driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver in LOWER_MODES:
        network = lower_network(spec, around, leased, id=id, now=now)
    elif driver == "bridge":
        _check(spec)
        options = dict(spec.options)
        check_options(options, ipv6=bool(spec.enable_i_pv6))
        network = _network(spec, options, _room(spec, around, leased, id), id=id, now=now)
        bridge = _bridge_name(options, around, id)
        network = msgspec.structs.replace(network, bridge=bridge)
    elif leased is None:
        raise Missing(
            f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found'
        )
    else:
        _check(spec)
        room = _room(spec, around, leased, id)
        network = _network(spec, dict(spec.options), room, id=id, now=now)
    return network if leased is None else _on_lease(network, spec, leased)


def _on_lease(network: LocalNetwork, spec: NetworkSpec, leased: Leased) -> LocalNetwork:
    return msgspec.structs.replace(
        network,
        scope=leased.scope,
        ipam_driver="" if spec.ipam.driver == "default" else spec.ipam.driver,
        ipam_options=spec.ipam.options or {},
        pool=leased.pool,
        pool6=leased.pool6,
    )


def _room(spec: NetworkSpec, around: Around, leased: Leased | None, id: str) -> Subnets:
    """The subnets of a network: those that a plugin gave, if one did."""
    if leased is None or leased.subnets is None:
        return _subnets(spec, around, id)
    for config in leased.subnets:
        check_overlap(ip_network(config.subnet), around.subnets)
    four = next((each for each in leased.subnets if ":" not in each.subnet), IpamConfig())
    six = next((each for each in leased.subnets if ":" in each.subnet), None)
    return four, six


def lower_network(
    spec: NetworkSpec, around: Around, leased: Leased | None = None, *, id: str, now: float
) -> LocalNetwork:
    """A macvlan or ipvlan network on a link of the host. Raises what `made` does."""
    driver = spec.driver
    without_kernel(driver, around)
    _check(spec)
    options = dict(spec.options)
    options[f"{driver}_mode"] = mode_of(options, driver)
    for key in options:
        if key not in (PARENT, f"{driver}_mode", MTU, IFACE_PREFIX):
            raise Unsupported(f"driver option {key} is not supported: leave it away")
    check_mtu(options, LEAST_MTU6 if spec.enable_i_pv6 else LEAST_MTU)
    subnets = _room(spec, around, leased, id)
    network = _network(spec, options, subnets, id=id, now=now)
    return msgspec.structs.replace(network, vlan=vlan_of(options.get(PARENT, ""), driver, around))


def without_kernel(driver: str, around: Around) -> None:
    """Raises `Unsupported` on a host whose kernel has no links of a driver."""
    if driver not in around.drivers:
        raise Unsupported(
            f"this host's kernel has no {driver} links: use --driver bridge, or a kernel with the "
            f"module {driver}"
        )


def _network(
    spec: NetworkSpec, options: dict[str, str], subnets: Subnets, *, id: str, now: float
) -> LocalNetwork:
    """What networks of all drivers have."""
    four, six = subnets
    return LocalNetwork(
        id=id,
        name=spec.name,
        driver=spec.driver or "bridge",
        created_at=now,
        subnet=four.subnet,
        gateway=four.gateway,
        options=options,
        subnet6=six.subnet if six else "",
        gateway6=six.gateway if six else "",
        ipam=tuple(each for each in (four, six) if each and each.subnet),
        ipv6=bool(spec.enable_i_pv6),
        internal=spec.internal,
        attachable=spec.attachable,
        config_from=spec.config_from.get("Network", ""),
        labels=dict(spec.labels),
    )


def vlan_of(parent: str, driver: str, around: Around) -> int:
    """The number of the VLAN whose link is to be made for a network, 0 if its parent is there.

    Raises `Invalid` (no such link), `Forbidden` (another network of the host has it).
    """
    if not parent:
        raise Invalid(f"a {driver} network needs a link of the host: say which with -o parent=…")
    if parent == "lo":
        raise Invalid(f"loopback interface is not a valid {driver} parent link")
    for other in around.networks:
        if other.driver in LOWER_MODES and other.options.get(PARENT) == parent:
            raise Forbidden(f"network {other.name} is already using parent interface {parent}")
    if parent in around.links:
        return 0
    lower, dot, number = parent.rpartition(".")
    if not dot or lower not in around.links or not number.isdecimal() or len(parent) > 15:
        raise Invalid(
            f"this host has no link {parent}: name one of its links, or a VLAN of one, like eth0.10"
        )
    if not 0 < int(number) <= LAST_VLAN:
        raise Invalid(f"vlan id must be between 1-{LAST_VLAN}, received: {number}")
    return int(number)


def _form(spec: NetworkSpec, *, id: str, now: float) -> LocalNetwork:
    """A network that is a form for others."""
    if spec.config_from.get("Network"):
        raise Forbidden("a configuration network cannot be made from another one")
    if spec.driver not in ("", "null", "default", "bridge"):
        # The docker client says bridge where nothing is said.
        raise Invalid("a configuration network has no driver: leave --driver away")
    return LocalNetwork(
        id=id,
        name=spec.name,
        driver="null",
        created_at=now,
        options=dict(spec.options),
        ipam=spec.ipam.config,
        ipam_driver="" if spec.ipam.driver == "default" else spec.ipam.driver,
        ipam_options=spec.ipam.options or {},
        ipv6=bool(spec.enable_i_pv6),
        internal=spec.internal,
        config_only=True,
        labels=dict(spec.labels),
    )


def configured(spec: NetworkSpec, networks: tuple[LocalNetwork, ...]) -> NetworkSpec:
    """With what the configuration network says that it is made from. Raises `Missing`,
    `Forbidden`."""
    name = spec.config_from.get("Network", "")
    if not name:
        plain = spec.driver in ("", "bridge") and spec.enable_i_pv6 is None
        six = plain and spec.options.get(IPV6) in TRUE
        return msgspec.structs.replace(spec, enable_i_pv6=True) if six else spec
    form = next((each for each in networks if name in (each.name, each.id)), None)
    if form is None or not form.config_only:
        raise Missing(f'configuration network "{name}" does not exist')
    if spec.ipam.config or spec.options or spec.enable_i_pv6:
        raise Forbidden(
            "user specified configurations are not supported if the network depends on a "
            "configuration network"
        )
    return msgspec.structs.replace(
        spec,
        ipam=Ipam(
            driver=form.ipam_driver or "default", options=form.ipam_options, config=form.ipam
        ),
        options=form.options,
        enable_i_pv6=form.ipv6,
        internal=spec.internal or form.internal,
        labels={**form.labels, **spec.labels},
    )


def _check(spec: NetworkSpec) -> None:
    if spec.scope not in ("", "local"):
        raise Unsupported(
            f"a {spec.driver or 'bridge'} network of scope {spec.scope} is not supported: networks "
            "for services are made with --driver overlay"
        )
    if spec.ingress:
        raise Invalid("the ingress network is an overlay network: use --driver overlay")
    if spec.enable_i_pv4 is False:
        raise Unsupported(
            "a network of IPv6 alone (--ipv4=false) is not supported: leave IPv4 on, it does not "
            "show where nobody uses it"
        )
    if spec.ipam.options and spec.ipam.driver in ("", "default"):
        raise Unsupported("Skep's own IPAM driver has no options: leave --ipam-opt away")


def check_options(options: Mapping[str, str], *, ipv6: bool) -> None:
    """Raises `Invalid` for a driver option that a bridge does not know, or a wrong value."""
    for key in BOOLEANS:
        if options.get(key, "true") not in TRUE | FALSE:
            raise Invalid(f"invalid value for {key}: {options[key]!r} is neither true nor false")
    for key in (MODE, MODE6):
        if options.get(key, "nat") not in MODES:
            raise Invalid(f"unknown gateway mode {options[key]}: it is one of {', '.join(MODES)}")
    for key in options:
        if key not in PLAIN and key.startswith(("com.docker.network.", "skep.")):
            raise Unsupported(f"driver option {key} is not supported: leave it away")
    check_mtu(options, LEAST_MTU6 if ipv6 else LEAST_MTU)
    prefix = options.get(IFACE_PREFIX, "eth")
    if not LINK_NAME.fullmatch(prefix) or len(prefix) > 12 or prefix == "lo":
        raise Invalid(f"invalid value for {IFACE_PREFIX}: {prefix!r} cannot begin a link's name")
    for key, version in ((BINDING, 0), (SOURCE, 4), (SOURCE6, 6)):
        _check_address(key, options.get(key, ""), version)
    for link in options.get(TRUSTED, "").split(":"):
        if link and not LINK_NAME.fullmatch(link):
            raise Invalid(f"invalid value for {TRUSTED}: {link!r} is no name of a link")


def _check_address(key: str, text: str, version: int) -> None:
    """``version`` 0 is any; what is not given is right."""
    try:
        right = not text or version in (0, ip_address(text).version)
    except ValueError:
        right = False
    if not right:
        kind = f"IPv{version} address" if version else "address"
        raise Invalid(f"invalid value for {key}: {text!r} is no {kind}")


def _bridge_name(options: Mapping[str, str], around: Around, id: str) -> str:
    name = options.get(BRIDGE_NAME, "") or f"br-{id[:12]}"
    if not LINK_NAME.fullmatch(name) or name in (".", "..", "lo"):
        raise Invalid(f"invalid bridge name {name!r}: links have names of 1 to 15 characters")
    for other in around.networks:
        if other.bridge == name:
            raise Forbidden(
                f"cannot create network with bridge {name}: conflicts with network {other.id} "
                f"({other.name}): networks have same bridge name"
            )
    if name in around.links:
        raise Clash(
            f"this host has a link {name} that Skep did not make: take another name with "
            f"-o {BRIDGE_NAME}=…, or remove it"
        )
    return name


def _subnets(spec: NetworkSpec, around: Around, id: str) -> Subnets:
    """The subnet and that of IPv6, as asked for or chosen."""
    four, six = asked_subnets(spec)
    used = [str(subnet) for subnet, _ in around.subnets]
    four = four or IpamConfig(subnet=free_subnet(around.pools, [*used, *around.routes]))
    if spec.enable_i_pv6:
        six = six or IpamConfig(subnet=free_subnet6(id, [*used, *around.routes]))
    return _taken(four, around), _taken(six, around) if six else None


def asked_subnets(spec: NetworkSpec) -> tuple[IpamConfig | None, IpamConfig | None]:
    """The subnet and that of IPv6 that a user wants. Raises `Invalid`, `Forbidden`."""
    asked = [each for each in spec.ipam.config if each.subnet]
    loose = next((each for each in spec.ipam.config if not each.subnet), None)
    if loose is not None and (loose.gateway or loose.ip_range or loose.auxiliary_addresses):
        raise Invalid("invalid network config:\ngateway, ip-range and aux-address need a subnet")
    fours = [each for each in asked if ":" not in each.subnet]
    sixes = [each for each in asked if ":" in each.subnet]
    if len(fours) > 1 or len(sixes) > 1:
        driver = spec.driver or "bridge"
        raise Forbidden(f"{driver} driver doesn't support multiple subnets")
    if sixes and not spec.enable_i_pv6:
        raise Invalid(f"invalid network config:\nsubnet {sixes[0].subnet} needs --ipv6")
    return next(iter(fours), None), next(iter(sixes), None)


def _taken(config: IpamConfig, around: Around) -> IpamConfig:
    whole = completed(config)
    check_overlap(ip_network(whole.subnet), around.subnets)
    return whole


def free_subnet6(seed: str, taken: list[str]) -> str:
    """The first /64 of a prefix of its own (RFC 4193), made from ``seed``, that overlaps none of
    those ``taken``."""
    used = [ip_network(each, strict=False) for each in taken if ":" in each]
    for number in range(ula.FIRST, ula.LAST):
        found = ip_network(ula.cluster_subnet(seed, number))
        if not any(found.overlaps(each) for each in used if each.version == found.version):
            return str(found)
    raise Unavailable("no free IPv6 subnet is left")
