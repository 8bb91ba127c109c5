import pytest
from msgspec.structs import replace

from skep.agent.locals import GATEWAY_OPTIONS, bridge_network, bridge_of
from skep.agent.records import Record, Wanted
from skep.agent.view import Layout, Underlay, host_view, ingress_sandbox
from skep.model.assignment import Assignment, NetworkAssignment, PeerNode
from skep.model.cluster import Attachment, Subnet, Task, TaskState
from skep.model.errors import Unavailable
from skep.model.host import Sandbox
from skep.model.spec import IpamConfig, NetworkSpec, PortConfig

OUTWARD = bridge_network("docker_gwbridge", "172.18.0.0/16", GATEWAY_OPTIONS, id="g" * 64, now=1.0)
GATEWAY = bridge_of(OUTWARD)
ANY = Wanted(network="docker_gwbridge")
INGRESS = NetworkAssignment(
    id="ingressid", spec=NetworkSpec(name="ingress", driver="overlay", ingress=True),
    created_at=1.0, present=True,
    subnets=(Subnet(config=IpamConfig(subnet="10.0.0.0/24", gateway="10.0.0.1"), vni=4096),),
)  # fmt: skip
WEB = NetworkAssignment(
    id="webid", spec=NetworkSpec(name="web", driver="overlay"), created_at=1.0,
    subnets=(Subnet(config=IpamConfig(subnet="10.0.1.0/24", gateway="10.0.1.1"), vni=4097),),
)  # fmt: skip
ME = PeerNode(
    id="me", hostname="h1", address="192.0.2.1", vtep="192.0.2.1", ingress_address="10.0.0.2/24"
)
ASSIGNMENT = Assignment(
    index=3, node_id="me", peers={"me": ME}, networks={"ingressid": INGRESS, "webid": WEB}
)


def attachment(address):
    return Attachment(network_id="webid", address=address)


def test_the_ingress_sandbox_follows_from_the_assignment():
    box = ingress_sandbox(ASSIGNMENT, [GATEWAY])
    assert box.namespace == "ingress_sbox"
    inner, leg = box.endpoints
    assert (inner.link, inner.port, inner.address) == ("eth0", "veth0", "10.0.0.2/24")
    assert (leg.link, leg.address, leg.mac) == ("eth1", "172.18.0.2/16", "02:42:ac:12:00:02")
    assert box.gateway == leg.id
    assert leg.port == f"veth{leg.id[:7]}"
    assert ingress_sandbox(ASSIGNMENT, [GATEWAY]) == box


@pytest.mark.parametrize(
    "assignment, bridges",
    [(Assignment(), [GATEWAY]), (ASSIGNMENT, [])],
    ids=["no swarm", "no gateway bridge"],
)
def test_no_ingress_sandbox_without(assignment, bridges):
    assert ingress_sandbox(assignment, bridges) is None


def test_a_task_has_its_services_options_as_they_are_now_and_no_ports_once_it_is_to_stop():
    port = PortConfig(target_port=80, published_port=8080, publish_mode="host")
    record = Record(
        id="c" * 64, name="x", image="i", sandbox_id="a" * 64, network_mode="web", created_at=1.0,
        task_id="t", ports=(port,),
    )  # fmt: skip
    task = Task(id="t", service_id="s", options={"skep.allow": "10.0.0.0/8"})

    def seen(*tasks):
        assignment = replace(ASSIGNMENT, tasks={each.id: each for each in tasks})
        return host_view(assignment, [record], (GATEWAY,), Underlay()).sandboxes[0]

    assert (seen(task).ports, seen(task).options) == ((port,), task.options)
    assert seen(replace(task, desired_state=TaskState.SHUTDOWN)).ports == ()
    assert seen().ports == ()


def test_endpoints_are_named_in_order_and_ports_beside_those_there():
    first = Layout("a" * 64, [])
    first.overlay(WEB, attachment("10.0.1.5/24"), (), ())
    other = Sandbox(id="a" * 64, endpoints=tuple(first.endpoints))
    second = Layout("b" * 64, [other])
    second.overlay(WEB, attachment("10.0.1.6/24"), ("10.0.1.2",), ("web",))
    leg = second.bridge(OUTWARD, ANY, "")
    inner = second.endpoints[0]
    assert (inner.link, inner.port, inner.vips) == ("eth0", "veth1", ("10.0.1.2",))
    assert (leg.link, leg.address) == ("eth1", "172.18.0.3/16")
    assert first.endpoints[0].port == "veth0"


def test_a_bridge_leaves_the_meshs_address_alone_and_goes_on_from_the_last():
    assert Layout("a" * 64, []).bridge(OUTWARD, ANY, "172.18.0.9").address == "172.18.0.10/16"
    small = bridge_network("docker_gwbridge", "172.18.0.0/30", GATEWAY_OPTIONS, id="x", now=1.0)
    with pytest.raises(Unavailable, match="addresses in use"):
        Layout("a" * 64, []).bridge(small, ANY, "")


def test_a_network_with_a_sandbox_here_is_present_whatever_the_manager_thinks():
    layout = Layout("a" * 64, [])
    layout.overlay(WEB, attachment("10.0.1.5/24"), (), ())
    record = Record(
        id="c" * 64, name="x", image="i", sandbox_id="a" * 64, network_mode="web", created_at=1.0,
        endpoints=tuple(layout.endpoints),
    )  # fmt: skip
    view = host_view(ASSIGNMENT, [record], (GATEWAY,), Underlay("192.0.2.1", 1500))
    assert view.networks["webid"].present
    assert {box.namespace for box in view.sandboxes} == {"a" * 12, "ingress_sbox"}
    assert view.ingress_network == "ingressid"
    without = host_view(ASSIGNMENT, [], (GATEWAY,), Underlay("192.0.2.1", 1500))
    assert set(without.networks) == {"ingressid"}
