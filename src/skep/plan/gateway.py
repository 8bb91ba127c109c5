"""The host's own namespace: bridges, their ports, published ports, masquerading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.model.host import Bridge, HostView, Lower
from skep.model.ids import mac_of
from skep.model.netstate import HOST, Address, Link, Namespace
from skep.model.nft import Chain, Fib, Hook, Masquerade, Rule, Set, Snat, Table
from skep.plan import loopback
from skep.plan.family import IP, IP6, Family
from skep.plan.grammar import OUT, SNAT, TABLE, TRANSLATED, base, is_, is_not, rule
from skep.plan.isolate import (
    apart,
    bridge_set,
    forward_chain,
    guard_chain,
    tunnel_chain,
    vteps,
)
from skep.plan.layout import ROUTED, TRANSLATING, Plug, ipv6_on, link_local, subnet_of
from skep.plan.publish import door_chains, door_sets, doors, inward_bridges, routed_ports


def host_namespace(view: HostView, ports: Iterable[Plug], sixth: HostView | None) -> Namespace:
    """The host's namespace; ``ports`` are the endpoints plugged into its bridges, ``sixth`` is the
    view as IPv6 sees it, None where there is none."""
    ports = [each for each in ports if each.paired]
    links = [*(_bridge(each) for each in view.bridges), *(each.port() for each in ports)]
    links += [_vlan(each) for each in view.lowers if each.vlan]
    return Namespace(
        name=HOST,
        links={link.name: link for link in links},
        addresses=frozenset(_addresses(view)),
        tables=tuple(_tables(view, sixth, ports)),
        sysctls=_sysctls(view),
    )


def _bridge(bridge: Bridge) -> Link:
    # A MAC of its own: else it takes the lowest of its ports' and changes as containers come and
    # go, and every container's entry for its gateway is stale.
    return Link(name=bridge.name, kind="bridge", mtu=bridge.mtu, mac=mac_of(bridge.address))


def _vlan(lower: Lower) -> Link:
    parent = lower.parent.rpartition(".")[0]
    return Link(name=lower.parent, kind="vlan", parent=parent, mode=str(lower.vlan))


def _addresses(view: HostView) -> Iterator[Address]:
    for each in view.bridges:
        if not each.inhibited:
            yield Address(each.name, each.address)
        if each.address6:
            yield Address(each.name, each.address6)
            yield link_local(each.name, each.address)
    carrier = loopback.carrier(each for each in inward_bridges(view) if each.address6)
    if carrier is not None:
        yield Address(carrier.name, f"{loopback.stand_in(carrier)}/{IP6.bits}")


def _sysctls(view: HostView) -> dict[str, str]:
    sysctls = {"net.ipv4.ip_forward": "1"} if view.bridges else {}
    sixths = [each.name for each in view.bridges if each.address6]
    for name in sixths:
        sysctls |= ipv6_on(name)
        # The kernel's own address on it says nothing to anybody, and would be one more.
        sysctls[f"net.ipv6.conf.{name}.addr_gen_mode"] = "1"
        sysctls[f"net.ipv6.conf.{name}.accept_ra"] = "0"
    if sixths:
        # Who forwards does not listen to routers any more, unless it is told to.
        sysctls |= {f"net.ipv6.conf.{link}.accept_ra": "2" for link in view.advertised_to}
        sysctls["net.ipv6.conf.all.forwarding"] = "1"
    for each in inward_bridges(view):
        # So that a published port answers on 127.0.0.1 too; `guard_chain` closes what it opens.
        sysctls[f"net.ipv4.conf.{each.name}.route_localnet"] = "1"
    return sysctls


def _tables(view: HostView, sixth: HostView | None, ports: list[Plug]) -> Iterator[Table]:
    yield from _table(view, IP)
    if sixth is not None:
        yield from _table(sixth, IP6)
    yield from apart(view, ports)


def _table(view: HostView, family: Family) -> Iterator[Table]:
    """A family's table, if there is anything to say in it; the view is as the family sees it."""
    inward = inward_bridges(view)
    sets: list[Set] = []
    chains: list[Chain] = []
    if view.node_id and (family is IP or family.has(view.vtep)):
        sets.append(vteps(view, family))
        chains.append(tunnel_chain(view, family))
    carrier = loopback.carrier(inward) if family is IP6 else None
    if inward:
        stand_in = loopback.stand_in(carrier) if carrier else IP6.loopback
        sets += door_sets(doors(view), family, stand_in)
        chains += door_chains(family)
    if inward and family is IP:
        chains.append(guard_chain(inward))
    if carrier is not None:
        sets.append(loopback.ports(doors(view)))
        chains += loopback.chains(carrier)
    if view.bridges:
        sets.append(bridge_set(view))
        if any(each.mode == ROUTED for each in view.bridges):
            sets.append(routed_ports(view, family))
        chains += [_postrouting(view, inward, family), forward_chain(view, family)]
    if chains:
        yield Table(TABLE, tuple(chains), tuple(sets), family.name)


def _postrouting(view: HostView, inward: list[Bridge], family: Family) -> Chain:
    rules = [
        rule(is_(family.source, subnet_of(each.address)), is_not(OUT, each.name), _outside(each))
        for each in view.bridges
        if each.masquerade and each.mode in TRANSLATING and not each.internal
    ]
    for each in inward:
        rules += _inward_rules(each, family)
    return base("postrouting", Hook("nat", "postrouting", SNAT), rules)


def _outside(bridge: Bridge) -> Masquerade | Snat:
    return Snat(bridge.source) if bridge.source else Masquerade()


def _inward_rules(inward: Bridge, family: Family) -> list[Rule]:
    """Sources that the ingress sandbox could not answer by way of the host: the host's own (its
    loopback address is one), and those of containers on the sandbox's bridge, which it would
    answer directly, past the translation."""
    return [
        rule(is_(OUT, inward.name), is_(Fib("saddr"), "local"), Masquerade()),
        rule(
            is_(family.source, subnet_of(inward.address)),
            is_(OUT, inward.name),
            TRANSLATED,
            Masquerade(),
        ),
    ]
