"""The host's own namespace: bridges, their ports, published ports, masquerading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.model.host import INGRESS_SANDBOX, Bridge, HostView, Sandbox
from skep.model.ids import mac_of
from skep.model.netstate import HOST, Address, Link, Namespace
from skep.model.nft import Chain, Dnat, Fib, Hook, Masquerade, Rule, Set, Table, Verdict
from skep.plan.grammar import (
    DNAT,
    OUT,
    PORT,
    PROTOCOL,
    SNAT,
    SOURCE,
    TABLE,
    TRANSLATED,
    base,
    is_,
    is_not,
    lookup,
    named_map,
    rule,
)
from skep.plan.ingress import published_ports
from skep.plan.isolate import apart, forward_chain, guard_chain, tunnel_chain, vteps
from skep.plan.layout import Plug, bare, bridge_of, gateway_endpoint, subnet_of

INGRESS_CHAIN = "DOCKER-INGRESS"


def host_namespace(view: HostView, ports: Iterable[Plug]) -> Namespace:
    """The host's namespace; ``ports`` are the endpoints plugged into its bridges."""
    ports = list(ports)
    links = [*(_bridge(each) for each in view.bridges), *(each.port() for each in ports)]
    return Namespace(
        name=HOST,
        links={link.name: link for link in links},
        addresses=frozenset(Address(each.name, each.address) for each in view.bridges),
        tables=tuple(_tables(view, ports)),
        sysctls=_sysctls(view),
    )


def ingress_bridge(view: HostView) -> Bridge | None:
    """The bridge by which published ports reach the ingress sandbox, if this host has one."""
    endpoint = gateway_endpoint(_ingress_sandbox(view) or Sandbox(id=INGRESS_SANDBOX))
    return None if endpoint is None else bridge_of(view, endpoint.network_id)


def _ingress_sandbox(view: HostView) -> Sandbox | None:
    return next((each for each in view.sandboxes if each.id == INGRESS_SANDBOX), None)


def _bridge(bridge: Bridge) -> Link:
    # A MAC of its own: else it takes the lowest of its ports' and changes as containers come and
    # go, and every container's entry for its gateway is stale.
    return Link(name=bridge.name, kind="bridge", mtu=bridge.mtu, mac=mac_of(bridge.address))


def _sysctls(view: HostView) -> dict[str, str]:
    sysctls = {"net.ipv4.ip_forward": "1"} if view.bridges else {}
    inward = ingress_bridge(view)
    if inward is not None:
        # So that a published port answers on 127.0.0.1 too; `guard_chain` closes what it opens.
        sysctls[f"net.ipv4.conf.{inward.name}.route_localnet"] = "1"
    return sysctls


def _tables(view: HostView, ports: list[Plug]) -> Iterator[Table]:
    inward = ingress_bridge(view)
    sets: list[Set] = []
    chains: list[Chain] = []
    if view.node_id:
        sets.append(vteps(view))
        chains.append(tunnel_chain(view))
    if inward is not None:
        sets.append(_published(view))
        chains += [guard_chain(inward), *_ingress_chains()]
    if view.bridges:
        chains += [_postrouting(view, inward), forward_chain(view)]
    if chains:
        yield Table(TABLE, tuple(chains), tuple(sets))
    yield from apart(view, ports)


def _published(view: HostView) -> Set:
    """Published port to the ingress sandbox's address on the bridge, the port unchanged."""
    sandbox = _ingress_sandbox(view)
    leg = None if sandbox is None else gateway_endpoint(sandbox)
    assert leg is not None, "the ingress sandbox has no leg on a bridge"
    data = ("ipv4_addr", "inet_service")
    return named_map(
        "published",
        ("inet_proto", "inet_service"),
        data,
        {(protocol, port): (bare(leg.address), port) for protocol, port in published_ports(view)},
    )


def _ingress_chains() -> Iterator[Chain]:
    """What arrives for, or leaves towards, any address of this host is looked up among the
    published ports, and sent to the ingress sandbox with its client's address."""
    look = rule(is_(Fib("daddr"), "local"), Verdict("jump", INGRESS_CHAIN))
    yield Chain(
        INGRESS_CHAIN,
        (rule(Dnat(lookup("published", PROTOCOL, PORT))), rule(Verdict("return"))),
    )
    yield base("prerouting", Hook("nat", "prerouting", DNAT), [look])
    yield base("output", Hook("nat", "output", DNAT), [look])


def _postrouting(view: HostView, inward: Bridge | None) -> Chain:
    rules = [
        rule(is_(SOURCE, subnet_of(each.address)), is_not(OUT, each.name), Masquerade())
        for each in view.bridges
        if each.masquerade
    ]
    if inward is not None:
        rules += _inward_rules(inward)
    return base("postrouting", Hook("nat", "postrouting", SNAT), rules)


def _inward_rules(inward: Bridge) -> list[Rule]:
    """Sources that the ingress sandbox could not answer by way of the host: the host's own (its
    loopback address is one), and those of containers on the sandbox's bridge, which it would
    answer directly, past the translation."""
    return [
        rule(is_(OUT, inward.name), is_(Fib("saddr"), "local"), Masquerade()),
        rule(
            is_(SOURCE, subnet_of(inward.address)), is_(OUT, inward.name), TRANSLATED, Masquerade()
        ),
    ]
