"""What is measured on a host and on a manager, as `GET /metrics` tells it.

Counts grow from the daemon's start (those of names: of skep-dns's start) on; sizes are bytes, times
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from skep.model.inspection import PeerSight


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is measured."""


class Times(Reading, frozen=True):
    """How long something took: ``counts[i]`` of them at most ``bounds[i]``, ``number`` in all,
    together ``total``."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    number: int = 0
    total: float = 0.0


class LinkTraffic(Reading, frozen=True):
    """What a link has carried. Source: rtnl_link_stats64."""

    namespace: str
    link: str
    received_bytes: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    sent_packets: int = 0
    received_errors: int = 0
    sent_errors: int = 0
    received_dropped: int = 0
    sent_dropped: int = 0


class NameCounts(Reading, frozen=True):
    """What skep-dns has done: ``questions`` by kind; those it ``forwarded``, and of these such as
    got no answer (``failed``) or were one too many at a time (``busy``). ``own`` and ``upstream``
    are how long replies took that were its own, and such as upstreams were asked for."""

    questions: Mapping[str, int]
    forwarded: int = 0
    failed: int = 0
    busy: int = 0
    sandboxes: int = 0
    faults: int = 0
    own: Times = Times()
    upstream: Times = Times()


class PairFlows(Reading, frozen=True):
    """What is remembered now of who talks to whom: ``flows`` conversations, ``unanswered`` of them
    without an answer, and the bytes both ways of all that are counted."""

    client: str
    server: str
    protocol: str
    port: int
    flows: int
    unanswered: int
    sent_bytes: int
    received_bytes: int


class HostReadings(Reading, frozen=True):
    """One host. ``drift`` counts what was put right though nothing had asked for a change, by kind
    of operation; ``changes`` all that was done to the kernel. ``tunnels`` maps a network's name to
    its tunnel's traffic; ``endpoints`` to how many it has here. ``refusals`` counts packets that
    were dropped, by why: ``stranger`` (a tunnel packet of somebody who is no host of the cluster),
    ``spoofed`` (a container's frame that names another sender). ``names`` is None while skep-dns
    does not answer. ``pairs`` are the busiest. ``encrypted`` tells of peers on
    encrypted networks whether they have just answered through the tunnel."""

    node_id: str = ""
    endpoints: Mapping[str, int] = {}
    drift: Mapping[str, int] = {}
    changes: int = 0
    refused: int = 0
    held: bool = False
    looks: Times = Times()
    tunnels: Mapping[str, LinkTraffic] = {}
    refusals: Mapping[str, int] = {}
    names: NameCounts | None = None
    pairs: tuple[PairFlows, ...] = ()
    peers: Mapping[str, PeerSight] = {}
    encrypted: Mapping[str, bool] = {}


class Versions(Reading, frozen=True):
    """The revisions of the state that a host was ``told`` of last, and that its kernel was brought
    to (``applied``)."""

    told: int
    applied: int


class PoolReading(Reading, frozen=True):
    """How many addresses of a network are taken."""

    network: str
    used: int
    size: int


class ClusterReadings(Reading, frozen=True):
    """A manager's. ``behind`` maps the names of hosts with a session to how many revisions of their
    assignment they have not applied; ``nodes`` and ``tasks`` count by state."""

    revision: int = 0
    behind: Mapping[str, int] = {}
    nodes: Mapping[str, int] = {}
    tasks: Mapping[str, int] = {}
    services: int = 0
    wanted: Mapping[str, int] = {}
    running: Mapping[str, int] = {}
    pools: tuple[PoolReading, ...] = ()


class Readings(Reading, frozen=True):
    """Everything that one daemon can tell; ``cluster`` on managers alone."""

    hostname: str
    version: str
    host: HostReadings
    cluster: ClusterReadings | None = None
