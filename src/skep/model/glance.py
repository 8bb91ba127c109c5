"""What a host shows at a glance: its sandboxes, links and their counters, and how its peers answer.

Light enough to be asked every second while somebody looks at the cluster; what `skep trace` needs
is in `skep.model.inspection`. Instants are Unix seconds by the host's own clock, sizes bytes.
"""

from __future__ import annotations

import msgspec

from skep.model.host import Bridge, Sandbox
from skep.model.inspection import PeerSight


class Sight(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is shown."""


class Gauge(Sight, frozen=True):
    """A link and what it has carried since it was made. ``dropped`` counts both ways. ``vni`` is 0
    but for VXLAN devices; ``ours`` is false for the link that carries the tunnels."""

    name: str
    kind: str = ""
    index: int = 0
    peer_index: int = 0
    mtu: int = 0
    up: bool = False
    mac: str = ""
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    tx_packets: int = 0
    dropped: int = 0
    errors: int = 0
    vni: int = 0
    ours: bool = True


class Space(Sight, frozen=True):
    """A namespace: its links (of the host's own, those of Skep's group and the one that carries the
    tunnels), and how many forwarding entries point to each remote tunnel endpoint."""

    gauges: tuple[Gauge, ...] = ()
    remotes: dict[str, int] = {}


class Lan(Sight, frozen=True):
    """A network without a bridge of ours: its interfaces share the host's link ``parent`` by
    ``driver``, or a plugin makes them ("" then). ``swarm`` is whether it is the cluster's, too."""

    network_id: str
    network_name: str
    driver: str
    parent: str = ""
    swarm: bool = False


class Glimpse(Sight, frozen=True):
    """One host at ``at``. ``turn`` grows whenever something there changes (counters excepted).
    While it is ``busy``, what is missing may be just about to be made. ``networks`` are the swarm
    networks present; ``repairs`` is how much of others' doing its skepd ever undid, ``refused`` how
    many operations the kernel refused last, ``held_until`` is 0.0 unless it is held."""

    node_id: str
    hostname: str
    at: float
    turn: int = 0
    busy: bool = False
    vtep: str = ""
    networks: tuple[str, ...] = ()
    sandboxes: tuple[Sandbox, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    lans: tuple[Lan, ...] = ()
    spaces: dict[str, Space] = {}
    peers: dict[str, PeerSight] = {}
    repairs: int = 0
    refused: int = 0
    held_until: float = 0.0
