"""The host's own namespace: bridges, their ports, published ports, masquerading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.model.host import Bridge, HostView
from skep.model.ids import mac_of
from skep.model.netstate import HOST, Address, Link, Namespace
from skep.model.nft import Chain, Fib, Hook, Masquerade, Rule, Set, Table
from skep.plan.grammar import OUT, SNAT, SOURCE, TABLE, TRANSLATED, base, is_, is_not, rule
from skep.plan.isolate import apart, forward_chain, guard_chain, tunnel_chain, vteps
from skep.plan.layout import Plug, bridge_of, gateway_endpoint, subnet_of
from skep.plan.publish import door_chains, door_sets, doors, inward_sandbox


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


def inward_bridge(view: HostView) -> Bridge | None:
    """The bridge by which published ports reach the ingress sandbox, and tasks in host mode."""
    sandbox = inward_sandbox(view)
    endpoint = None if sandbox is None else gateway_endpoint(sandbox)
    return None if endpoint is None else bridge_of(view, endpoint.network_id)


def _bridge(bridge: Bridge) -> Link:
    # A MAC of its own: else it takes the lowest of its ports' and changes as containers come and
    # go, and every container's entry for its gateway is stale.
    return Link(name=bridge.name, kind="bridge", mtu=bridge.mtu, mac=mac_of(bridge.address))


def _sysctls(view: HostView) -> dict[str, str]:
    sysctls = {"net.ipv4.ip_forward": "1"} if view.bridges else {}
    inward = inward_bridge(view)
    if inward is not None:
        # So that a published port answers on 127.0.0.1 too; `guard_chain` closes what it opens.
        sysctls[f"net.ipv4.conf.{inward.name}.route_localnet"] = "1"
    return sysctls


def _tables(view: HostView, ports: list[Plug]) -> Iterator[Table]:
    inward = inward_bridge(view)
    sets: list[Set] = []
    chains: list[Chain] = []
    if view.node_id:
        sets.append(vteps(view))
        chains.append(tunnel_chain(view))
    if inward is not None:
        sets += door_sets(doors(view))
        chains += [guard_chain(inward), *door_chains()]
    if view.bridges:
        chains += [_postrouting(view, inward), forward_chain(view)]
    if chains:
        yield Table(TABLE, tuple(chains), tuple(sets))
    yield from apart(view, ports)


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
