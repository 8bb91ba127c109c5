"""What is measured on this host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce

import msgspec

from skep.agent.glancing import conversations
from skep.agent.network import Network
from skep.dns.client import DnsClient
from skep.kernel.kernel import Kernel
from skep.model.errors import Refusal
from skep.model.host import HostView
from skep.model.inspection import PeerSight
from skep.model.readings import HostReadings, LinkTraffic, NameCounts
from skep.plan.layout import overlay_namespace
from skep.topology.flows import busiest

MOST_PAIRS = 100
"""Pairs whose conversations are told of by name: each is some series for Prometheus."""


async def read_host(
    kernel: Kernel, network: Network, dns: DnsClient, peers: Mapping[str, PeerSight]
) -> HostReadings:
    """All of it, now. What cannot be read is left out."""
    view, converger = network.view(), network.converger
    return HostReadings(
        node_id=view.node_id,
        endpoints=endpoints(view),
        drift=dict(converger.tally.drift),
        changes=converger.tally.changes,
        refused=len(converger.failures),
        held=bool(converger.held_until),
        looks=converger.tally.looks,
        tunnels=by_network(view, await kernel.tunnels()),
        refusals=await kernel.refusals(),
        names=await _names(dns),
        peers=hostnames(view, peers),
        pairs=busiest(await conversations(kernel, network), MOST_PAIRS),
        encrypted={pair.hostname: pair.encrypted for pair in network.encryption()},
    )


def endpoints(view: HostView) -> dict[str, int]:
    """How many endpoints each network has here."""
    return dict(Counter(e.network_name for box in view.sandboxes for e in box.endpoints))


def by_network(view: HostView, traffic: Iterable[LinkTraffic]) -> dict[str, LinkTraffic]:
    """The traffic of each network's tunnels, added up, by its name."""
    names = {overlay_namespace(id): network.spec.name for id, network in view.networks.items()}
    found: dict[str, list[LinkTraffic]] = {}
    for each in traffic:
        if each.namespace in names:
            found.setdefault(names[each.namespace], []).append(each)
    return {name: reduce(_added, links) for name, links in found.items()}


def _added(one: LinkTraffic, other: LinkTraffic) -> LinkTraffic:
    counts = [each.name for each in msgspec.structs.fields(LinkTraffic) if each.type is int]
    sums = {name: getattr(one, name) + getattr(other, name) for name in counts}
    return msgspec.structs.replace(one, **sums)


def hostnames(view: HostView, peers: Mapping[str, PeerSight]) -> dict[str, PeerSight]:
    """The same by the hosts' names instead of their ids."""
    known = {peer.id: peer.hostname for peer in view.peers.values()}
    return {known.get(node_id, node_id): seen for node_id, seen in peers.items()}


async def _names(dns: DnsClient) -> NameCounts | None:
    try:
        counts = await dns.stats()
    except Refusal:
        # It is being started again; that it is away is what the reading says.
        return None
    return NameCounts(
        questions=counts.questions,
        forwarded=counts.forwards,
        failed=counts.failures,
        busy=counts.busy,
        sandboxes=counts.sandboxes,
        faults=counts.faults,
        own=counts.own,
        upstream=counts.upstream,
    )
