"""The namespace of a container, and of the ingress sandbox: interfaces, routes, table."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.model.host import INGRESS_SANDBOX, Endpoint, Handed, HostView, Lower, Sandbox
from skep.model.netstate import (
    HOST,
    Address,
    Link,
    Namespace,
    PolicyRule,
    Route,
    VirtualService,
)
from skep.model.nft import Chain, Hook, Table
from skep.plan import returning
from skep.plan.balance import (
    Balancer,
    hairpin_rule,
    mark_rule,
    own_set,
    refuse_rules,
    resolver_rules,
)
from skep.plan.family import IP, IP6, Family
from skep.plan.grammar import DNAT, FILTER, MANGLE, SNAT, TABLE, base
from skep.plan.ingress import ingress_table, ingress_virtual, published_vips
from skep.plan.layout import (
    Plug,
    bare,
    bridge_of,
    endpoint_on,
    gateway_endpoint,
    ipv6_on,
    link_local,
    sandbox_plugs,
    subnet_index,
)
from skep.plan.virtual import SYSCTLS, TIMEOUTS

NO_IPV6 = {"net.ipv6.conf.default.disable_ipv6": "1"}
"""For links to come; the loopback keeps its ::1."""

QUIET_IPV6 = {
    **NO_IPV6,
    # Links have the addresses that they are given, and none of the kernel's choice or a router's.
    "net.ipv6.conf.default.addr_gen_mode": "1",
    "net.ipv6.conf.default.accept_ra": "0",
}
"""Where some links speak IPv6."""


COUNTED = {"net.netfilter.nf_conntrack_acct": "1"}
"""Connections know their packets and bytes (`skep flows`)."""


class Sixth(msgspec.Struct, frozen=True):
    """What a sandbox with IPv6 is planned from: the view and the sandbox as IPv6 sees them."""

    view: HostView
    sandbox: Sandbox
    balancer: Balancer


def sandbox_namespace(
    view: HostView, sandbox: Sandbox, balancer: Balancer, sixth: Sixth | None = None
) -> Namespace:
    """The namespace of ``sandbox``; ``sixth`` is None for one without IPv6.

    An endpoint whose network is not known here (any more) is left out, and so is its interface.
    """
    plugs = list(sandbox_plugs(view, sandbox))
    links = [Link(name="lo"), *(each.interface() for each in plugs)]
    mesh = endpoint_on(sandbox, view.ingress_network)
    returns = sandbox.id != INGRESS_SANDBOX and mesh is not None
    routes = frozenset(_routes(view, sandbox, plugs))
    rules = frozenset[PolicyRule]()
    if returns and mesh is not None:
        routes |= returning.return_routes(view, mesh)
        rules = returning.return_policy(view, IP)
        if sixth is not None and mesh.address6:
            rules |= returning.return_policy(view, IP6)
    tables = [_table(view, sandbox, balancer)]
    virtual = _virtual(view, sandbox, balancer)
    if sixth is not None:
        tables.append(_table(sixth.view, sixth.sandbox, sixth.balancer))
        virtual |= _virtual(sixth.view, sixth.sandbox, sixth.balancer)
    sysctls = _sysctls(sandbox, plugs)
    by_ipvs = view.balancer == "ipvs"
    return Namespace(
        name=sandbox.namespace,
        links={link.name: link for link in links},
        addresses=frozenset((*_addresses(view, sandbox, plugs), *_vips6(sixth, plugs))),
        routes=routes,
        rules=rules,
        tables=tuple(tables),
        sysctls=sysctls | SYSCTLS if by_ipvs else sysctls,
        virtual=virtual,
        timeouts=TIMEOUTS if by_ipvs else None,
    )


def _sysctls(sandbox: Sandbox, plugs: list[Plug]) -> dict[str, str]:
    sixths = [each.endpoint.link for each in plugs if each.endpoint.address6]
    sysctls = COUNTED | (QUIET_IPV6 if sixths else NO_IPV6)
    for link in sixths:
        sysctls |= ipv6_on(link)
    for each in plugs:
        sysctls |= each.endpoint.sysctls
    if sandbox.id != INGRESS_SANDBOX:
        return {**sysctls, **returning.SYSCTLS}
    if sixths:
        sysctls["net.ipv6.conf.all.forwarding"] = "1"
    return {
        **sysctls,
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.all.rp_filter": "0",
        "net.ipv4.conf.default.rp_filter": "0",
    }


def own_vips(view: HostView, sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """The VIPs that the sandbox carries, as (link, VIP): those of its container's own service, in
    the ingress sandbox those of all published services."""
    if sandbox.id == INGRESS_SANDBOX:
        mesh = endpoint_on(sandbox, view.ingress_network)
        if mesh is not None:
            yield from ((mesh.link, vip) for vip in published_vips(view))
        return
    for endpoint in sandbox.endpoints:
        # A task's VIP on the ingress network belongs to the ingress sandboxes alone.
        if endpoint.network_id != view.ingress_network:
            yield from ((endpoint.link, bare(vip)) for vip in endpoint.vips)


def _addresses(view: HostView, sandbox: Sandbox, plugs: list[Plug]) -> Iterator[Address]:
    present = {each.endpoint.link for each in plugs}
    for each in plugs:
        yield Address(each.endpoint.link, each.endpoint.address)
        if each.endpoint.address6:
            yield Address(each.endpoint.link, each.endpoint.address6)
            yield link_local(each.endpoint.link, each.endpoint.address)
    for link, vip in own_vips(view, sandbox):
        if link in present and IP.has(vip):
            yield Address(link, f"{vip}/{IP.bits}")


def _vips6(sixth: Sixth | None, plugs: list[Plug]) -> Iterator[Address]:
    if sixth is None:
        return
    present = {each.endpoint.link for each in plugs if each.endpoint.address6}
    for link, vip in own_vips(sixth.view, sixth.sandbox):
        if link in present:
            yield Address(link, f"{vip}/{IP6.bits}")


def _routes(view: HostView, sandbox: Sandbox, plugs: list[Plug]) -> Iterator[Route]:
    """The default route, and within a network of several subnets one to each further subnet."""
    gateway = gateway_endpoint(sandbox)
    for each in plugs:
        if each.handed is not None:
            yield from _handed_routes(each, each.handed, outward=each.endpoint == gateway)
        elif each.lower is not None:
            if each.endpoint == gateway:
                yield from _lower_routes(each, each.lower)
        elif each.namespace != HOST:
            yield from _subnet_routes(view, each)
        elif each.endpoint == gateway:
            bridge = bridge_of(view, each.endpoint.network_id)
            assert bridge is not None, "a plug in the host's namespace is on one of its bridges"
            yield Route(destination="default", link=gateway.link, via=bare(bridge.address))
            if bridge.address6 and gateway.address6:
                yield Route(destination="::/0", link=gateway.link, via=bare(bridge.address6))


def _handed_routes(plug: Plug, handed: Handed, *, outward: bool) -> Iterator[Route]:
    """Those that a plugin wants; its gateways, where the way out leads by them."""
    link = plug.endpoint.link
    for each in handed.routes:
        yield Route(destination=each.destination, link=link, via=each.via)
    if outward and handed.gateway:
        yield Route(destination="default", link=link, via=handed.gateway)
    if outward and handed.gateway6:
        yield Route(destination="::/0", link=link, via=handed.gateway6)


def _lower_routes(plug: Plug, lower: Lower) -> Iterator[Route]:
    """Where addresses are routed (ipvlan in its modes l3), everything is on the link."""
    direct = lower.mode in ("l3", "l3s")
    link = plug.endpoint.link
    if direct or lower.gateway:
        yield Route(destination="default", link=link, via="" if direct else lower.gateway)
    if plug.endpoint.address6 and (direct or lower.gateway6):
        yield Route(destination="::/0", link=link, via="" if direct else lower.gateway6)


def _subnet_routes(view: HostView, here: Plug) -> Iterator[Route]:
    network = view.networks[here.endpoint.network_id]
    own = subnet_index(network, here.endpoint.address)
    assert own is not None, "a plug in an overlay is in one of its subnets"
    gateway, link = bare(network.subnets[own].config.gateway), here.endpoint.link
    sixth = network.subnets[own].config6 if here.endpoint.address6 else None
    for index, subnet in enumerate(network.subnets):
        if index == own:
            continue
        yield Route(destination=subnet.config.subnet, link=link, via=gateway)
        if sixth and subnet.config6:
            yield Route(destination=subnet.config6.subnet, link=link, via=bare(sixth.gateway))


def _table(view: HostView, sandbox: Sandbox, balancer: Balancer) -> Table:
    family = balancer.family
    if sandbox.id == INGRESS_SANDBOX:
        return ingress_table(view, sandbox, family)
    services = balancer.over(_served(view, sandbox))
    own = [vip for _, vip in own_vips(view, sandbox) if family.has(vip)]
    sets = [*services.sets, own_set(own, family)]
    marking = [mark_rule(view, family)]
    arriving: list[Chain] = []
    mesh = endpoint_on(sandbox, view.ingress_network)
    if mesh is not None:
        sets.append(returning.entry_map(view))
        marking.insert(0, returning.RESTORE_RULE)
        arriving = _arriving(view, sandbox, mesh, family)
    turns = (*resolver_rules(family), *services.rules)
    chains = (
        base("output-mark", Hook("route", "output", MANGLE), marking),
        base("output-nat", Hook("nat", "output", DNAT), turns),
        base("output-filter", Hook("filter", "output", FILTER), refuse_rules(family)),
        base("postrouting-nat", Hook("nat", "postrouting", SNAT), [hairpin_rule(family)]),
        *arriving,
        *services.chains,
    )
    return Table(TABLE, chains, tuple(sets), family.name)


def _served(view: HostView, sandbox: Sandbox) -> set[str]:
    """The networks whose services a container reaches by their VIPs. Those of the ingress network
    are reached by their published ports alone."""
    return {each.network_id for each in sandbox.endpoints} - {view.ingress_network}


def _virtual(view: HostView, sandbox: Sandbox, balancer: Balancer) -> frozenset[VirtualService]:
    if sandbox.id == INGRESS_SANDBOX:
        return ingress_virtual(view, balancer.family)
    return balancer.over(_served(view, sandbox)).virtual


def _arriving(view: HostView, sandbox: Sandbox, mesh: Endpoint, family: Family) -> list[Chain]:
    """What requests from the mesh meet on arrival."""
    marking = Hook("filter", "prerouting", MANGLE)
    translating = Hook("nat", "prerouting", DNAT)
    return [
        base("prerouting-mark", marking, returning.entry_rules(mesh.link)),
        base("prerouting-nat", translating, returning.datagram_rules(view, sandbox, family)),
    ]
