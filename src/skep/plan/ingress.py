"""The ingress sandbox: published ports become marks, marks become backends on any host.

Clients keep their addresses; answers come back here (see `skep.plan.returning`) and connection
tracking undoes the translation.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable

import msgspec

from skep.model.assignment import NetworkAssignment, NetworkService
from skep.model.host import Endpoint, HostView, Sandbox
from skep.model.netstate import VirtualService
from skep.model.nft import Atom, Chain, Hook, Masquerade, Rule, Set, SetMark, Table, Verdict, Vmap
from skep.model.options import ServiceOptions, read_options
from skep.plan.backends import Balanced, Member, balanced, members
from skep.plan.balance import (
    backend_map,
    hairpin_rule,
    mark_rule,
    own_set,
    vip_map,
)
from skep.plan.family import Family
from skep.plan.grammar import (
    DNAT,
    FILTER,
    IN,
    MANGLE,
    MARK,
    OUT,
    PORT,
    PROTOCOL,
    SNAT,
    TABLE,
    TRANSLATED,
    base,
    is_,
    lookup,
    named_map,
    rule,
)
from skep.plan.keeping import keeping
from skep.plan.layout import bare, endpoint_on, gateway_endpoint, subnet_of
from skep.plan.turns import share, turn_chains, turn_map
from skep.plan.virtual import (
    answer_rules,
    by_ipvs,
    port_rules,
    virtual_services,
    which_packets,
)

PortKey = tuple[str, int]
"""Protocol and port, as they arrive in the ingress sandbox."""

PORTS = range(1, 1 << 16)


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A published port: its number on the host, whose it is, the port its tasks listen on, and the
    tasks behind it."""

    port: int
    service: NetworkService
    target: int
    members: tuple[Member, ...]
    options: ServiceOptions

    @property
    def balanced(self) -> Balanced:
        """Its service, balanced among these tasks."""
        return balanced(self.service, self.members)


def ingress_network(view: HostView) -> NetworkAssignment | None:
    """The network of the routing mesh, if it is known here."""
    return view.networks.get(view.ingress_network)


def published_ports(view: HostView) -> dict[PortKey, Published]:
    """What the mesh publishes on this host.

    A port keeps its number on its way into the ingress sandbox, unless it is published at one
    address only: other services may have the same one at others, and the address is not seen there
    any more. Of two services that claim one port at one address, the manager lets only one
    through; should both be seen at once, the one with the lower id has it.
    """
    claimed = _claimed(view)
    found = {
        (protocol, each.port): each
        for (address, protocol, _), each in claimed.items()
        if not address
    }
    for (address, protocol, port), each in claimed.items():
        if address:
            found[protocol, _stand_in(address, protocol, port, found)] = each
    return found


def _stand_in(address: str, protocol: str, port: int, taken: Container[PortKey]) -> int:
    """A number that nobody has, and that hardly ever changes when others come or go."""
    start = zlib.crc32(f"{address} {protocol} {port}".encode())
    numbers = (PORTS[(start + step) % len(PORTS)] for step in range(len(PORTS)))
    return next(number for number in numbers if (protocol, number) not in taken)


def _claimed(view: HostView) -> dict[tuple[str, str, int], Published]:
    """The published ports by address ("" for all), protocol and number on the host."""
    network = ingress_network(view)
    if network is None:
        return {}
    everywhere, here = members(view, network), members(view, network, view.node_id)
    found: dict[tuple[str, str, int], Published] = {}
    for service in sorted(network.services.values(), key=lambda each: each.id):
        options, _ = read_options(service.options)
        if not (service.mark and _publishes(view, options)):
            continue
        behind = here if options.local_only else everywhere
        for port in service.ports:
            if port.publish_mode == "ingress" and port.published_port:
                entry = Published(
                    port=port.published_port,
                    service=service,
                    target=port.target_port,
                    members=behind.get(service.id, ()),
                    options=options,
                )
                key = (options.publish_address, port.protocol, port.published_port)
                found.setdefault(key, entry)
    return found


def _publishes(view: HostView, options: ServiceOptions) -> bool:
    """Whether this host is one of those that are to publish."""
    me = view.peers.get(view.node_id)
    return me is None or all(
        each.holds(me.id, me.hostname, me.labels) for each in options.publish_on
    )


