"""Who talks to whom, by names: what namespaces track, joined with what they are. Pure.

A conversation is tracked in several namespaces on its way. It is told once: by the sandbox of the
container that began it, or, if no container did, by the one that answers.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from skep.model.flows import Flow, Party, Tracked, Wanted
from skep.model.host import INGRESS_SANDBOX, HostView, Sandbox
from skep.model.readings import PairFlows
from skep.plan.layout import bare

Subnetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp", 132: "sctp"}
CONTAINER, HOST, GATEWAY, VIP, OUTSIDE = "container", "host", "gateway", "vip", "outside"
NOBODY = "nobody"
UNANSWERED = "unanswered"
OTHERS = "others"

UNKNOWN = Party(address="")

Names = Mapping[str, Party]


class Known(msgspec.Struct, frozen=True):
    """Whose addresses are, and which networks' they would be if they were anybody's."""

    names: Names
    subnets: tuple[tuple[Subnetwork, str], ...]

    def end(self, address: str, port: int) -> Party:
        """Who is there."""
        known = self.names.get(address)
        if known is not None:
            return replace(known, port=port)
        place = ipaddress.ip_address(address)
        for subnet, network in self.subnets:
            if place in subnet:
                return Party(address=address, port=port, kind=NOBODY, name=NOBODY, network=network)
        return Party(address=address, port=port, name=address)


def named(
    view: HostView, hostname: str, tracked: Mapping[str, Iterable[Tracked]]
) -> tuple[Flow, ...]:
    """A host's conversations. ``tracked`` is by namespace."""
    known = Known(parties(view), tuple(_subnets(view)))
    found: list[Flow] = []
    for box in view.sandboxes:
        if box.id != INGRESS_SANDBOX:
            found += _of_sandbox(box, hostname, known, tracked.get(box.namespace, ()))
    return tuple(found)


def parties(view: HostView) -> dict[str, Party]:
    """Whose each address is, as far as this host knows: endpoints anywhere on its networks, VIPs,
    its own bridges, other hosts."""
    found: dict[str, Party] = {}
    for network in view.networks.values():
        at = network.spec.name
        services = {each.id: each.name for each in network.services.values()}
        for each in network.services.values():
            for vip in filter(None, (each.vip, each.vip6)):
                found[bare(vip)] = _party(vip, VIP, each.name, each.name, at)
        for end in network.endpoints.values():
            name = end.names[0] if end.names else end.task_id
            for address in filter(None, (end.address, end.address6)):
                owner = services.get(end.service_id, "")
                found[bare(address)] = _party(address, CONTAINER, name, owner, at)
    for peer in view.peers.values():
        for address in filter(None, (peer.ingress_address, peer.ingress_address6, peer.vtep)):
            found[bare(address)] = _party(address, HOST, peer.hostname)
    for bridge in view.bridges:
        for address in filter(None, (bridge.address, bridge.address6)):
            found[bare(address)] = _party(address, GATEWAY, bridge.network_name)
    for box in view.sandboxes:
        found |= _of_box(box, found)
    return found


def _of_box(box: Sandbox, known: Names) -> dict[str, Party]:
    """Its own addresses, among them those on bridges that other hosts have as well."""
    ends = [(a, e.network_name) for e in box.endpoints for a in (e.address, e.address6) if a]
    tasks = [known[bare(a)] for a, _ in ends if bare(a) in known]
    service = next((each.service for each in tasks if each.kind == CONTAINER), "")
    return {
        bare(a): _party(a, CONTAINER, box.container_name, service, network)
        for a, network in ends
        if known.get(bare(a), UNKNOWN).kind != CONTAINER
    }


def _subnets(view: HostView) -> Iterator[tuple[Subnetwork, str]]:
    for network in view.networks.values():
        for subnet in network.subnets:
            for config in filter(None, (subnet.config, subnet.config6)):
                yield ipaddress.ip_network(config.subnet), network.spec.name


def _party(address: str, kind: str, name: str, service: str = "", network: str = "") -> Party:
    return Party(address=bare(address), kind=kind, name=name, service=service, network=network)


