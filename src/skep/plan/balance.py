"""Service addresses in a client's own sandbox: which VIP has which mark and which backends.

A VIP is balanced where its client is: it leads to a chain that draws a number (`skep.plan.turns`),
and VIP and number lead to the backend. A task that comes or goes changes elements, and a chain if
its service is the first or last one in it; other services' connections and turns go on.

The VIP and not the service's mark is the key, because one service has one mark but, on each of
its networks, another VIP and other backends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from skep.model.assignment import NetworkAssignment
from skep.model.host import HostView
from skep.model.naming import RESOLVER, RESOLVER_PORT
from skep.model.netstate import VirtualService
from skep.model.nft import Atom, Chain, Dnat, Masquerade, Payload, Reject, Rule, Set, SetMark, Vmap
from skep.plan.backends import Balanced, balanced, members
from skep.plan.family import IP, Family
from skep.plan.grammar import (
    OUT,
    is_,
    is_not,
    lookup,
    named_map,
    named_set,
    rule,
)
from skep.plan.keeping import keeping
from skep.plan.layout import bare
from skep.plan.turns import share, turn_chains, turn_map
from skep.plan.virtual import by_ipvs, virtual_services, which_packets


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The maps, sets and chains by which a client's sandbox balances, and the rules that send a
    connection's first packet to its backend; and the services that IPVS balances instead."""

    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]
    rules: tuple[Rule, ...]
    virtual: frozenset[VirtualService]


class Balancer:
    """Balances over any combination of networks, each worked out once: most sandboxes of a host
    share theirs with others, and its maps are by far the largest thing in them.

    ``view`` is as ``family`` sees it (see `skep.plan.family`)."""

    def __init__(self, view: HostView, family: Family = IP) -> None:
        self._view = view
        self.family = family
        self._known: dict[frozenset[str], Balance] = {}

    def over(self, networks: Iterable[str]) -> Balance:
        """For a client on these networks (by id; those that are not known count for nothing)."""
        chosen = frozenset(networks)
        if chosen not in self._known:
            networks = self._view.networks
            present = [networks[each] for each in sorted(chosen) if each in networks]
            self._known[chosen] = _balance(self._view, present, self.family)
        return self._known[chosen]


def backend_map(kind: str, services: Mapping[Atom, Balanced], family: Family) -> Set:
    """The map from service and place to address."""
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (service, place): (address,)
        for service, each in services.items()
        for place, address in enumerate(each.places)
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


def mark_rule(view: HostView, family: Family) -> Rule:
    """Marks a connection's first packet with its service's mark; a VIP that is not in the map, or
    any other address, leaves the packet as it is."""
    return rule(*which_packets(view), SetMark("meta", lookup("vips", family.target)))


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


def _balance(view: HostView, networks: Iterable[NetworkAssignment], family: Family) -> Balance:
    """All services with a VIP on ``networks``."""
    found: dict[Atom, Balanced] = {}
    for network in networks:
        behind = members(view, network)
        for service in network.services.values():
            if service.vip:
                found[bare(service.vip)] = balanced(service, behind.get(service.id, ()))
    drawn = {vip: each for vip, each in found.items() if not by_ipvs(view, each)}
    shares = {vip: share(each) for vip, each in drawn.items()}
    kept = keeping(drawn.values(), family)
    idle = [vip for vip, each in found.items() if not each.backends]
    sets = (
        vip_map({str(vip): each.mark for vip, each in found.items()}, family),
        backend_map(family.kind, drawn, family),
        named_set("no_backend", family.kind, idle),
        turn_map(shares, family.kind),
        *kept.sets,
    )
    return Balance(
        sets=sets,
        chains=(*turn_chains(shares, family.target, family=family), *kept.chains),
        rules=(*kept.rules, turn_rule(family)),
        virtual=virtual_services(view, found.values(), family),
    )
