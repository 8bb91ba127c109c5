"""The plan of a host that balances by IPVS. Where its packets end is `test_walk`'s business."""

from __future__ import annotations

import msgspec
import pytest
from dual_scene import dual
from fake_kernel import FakeKernel
from plan_scene import IDLE_MARK, INGRESS, MONGO, WEB_MARK, WEB_VIP, web_scene

from skep.model import ops
from skep.model.netstate import Destination, Timeouts, VirtualService
from skep.plan.desired import desired
from skep.plan.diff import diff

CLIENT, MESH = "client000000", "ingress_sbox"
BOTH = frozenset({Destination("10.0.1.11", 1), Destination("10.0.1.12", 1)})


def ipvs_scene(**options):
    scene = web_scene()
    scene.balancer = "ipvs"
    for network in (MONGO, INGRESS):
        web = scene.networks[network].services["web"]
        labels = {f"skep.{key}": value for key, value in options.items()}
        scene.add_service(network, msgspec.structs.replace(web, options=labels))
    return scene


def unready(scene, *tasks):
    for network_id in (MONGO, INGRESS):
        network = scene.networks[network_id]
        endpoints = {
            name: msgspec.structs.replace(each, ready=each.ready and name not in tasks)
            for name, each in network.endpoints.items()
        }
        scene.networks[network_id] = msgspec.structs.replace(network, endpoints=endpoints)


def planned(scene, namespace=CLIENT):
    return desired(scene.view("h1"))[namespace]


def web(namespace):
    return next(each for each in namespace.virtual if each.mark == WEB_MARK)


def named(namespace, name):
    (table,) = (each for each in namespace.tables if each.family == "ip")
    return next(each.elements for each in table.sets if each.name == name)


def test_services_are_known_by_their_marks():
    client = planned(ipvs_scene())
    assert client.virtual == {
        VirtualService(mark=WEB_MARK, destinations=BOTH),
        VirtualService(mark=IDLE_MARK, destinations=frozenset({Destination("10.0.1.30", 0)})),
    }
    assert named(client, "backends") == named(client, "turns") == frozenset()
    assert named(client, "vips") >= {(WEB_VIP, WEB_MARK)}
    assert web(planned(ipvs_scene(), MESH)).destinations == {
        Destination("10.0.0.11", 1), Destination("10.0.0.12", 1),
    }  # fmt: skip


def test_idle_connections_live_as_long_as_direct_ones():
    for name in (CLIENT, MESH):
        namespace = planned(ipvs_scene(), name)
        assert namespace.timeouts == Timeouts(432000, 120, 300)
        assert namespace.sysctls["net.ipv4.vs.conntrack"] == "1"


@pytest.mark.parametrize(
    ("balance", "even", "weighed"),
    [("rr", "rr", "wrr"), ("lc", "lc", "wlc"), ("source", "mh", "mh"), ("sh", "sh", "sh"),
     ("mh", "mh", "mh")],
)  # fmt: skip
def test_schedulers_are_as_the_labels_say(balance, even, weighed):
    scene = ipvs_scene(balance=balance)
    assert web(planned(scene)).scheduler == even
    view = scene.view("h1")
    heavy = msgspec.structs.replace(view.peers["h2"], labels={"skep.weight": "5"})
    view = msgspec.structs.replace(view, peers={**view.peers, "h2": heavy})
    found = web(desired(view)[CLIENT])
    assert found.scheduler == weighed
    assert found.destinations == {Destination("10.0.1.11", 1), Destination("10.0.1.12", 5)}


def test_what_is_random_is_drawn_by_nftables():
    client = planned(ipvs_scene(balance="random"))
    assert {each.mark for each in client.virtual} == {IDLE_MARK}
    assert named(client, "turns") == {(WEB_VIP, "goto random_2")}


def test_affinity_is_persistence():
    client = planned(ipvs_scene(affinity="10m"))
    assert web(client).affinity == 600
    (table,) = client.tables
    assert "sticky" not in {each.name for each in table.sets}


def test_who_leaves_is_given_nothing_new_until_it_is_gone():
    scene = ipvs_scene()
    kernel = FakeKernel()
    before = desired(scene.view("h1"))
    kernel.apply(diff(before, kernel.observe(before)))
    unready(scene, "web2")
    drained = desired(scene.view("h1"))
    todo = [op for op in diff(drained, kernel.observe(drained)) if op.ns == CLIENT]
    assert todo == [
        ops.SetDestination(
            ns=CLIENT,
            service=VirtualService(mark=WEB_MARK),
            destination=Destination("10.0.1.12", 0),
        )
    ]
    kernel.apply(diff(drained, kernel.observe(drained)))
    for network_id in (MONGO, INGRESS):
        network = scene.networks[network_id]
        endpoints = {name: each for name, each in network.endpoints.items() if name != "web2"}
        scene.networks[network_id] = msgspec.structs.replace(network, endpoints=endpoints)
    gone = desired(scene.view("h1"))
    todo = [op for op in diff(gone, kernel.observe(gone)) if op.ns == CLIENT]
    assert todo == [
        ops.DelDestination(
            ns=CLIENT,
            service=VirtualService(mark=WEB_MARK),
            destination=Destination("10.0.1.12", 0),
        )
    ]
    kernel.apply(diff(gone, kernel.observe(gone)))
    assert diff(gone, kernel.observe(gone)) == []


def test_who_comes_is_there_before_anybody_leaves():
    scene = ipvs_scene()
    before = desired(scene.view("h1"))
    scene.add_sandbox("h3", "web3", {MONGO: "10.0.1.13", INGRESS: "10.0.0.13"}, "web")
    unready(scene, "web1", "web2")
    todo = [op for op in diff(desired(scene.view("h1")), before) if op.ns == CLIENT]
    weights = [
        (op.destination.address, op.destination.weight)
        for op in todo
        if isinstance(op, ops.SetDestination)
    ]
    assert weights == [("10.0.1.13", 1), ("10.0.1.11", 0), ("10.0.1.12", 0)]


def test_a_service_stands_before_packets_are_marked_for_it_and_until_none_are():
    scene = ipvs_scene()
    with_web = desired(scene.view("h1"))
    network = scene.networks[MONGO]
    others = {name: each for name, each in network.services.items() if name != "web"}
    scene.networks[MONGO] = msgspec.structs.replace(network, services=others)
    without = desired(scene.view("h1"))

    def order(wanted, seen):
        todo = [op for op in diff(wanted, seen) if op.ns == CLIENT]
        return [type(op).__name__ for op in todo if getattr(op, "set", "vips") == "vips"]

    assert order(with_web, without) == [
        "SetVirtual", "SetDestination", "SetDestination", "SetElements",
    ]  # fmt: skip
    assert order(without, with_web) == ["SetElements", "DelVirtual"]


def test_either_balancer_takes_over_from_the_other():
    scene = ipvs_scene()
    kernel = FakeKernel()
    for balancer in ("ipvs", "nft", "ipvs"):
        scene.balancer = balancer
        wanted = desired(scene.view("h1"))
        kernel.apply(diff(wanted, kernel.observe(wanted)))
        assert diff(wanted, kernel.observe(wanted)) == []
        assert bool(kernel.boxes[CLIENT].virtual) is (balancer == "ipvs")


def test_both_families_have_services_of_one_mark():
    scene = ipvs_scene()
    client = desired(dual(scene.view("h1")))[CLIENT]
    found = {each.family: each for each in client.virtual if each.mark == WEB_MARK}
    assert found["ip"].destinations == BOTH
    assert {":" in each.address for each in found["ip6"].destinations} == {True}
    assert len(found["ip6"].destinations) == 2