def _of_sandbox(
    box: Sandbox, hostname: str, known: Known, tracked: Iterable[Tracked]
) -> Iterator[Flow]:
    own = {bare(a) for end in box.endpoints for a in (end.address, end.address6, *end.vips) if a}
    for each in tracked:
        if ipaddress.ip_address(each.target).is_loopback:
            # Names are asked at 127.0.0.11: that is skep-dns's to tell.
            continue
        client = known.end(each.source, each.source_port)
        if each.source in own or client.kind != CONTAINER:
            yield _flow(hostname, each, client, known)


def _flow(hostname: str, each: Tracked, client: Party, known: Known) -> Flow:
    asked = ""
    if (each.target, each.target_port) != (each.answerer, each.answerer_port):
        name = known.names.get(each.target, UNKNOWN).name
        place = f"[{each.target}]" if ":" in each.target else each.target
        place = f"{place}:{each.target_port}" if each.target_port else place
        asked = f"{name} {place}" if name else place
    return Flow(
        host=hostname,
        protocol=PROTOCOLS.get(each.protocol, str(each.protocol)),
        client=client,
        server=known.end(each.answerer, each.answerer_port),
        asked=asked,
        verdict="answered" if each.answered else UNANSWERED,
        state=each.state,
        sent_packets=each.sent_packets,
        sent_bytes=each.sent_bytes,
        received_packets=each.received_packets,
        received_bytes=each.received_bytes,
    )


# --- which of them, and how many


def chosen(flows: Iterable[Flow], wanted: Wanted) -> Iterator[Flow]:
    """Those that are asked for."""
    for flow in flows:
        ends = (flow.client, flow.server)
        if not all((
            not wanted.host or flow.host == wanted.host,
            not wanted.party or any(_is(end, wanted.party) for end in ends),
            not wanted.network or any(end.network == wanted.network for end in ends),
            not wanted.port or flow.server.port == wanted.port,
            not wanted.outside or any(end.kind == OUTSIDE for end in ends),
            not wanted.unanswered or flow.verdict == UNANSWERED,
        )):  # fmt: skip
            continue
        yield flow


def _is(end: Party, name: str) -> bool:
    return name in (end.service, end.name, end.address)


Pair = tuple[str, str, str, int]
"""Client and server by their services' or own names, protocol, the server's port."""


def pairs(flows: Iterable[Flow]) -> dict[Pair, list[Flow]]:
    """Conversations by who talks to whom: of clients outside every one is "outside"."""
    found: dict[Pair, list[Flow]] = defaultdict(list)
    for flow in flows:
        port = flow.server.port if flow.protocol != "icmp" else 0
        key = (_summed(flow.client), _summed(flow.server), flow.protocol, port)
        found[key].append(flow)
    return dict(found)


def _summed(end: Party) -> str:
    return OUTSIDE if end.kind == OUTSIDE else end.called


def total(flows: Iterable[Flow], member: str) -> int:
    """The sum of a count; -1 if none of them is counted."""
    counts = [count for each in flows if (count := getattr(each, member)) >= 0]
    return sum(counts) if counts else -1


def busiest(flows: Iterable[Flow], most: int) -> tuple[PairFlows, ...]:
    """So many pairs at most, those with the most bytes; all others add up to one."""
    found = sorted(
        (_paired(pair, those) for pair, those in pairs(flows).items()),
        key=lambda each: (-each.sent_bytes - each.received_bytes, -each.flows, each.client),
    )
    rest = found[most:]
    if not rest:
        return tuple(found)
    return (*found[:most], PairFlows(
        client=OTHERS, server=OTHERS, protocol="", port=0,
        flows=sum(each.flows for each in rest),
        unanswered=sum(each.unanswered for each in rest),
        sent_bytes=sum(each.sent_bytes for each in rest),
        received_bytes=sum(each.received_bytes for each in rest),
    ))  # fmt: skip


def _paired(pair: Pair, those: list[Flow]) -> PairFlows:
    client, server, protocol, port = pair
    return PairFlows(
        client=client,
        server=server,
        protocol=protocol,
        port=port,
        flows=len(those),
        unanswered=sum(each.verdict == UNANSWERED for each in those),
        sent_bytes=max(total(those, "sent_bytes"), 0),
        received_bytes=max(total(those, "received_bytes"), 0),
    )
