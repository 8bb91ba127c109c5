"""Containers on links of the host: macvlan, ipvlan, and VLANs made for them."""

import msgspec
import pytest
from fake_kernel import FakeKernel

from skep.model.host import Endpoint, HostView, Lower, Sandbox
from skep.model.netstate import HOST, Link, Route
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.plan.journey import Delivered, Dropped, Flow, Packet, Place
from skep.plan.walk import walk


def view(**members):
    lower = Lower(**{
        "network_id": "n", "network_name": "lan", "driver": "macvlan", "mode": "bridge",
        "parent": "eth9", "gateway": "10.7.0.1", "gateway6": "fd00::1", **members,
    })  # fmt: skip
    leg = Endpoint(
        id="e", network_id="n", network_name="lan", link="eth0", port="", address="10.7.0.2/24",
        address6="fd00::2/64", mac="02:42:0a:07:00:02",
    )  # fmt: skip
    box = Sandbox(id="b" * 64, endpoints=(leg,), gateway="e")
    return HostView(lowers=(lower,), sandboxes=(box,))


def inside(**members):
    return desired(view(**members))["b" * 12]


def test_a_link_of_its_own_on_the_parent():
    link = inside().links["eth0"]
    assert (link.kind, link.parent, link.mode) == ("macvlan", "eth9", "bridge")
    assert (link.mac, link.peer) == ("02:42:0a:07:00:02", None)
    assert inside(mode="passthru").links["eth0"].mac == "", "it is the parent's"
    assert inside(driver="ipvlan", mode="l2").links["eth0"].mac == ""


@pytest.mark.parametrize(("mode", "vias"), [("l2", {"10.7.0.1", "fd00::1"}), ("l3", {""})])
def test_the_way_out(mode, vias):
    routes = inside(driver="ipvlan", mode=mode).routes
    assert {each.destination for each in routes} == {"default", "::/0"}
    assert {each.via for each in routes} == vias
    assert inside(gateway="", gateway6="").routes == frozenset[Route]()


def test_a_vlan_is_the_hosts_as_long_as_its_network_is():
    host = desired(view(parent="eth9.10", vlan=10))[HOST]
    link = host.links["eth9.10"]
    assert (link.kind, link.parent, link.mode) == ("vlan", "eth9", "10")
    assert desired(view())[HOST].links == {}
    assert desired(HostView())[HOST].links == {}


def test_it_is_brought_about_and_kept():
    kernel = FakeKernel()
    kernel.add_link(HOST, Link(name="eth9", kind="veth", group=0))
    wanted = desired(view(parent="eth9.10", vlan=10))
    kernel.apply(diff(wanted, kernel.observe(wanted)))
    assert diff(wanted, kernel.observe(wanted)) == []
    other = desired(view(parent="eth9.10", vlan=10, mode="private"))
    names = [type(op).__name__ for op in diff(other, kernel.observe(other))]
    assert {"DelLink", "AddLink"} <= set(names), "another mode is another link"
    kernel.apply(diff({HOST: desired(HostView())[HOST]}, kernel.observe({})))
    assert set(kernel.boxes[HOST].links) == {"lo", "eth9"} & set(kernel.boxes[HOST].links)


def host(address, **members):
    """A host with one container on its link, at an address."""
    seen = view(**members)
    (box,) = seen.sandboxes
    leg = msgspec.structs.replace(box.endpoints[0], address=f"{address}/24", address6="")
    box = msgspec.structs.replace(box, id=address.rpartition(".")[2] * 32, endpoints=(leg,))
    return desired(msgspec.structs.replace(seen, sandboxes=(box,)))


def traced(world, target):
    flow = Flow(protocol="tcp", source="", target=target, target_port=80)
    return walk(world, Place("192.0.2.1", "22" * 6), Packet(flow)).end


def test_a_trace_goes_from_link_to_link():
    here, other, there = host("10.7.0.22"), host("10.7.0.33"), host("10.7.0.44")
    world = {"192.0.2.1": here | other, "192.0.2.2": there}
    assert traced(world, "10.7.0.33").at == Place("192.0.2.1", "33" * 6, "eth0")
    assert traced(world, "10.7.0.44").at == Place("192.0.2.2", "44" * 6, "eth0")
    assert "beyond which nobody that Skep knows has 10.7.0.99" in traced(world, "10.7.0.99").why
    assert "has 10.7.0.1" in traced(world, "203.0.113.1").why, "the gateway is not Skep's"


def test_neighbours_in_private_mode_do_not_meet():
    world = {"192.0.2.1": host("10.7.0.22", mode="private") | host("10.7.0.33", mode="private")}
    assert isinstance(traced(world, "10.7.0.33"), Dropped)
    world["192.0.2.2"] = host("10.7.0.44", mode="private")
    assert isinstance(traced(world, "10.7.0.44"), Delivered)
