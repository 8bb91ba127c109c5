"""Who talks to whom: what namespaces track, joined with names, told once, and added up."""

import msgspec
import pytest
from plan_scene import INGRESS, web_scene

from skep.model.flows import Tracked, Wanted
from skep.model.host import INGRESS_SANDBOX
from skep.plan.layout import bare
from skep.topology.flows import busiest, chosen, named, pairs, parties, total

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58


@pytest.fixture
def view():
    return web_scene().view("h1")


@pytest.fixture
def box(view):
    """A container of this host, and its address on a network that others are on as well."""
    return next(
        (each, bare(end.address))
        for each in view.sandboxes
        for end in each.endpoints
        if each.id != INGRESS_SANDBOX and end.network_id in set(view.networks) - {INGRESS}
    )


@pytest.fixture
def remote(view):
    """An endpoint of another host on a network of the container's."""
    found = next(
        each
        for network in view.networks.values()
        for each in network.endpoints.values()
        if each.node_id != view.node_id and network.id != INGRESS
    )
    return msgspec.structs.replace(found, address=bare(found.address))


def tracked(source, target, answerer="", protocol=TCP, **more):
    ports = {} if protocol in (ICMP, ICMP6) else {
        "source_port": 40000, "target_port": 80, "answerer_port": 80
    }  # fmt: skip
    return Tracked(
        protocol=protocol, source=source, target=target, answerer=answerer or target,
        **ports | more,
    )  # fmt: skip


def flows(view, box, *found):
    return named(view, "h1", {box[0].namespace: found})


def test_a_container_that_asks_another(view, box, remote):
    (flow,) = flows(view, box, tracked(box[1], remote.address, answered=True, state="open"))
    assert (flow.host, flow.protocol, flow.verdict, flow.state) == ("h1", "tcp", "answered", "open")
    assert (flow.client.kind, flow.client.port) == ("container", 40000)
    assert (flow.server.kind, flow.server.name) == ("container", remote.task_id)
    assert flow.server.network == flow.client.network
    assert flow.asked == ""


def test_what_was_asked_of_a_virtual_address(view, box, remote):
    service = next(
        each for network in view.networks.values() for each in network.services.values()
        if each.id == remote.service_id and each.vip
    )  # fmt: skip
    (flow,) = flows(view, box, tracked(box[1], service.vip, remote.address))
    assert flow.asked == f"{service.name} {service.vip.partition('/')[0]}:80"
    assert flow.server.service == service.name
    assert flow.server.called == service.name
    assert flow.verdict == "unanswered"


def test_one_conversation_is_told_once(view, box, remote):
    assert flows(view, box, tracked(remote.address, box[1])) == ()
    outside = tracked("198.51.100.7", box[1])
    (flow,) = flows(view, box, outside)
    assert (flow.client.kind, flow.client.name) == ("outside", "198.51.100.7")


def test_hosts_bridges_and_nobody(view, box):
    mesh = view.peers["h2"].ingress_address.partition("/")[0]
    assert flows(view, box, tracked(mesh, box[1]))[0].client.name == "h2"
    gateway = view.bridges[1].address.partition("/")[0]
    assert flows(view, box, tracked(gateway, box[1]))[0].client.kind == "gateway"
    (flow,) = flows(view, box, tracked(box[1], "10.0.1.251"))
    assert (flow.server.kind, flow.server.network) == ("nobody", "mongo")


def test_names_are_skep_dns_s_to_tell(view, box):
    assert flows(view, box, tracked("127.0.0.1", "127.0.0.11", protocol=UDP)) == ()


def test_pings_have_no_ports(view, box, remote):
    found = flows(view, box, tracked(box[1], remote.address, protocol=ICMP))
    assert found[0].protocol == "icmp"
    ((key, _),) = pairs(found).items()
    assert key[2:] == ("icmp", 0)
    assert flows(view, box, tracked(box[1], "fd00::7", protocol=ICMP6))[0].protocol == "icmp"


def test_the_ingress_sandbox_tells_nothing(view, box):
    """What goes through it is told by the task that answers."""
    found = {"ingress_sbox": (tracked("198.51.100.7", "10.0.0.3"),)}
    assert named(view, "h1", found) == ()


def test_of_a_bridge_s_address_that_every_host_has_it_is_this_host_s_container(view, box):
    end = next(e for e in box[0].endpoints if e.network_id not in view.networks)
    party = parties(view)[end.address.partition("/")[0]]
    assert (party.kind, party.name) == ("container", box[0].container_name)
    assert party.service == parties(view)[box[1]].service


@pytest.fixture
def some(view, box, remote):
    return flows(
        view, box,
        tracked(box[1], remote.address, answered=True, sent_bytes=100, received_bytes=10),
        tracked(box[1], remote.address, answered=True, sent_bytes=1, source_port=40001),
        tracked("198.51.100.7", box[1], target_port=81, answerer_port=81),
    )  # fmt: skip


@pytest.mark.parametrize(("wanted", "count"), [
    ({}, 3), ({"host": "h1"}, 3), ({"host": "h2"}, 0), ({"port": 81}, 1), ({"port": 82}, 0),
    ({"outside": True}, 1), ({"unanswered": True}, 1), ({"network": "mongo"}, 3),
    ({"network": "none"}, 0), ({"party": "198.51.100.7"}, 1), ({"party": "nobody"}, 0),
    ({"party": "198.51.100.7", "port": 80}, 0),
])  # fmt: skip
def test_those_that_are_asked_for(some, wanted, count):
    assert len(list(chosen(some, Wanted(**wanted)))) == count


def test_by_service_task_and_address(some, remote):
    for name in (remote.task_id, remote.address):
        assert len(list(chosen(some, Wanted(party=name)))) == 2


def test_sums(some):
    counted, uncounted = sorted(pairs(some).values(), key=len, reverse=True)
    assert total(counted, "sent_bytes") == 101
    assert total(counted, "received_bytes") == 10
    assert total(uncounted, "sent_bytes") == -1
    assert [key[0] for key in pairs(some)][1] == "outside"


def test_the_busiest_by_name_and_the_rest_together(some):
    first, second = busiest(some, 2)
    assert (first.flows, first.sent_bytes, first.unanswered) == (2, 101, 0)
    assert (second.client, second.sent_bytes, second.unanswered) == ("outside", 0, 1)
    first, rest = busiest(some, 1)
    assert (first.sent_bytes, rest.client, rest.server) == (101, "others", "others")
    assert (rest.flows, rest.unanswered) == (1, 1)
    assert busiest((), 1) == ()
