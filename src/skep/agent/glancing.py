"""What this host shows at a glance, to the page and to pictures of the cluster."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from skep.agent.network import Network
from skep.kernel.kernel import Kernel
from skep.model.glance import Glimpse
from skep.model.inspection import Glance, PeerSight
from skep.plan.layout import overlays

LONGEST = 10.0
"""Seconds that a glance may wait for a change."""


async def glance(
    kernel: Kernel, network: Network, what: Glance, peers: Mapping[str, PeerSight]
) -> Glimpse:
    """Look as soon as something changed, or when the asked time is up."""
    converger = network.converger
    await converger.until_moved(what.after, min(what.seconds, LONGEST))
    turn, busy, view = converger.turn, converger.busy, network.view()
    me = view.peers.get(view.node_id)
    return Glimpse(
        node_id=view.node_id,
        hostname=me.hostname if me else socket.gethostname(),
        at=time.time(),
        turn=turn,
        busy=busy,
        vtep=view.vtep,
        networks=tuple(each.id for each in overlays(view).values()),
        sandboxes=view.sandboxes,
        bridges=view.bridges,
        spaces=await kernel.spaces(view.vtep),
        peers=dict(peers),
        repairs=sum(converger.tally.drift.values()),
        refused=len(converger.failures),
        held_until=converger.held_until,
    )
