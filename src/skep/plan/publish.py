"""What this host publishes at its own addresses: the doors by which requests come in.

A port in ingress mode leads to the ingress sandbox, the port unchanged; one in host mode leads to
its task, on that task's host alone. Who may come in is decided here, where clients still have
their own address: before anything is translated.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.model.host import INGRESS_SANDBOX, Bridge, HostView
from skep.model.nft import Atom, Chain, Counter, Dnat, Fib, Hook, Match, Reject, Set, Verdict
from skep.model.options import ServiceOptions, read_options
from skep.plan.family import IP6, Family, of_family
from skep.plan.grammar import (
    DNAT,
    MANGLE,
    NEW,
    PORT,
    PROTOCOL,
    base,
    is_,
    joined_set,
    lookup,
    named_map,
    rule,
)
from skep.plan.ingress import published_ports
from skep.plan.layout import ROUTED, TRANSLATING, bare, bridge_of, gateway_endpoint

EVERYWHERE = ("", "0.0.0.0", "::")
"""How a port at every address is written: of both families, of one."""

INGRESS_CHAIN = "DOCKER-INGRESS"
REFUSE_CHAIN = "refuse"


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A published port of this host at ``address`` ("" for all, "0.0.0.0" and "::" for all of one
    family), the address and port that it leads to, and whose it is."""

    address: str
    protocol: str
    port: int
    to: tuple[str, int]
    holder: str
    options: ServiceOptions


def doors(view: HostView) -> list[Door]:
    """All of them. Should two claim one port at one address, the first has it: ingress mode, then
    host mode and containers in the order of the sandboxes."""
    found: dict[tuple[str, str, int], Door] = {}
    for door in (*_ingress_doors(view), *_host_doors(view), *_container_doors(view)):
        found.setdefault((door.address, door.protocol, door.port), door)
    return list(found.values())


def inward_bridges(view: HostView) -> list[Bridge]:
    """The bridges by which published ports are reached: first that of the mesh, if there is one."""
    boxes = [b for b in view.sandboxes if b.id == INGRESS_SANDBOX or b.ports or b.bindings]
    found: dict[str, Bridge] = {}
    for box in sorted(boxes, key=lambda box: box.id != INGRESS_SANDBOX):
        leg = gateway_endpoint(box)
        bridge = None if leg is None else bridge_of(view, leg.network_id)
        if bridge is not None and _leads_in(bridge):
            found[bridge.name] = bridge
    return list(found.values())


def _leads_in(bridge: Bridge) -> bool:
    return bridge.mode in TRANSLATING and not bridge.internal


def _ingress_doors(view: HostView) -> Iterator[Door]:
    sandbox = next((box for box in view.sandboxes if box.id == INGRESS_SANDBOX), None)
    leg = None if sandbox is None else gateway_endpoint(sandbox)
    if leg is None:
        return
    for (protocol, entry), published in published_ports(view).items():
        yield Door(
            address=published.options.publish_address,
            protocol=protocol,
            port=published.port,
            to=(bare(leg.address), entry),
            holder=f"service {published.service.name}",
            options=published.options,
        )


def _host_doors(view: HostView) -> Iterator[Door]:
    for sandbox in view.sandboxes:
        leg = gateway_endpoint(sandbox)
        if leg is None:
            continue
        options, _ = read_options(sandbox.options)
        for port in sandbox.ports:
            yield Door(
                address=options.publish_address,
                protocol=port.protocol,
                port=port.published_port,
                to=(bare(leg.address), port.target_port),
                holder=f"container {sandbox.container_name}",
                options=options,
            )


