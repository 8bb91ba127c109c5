"""Service addresses in a client's own sandbox: which VIP has which mark and which backends.

A VIP is balanced where its client is. For each number of backends that any service here has, one
set says which VIPs have that many, and one rule takes turns among them in a map keyed by VIP and
turn. Rules grow with the distinct numbers, never with the services; a task that comes or goes
changes elements only (unless its service is the first with that number).

The VIP and not the service's mark is the key, because one service has one mark but, on each of
its networks, another VIP and other backends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from skep.model.assignment import NetworkAssignment
from skep.model.naming import RESOLVER, RESOLVER_PORT
from skep.model.nft import Atom, Dnat, Key, Lookup, Masquerade, Payload, Reject, Rule, Set, SetMark
from skep.plan.grammar import (
    NEW,
    OUT,
    SOURCE,
    TARGET,
    is_,
    is_not,
    lookup,
    named_map,
    named_set,
    rule,
    turn,
)
from skep.plan.layout import bare, number


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The maps, sets and rules by which a client's sandbox balances."""

    sets: tuple[Set, ...]
    rules: tuple[Rule, ...]


class Balancer:
    """Balances over any combination of networks, each worked out once: most sandboxes of a host
    share theirs with others, and its maps are by far the largest thing in them."""

    def __init__(self, networks: Mapping[str, NetworkAssignment]) -> None:
        self._networks = networks
        self._known: dict[frozenset[str], Balance] = {}

    def over(self, networks: Iterable[str]) -> Balance:
        """For a client on these networks (by id; those that are not known count for nothing)."""
        chosen = frozenset(networks)
        if chosen not in self._known:
            present = [self._networks[each] for each in sorted(chosen) if each in self._networks]
            self._known[chosen] = _balance(present)
        return self._known[chosen]


def ready_addresses(network: NetworkAssignment) -> dict[str, tuple[str, ...]]:
    """Addresses of each service's ready endpoints by service id, in the addresses' own order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for endpoint in network.endpoints.values():
        if endpoint.ready and endpoint.service_id and endpoint.address:
            found[endpoint.service_id].append(bare(endpoint.address))
    return {service: tuple(sorted(each, key=number)) for service, each in found.items()}


def by_count(groups: Mapping[Atom, int]) -> dict[int, list[Atom]]:
    """Which of ``groups`` have how many backends, leaving out those that have none."""
    found: defaultdict[int, list[Atom]] = defaultdict(list)
    for group, count in groups.items():
        if count:
            found[count].append(group)
    return dict(sorted(found.items()))


def turn_sets(counts: Mapping[int, list[Atom]], kind: str) -> Iterator[Set]:
    """The sets ``slots_N`` of what has N backends."""
    for count, members in counts.items():
        yield named_set(f"slots_{count}", kind, members)


def turn_rules(counts: Iterable[int], group: Key, keys: tuple[Key, ...], name: str) -> list[Rule]:
    """For each N: ``GROUP @slots_N dnat ip to KEYS . numgen inc mod N map @NAME``."""
    return [
        rule(is_(group, f"@slots_{count}"), Dnat(Lookup((*keys, turn(count)), name)))
        for count in counts
    ]


def vip_map(marks: Mapping[str, int]) -> Set:
    """The map from VIP to firewall mark."""
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (vip,): (mark,) for vip, mark in marks.items() if mark
    }
    return named_map("vips", ("ipv4_addr",), ("mark",), elements)


MARK_RULE = rule(NEW, SetMark("meta", lookup("vips", TARGET)))
"""Marks a connection's first packet with its service's mark; a VIP that is not in the map, or any
other address, leaves the packet as it is."""

HAIRPIN_RULE = rule(is_(SOURCE, "@own_vips"), is_not(OUT, "lo"), Masquerade())
"""Who asks for the VIP that it carries itself does so, by the kernel's choice, from that VIP; no
other task of the service could answer that."""

REFUSE_RULES = (
    rule(is_(TARGET, "@no_backend"), Reject("tcp reset")),
    rule(is_(TARGET, "@no_backend"), Reject("icmp")),
)
"""A service without a ready task is refused at once instead of timing out."""


def resolver_rules() -> list[Rule]:
    """Port 53 of the resolver's address goes to where it really listens, at the same address."""
    return [
        rule(
            is_(TARGET, RESOLVER),
            is_(Payload(protocol, "dport"), 53),
            Dnat(RESOLVER, RESOLVER_PORT),
        )
        for protocol in ("udp", "tcp")
    ]


def own_set(own: Iterable[str]) -> Set:
    """The VIPs that a sandbox carries itself."""
    return named_set("own_vips", "ipv4_addr", own)


def _balance(networks: Iterable[NetworkAssignment]) -> Balance:
    """All services with a VIP on ``networks``."""
    marks: dict[str, int] = {}
    backends: dict[Atom, tuple[str, ...]] = {}
    for network in networks:
        ready = ready_addresses(network)
        for service in network.services.values():
            if service.vip:
                vip = bare(service.vip)
                marks[vip] = service.mark
                backends[vip] = ready.get(service.id, ())
    counts = by_count({vip: len(addresses) for vip, addresses in backends.items()})
    sets = (
        vip_map(marks),
        named_map("backends", ("ipv4_addr", "integer"), ("ipv4_addr",), _turns(backends)),
        named_set("no_backend", "ipv4_addr", [vip for vip in backends if not backends[vip]]),
        *turn_sets(counts, "ipv4_addr"),
    )
    return Balance(sets=sets, rules=tuple(turn_rules(counts, TARGET, (TARGET,), "backends")))


def _turns(
    backends: Mapping[Atom, tuple[str, ...]],
) -> dict[tuple[Atom, ...], tuple[Atom, ...]]:
    return {
        (vip, index): (address,)
        for vip, addresses in backends.items()
        for index, address in enumerate(addresses)
    }
