from __future__ import annotations

import errno
import time

import pytest
from fresh_host import do, fail, veth

from skep.kernel.kernel import Kernel
from skep.model.netstate import MAIN_TABLE, Address, Link, PolicyRule, Route
from skep.model.ops import (
    AddAddress,
    AddLink,
    AddNamespace,
    AddRoute,
    AddRule,
    DelAddress,
    DelRoute,
    DelRule,
)

pytestmark = pytest.mark.root

OWN_TABLE = 0x1000005


@pytest.fixture
async def ns(kernel: Kernel) -> str:
    await do(
        kernel,
        AddNamespace(ns="a"),
        AddLink(ns="a", link=Link(name="br0", kind="bridge")),
        AddAddress(ns="a", address=Address("br0", "10.0.1.1/24")),
    )
    return "a"


async def look(kernel: Kernel, ns: str):
    return (await kernel.observe([ns]))[ns]


@pytest.mark.parametrize(
    ("address", "broadcast"),
    [
        ("10.0.2.5/24", "10.0.2.255"),
        ("10.0.2.5/30", "10.0.2.7"),
        ("10.0.2.4/31", None),
        ("10.0.2.5/32", None),
    ],
)
async def test_addresses_have_their_broadcast_address(host, kernel, ns, address, broadcast):
    wanted = Address("br0", address)
    await do(kernel, AddAddress(ns=ns, address=wanted), AddAddress(ns=ns, address=wanted))
    (shown,) = host.json(ns, "ip -j addr show br0")
    found = {
        f"{x['local']}/{x['prefixlen']}": x.get("broadcast")
        for x in shown["addr_info"]
        if x["family"] == "inet"
    }
    assert found[address] == broadcast
    assert wanted in (await look(kernel, ns)).addresses


async def test_an_address_goes_and_may_go_again(kernel, ns):
    gone = Address("br0", "10.0.1.1/24")
    await do(kernel, DelAddress(ns=ns, address=gone), DelAddress(ns=ns, address=gone))
    await do(kernel, DelAddress(ns=ns, address=Address("nix", "10.0.1.1/24")))
    assert gone not in (await look(kernel, ns)).addresses


async def test_addresses_that_are_none(kernel, ns):
    for wrong in ("10.0.0.1", "10.0.0.1/33", "fd00::1", "fd00::1/129"):
        failure = await fail(kernel, AddAddress(ns=ns, address=Address("br0", wrong)))
        assert failure.errno == errno.EINVAL
        assert "is not an address with a prefix length" in failure.message


async def test_an_address_on_no_link(kernel, ns):
    failure = await fail(kernel, AddAddress(ns=ns, address=Address("nix", "10.0.0.1/24")))
    assert failure.errno == errno.ENODEV
    assert failure.message == (
        "cannot add the address 10.0.0.1/24 to nix in the namespace a: there is no link nix"
    )


@pytest.mark.parametrize(
    "route",
    [
        Route(destination="default", link="br0", via="10.0.1.254"),
        Route(destination="10.7.0.0/16", link="br0"),
        Route(destination="10.7.1.1/32", link="br0", via="10.0.1.254", source="10.0.1.1"),
        Route(destination="default", link="br0", via="192.0.2.1", onlink=True),
        Route(destination="default", link="br0", via="10.0.1.9", table=OWN_TABLE),
    ],
)
async def test_routes(host, kernel, ns, route):
    await do(kernel, AddRoute(ns=ns, route=route))
    assert (await look(kernel, ns)).routes == {route}
    (shown,) = host.json(ns, f"ip -j route show table {route.table} {route.destination}")
    assert shown["protocol"] == "static"
    assert shown.get("gateway", "") == route.via
    await do(kernel, DelRoute(ns=ns, route=route), DelRoute(ns=ns, route=route))
    assert not (await look(kernel, ns)).routes


async def test_a_route_takes_the_place_of_another(kernel, ns):
    old = Route(destination="default", link="br0", via="10.0.1.254")
    new = Route(destination="default", link="br0", via="10.0.1.253")
    await do(kernel, AddRoute(ns=ns, route=old), AddRoute(ns=ns, route=new))
    assert (await look(kernel, ns)).routes == {new}


async def test_routes_that_are_not_ours_or_that_we_cannot_say(host, kernel, ns):
    for wrong in (
        "10.1.0.0/16 dev br0 table 100",
        "10.2.0.0/16 dev br0 metric 5",
        "10.3.0.0/16 dev br0 tos 0x10",
        "blackhole 10.4.0.0/16",
        "10.5.0.0/16 nexthop via 10.0.1.2 nexthop via 10.0.1.3",
        "10.6.0.0/16 dev br0 proto kernel",
    ):
        host.run(ns, f"ip route add {wrong}")
    host.run(ns, "ip route add 10.7.0.0/16 dev br0")
    assert (await look(kernel, ns)).routes == {Route(destination="10.7.0.0/16", link="br0")}


async def test_a_route_to_nowhere(kernel, ns):
    route = Route(destination="default", link="br0", via="192.0.2.1", table=MAIN_TABLE)
    failure = await fail(kernel, AddRoute(ns=ns, route=route))
    assert failure.errno == errno.ENETUNREACH
    assert failure.message == (
        "cannot add the route default through br0 in the namespace a: "
        "Network is unreachable (Nexthop has invalid gateway)"
    )


async def test_rules(host, kernel, ns):
    rule = PolicyRule(100, OWN_TABLE, OWN_TABLE)
    small = PolicyRule(101, 5, 100)
    await do(kernel, *(AddRule(ns=ns, rule=each) for each in (rule, small, rule)))
    host.run(ns, "ip rule add from 10.0.0.0/8 table 100")
    host.run(ns, "ip rule add fwmark 1/0xff table 100")
    assert (await look(kernel, ns)).rules == {rule, small}
    shown = [x for x in host.json(ns, "ip -j rule") if x["priority"] == 100]
    assert [(x["fwmark"], x["table"]) for x in shown] == [("0x1000005", str(OWN_TABLE))]
    await do(kernel, DelRule(ns=ns, rule=rule), DelRule(ns=ns, rule=rule))
    assert (await look(kernel, ns)).rules == {small}


async def test_all_of_an_endpoint_in_one_call_is_cheap(kernel):
    """A bound against gross mistakes only: it is about 2 ms of CPU on an idle machine."""
    await do(kernel, AddNamespace(ns="o"), AddLink(ns="o", link=Link(name="br0", kind="bridge")))
    begun = time.process_time()
    for n in range(10):
        await do(
            kernel,
            AddNamespace(ns=f"box{n}"),
            veth("o", Link(name=f"veth{n}", master="br0"), f"box{n}", Link(name="eth0")),
            AddAddress(ns=f"box{n}", address=Address("eth0", f"10.0.1.{n + 2}/24")),
            AddRoute(ns=f"box{n}", route=Route(destination="default", link="eth0", via="10.0.1.1")),
        )
    assert (time.process_time() - begun) / 10 < 0.03
