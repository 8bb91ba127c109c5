"""How answers to the routing mesh find the host that their requests entered by.

A request keeps its client's address, so its destination does not tell the way back. The task's
sandbox marks each connection by the MAC of the ingress sandbox it came from (a host's ingress
address is in it), and routes marked packets to that address over the ingress network.
"""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.host import HostView, Sandbox
from skep.model.ids import mac_of
from skep.model.netstate import PolicyRule, Route
from skep.model.nft import Atom, Ct, Dnat, Rule, Set, SetMark
from skep.plan.grammar import (
    IN,
    NEW,
    PROTOCOL,
    SENDER,
    SOURCE,
    is_,
    is_not,
    lookup,
    named_map,
    rule,
)
from skep.plan.layout import bare, endpoint_on, gateway_endpoint, number, subnet_index, subnet_of

RETURN_BASE = 0x1000000
"""Marks and routing tables of the return path: this, plus the entry host's ingress address's
offset in its subnet. Service marks stay below."""

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
    network = view.networks.get(view.ingress_network)
    if network is None:
        return {}
    marks = {}
    for peer in view.peers.values():
        address = bare(peer.ingress_address)
        index = subnet_index(network, address) if address else None
        if index is not None:
            marks[address] = RETURN_BASE + _offset(network.subnets[index].config.subnet, address)
    return marks


def _offset(subnet: str, address: str) -> int:
    return number(address) - number(subnet)


def return_routes(view: HostView, link: str) -> frozenset[Route]:
    """Per entry host a table whose only route leads to its ingress sandbox."""
    return frozenset(
        Route(destination="default", link=link, via=address, table=mark, onlink=True)
        for address, mark in entrances(view).items()
    )


def return_policy(view: HostView) -> frozenset[PolicyRule]:
    """Each return mark looks up the table of its own number."""
    return frozenset(PolicyRule(RULE_PRIORITY, mark, mark) for mark in entrances(view).values())


def entry_map(view: HostView) -> Set:
    """The map from ingress sandboxes' MACs to return marks."""
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


def datagram_rules(view: HostView, sandbox: Sandbox) -> Iterator[Rule]:
    """A UDP server bound to no address answers from that of the way it would answer by, which is
    the default route's: so datagrams from the mesh are delivered to that address. Not those of
    the ingress network's own addresses, which it answers over that network's link."""
    ingress = endpoint_on(sandbox, view.ingress_network)
    gateway = gateway_endpoint(sandbox)
    if ingress is not None and gateway is not None:
        outside = is_not(SOURCE, subnet_of(ingress.address))
        datagram = (is_(IN, ingress.link), is_(PROTOCOL, "udp"), outside)
        yield rule(*datagram, Dnat(bare(gateway.address)))
