"""Who may say what he is, on an overlay network: a port's frames carry the MAC that the port was
given, and of the network's own addresses only those that are the endpoint's; nor does it tell
neighbours that others' are at its MAC. VLANs are none.

Addresses outside the network are not looked at: a container may be a router or a gateway, and the
routing mesh brings clients from anywhere. The ingress sandbox is Skep's own and says what it likes.
Frames out of a tunnel were looked at where they went in; who may send tunnel packets is said in
`isolate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.model.assignment import NetworkAssignment
from skep.model.host import INGRESS_SANDBOX, Endpoint, Sandbox
from skep.model.nft import Chain, Counter, Hook, Match, Payload, Rule, Set, Table, Verdict
from skep.plan.family import IP, IP6, Family
from skep.plan.grammar import IN, RAW, SENDER, TABLE, base, is_not, joined_set, named_set, rule
from skep.plan.layout import Plug, bare, subnet_of

SPOOFED = "spoofed"
ASKER = Payload("arp", "saddr ip")
"""The address that an ARP packet says is its sender's."""

TOPIC = Payload("icmpv6", "taddr")
"""The address that a neighbour advertisement is about: who believes it sends to the sender's MAC
what is for that address, whatever the advertisement's own source."""
ADVERT = Match((Payload("icmpv6", "type"),), "nd-neighbor-advert")
TOPICS = "topic"
"""What the sets of those are called by: an address there is of another type to nftables."""

KIND = Payload("ether", "type")
TAGGED = ("8021ad", "8021q")
"""Behind a VLAN tag the rules for ARP and IP see neither; with the tag 0 receivers do."""

_REFUSE = Verdict("jump", SPOOFED)


def sources(network: NetworkAssignment, ports: Iterable[Plug]) -> Iterator[Table]:
    """The table of the network's namespace, if containers are plugged in there."""
    ingress = Sandbox(id=INGRESS_SANDBOX).namespace
    endpoints = [each.endpoint for each in ports if each.sandbox != ingress]
    if not endpoints:
        return
    sets = [
        named_set("ports", "ifname", (each.port for each in endpoints)),
        joined_set(
            "macs", ("ifname", "ether_addr"), {(each.port, each.mac.lower()) for each in endpoints}
        ),
    ]
    rules = [
        rule(is_not(IN, "@ports"), Verdict("accept")),
        rule(Match((KIND,), TAGGED), _REFUSE),
        rule(Match((IN, SENDER), "@macs", "!="), _REFUSE),
    ]
    for family in (IP, IP6):
        subnets = {subnet for subnet in _subnets(network) if family.has(subnet)}
        if subnets:
            sets += _sets(family, subnets, endpoints)
            rules += _rules(family)
    refusal = Chain(SPOOFED, (rule(Counter(), Verdict("drop")),))
    chain = base("sources", Hook("filter", "prerouting", RAW), rules)
    yield Table(TABLE, (chain, refusal), tuple(sets), family="bridge")


def _subnets(network: NetworkAssignment) -> Iterator[str]:
    for subnet in network.subnets:
        configs = (subnet.config, subnet.config6)
        yield from (subnet_of(each.subnet) for each in configs if each is not None)


def _sets(family: Family, subnets: Iterable[str], endpoints: Iterable[Endpoint]) -> Iterator[Set]:
    told = frozenset((each,) for each in subnets)
    own = {
        (each.port, address) for each in endpoints for address in _own(each) if family.has(address)
    }
    kinds = {family.name: family.kind}
    if family is IP6:
        kinds[TOPICS] = "nd_target"
    for name, kind in kinds.items():
        yield Set(f"{name}_subnets", (kind,), told, interval=True)
        yield joined_set(f"{name}_own", ("ifname", kind), own)


def _own(endpoint: Endpoint) -> Iterator[str]:
    """An endpoint's addresses. It has the VIPs of its own service, too."""
    yield from (bare(each) for each in (endpoint.address, endpoint.address6) if each)
    yield from endpoint.vips


def _rules(family: Family) -> Iterator[Rule]:
    yield _only_own(family.name, family.source)
    yield _only_own(IP.name, ASKER) if family is IP else _only_own(TOPICS, TOPIC, ADVERT)


def _only_own(name: str, key: Payload, *first: Match) -> Rule:
    inside = Match((key,), f"@{name}_subnets")
    return rule(*first, inside, Match((IN, key), f"@{name}_own", "!="), _REFUSE)
