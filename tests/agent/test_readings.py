"""What is measured on a host."""

from skep.agent.readings import by_network, endpoints, hostnames
from skep.agent.tally import BOUNDS, Tally
from skep.model.assignment import NetworkAssignment, PeerNode
from skep.model.host import Endpoint, HostView, Sandbox
from skep.model.inspection import PeerSight
from skep.model.netstate import Address, Link
from skep.model.ops import AddAddress, AddLink
from skep.model.readings import LinkTraffic
from skep.model.spec import NetworkSpec

NET = NetworkAssignment(id="n" * 25, spec=NetworkSpec(name="net"), created_at=0.0, subnets=())


def traffic(namespace, link="vxlan0", **counts):
    return LinkTraffic(namespace=namespace, link=link, **counts)


def leg(network):
    return Endpoint(
        id="e", network_id="i", network_name=network, link="eth0", port="veth0",
        address="10.0.1.2/24", mac="02:42:0a:00:01:02",
    )  # fmt: skip


def test_tunnels_of_one_network_are_added_up():
    view = HostView(node_id="me", networks={NET.id: NET})
    here = "1-" + "n" * 10
    found = by_network(
        view,
        [
            traffic(here, received_bytes=1, sent_dropped=5),
            traffic(here, "vxlan1", received_bytes=2, sent_bytes=7),
            traffic("1-another", received_bytes=100),
        ],
    )
    assert list(found) == ["net"]
    assert (found["net"].received_bytes, found["net"].sent_bytes) == (3, 7)
    assert found["net"].sent_dropped == 5


def test_endpoints_are_counted_by_network():
    boxes = tuple(
        Sandbox(id=str(n), endpoints=tuple(map(leg, names)))
        for n, names in enumerate((["a", "b"], ["a"]))
    )
    assert endpoints(HostView(node_id="me", sandboxes=boxes)) == {"a": 2, "b": 1}


def test_peers_are_called_by_their_names():
    peer = PeerNode(
        id="p1", hostname="h2", address="192.0.2.2", vtep="192.0.2.2", ingress_address=""
    )
    view = HostView(node_id="me", peers={"p1": peer})
    seen = PeerSight(address="192.0.2.2")
    assert hostnames(view, {"p1": seen, "gone": seen}) == {"h2": seen, "gone": seen}


def test_times_fall_into_every_bucket_that_is_large_enough():
    tally = Tally()
    for seconds in (0.0005, 0.02, 100.0):
        tally.looked(seconds)
    assert tally.looks.counts[0] == 1
    assert tally.looks.counts[BOUNDS.index(0.025)] == 2
    assert tally.looks.counts[-1] == 2
    assert (tally.looks.number, round(tally.looks.total, 4)) == (3, 100.0205)


def test_what_was_done_and_what_of_it_was_drift():
    tally = Tally()
    link = AddLink(ns="a", link=Link(name="br0", kind="bridge"))
    address = AddAddress(ns="a", address=Address("br0", "10.0.0.1/24"))
    tally.did([link, address], [address])
    tally.did([address], [address])
    assert (tally.changes, dict(tally.drift)) == (3, {"AddAddress": 2})