def _container_doors(view: HostView) -> Iterator[Door]:
    for sandbox in view.sandboxes:
        leg = gateway_endpoint(sandbox) if sandbox.bindings else None
        bridge = None if leg is None else bridge_of(view, leg.network_id)
        if leg is None or bridge is None or not _leads_in(bridge):
            continue
        for binding in sandbox.bindings:
            yield Door(
                address=binding.address,
                protocol=binding.protocol,
                port=binding.published,
                to=(bare(leg.address), binding.port),
                holder=f"container {sandbox.container_name}",
                options=ServiceOptions(),
            )


def routed_ports(view: HostView, family: Family) -> Set:
    """The ports that containers publish on networks whose packets are routed: at the containers'
    own addresses."""
    members = []
    for sandbox in view.sandboxes:
        leg = gateway_endpoint(sandbox) if sandbox.bindings else None
        bridge = None if leg is None else bridge_of(view, leg.network_id)
        if leg is not None and bridge is not None and bridge.mode == ROUTED:
            at = bare(leg.address)
            members += [(at, binding.protocol, binding.port) for binding in sandbox.bindings]
    return joined_set("routed", (family.kind, "inet_proto", "inet_service"), members)


def door_sets(doors_: list[Door], family: Family, stand_in: str) -> tuple[Set, ...]:
    """Where published ports lead to, at every address or at one; and who may ask. What comes for
    the loopback address of IPv6 comes for ``stand_in``."""
    found = [each for each in doors_ if _opens(each, family)]
    everywhere: dict[tuple[Atom, ...], tuple[Atom, ...]] = {}
    at_one: dict[tuple[Atom, ...], tuple[Atom, ...]] = {}
    for each in found:
        key = (each.protocol, each.port)
        if each.address in EVERYWHERE:
            everywhere.setdefault(key, each.to)
        else:
            at = stand_in if each.address == IP6.loopback else each.address
            at_one[(at, *key)] = each.to
    kinds = ("inet_proto", "inet_service")
    to = (family.kind, "inet_service")
    guarded = [each for each in found if each.options.allow is not None]
    allowed = [
        (*_place(each, family), source)
        for each in guarded
        for source in of_family(family, each.options.allow or ())
    ]
    places = [_place(each, family) for each in guarded]
    return (
        named_map("published", kinds, to, everywhere),
        named_map("published_at", (family.kind, *kinds), to, at_one),
        joined_set("guarded", (family.kind, *kinds), places, interval=True),
        joined_set("allowed", (family.kind, *kinds, family.kind), allowed, interval=True),
    )


def _opens(door: Door, family: Family) -> bool:
    """Whether a door is at any address of the family: one that is at one address may not be."""
    return not door.address or family.has(door.address)


def _place(door: Door, family: Family) -> tuple[Atom, ...]:
    at = family.everywhere if door.address in EVERYWHERE else door.address
    return (at, door.protocol, door.port)


def door_chains(family: Family) -> tuple[Chain, ...]:
    """What arrives for, or leaves towards, any address of this host is looked up among the
    published ports. What arrives from who may not ask is refused and counted before; the host
    itself may always."""
    local = is_(Fib("daddr"), "local")
    look = rule(local, Verdict("jump", INGRESS_CHAIN))
    place = (family.target, PROTOCOL, PORT)
    guard = rule(
        NEW,
        local,
        Match(place, "@guarded"),
        Match((*place, family.source), "@allowed", "!="),
        Verdict("jump", REFUSE_CHAIN),
    )
    return (
        Chain(
            INGRESS_CHAIN,
            (
                rule(Dnat(lookup("published_at", *place), family=family.name)),
                rule(Dnat(lookup("published", PROTOCOL, PORT), family=family.name)),
                rule(Verdict("return")),
            ),
        ),
        Chain(
            REFUSE_CHAIN,
            (rule(Counter()), rule(Reject("tcp reset")), rule(Reject(family.refusal))),
        ),
        base("admit", Hook("filter", "prerouting", MANGLE), [guard]),
        base("prerouting", Hook("nat", "prerouting", DNAT), [look]),
        base("output", Hook("nat", "output", DNAT), [look]),
    )
