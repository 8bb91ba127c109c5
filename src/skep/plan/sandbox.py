"""The namespace of a container, and of the ingress sandbox: interfaces, routes, table."""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.host import INGRESS_SANDBOX, Endpoint, HostView, Sandbox
from skep.model.netstate import HOST, Address, Link, Namespace, Route
from skep.model.nft import Chain, Hook, Table
from skep.plan import returning
from skep.plan.balance import (
    HAIRPIN_RULE,
    MARK_RULE,
    REFUSE_RULES,
    TURN_RULE,
    Balancer,
    own_set,
    resolver_rules,
)
from skep.plan.grammar import DNAT, FILTER, MANGLE, SNAT, TABLE, base
from skep.plan.ingress import ingress_table, published_vips
from skep.plan.layout import (
    Plug,
    bare,
    bridge_of,
    endpoint_on,
    gateway_endpoint,
    sandbox_plugs,
    subnet_index,
)

NO_IPV6 = {"net.ipv6.conf.default.disable_ipv6": "1"}
"""For links to come; the loopback keeps its ::1."""


def sandbox_namespace(view: HostView, sandbox: Sandbox, balancer: Balancer) -> Namespace:
    """The namespace of ``sandbox``.

    An endpoint whose network is not known here (any more) is left out, and so is its interface.
    """
    plugs = list(sandbox_plugs(view, sandbox))
    links = [Link(name="lo"), *(each.interface() for each in plugs)]
    mesh = endpoint_on(sandbox, view.ingress_network)
    returns = sandbox.id != INGRESS_SANDBOX and mesh is not None
    routes = frozenset(_routes(view, sandbox, plugs))
    if returns and mesh is not None:
        routes |= returning.return_routes(view, mesh.link)
    return Namespace(
        name=sandbox.namespace,
        links={link.name: link for link in links},
        addresses=frozenset(_addresses(view, sandbox, plugs)),
        routes=routes,
        rules=returning.return_policy(view) if returns else frozenset(),
        tables=(_table(view, sandbox, balancer),),
        sysctls=_sysctls(sandbox),
    )


def _sysctls(sandbox: Sandbox) -> dict[str, str]:
    if sandbox.id != INGRESS_SANDBOX:
        return {**NO_IPV6, **returning.SYSCTLS}
    return {
        **NO_IPV6,
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
    for link, vip in own_vips(view, sandbox):
        if link in present:
            yield Address(link, f"{vip}/32")


def _routes(view: HostView, sandbox: Sandbox, plugs: list[Plug]) -> Iterator[Route]:
    """The default route, and within a network of several subnets one to each further subnet."""
    gateway = gateway_endpoint(sandbox)
    for each in plugs:
        if each.namespace != HOST:
            yield from _subnet_routes(view, each)
        elif each.endpoint == gateway:
            bridge = bridge_of(view, each.endpoint.network_id)
            assert bridge is not None, "a plug in the host's namespace is on one of its bridges"
            yield Route(destination="default", link=gateway.link, via=bare(bridge.address))


def _subnet_routes(view: HostView, here: Plug) -> Iterator[Route]:
    network = view.networks[here.endpoint.network_id]
    own = subnet_index(network, here.endpoint.address)
    assert own is not None, "a plug in an overlay is in one of its subnets"
    gateway = bare(network.subnets[own].config.gateway)
    for index, subnet in enumerate(network.subnets):
        if index != own:
            yield Route(destination=subnet.config.subnet, link=here.endpoint.link, via=gateway)


def _table(view: HostView, sandbox: Sandbox, balancer: Balancer) -> Table:
    if sandbox.id == INGRESS_SANDBOX:
        return ingress_table(view, sandbox)
    # The ingress network's services are reached by their published ports alone.
    networks = {each.network_id for each in sandbox.endpoints} - {view.ingress_network}
    services = balancer.over(networks)
    sets = [*services.sets, own_set(vip for _, vip in own_vips(view, sandbox))]
    marking = [MARK_RULE]
    arriving: list[Chain] = []
    mesh = endpoint_on(sandbox, view.ingress_network)
    if mesh is not None:
        sets.append(returning.entry_map(view))
        marking.insert(0, returning.RESTORE_RULE)
        arriving = _arriving(view, sandbox, mesh)
    turns = (*resolver_rules(), TURN_RULE)
    chains = (
        base("output-mark", Hook("route", "output", MANGLE), marking),
        base("output-nat", Hook("nat", "output", DNAT), turns),
        base("output-filter", Hook("filter", "output", FILTER), REFUSE_RULES),
        base("postrouting-nat", Hook("nat", "postrouting", SNAT), [HAIRPIN_RULE]),
        *arriving,
        *services.chains,
    )
    return Table(TABLE, chains, tuple(sets))


def _arriving(view: HostView, sandbox: Sandbox, mesh: Endpoint) -> list[Chain]:
    """What requests from the mesh meet on arrival."""
    marking = Hook("filter", "prerouting", MANGLE)
    translating = Hook("nat", "prerouting", DNAT)
    return [
        base("prerouting-mark", marking, returning.entry_rules(mesh.link)),
        base("prerouting-nat", translating, returning.datagram_rules(view, sandbox)),
    ]
