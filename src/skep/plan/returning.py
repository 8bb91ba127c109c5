"""How answers to the routing mesh find the host that their requests entered by.

A request keeps its client's address, so its destination does not tell the way back. The task's
sandbox marks each connection by the MAC of the ingress sandbox it came from (a host's ingress
address is in it), and routes marked packets to that address over the ingress network.
"""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.host import Endpoint, HostView, Sandbox
from skep.model.ids import mac_of
from skep.model.netstate import PolicyRule, Route
from skep.model.nft import Atom, Ct, Dnat, Rule, Set, SetMark
from skep.plan.family import Family
from skep.plan.grammar import (
    IN,
    NEW,
    PROTOCOL,
    SENDER,
    is_,
    is_not,
    lookup,
    named_map,
    rule,
)
from skep.plan.layout import bare, endpoint_on, gateway_endpoint, number, subnet_of

RETURN_BASE = 0x1000000
"""Marks and routing tables of the return path: this, plus the last 24 bits of the entry host's
ingress address (the IPv4 one, for both families). Service marks stay below."""
ADDRESS_BITS = 0xFFFFFF

RULE_PRIORITY = 1000

SYSCTLS = {
    # Replies take another way than the default route of their client's address.
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    # An accepted connection inherits its first packet's mark, so that TCP takes its segment size
    # from the ingress network's MTU and not from the default route's.
    "net.ipv4.tcp_fwmark_accept": "1",
}

RESTORE_RULE = rule(
    is_(Ct("direction"), "reply"), is_not(Ct("mark"), 0), SetMark("meta", Ct("mark"))
)
"""In the output hook: an answer takes its connection's mark, and is routed anew by it."""


def entrances(view: HostView) -> dict[str, int]:
    """The return mark of every host by its ingress address, this host's among them."""
    if view.ingress_network not in view.networks:
        return {}
    known = (bare(peer.ingress_address) for peer in view.peers.values() if peer.ingress_address)
    return {address: RETURN_BASE + (number(address) & ADDRESS_BITS) for address in known}


def return_routes(view: HostView, mesh: Endpoint) -> frozenset[Route]:
    """Per entry host a table whose only route leads to its ingress sandbox, in each family that
    both have an address of on the ingress network."""
    marks = entrances(view)
    sixths = {bare(peer.ingress_address): peer.ingress_address6 for peer in view.peers.values()}
    return frozenset(
        Route(destination=everything, link=mesh.link, via=bare(address), table=mark, onlink=True)
        for main, mark in marks.items()
        for everything, address in (("default", main), ("::/0", sixths[main]))
        if address and (mesh.address6 or everything == "default")
    )


def return_policy(view: HostView, family: Family) -> frozenset[PolicyRule]:
    """Each return mark looks up the table of its own number."""
    marks = entrances(view).values()
    return frozenset(PolicyRule(RULE_PRIORITY, mark, mark, family.name) for mark in marks)


def entry_map(view: HostView) -> Set:
    """The map from ingress sandboxes' MACs to return marks, the same for both families: MACs are
    made from IPv4 addresses."""
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (mac_of(address),): (mark,) for address, mark in entrances(view).items()
    }
    return named_map("entries", ("ether_addr",), ("mark",), elements)


def entry_rules(link: str) -> list[Rule]:
    """On arrival from the mesh: mark the connection, and its first packet (see `SYSCTLS`)."""
    fresh = (is_(IN, link), NEW)
    return [
        rule(*fresh, SetMark("ct", lookup("entries", SENDER))),
        rule(*fresh, SetMark("meta", Ct("mark"))),
    ]


def datagram_rules(view: HostView, sandbox: Sandbox, family: Family) -> Iterator[Rule]:
    """A UDP server bound to no address answers from that of the way it would answer by, which is
    the default route's: so datagrams from the mesh are delivered to that address. Not those of
    the ingress network's own addresses, which it answers over that network's link."""
    ingress = endpoint_on(sandbox, view.ingress_network)
    gateway = gateway_endpoint(sandbox)
    if ingress is not None and gateway is not None:
        outside = is_not(family.source, subnet_of(ingress.address))
        datagram = (is_(IN, ingress.link), is_(PROTOCOL, "udp"), outside)
        yield rule(*datagram, Dnat(bare(gateway.address), family=family.name))
