"""Who may say what he is: the rules of a network's ports."""

import msgspec
from dual_scene import dual
from plan_scene import MONGO, web_scene

from skep.model.host import INGRESS_SANDBOX
from skep.plan.desired import desired, overlay_namespace
from skep.plan.layout import bare


def table(view, network):
    (found,) = desired(view)[overlay_namespace(network)].tables
    return found


def elements(found, name):
    return next(each for each in found.sets if each.name == name).elements


def test_a_port_has_its_endpoints_mac_and_addresses():
    view = web_scene().view("h1")
    found = table(view, MONGO)
    assert found.family == "bridge"
    plugged = [e for box in view.sandboxes for e in box.endpoints if e.network_id == MONGO]
    assert plugged
    assert elements(found, "ports") == {(e.port,) for e in plugged}
    assert elements(found, "macs") == {(e.port, e.mac) for e in plugged}
    own = elements(found, "ip_own")
    for endpoint in plugged:
        mine = {address for port, address in own if port == endpoint.port}
        assert mine == {bare(endpoint.address), *endpoint.vips}
    assert elements(found, "ip_subnets") == {("10.0.1.0/24",)}


def test_the_ingress_sandbox_is_not_held_to_its_address():
    view = web_scene().view("h1")
    (network,) = {
        e.network_id
        for box in view.sandboxes
        if box.id == INGRESS_SANDBOX
        for e in box.endpoints
        if e.network_id in view.networks
    }
    (mine,) = [
        e.port
        for box in view.sandboxes
        if box.id == INGRESS_SANDBOX
        for e in box.endpoints
        if e.network_id == network
    ]
    others = {
        (e.port,)
        for box in view.sandboxes
        if box.id != INGRESS_SANDBOX
        for e in box.endpoints
        if e.network_id == network
    }
    assert elements(table(view, network), "ports") == others
    assert (mine,) not in others


def test_a_port_claims_its_own_addresses_alone_to_neighbours():
    view = dual(web_scene().view("h1"))
    found = table(view, MONGO)
    plugged = [e for box in view.sandboxes for e in box.endpoints if e.network_id == MONGO]
    own = elements(found, "topic_own")
    assert own == elements(found, "ip6_own")
    assert {port for port, _ in own} == {e.port for e in plugged}
    assert all(":" in address for _, address in own)
    assert elements(found, "topic_subnets") == elements(found, "ip6_subnets")


def test_who_has_no_ipv6_claims_no_neighbour():
    found = table(web_scene().view("h1"), MONGO)
    assert not [each for each in found.sets if each.name.startswith("topic")]


def test_a_network_without_containers_here_has_no_rules():
    view = msgspec.structs.replace(web_scene().view("h1"), sandboxes=())
    space = desired(view).get(overlay_namespace(MONGO))
    assert space is None or space.tables == ()