def published_vips(view: HostView) -> dict[str, int]:
    """The ingress VIPs of published services and their marks."""
    services = {each.service.id: each.service for each in published_ports(view).values()}
    return {bare(each.vip): each.mark for each in services.values() if each.vip}


def ingress_table(view: HostView, sandbox: Sandbox, family: Family) -> Table:
    """The table of the ingress sandbox; requests come in by its leg on the host's bridge. View and
    sandbox are as the family sees them."""
    outward = gateway_endpoint(sandbox)
    mesh = endpoint_on(sandbox, view.ingress_network)
    leaving = [hairpin_rule(family)]
    if outward is not None and mesh is not None:
        leaving.append(_private_rule(outward, mesh, family))
    ports = published_ports(view)
    services = {mark: each for mark, each in _services(ports).items() if not by_ipvs(view, each)}
    shares = {mark: share(each) for mark, each in services.items()}
    target = lookup("targets", MARK, PROTOCOL, PORT)
    kept = keeping(services.values(), family, target)
    turns = [*kept.rules, rule(Vmap((MARK,), "turns")), *port_rules(view, family)]
    sets = (
        _marks(ports),
        _targets(ports),
        backend_map("mark", services, family),
        vip_map(published_vips(view), family),
        own_set(published_vips(view), family),
        turn_map(shares, "mark"),
        *kept.sets,
    )
    chains = (
        *_inward_chains(view, outward, turns),
        *_local_chains(view, turns, family),
        base("postrouting-nat", Hook("nat", "postrouting", SNAT), leaving),
        *turn_chains(shares, MARK, target, family),
        *kept.chains,
    )
    return Table(TABLE, chains, sets, family.name)


def ingress_virtual(view: HostView, family: Family) -> frozenset[VirtualService]:
    """The services that this host's IPVS balances there."""
    return virtual_services(view, _services(published_ports(view)).values(), family)


def _services(ports: dict[PortKey, Published]) -> dict[Atom, Balanced]:
    return {each.service.mark: each.balanced for each in ports.values()}


def _private_rule(outward: Endpoint, mesh: Endpoint, family: Family) -> Rule:
    """Addresses of the host's bridge are the same on every host, so no other may see them: local
    clients appear as this host's ingress address. All others keep their own."""
    private = is_(family.source, subnet_of(outward.address))
    return rule(private, is_(OUT, mesh.link), Masquerade())


def _marks(ports: dict[PortKey, Published]) -> Set:
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        key: (each.service.mark,) for key, each in ports.items()
    }
    return named_map("published", ("inet_proto", "inet_service"), ("mark",), elements)


def _targets(ports: dict[PortKey, Published]) -> Set:
    elements: dict[tuple[Atom, ...], tuple[Atom, ...]] = {
        (each.service.mark, *key): (each.target,) for key, each in ports.items()
    }
    return named_map("targets", ("mark", "inet_proto", "inet_service"), ("inet_service",), elements)


def _inward_chains(view: HostView, outward: Endpoint | None, turns: Iterable[Rule]) -> list[Chain]:
    """Requests from the host. A port that has no backend ends here, where nothing listens: its
    client is refused at once. Nothing but the mesh's connections is forwarded."""
    marking = []
    if outward is not None:
        mark = SetMark("meta", lookup("published", PROTOCOL, PORT))
        marking.append(rule(is_(IN, outward.link), *which_packets(view), mark))
    forward = Hook("filter", "forward", FILTER, policy="drop")
    return [
        base("prerouting-mark", Hook("filter", "prerouting", MANGLE), marking),
        base("prerouting-nat", Hook("nat", "prerouting", DNAT), turns),
        base("forward", forward, [rule(TRANSLATED, Verdict("accept")), *answer_rules(view)]),
    ]


def _local_chains(view: HostView, turns: Iterable[Rule], family: Family) -> list[Chain]:
    """Requests to a VIP made inside the ingress sandbox itself, as when tracing a fault."""
    return [
        base("output-mark", Hook("route", "output", MANGLE), [mark_rule(view, family)]),
        base("output-nat", Hook("nat", "output", DNAT), turns),
    ]
