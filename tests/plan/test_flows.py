"""Flows that were sent where nothing is sent any more are cut, once, after the change."""

from __future__ import annotations

import msgspec
from fake_kernel import FakeKernel
from plan_scene import INGRESS, MONGO, WEB_VIP, web_scene

from skep.model import ops
from skep.model.netstate import HOST, SentFlow
from skep.plan.desired import desired
from skep.plan.diff import diff

CLIENT = "client000000"


def cuts(change):
    scene = web_scene()
    kernel = FakeKernel()
    before = desired(scene.view("h1"))
    kernel.apply(diff(before, kernel.observe(before)))
    change(scene)
    after = desired(scene.view("h1"))
    todo = diff(after, kernel.observe(after))
    found = [op for op in todo if isinstance(op, ops.CutFlows)]
    assert todo[len(todo) - len(found) :] == found
    kernel.apply(todo)
    assert diff(after, kernel.observe(after)) == []
    return {(op.ns, op.address, op.port) for op in found}


def unready(scene, network_id, *tasks):
    network = scene.networks[network_id]
    endpoints = {
        name: msgspec.structs.replace(each, ready=each.ready and name not in tasks)
        for name, each in network.endpoints.items()
    }
    scene.networks[network_id] = msgspec.structs.replace(network, endpoints=endpoints)


def test_to_a_task_that_leaves_its_service():
    def leave(scene):
        unready(scene, MONGO, "web2")
        unready(scene, INGRESS, "web2")

    assert cuts(leave) == {
        (CLIENT, "10.0.1.12", 0),
        ("web100000000", "10.0.1.12", 0),
        ("ingress_sbox", "10.0.0.12", 0),
    }


def test_to_the_last_one_too():
    assert cuts(lambda scene: unready(scene, INGRESS, "web1", "web2")) == {
        ("ingress_sbox", "10.0.0.11", 0),
        ("ingress_sbox", "10.0.0.12", 0),
    }


def test_of_a_port_that_is_published_no_more():
    def close(scene):
        network = scene.networks[INGRESS]
        web = network.services["web"]
        ports = tuple(each for each in web.ports if each.protocol == "tcp")
        scene.add_service(INGRESS, msgspec.structs.replace(web, ports=ports))

    assert cuts(close) == {
        (HOST, "172.18.0.2", 5353),
    }


def test_none_when_only_turns_change():
    def join(scene):
        scene.add_sandbox("h2", "web0", {MONGO: "10.0.1.5", INGRESS: "10.0.0.5"}, "web")

    assert cuts(join) == set()


def left_over(ns, *flows):
    """What a complete look finds to do about observed flows, in a host that is as planned."""
    state = desired(web_scene().view("h1"))
    seen = {**state, ns: msgspec.structs.replace(state[ns], flows=frozenset(flows))}
    return [(op.address, op.port) for op in diff(state, seen)]


def test_a_flow_that_is_seen_to_lead_to_nobody_is_cut():
    gone, left = SentFlow("10.0.1.13", 53), SentFlow("10.0.1.12", 53)
    assert left_over(CLIENT, gone, left) == [("10.0.1.13", 53)]
    assert left_over("ingress_sbox", SentFlow("10.0.0.13", 53)) == [("10.0.0.13", 53)]


def test_ports_count_where_they_are_chosen():
    assert left_over(HOST, SentFlow("172.18.0.2", 5353)) == []
    assert left_over(HOST, SentFlow("172.18.0.2", 5354)) == [("172.18.0.2", 5354)]


def test_flows_to_elsewhere_are_others_business():
    assert left_over(CLIENT, SentFlow("192.0.2.1", 53), SentFlow("127.0.0.11", 5300)) == []


def test_what_is_delivered_to_a_gateway_address_stays():
    assert left_over("web100000000", SentFlow("172.18.0.4", 53)) == []


def test_a_flow_is_cut_once():
    state = desired(web_scene().view("h1"))
    scene = web_scene()
    unready(scene, MONGO, "web2")
    flows = frozenset({SentFlow("10.0.1.12", 53), SentFlow("10.0.1.13", 53)})
    seen = {CLIENT: msgspec.structs.replace(state[CLIENT], flows=flows)}
    todo = diff({CLIENT: desired(scene.view("h1"))[CLIENT]}, seen)
    cut = [(op.address, op.port) for op in todo if isinstance(op, ops.CutFlows)]
    assert cut == [("10.0.1.12", 0), ("10.0.1.13", 53)]


def test_when_the_table_is_renewed_as_a_whole():
    wanted = desired(web_scene().view("h1"))
    kernel = FakeKernel()
    kernel.apply(diff(wanted, kernel.observe(wanted)))
    ours = kernel.boxes[CLIENT].tables["ip", "skep"]
    sets = tuple(
        msgspec.structs.replace(each, elements=each.elements | {(WEB_VIP, 9, "10.0.1.99")})
        if each.name == "backends"
        else each
        for each in ours.sets
    )
    other = msgspec.structs.replace(ours, chains=ours.chains[1:], sets=sets)
    kernel.boxes[CLIENT].tables["ip", "skep"] = other
    assert diff(wanted, kernel.observe(wanted)) == [
        ops.ReplaceTable(ns=CLIENT, table=wanted[CLIENT].tables[0]),
        ops.CutFlows(ns=CLIENT, address="10.0.1.99"),
    ]
