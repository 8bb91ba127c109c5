"""Containers on links that a plugin has made: moved into their sandboxes, and given back."""

import msgspec
from fake_kernel import FakeKernel

from skep.model.host import Endpoint, Handed, HandedRoute, HostView, Remote, Sandbox
from skep.model.netstate import GROUP, HOST, Link, Route
from skep.model.ops import AddLink, ReturnLink
from skep.plan.desired import desired, namespaces_of
from skep.plan.diff import diff
from skep.plan.journey import Dropped, Flow, Packet, Place
from skep.plan.walk import walk

BOX = "b" * 12


def view(handed=None, **members):
    leg = Endpoint(**{
        "id": "e", "network_id": "n", "network_name": "wide", "link": "eth0", "port": "",
        "address": "10.7.0.2/24", "mac": "", "handed": handed, **members,
    })  # fmt: skip
    box = Sandbox(id="b" * 64, endpoints=(leg,), gateway="e")
    remote = Remote(network_id="n", network_name="wide", driver="weave")
    return HostView(remotes=(remote,), sandboxes=(box,))


def given(**members):
    return Handed(**{"source": "wv1", "gateway": "10.7.0.1", **members})


def host():
    kernel = FakeKernel()
    kernel.add_link(HOST, Link(name="wv1", kind="veth", group=0, mac="02:00:00:00:00:07"))
    return kernel


def brought(kernel, wanted):
    ops = diff(wanted, kernel.observe(wanted))
    kernel.apply(ops)
    assert diff(wanted, kernel.observe(wanted)) == []
    return ops


def test_nothing_is_there_before_the_plugin_has_made_it():
    assert set(desired(view())[BOX].links) == {"lo"}
    assert namespaces_of(view(given()), BOX) == {BOX, HOST}


def test_its_link_is_moved_with_address_and_way_out():
    kernel = host()
    brought(kernel, desired(view(given())))
    box = kernel.boxes[BOX]
    assert box.links["eth0"].mac == "02:00:00:00:00:07", "its own, where nobody says another"
    assert box.links["eth0"].group == GROUP
    assert "wv1" not in kernel.boxes[HOST].links
    assert [each.address for each in box.addresses if each.link == "eth0"] == ["10.7.0.2/24"]
    assert Route(destination="default", link="eth0", via="10.7.0.1") in box.routes


def test_routes_are_the_plugins_whoever_leads_out():
    way = given(gateway="", routes=(HandedRoute("10.9.0.0/16", "10.8.0.1"),
                                    HandedRoute("10.8.0.1/32")))  # fmt: skip
    routes = desired(view(way))[BOX].routes
    assert {(each.destination, each.via) for each in routes} == {
        ("10.9.0.0/16", "10.8.0.1"), ("10.8.0.1/32", "")
    }  # fmt: skip
    added = [op.route.via for op in brought(host(), desired(view(way)))
             if type(op).__name__ == "AddRoute"]  # fmt: skip
    assert added == ["", "10.8.0.1"], "a gateway is reached by what says where it is"
    assert not way.leads_out
    assert given(gateway="", routes=(HandedRoute("default", "10.7.0.9"),)).leads_out


def test_it_is_given_back_and_never_deleted():
    kernel = host()
    brought(kernel, desired(view(given())))
    ops = brought(kernel, desired(view()))
    assert [op for op in ops if isinstance(op, ReturnLink)] == [
        ReturnLink(ns=BOX, name="eth0", source="wv1")
    ]
    assert kernel.boxes[HOST].links["wv1"].group == 0


def test_it_goes_back_before_its_sandbox_does():
    kernel = host()
    brought(kernel, desired(view(given())))
    brought(kernel, desired(HostView()))
    assert BOX not in kernel.boxes
    assert "wv1" in kernel.boxes[HOST].links


def test_another_link_of_the_plugin_is_another_link():
    kernel = host()
    kernel.add_link(HOST, Link(name="wv2", kind="veth", group=0))
    brought(kernel, desired(view(given())))
    ops = brought(kernel, desired(view(given(source="wv2"))))
    assert [type(op) for op in ops][:2] == [ReturnLink, AddLink]
    assert "wv1" in kernel.boxes[HOST].links


def test_one_that_a_crash_left_half_way_is_taken_up_again():
    kernel = host()
    link = kernel.boxes[HOST].links["wv1"]
    kernel.boxes[HOST].links["wv1"] = msgspec.structs.replace(link, group=GROUP, source="wv1")
    wanted = desired(view(given()))
    names = [type(op).__name__ for op in diff(wanted, kernel.observe(wanted))]
    assert names.index("ReturnLink") < names.index("AddLink")
    assert "DelLink" not in names


def test_a_trace_ends_where_only_the_plugin_knows_on():
    world = {"192.0.2.1": desired(view(given()))}
    flow = Flow(protocol="tcp", source="", target="10.7.0.9", target_port=80)
    end = walk(world, Place("192.0.2.1", BOX), Packet(flow)).end
    assert isinstance(end, Dropped)
    assert end.why == "eth0 was made by a plugin, which alone knows where it leads"
