"""Service addresses in a client's own sandbox: which VIP has which mark and which backends.

A VIP is balanced where its client is: it leads to a chain that draws a number (`skep.plan.turns`),
and VIP and number lead to the backend. A task that comes or goes changes elements, and a chain if
its service is the first or last one in it; other services' connections and turns go on.

The VIP and not the service's mark is the key, because one service has one mark but, on each of
its networks, another VIP and other backends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from skep.model.assignment import NetworkAssignment
from skep.model.naming import RESOLVER, RESOLVER_PORT
from skep.model.nft import Atom, Chain, Dnat, Masquerade, Payload, Reject, Rule, Set, SetMark, Vmap
from skep.model.options import read_options
from skep.plan.family import IP, Family
from skep.plan.grammar import (
    NEW,
    OUT,
    is_,
    is_not,
    lookup,
    named_map,
    named_set,
    rule,
)
from skep.plan.layout import bare, number
from skep.plan.turns import Share, turn_chains, turn_map


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The maps, sets and chains by which a client's sandbox balances."""

    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]


class Balancer:
    """Balances over any combination of networks, each worked out once: most sandboxes of a host
    share theirs with others, and its maps are by far the largest thing in them.

    ``networks`` are as ``family`` sees them (see `skep.plan.family`)."""

    def __init__(self, networks: Mapping[str, NetworkAssignment], family: Family = IP) -> None:
        self._networks = networks
        self.family = family
        self._known: dict[frozenset[str], Balance] = {}

    def over(self, networks: Iterable[str]) -> Balance:
        """For a client on these networks (by id; those that are not known count for nothing)."""
        chosen = frozenset(networks)
        if chosen not in self._known:
            present = [self._networks[each] for each in sorted(chosen) if each in self._networks]
            self._known[chosen] = _balance(present, self.family)
        return self._known[chosen]


def ready_addresses(network: NetworkAssignment, node_id: str = "") -> dict[str, tuple[str, ...]]:
    """Addresses of each service's ready endpoints by service id, in the addresses' own order.

    With ``node_id``, of those on that host alone.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for endpoint in network.endpoints.values():
        here = node_id in ("", endpoint.node_id)
        if here and endpoint.ready and endpoint.service_id and endpoint.address:
            found[endpoint.service_id].append(bare(endpoint.address))
    return {service: tuple(sorted(each, key=number)) for service, each in found.items()}


def backend_map(kind: str, backends: Mapping[Atom, tuple[str, ...]], family: Family) -> Set:
    """The map from service and number to address."""
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (service, number): (address,)
        for service, addresses in backends.items()
        for number, address in enumerate(addresses)
    }
    return named_map("backends", (kind, "integer"), (family.kind,), elements)


def vip_map(marks: Mapping[str, int], family: Family) -> Set:
    """The map from VIP to firewall mark."""
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (vip,): (mark,) for vip, mark in marks.items() if mark
    }
    return named_map("vips", (family.kind,), ("mark",), elements)


def turn_rule(family: Family) -> Rule:
    """Sends a connection's first packet to a VIP into the chain that draws its backend's number."""
    return rule(Vmap((family.target,), "turns"))


def mark_rule(family: Family) -> Rule:
    """Marks a connection's first packet with its service's mark; a VIP that is not in the map, or
    any other address, leaves the packet as it is."""
    return rule(NEW, SetMark("meta", lookup("vips", family.target)))


def hairpin_rule(family: Family) -> Rule:
    """Who asks for the VIP that it carries itself does so, by the kernel's choice, from that VIP;
    no other task of the service could answer that."""
    return rule(is_(family.source, "@own_vips"), is_not(OUT, "lo"), Masquerade())


def refuse_rules(family: Family) -> list[Rule]:
    """A service without a ready task is refused at once instead of timing out."""
    idle = is_(family.target, "@no_backend")
    return [rule(idle, Reject("tcp reset")), rule(idle, Reject(family.refusal))]


def resolver_rules(family: Family) -> list[Rule]:
    """Port 53 of the resolver's address goes to where it really listens, at the same address."""
    if not family.has(RESOLVER):
        return []
    return [
        rule(
            is_(family.target, RESOLVER),
            is_(Payload(protocol, "dport"), 53),
            Dnat(RESOLVER, RESOLVER_PORT),
        )
        for protocol in ("udp", "tcp")
    ]


def own_set(own: Iterable[str], family: Family) -> Set:
    """The VIPs that a sandbox carries itself."""
    return named_set("own_vips", family.kind, own)


def _balance(networks: Iterable[NetworkAssignment], family: Family) -> Balance:
    """All services with a VIP on ``networks``."""
    marks: dict[str, int] = {}
    backends: dict[Atom, tuple[str, ...]] = {}
    shares: dict[Atom, Share] = {}
    for network in networks:
        ready = ready_addresses(network)
        for service in network.services.values():
            if service.vip:
                vip = bare(service.vip)
                marks[vip] = service.mark
                backends[vip] = ready.get(service.id, ())
                options, _ = read_options(service.options)
                shares[vip] = Share(
                    mark=service.mark, balance=options.balance, count=len(backends[vip])
                )
    sets = (
        vip_map(marks, family),
        backend_map(family.kind, backends, family),
        named_set("no_backend", family.kind, [vip for vip in backends if not backends[vip]]),
        turn_map(shares, family.kind),
    )
    return Balance(sets=sets, chains=turn_chains(shares, family.target, family=family))
