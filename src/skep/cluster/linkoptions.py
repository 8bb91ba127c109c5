"""Driver options about the links of a network, of the swarm's and of a host's own alike."""

from __future__ import annotations

from collections.abc import Mapping

from skep.model.errors import Invalid
from skep.model.spec import LOWER_MODES

PARENT = "parent"
MTU = "com.docker.network.driver.mtu"
MOST_MTU = 65535


def check_mtu(options: Mapping[str, str], least: int) -> None:
    """Raises `Invalid` for an MTU that is no number of bytes from ``least`` on."""
    mtu = options.get(MTU)
    if mtu is not None and not (mtu.isdecimal() and least <= int(mtu) <= MOST_MTU):
        raise Invalid(f"invalid value for {MTU}: {mtu!r} is not between {least} and {MOST_MTU}")


def mode_of(options: Mapping[str, str], driver: str) -> str:
    """How a macvlan or ipvlan network divides its link. Raises `Invalid`."""
    modes = LOWER_MODES[driver]
    mode = options.get(f"{driver}_mode") or modes[0]
    if mode not in modes:
        raise Invalid(
            f"requested {driver} mode '{mode}' is not valid, it is one of {', '.join(modes)}"
        )
    return mode
