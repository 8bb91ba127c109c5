"""What a picture is made from: the cluster's records and what its hosts showed."""

from __future__ import annotations

import msgspec

from skep.model.cluster import Network, Node, Service, Task
from skep.model.glance import Glimpse, Space

Flow = tuple[float, float]
"""Bytes per second into a link, and out of it."""

LEAST = 20.0
"""Bytes per second that count as traffic."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``glimpses`` and ``silences`` (why there is no glimpse) are by node id, ``flows``
    by node id, namespace and link."""

    nodes: tuple[Node, ...] = ()
    networks: tuple[Network, ...] = ()
    services: tuple[Service, ...] = ()
    tasks: tuple[Task, ...] = ()
    glimpses: dict[str, Glimpse] = {}
    silences: dict[str, str] = {}
    flows: dict[str, dict[tuple[str, str], Flow]] = {}


def flows_between(old: Glimpse, new: Glimpse) -> dict[tuple[str, str], Flow]:
    """How much each link carried between two glimpses of a host, by namespace and link. Links that
    were made in between have nothing to be compared with."""
    seconds = new.at - old.at
    if seconds <= 0:
        return {}
    found = {}
    for name, space in new.spaces.items():
        known = {each.name: each for each in old.spaces.get(name, Space()).gauges}
        for gauge in space.gauges:
            was = known.get(gauge.name)
            if was is None or was.index != gauge.index:
                continue
            into = round_off((gauge.rx_bytes - was.rx_bytes) / seconds)
            out = round_off((gauge.tx_bytes - was.tx_bytes) / seconds)
            if into or out:
                found[name, gauge.name] = (into, out)
    return found


def round_off(rate: float) -> float:
    """A rate in two digits, 0.0 for next to nothing: small changes are no news."""
    return float(f"{rate:.1e}") if rate >= LEAST else 0.0
