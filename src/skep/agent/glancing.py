"""What this host shows at a glance, and who talks to whom here, to the page and to pictures."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping

from skep.agent.network import Network
from skep.kernel.kernel import Kernel
from skep.model.flows import Flow
from skep.model.glance import Glimpse, Lan
from skep.model.host import INGRESS_SANDBOX, HostView
from skep.model.inspection import Conversations, Glance, PeerSight
from skep.plan.layout import overlays
from skep.topology.flows import named

LONGEST = 10.0
"""Seconds that a glance may wait for a change."""


async def look(
    kernel: Kernel,
    network: Network,
    what: Glance | Conversations,
    peers: Mapping[str, PeerSight],
) -> Glimpse | tuple[Flow, ...]:
    """The answer to one of these inquiries. Raises `Broken` if the kernel cannot be read."""
    if isinstance(what, Glance):
        return await glance(kernel, network, what, peers)
    return await conversations(kernel, network)


async def conversations(kernel: Kernel, network: Network) -> tuple[Flow, ...]:
    """Who talks to whom here. One sandbox after the other, so that repairs are not held up: the
    kernel looks through all flows of the host for each."""
    view = network.view()
    tracked = {
        box.namespace: await kernel.tracked(box.namespace)
        for box in view.sandboxes
        if box.id != INGRESS_SANDBOX
    }
    return named(view, own_name(view), tracked)


async def glance(
    kernel: Kernel, network: Network, what: Glance, peers: Mapping[str, PeerSight]
) -> Glimpse:
    """Look as soon as something changed, or when the asked time is up."""
    converger = network.converger
    await converger.until_moved(what.after, min(what.seconds, LONGEST))
    turn, busy, view = converger.turn, converger.busy, network.view()
    return Glimpse(
        node_id=view.node_id,
        hostname=own_name(view),
        at=time.time(),
        turn=turn,
        busy=busy,
        vtep=view.vtep,
        networks=tuple(each.id for each in overlays(view).values()),
        sandboxes=view.sandboxes,
        bridges=view.bridges,
        lans=tuple(_lans(view)),
        spaces=await kernel.spaces(view.vtep),
        peers=dict(peers),
        repairs=sum(converger.tally.drift.values()),
        refused=len(converger.failures),
        held_until=converger.held_until,
    )


def _lans(view: HostView) -> Iterator[Lan]:
    for lower in view.lowers:
        yield Lan(
            network_id=lower.network_id,
            network_name=lower.network_name,
            driver=lower.driver,
            parent=lower.parent,
            swarm=lower.network_id in view.networks,
        )
    for remote in view.remotes:
        yield Lan(
            network_id=remote.network_id,
            network_name=remote.network_name,
            driver=remote.driver,
        )


def own_name(view: HostView) -> str:
    """What this host is called among its swarm's nodes; its own name without one."""
    me = view.peers.get(view.node_id)
    return me.hostname if me else socket.gethostname()
