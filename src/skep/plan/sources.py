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


def _sets(family: Family, subnets: Iterable[str], endpoints: Iterable[Endpoint]) -> list[Set]:
    own = {(each.port, address) for each in endpoints for address in _own(each)}
    return [
        Set(
            f"{family.name}_subnets",
            (family.kind,),
            frozenset((each,) for each in subnets),
            interval=True,
        ),
        joined_set(
            f"{family.name}_own",
            ("ifname", family.kind),
            {(port, address) for port, address in own if family.has(address)},
        ),
        *(_topics(subnets, own) if family is IP6 else ()),
    ]


def _topics(subnets: Iterable[str], own: Iterable[tuple[str, str]]) -> Iterator[Set]:
    """The same for what neighbour advertisements are about."""
    mine = {(port, address) for port, address in own if IP6.has(address)}
    yield Set(
        "topic_subnets", ("nd_target",), frozenset((each,) for each in subnets), interval=True
    )
    yield joined_set("topic_own", ("ifname", "nd_target"), mine)


def _own(endpoint: Endpoint) -> Iterator[str]:
    """An endpoint's addresses. It has the VIPs of its own service, too."""
    yield from (bare(each) for each in (endpoint.address, endpoint.address6) if each)
    yield from endpoint.vips


def _rules(family: Family) -> Iterator[Rule]:
    for key in (family.source, ASKER) if family is IP else (family.source,):
        inside = Match((key,), f"@{family.name}_subnets")
        yield rule(inside, Match((IN, key), f"@{family.name}_own", "!="), _REFUSE)
    if family is IP6:
        inside = Match((TOPIC,), "@topic_subnets")
        yield rule(ADVERT, inside, Match((IN, TOPIC), "@topic_own", "!="), _REFUSE)
