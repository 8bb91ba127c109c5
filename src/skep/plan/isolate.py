"""What must not pass: between bridges, between containers of a bridge without ``icc``, into the
loopback network by way of a bridge, and into a tunnel from anyone but the cluster's hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.model.host import Bridge, HostView
from skep.model.nft import Chain, Counter, Hook, Match, Payload, Rule, Set, Table, Verdict
from skep.plan.family import Family
from skep.plan.grammar import (
    FILTER,
    IN,
    NEW,
    OUT,
    PORT,
    PROTOCOL,
    RAW,
    TABLE,
    TARGET,
    TRANSLATED,
    base,
    is_,
    is_not,
    named_set,
    rule,
)
from skep.plan.layout import ROUTED, Plug

TUNNEL_PRIORITY = -200
"""Before any administrator's chain could accept a tunnel packet for other reasons."""

DROP = Verdict("drop")

OPEN = ("nat-unprotected",)
"""Gateway modes in which every port of a container can be reached by who knows the way."""


def bridge_set(view: HostView) -> Set:
    """The names of the host's bridges."""
    return named_set("bridges", "ifname", (each.name for each in view.bridges))


def forward_chain(view: HostView, family: Family) -> Chain:
    """To and from an internal bridge nothing passes. Between bridges nothing passes but connections
    to a published port and their answers, and these alone are begun from elsewhere with what is
    behind a bridge, unless its user opened it."""
    rules = [each for bridge in view.bridges if bridge.internal for each in _sealed(bridge)]
    rules.append(rule(TRANSLATED, Verdict("accept")))
    rules += [_drop(each, each.name) for each in view.bridges if not each.icc]
    rules += [
        rule(is_(IN, each.name), is_not(OUT, each.name), is_(OUT, "@bridges"), DROP)
        for each in view.bridges
        if not each.internal
    ]
    rules += [each for bridge in view.bridges for each in _routed(bridge, family)]
    rules += [
        rule(is_(IN, link), is_(OUT, each.name), Verdict("accept"))
        for each in view.bridges
        if not each.internal
        for link in each.trusted
    ]
    rules += [
        rule(NEW, is_not(IN, each.name), is_(OUT, each.name), DROP)
        for each in view.bridges
        if each.mode not in OPEN and not each.internal
    ]
    return base("forward", Hook("filter", "forward", FILTER), rules)


def _sealed(bridge: Bridge) -> tuple[Rule, Rule]:
    return (
        rule(is_(IN, bridge.name), is_not(OUT, bridge.name), DROP),
        rule(is_not(IN, bridge.name), is_(OUT, bridge.name), DROP),
    )


def _routed(bridge: Bridge, family: Family) -> Iterator[Rule]:
    """Published ports, and what tests whether a host is there, of who is reached directly."""
    if bridge.mode == ROUTED and not bridge.internal:
        published = Match((family.target, PROTOCOL, PORT), "@routed")
        yield rule(is_(OUT, bridge.name), published, Verdict("accept"))
        yield rule(is_(OUT, bridge.name), is_(PROTOCOL, family.echo), Verdict("accept"))


def _drop(one: Bridge, out: str) -> Rule:
    return rule(is_(IN, one.name), is_(OUT, out), DROP)


def guard_chain(inward: Iterable[Bridge]) -> Chain:
    """``route_localnet`` lets containers address the host's loopback services; this takes it back.

    Before connection tracking: answers to the host's own connections from 127.0.0.1 still carry
    the bridge's address here.
    """
    blocked = [rule(is_(IN, each.name), is_(TARGET, "127.0.0.0/8"), DROP) for each in inward]
    return base("guard", Hook("filter", "prerouting", RAW), blocked)


def vteps(view: HostView, family: Family) -> Set:
    """The tunnel addresses of the cluster's hosts, this one's among them."""
    known = {peer.vtep for peer in view.peers.values()} | {view.vtep}
    return named_set("vteps", family.kind, filter(family.has, known - {""}))


def tunnel_chain(view: HostView, family: Family) -> Chain:
    """Tunnel packets from elsewhere than the cluster's hosts are dropped and counted."""
    port = is_(Payload("udp", "dport"), view.data_path_port)
    blocked = rule(port, is_not(family.source, "@vteps"), Counter(), DROP)
    return base("input", Hook("filter", "input", TUNNEL_PRIORITY), [blocked])


def apart(view: HostView, ports: Iterable[Plug]) -> Iterator[Table]:
    """A bridge without ``icc`` passes no frame from port to port.

    Frames within a bridge never meet the IP rules (unless br_netfilter is loaded and on), so this
    is said in the bridge family. Its forward hook sees what goes from a port to a port only;
    what goes to and from the host itself is left alone.
    """
    closed = {bridge.name for bridge in view.bridges if not bridge.icc}
    if not closed:
        return
    names = (each.endpoint.port for each in ports if each.bridge in closed)
    chain = base("forward", Hook("filter", "forward", FILTER), [rule(is_(IN, "@isolated"), DROP)])
    yield Table(TABLE, (chain,), (named_set("isolated", "ifname", names),), family="bridge")
