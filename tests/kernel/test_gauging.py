"""What links have carried, and where tunnels lead, as the kernel counts it."""

import pytest
from fresh_host import do, veth

from skep.model.netstate import HOST, Address, Fdb, Link, Vxlan
from skep.model.ops import AddAddress, AddLink, AddNamespace, SetFdb

pytestmark = pytest.mark.root

NET, BOX = "1-net0000000", "box000000000"


async def made(kernel):
    await do(
        kernel,
        AddNamespace(ns=NET),
        AddNamespace(ns=BOX),
        AddLink(ns=NET, link=Link(name="br0", kind="bridge")),
        veth(NET, Link(name="veth0", master="br0"), BOX, Link(name="eth0")),
        AddAddress(ns=NET, address=Address("br0", "10.0.1.1/24")),
        AddAddress(ns=BOX, address=Address("eth0", "10.0.1.2/24")),
    )


async def test_what_a_link_carried_is_counted_at_both_its_ends(kernel, host):
    await made(kernel)
    before = await kernel.spaces()
    assert [each.name for each in before[BOX].gauges] == ["eth0"]
    host.run(BOX, "busybox ping -c 3 -i 0.2 -s 1000 10.0.1.1")
    after = await kernel.spaces()
    (eth0,) = after[BOX].gauges
    (was,) = before[BOX].gauges
    port = next(each for each in after[NET].gauges if each.name == "veth0")
    assert eth0.tx_bytes - was.tx_bytes >= 3 * 1042
    assert eth0.rx_bytes - was.rx_bytes >= 3 * 1042
    assert (port.index, port.kind) == (eth0.peer_index, "veth")
    assert port.rx_bytes >= 3 * 1042


async def test_entries_are_counted_by_the_tunnel_that_they_lead_to(kernel):
    await made(kernel)
    vxlan = Link(name="vxlan0", kind="vxlan", master="br0", vxlan=Vxlan(4097, 4789, "127.0.0.1"))
    await do(kernel, AddLink(ns=NET, link=vxlan))
    for number, vtep in enumerate(["192.0.2.2", "192.0.2.2", "192.0.2.3"]):
        await do(kernel, SetFdb(ns=NET, fdb=Fdb("vxlan0", f"02:42:0a:00:01:0{number}", vtep)))
    found = (await kernel.spaces())[NET]
    assert found.remotes == {"192.0.2.2": 2, "192.0.2.3": 1}
    assert next(each.vni for each in found.gauges if each.name == "vxlan0") == 4097


async def test_of_the_hosts_own_links_only_the_one_that_carries_tunnels(kernel, host):
    await kernel.spaces()
    host.run(HOST, "ip link add plug type veth peer name away")
    host.run(HOST, "ip addr add 192.0.2.1/24 dev plug")
    assert (await kernel.spaces())[HOST].gauges == ()
    assert [each.name for each in (await kernel.spaces("192.0.2.1"))[HOST].gauges] == ["plug"]


async def test_a_namespace_that_went_is_left_out(kernel, host):
    await made(kernel)
    assert BOX in await kernel.spaces()
    host.run(HOST, f"umount {host.path(BOX)}")
    host.run(HOST, f"rm {host.path(BOX)}")
    found = await kernel.spaces()
    assert BOX not in found
