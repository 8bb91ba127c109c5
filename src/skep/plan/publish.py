"""What this host publishes at its own addresses: the doors by which requests come in.

A port in ingress mode leads to the ingress sandbox, the port unchanged; one in host mode leads to
its task, on that task's host alone. Who may come in is decided here, where clients still have
their own address: before anything is translated.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.model.host import INGRESS_SANDBOX, HostView, Sandbox
from skep.model.nft import Atom, Chain, Counter, Dnat, Fib, Hook, Match, Reject, Set, Verdict
from skep.model.options import ServiceOptions, read_options
from skep.plan.family import Family, of_family
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
from skep.plan.layout import bare, gateway_endpoint

INGRESS_CHAIN = "DOCKER-INGRESS"
REFUSE_CHAIN = "refuse"


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A published port of this host, the address and port that it leads to, and whose it is."""

    protocol: str
    port: int
    to: tuple[str, int]
    holder: str
    options: ServiceOptions


def doors(view: HostView) -> list[Door]:
    """All of them. Should two claim one port at one address, the first has it: ingress mode, then
    host mode in the order of the sandboxes."""
    found: dict[tuple[str, str, int], Door] = {}
    for door in (*_ingress_doors(view), *_host_doors(view)):
        found.setdefault((door.options.publish_address, door.protocol, door.port), door)
    return list(found.values())


def inward_sandbox(view: HostView) -> Sandbox | None:
    """A sandbox with a published port that leads into it: the ingress sandbox if there is one."""
    open_to = [box for box in view.sandboxes if box.id == INGRESS_SANDBOX or box.ports]
    reached = [box for box in open_to if gateway_endpoint(box) is not None]
    return min(reached, key=lambda box: box.id != INGRESS_SANDBOX, default=None)


def _ingress_doors(view: HostView) -> Iterator[Door]:
    sandbox = next((box for box in view.sandboxes if box.id == INGRESS_SANDBOX), None)
    leg = None if sandbox is None else gateway_endpoint(sandbox)
    if leg is None:
        return
    for (protocol, entry), published in published_ports(view).items():
        yield Door(
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
                protocol=port.protocol,
                port=port.published_port,
                to=(bare(leg.address), port.target_port),
                holder=f"container {sandbox.container_name}",
                options=options,
            )


def door_sets(doors_: list[Door], family: Family) -> tuple[Set, ...]:
    """Where published ports lead to, at every address or at one; and who may ask."""
    found = [each for each in doors_ if _opens(each, family)]
    everywhere: dict[tuple[Atom, ...], tuple[Atom, ...]] = {}
    at_one: dict[tuple[Atom, ...], tuple[Atom, ...]] = {}
    for each in found:
        key = (each.protocol, each.port)
        if each.options.publish_address:
            at_one[(each.options.publish_address, *key)] = each.to
        else:
            everywhere[key] = each.to
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
    return not door.options.publish_address or family.has(door.options.publish_address)


def _place(door: Door, family: Family) -> tuple[Atom, ...]:
    return (door.options.publish_address or family.everywhere, door.protocol, door.port)


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
