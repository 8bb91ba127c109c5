"""Addresses, routes, rules, neighbours, tunnels and flows of IPv6, in a real kernel."""

from __future__ import annotations

import contextlib
import socket

import pytest
from fresh_host import do

from skep.kernel import netns
from skep.model.netstate import (
    Address,
    Fdb,
    Link,
    Neighbour,
    PolicyRule,
    Route,
    Vxlan,
)
from skep.model.ops import (
    AddAddress,
    AddLink,
    AddNamespace,
    AddRoute,
    AddRule,
    CutFlows,
    DelAddress,
    DelFdb,
    DelNeighbour,
    DelRoute,
    DelRule,
    SetFdb,
    SetNeighbour,
    SetSysctl,
)

pytestmark = pytest.mark.root

MAC = "02:42:0a:00:01:06"
OWN_TABLE = 0x1000002
BRIDGE = Link(name="br0", kind="bridge")


@pytest.fixture
async def ns(kernel):
    await do(
        kernel,
        AddNamespace(ns="a"),
        AddLink(ns="a", link=BRIDGE),
        AddAddress(ns="a", address=Address("br0", "fd00::1/64")),
    )
    return "a"


async def look(kernel, ns):
    return (await kernel.observe([ns]))[ns]


async def test_an_address_is_of_use_at_once(host, kernel, ns):
    shown = host.run(ns, "ip -6 -o addr show dev br0 scope global")
    assert "fd00::1/64" in shown
    assert "nodad" in shown
    assert "tentative" not in shown
    assert Address("br0", "fd00::1/64") in (await look(kernel, ns)).addresses
    gone = DelAddress(ns=ns, address=Address("br0", "fd00::1/64"))
    await do(kernel, gone, gone)
    assert "fd00::1/64" not in {each.address for each in (await look(kernel, ns)).addresses}


async def test_a_single_address_is_no_source(host, kernel, ns):
    await do(kernel, AddAddress(ns=ns, address=Address("br0", "fd00::5/128")))
    (shown,) = host.run(ns, "ip -6 -o addr show dev br0 scope global deprecated").splitlines()
    assert "fd00::5/128" in shown


async def test_what_the_kernel_gives_to_links_is_not_listed(host, kernel, ns):
    host.run(ns, "ip addr add fe80::42:aff:fe00:1/64 dev br0 nodad")
    own = Address("br0", "fe80::a00:1/64")
    await do(kernel, AddAddress(ns=ns, address=own))
    found = {each.address for each in (await look(kernel, ns)).addresses}
    assert found == {"127.0.0.1/8", "::1/128", "fd00::1/64", own.address}


@pytest.mark.parametrize(
    "route",
    [
        Route(destination="::/0", link="br0", via="fd00::9"),
        Route(destination="fd07::/64", link="br0"),
        Route(destination="::/0", link="br0", via="fd09::9", table=OWN_TABLE, onlink=True),
    ],
)
async def test_routes(kernel, ns, route):
    await do(kernel, AddRoute(ns=ns, route=route), AddRoute(ns=ns, route=route))
    assert (await look(kernel, ns)).routes == {route}
    await do(kernel, DelRoute(ns=ns, route=route), DelRoute(ns=ns, route=route))
    assert not (await look(kernel, ns)).routes


async def test_rules_of_both_families(kernel, ns):
    rules = {PolicyRule(1000, 5, OWN_TABLE, family) for family in ("ip", "ip6")}
    await do(kernel, *(AddRule(ns=ns, rule=each) for each in rules))
    assert rules <= (await look(kernel, ns)).rules
    await do(kernel, *(DelRule(ns=ns, rule=each) for each in rules))
    assert not rules & (await look(kernel, ns)).rules


async def test_a_tunnel_over_ipv6(kernel, ns):
    tunnel = Link(name="vxlan0", kind="vxlan", vxlan=Vxlan(4097, 4789, "2001:db8::1"))
    fdb, near = Fdb("vxlan0", MAC, "2001:db8::2"), Neighbour("vxlan0", "fd00::6", MAC)
    await do(
        kernel,
        AddLink(ns=ns, link=tunnel),
        SetFdb(ns=ns, fdb=fdb),
        SetNeighbour(ns=ns, neighbour=near),
    )
    seen = await look(kernel, ns)
    assert seen.links["vxlan0"].vxlan == tunnel.vxlan
    assert (seen.fdb, seen.neighbours) == ({fdb}, {near})
    await do(kernel, DelFdb(ns=ns, fdb=fdb), DelNeighbour(ns=ns, neighbour=near))
    seen = await look(kernel, ns)
    assert (seen.fdb, seen.neighbours) == (frozenset(), frozenset())


async def test_flows_are_cut(host, kernel, ns):
    table = (
        "table ip6 t { chain o { type nat hook output priority -100; "
        "ip6 daddr fd00::7 udp dport 53 dnat to fd00::1; }; }"
    )
    host.nft(ns, table)
    # By a link that has a carrier: what is sent by others may wait, or be lost.
    host.run(ns, "ip -6 route add fd00::7/128 dev lo")
    with contextlib.ExitStack() as opened:
        with netns.inside(host.path(ns)):
            server = opened.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            client = opened.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            server.bind(("fd00::1", 53))
            client.sendto(b"?", ("fd00::7", 53))
        server.settimeout(60)
        server.recv(9)

        def flows():
            with netns.inside(host.path(ns)), open("/proc/thread-self/net/nf_conntrack") as file:
                return file.read().count("dst=fd00:0000:0000:0000:0000:0000:0000:0007")

        assert flows() == 1
        await do(kernel, CutFlows(ns=ns, address="fd00::9", port=53))
        assert flows() == 1
        await do(kernel, CutFlows(ns=ns, address="fd00::1", port=53))
        assert flows() == 0


async def test_a_change_is_noticed(host, kernel, ns):
    await kernel.observe([ns])
    changes = kernel.changes()
    for command in (
        "ip -6 addr add fd00::8/64 dev br0 nodad",
        "ip -6 route add fd07::/64 via fd00::9",
        "ip -6 rule add fwmark 7 table 100",
    ):
        host.run(ns, command)
        assert await anext(changes) == ns


async def test_ipv6_is_off_until_a_link_is_given_it(kernel, host):
    quiet = SetSysctl(ns="b", key="net.ipv6.conf.default.disable_ipv6", value="1")
    plain = SetSysctl(ns="b", key="net.ipv6.conf.default.addr_gen_mode", value="1")
    await do(kernel, AddNamespace(ns="b"), quiet, plain, AddLink(ns="b", link=BRIDGE))
    on = SetSysctl(ns="b", key="net.ipv6.conf.br0.disable_ipv6", value="0")
    await do(kernel, on, AddAddress(ns="b", address=Address("br0", "fd00::1/64")))
    shown = host.json("b", "ip -6 -j addr show dev br0")
    assert [each["local"] for each in shown[0]["addr_info"]] == ["fd00::1"]
