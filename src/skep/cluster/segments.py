"""The parts of a new network: each an IPv4 subnet, with an IPv6 one beside it if there is to be
any, that share a bridge and a VXLAN id."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from skep.cluster.subnets import (
    Subnetwork,
    check_overlap,
    completed,
    config_error,
    free_subnet,
    parsed,
    taken_subnets,
)
from skep.cluster.view import View
from skep.model import ula
from skep.model.errors import Invalid, Unavailable
from skep.model.spec import IpamConfig, NetworkSpec

Segment = tuple[IpamConfig, IpamConfig | None]
"""An IPv4 subnet, and the IPv6 one on the same bridge."""

Taken = list[tuple[Subnetwork, str]]
"""Subnets that are not free any more, each with the name of who has it."""

ANY = IpamConfig()


def segments(view: View, spec: NetworkSpec) -> list[Segment]:
    """The subnets of a new network, completed: the user's, or such as are free.

    Without any it gets one of the swarm's pools; with IPv6 and no IPv6 subnet, one of the cluster's
    own prefix for each IPv4 one. The ingress network has IPv6 in any case: its users need not know.
    Raises `Invalid`, `Forbidden` (overlap), `Unavailable` (none is left).
    """
    fours, sixes = _by_family(spec)
    if spec.enable_i_pv6:
        fours, sixes = _paired(fours, sixes)
    elif sixes:
        raise config_error(f"the subnet {sixes[0].subnet} is of IPv6, which takes --ipv6")
    taken = taken_subnets(view)
    settled = [_settled(view, config, taken) for config in fours or [ANY]]
    if spec.enable_i_pv6:
        return list(zip(settled, [_settled6(view, each, taken) for each in sixes], strict=True))
    if spec.ingress:
        return [(four, _mesh(view, taken)) for four in settled]
    return [(four, None) for four in settled]


def _by_family(spec: NetworkSpec) -> tuple[list[IpamConfig], list[IpamConfig]]:
    configs = spec.ipam.config
    sixes = [config for config in configs if ":" in config.subnet + config.gateway]
    return [config for config in configs if config not in sixes], sixes


def _paired(
    fours: list[IpamConfig], sixes: list[IpamConfig]
) -> tuple[list[IpamConfig], list[IpamConfig]]:
    """As many of one family as of the other: they stand side by side on bridges."""
    count = max(len(fours), len(sixes), 1)
    for word, given in (("IPv4", fours), ("IPv6", sixes)):
        if given and len(given) != count:
            raise config_error(
                f"{len(fours)} IPv4 and {len(sixes)} IPv6 subnets: give as many of one as of the "
                f"other, or none of {word} to have them chosen"
            )
    return fours or [ANY] * count, sixes or [ANY] * count


def _settled(view: View, config: IpamConfig, taken: Taken) -> IpamConfig:
    """An IPv4 subnet, chosen if none is given, and checked."""
    if not config.subnet:
        if config.ip_range or config.gateway:
            raise Invalid("invalid network config:\neach subnet of a network must be given")
        config = replace(config, subnet=str(free_subnet(view, taken)))
    return _take(completed(config), taken)


def _settled6(view: View, config: IpamConfig, taken: Taken) -> IpamConfig:
    if not config.subnet:
        config = replace(config, subnet=_free6(view, taken, range(ula.FIRST, ula.LAST + 1)))
    return _take(completed(config), taken)


def _mesh(view: View, taken: Taken) -> IpamConfig:
    """The mesh's first has a number of its own; what addresses in it are follows from IPv4."""
    numbers = range(ula.MESH, ula.LAST + 1)
    return _take(completed(IpamConfig(subnet=_free6(view, taken, numbers))), taken)


def _free6(view: View, taken: Taken, numbers: Iterable[int]) -> str:
    cluster = view.cluster
    assert cluster is not None, "networks are made in a swarm"
    for number in numbers:
        candidate = ula.cluster_subnet(cluster.id, number)
        if not any(parsed(candidate).overlaps(other) for other, _ in taken):
            return candidate
    raise Unavailable("no IPv6 subnet is left in the cluster's own prefix: give one with --subnet")


def _take(config: IpamConfig, taken: Taken) -> IpamConfig:
    subnet = parsed(config.subnet)
    check_overlap(subnet, taken)
    taken.append((subnet, "that is being created"))
    return config
