"""Links that others made, moved into namespaces of ours and given back."""

import errno

import pytest
from fresh_host import do, fail

from skep.kernel import moving
from skep.model.netstate import GROUP, HOST, Link
from skep.model.ops import AddLink, AddNamespace, DelNamespace, ReturnLink

pytestmark = pytest.mark.root

MAC = "02:42:0a:00:01:06"


@pytest.fixture
async def box(kernel):
    await do(kernel, AddNamespace(ns="box"))
    return "box"


def moved(name="eth0", source="wv1", **settings):
    return Link(name=name, kind="moved", source=source, **settings)


async def links_of(kernel, ns):
    return (await kernel.observe([ns]))[ns].links


async def test_a_link_goes_there_and_back(host, kernel, box):
    host.run(HOST, "ip link add wv1 type veth peer name wv1-peer")
    await do(kernel, AddLink(ns=box, link=moved(mac=MAC, mtu=1400)))
    (shown,) = host.json(box, "ip -j link show eth0")
    assert (shown["address"], shown["mtu"], shown["group"]) == (MAC, 1400, str(GROUP))
    assert "UP" in shown["flags"]
    seen = (await links_of(kernel, box))["eth0"]
    assert (seen.kind, seen.source, seen.group) == ("veth", "wv1", GROUP)
    await do(kernel, ReturnLink(ns=box, name="eth0", source="wv1"))
    (shown,) = host.json(HOST, "ip -j link show wv1")
    assert shown["group"] == "default"
    assert "UP" not in shown["flags"]
    assert not shown.get("ifalias")
    assert set(await links_of(kernel, box)) == {"lo"}
    await do(kernel, ReturnLink(ns=box, name="eth0", source="wv1"))


async def test_one_that_is_not_there_is_told(kernel, box):
    failed = await fail(kernel, AddLink(ns=box, link=moved()))
    assert failed.errno == errno.ENODEV
    assert "cannot move the link wv1 of the host in the namespace box" in failed.message
    assert "there is no link wv1 on the host" in failed.message


async def test_one_that_cannot_move_stays_and_can_be_let_go(host, kernel, box):
    host.run(HOST, "ip link add wv1 type bridge")
    await fail(kernel, AddLink(ns=box, link=moved()))
    seen = (await links_of(kernel, HOST))["wv1"]
    assert (seen.source, seen.group) == ("wv1", GROUP)
    await do(kernel, ReturnLink(ns=HOST, name="wv1", source="wv1"))
    (shown,) = host.json(HOST, "ip -j link show wv1")
    assert shown["group"] == "default"


async def test_a_name_that_the_host_has_meanwhile_is_told(host, kernel, box):
    host.run(HOST, "ip link add wv1 type veth peer name wv1-peer")
    host.run(HOST, "ip link add eth7 type veth peer name eth7-peer")
    await do(kernel, AddLink(ns=box, link=moved(name="eth7")))
    await do(kernel, ReturnLink(ns=box, name="eth7", source="wv1"))
    await do(kernel, AddLink(ns=box, link=moved()))
    host.run(HOST, "ip link add wv1 type veth peer name other")
    failed = await fail(kernel, ReturnLink(ns=box, name="eth0", source="wv1"))
    assert failed.errno == errno.EEXIST
    assert "wv1" in await links_of(kernel, box), "it is still known by what it carries"
    await do(kernel, DelNamespace(ns=box))


async def test_a_link_is_looked_at_before_it_is_taken(host, kernel):
    host.run(HOST, "ip link add wv1 type veth peer name wv1-peer")
    host.run(HOST, "ip addr add 192.0.2.9/24 dev wv1")
    host.run(HOST, "ip link set wv1 up")
    found = await kernel.within(HOST, lambda: moving.look("wv1"))
    assert (found.link.kind, found.addresses) == ("veth", ("192.0.2.9/24",))
    assert await kernel.within(HOST, lambda: moving.look("wv2")) is None
