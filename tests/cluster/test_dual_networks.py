"""IPv6 beside IPv4: subnets, addresses and VIPs of networks that have both; the mesh's own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.assign import assign
from skep.model.cluster import Attachment, Subnet, VirtualIp
from skep.model.errors import Forbidden, Invalid, Unavailable, Unsupported
from skep.model.spec import IpamConfig, PortConfig
from skep.model.ula import GATEWAY, MESH, cluster_subnet, mirrored, sixth_address


def dual(world, name, *subnets, **spec):
    return world.network(name, *subnets, enable_i_pv6=True, **spec)


def pairs(world, reference):
    network = world.state.find_network(reference)
    return [(s.config.subnet, s.config6 and s.config6.subnet, s.vni) for s in network.subnets]


def attach(world, network, wanted="", wanted6="", node="h2"):
    task = world.change(
        control.attach,
        node_id=world.node(node).id,
        container_id="abcdef0123456789" * 4,
        container_name="box",
        networks={network: wanted},
        networks6={network: wanted6},
    )
    (attachment,) = task.attachments
    return attachment.address, attachment.address6


# --- the cluster's own prefix


def test_a_prefix_follows_from_the_cluster():
    one, other = cluster_subnet("a", 1), cluster_subnet("b", 1)
    assert one != other
    assert one == cluster_subnet("a", 1)
    assert one.startswith("fd") and one.endswith(":1::/64")
    assert cluster_subnet("a", MESH).rpartition("::")[0] == one.removesuffix(":1::/64")


def test_addresses_mirror_those_of_ipv4():
    assert mirrored("fd00:1::/64", "10.0.0.2/24") == "fd00:1::a00:2/64"
    subnets = (
        Subnet(IpamConfig(subnet="10.0.0.0/24"), 1, config6=IpamConfig(subnet="fd00:1::/64")),
        Subnet(IpamConfig(subnet="10.0.1.0/24"), 2, config6=IpamConfig(subnet="fd00:2::/64")),
    )
    assert sixth_address(subnets, "10.0.1.9/24") == "fd00:2::a00:109/64"
    assert sixth_address(subnets, "10.0.1.9", "fd00:2::9/64") == "fd00:2::9/64"
    assert sixth_address(subnets, "10.0.2.9") == ""
    assert sixth_address(subnets, "") == ""
    assert sixth_address((Subnet(IpamConfig(subnet="10.0.0.0/24"), 1),), "10.0.0.2") == ""


# --- the mesh


def test_the_mesh_has_ipv6_that_nobody_asked_for(swarm):
    ingress = swarm.state.ingress
    assert not ingress.spec.enable_i_pv6
    subnet = cluster_subnet(swarm.state.cluster.id, MESH)
    assert pairs(swarm, "ingress") == [("10.0.0.0/24", subnet, 4096)]
    node = swarm.node("h1")
    assert node.ingress_address6 == mirrored(subnet, node.ingress_address)
    swarm.create("web", 1, ports=(PortConfig(target_port=80, published_port=80),))
    swarm.obey()
    (task,) = swarm.live("web")
    told = assign(swarm.state, task.node_id)
    assert told.peers[node.id].ingress_address6 == node.ingress_address6
    network = told.networks[ingress.id]
    (service,) = network.services.values()
    assert service.vip6 == mirrored(subnet, service.vip).removesuffix("/64")
    assert network.endpoints[task.id].address6 == mirrored(
        subnet, network.endpoints[task.id].address
    ).removesuffix("/64")
    # What users are shown has nothing of it.
    assert task.attachments[0].address6 == ""
    assert swarm.state.find_service("web").endpoint.virtual_ips[0].address6 == ""


def test_the_ingress_network_is_made_anew(swarm):
    old = {node.ingress_address for node in swarm.state.nodes.values()}
    swarm.change(control.remove_network, "ingress")
    assert {node.ingress_address for node in swarm.state.nodes.values()} == {""}
    assert {node.ingress_address6 for node in swarm.state.nodes.values()} == {""}
    swarm.change(control.add_node, swarm.host("late"))
    config = IpamConfig(subnet="10.255.0.0/16", gateway="10.255.0.1")
    swarm.network("ingress2", config, ingress=True)
    assert swarm.state.ingress.subnets[0].vni == 4096
    new = sorted(node.ingress_address for node in swarm.state.nodes.values())
    assert len(new) == len(old) + 1
    assert all(address.startswith("10.255.0.") and address.endswith("/16") for address in new)
    swarm.create("web", 1, ports=(PortConfig(target_port=80, published_port=80),))
    swarm.obey()
    (task,) = swarm.live("web")
    assert task.attachments[0].address.startswith("10.255.")


def test_an_ingress_network_that_is_too_small_is_refused_whole(swarm):
    swarm.change(control.remove_network, "ingress")
    with pytest.raises(Unavailable, match="1 of 1 addresses in use"):
        swarm.network("tiny", "10.9.0.0/30", ingress=True)
    assert swarm.state.ingress is None


def test_networks_grow_by_both_families(swarm):
    dual(swarm, "a", "10.1.0.0/24", "fd00:1::/64")
    swarm.change(control.add_subnets, "a", (IpamConfig(subnet="10.2.0.0/24"),))
    assert [pair[0] for pair in pairs(swarm, "a")] == ["10.1.0.0/24", "10.2.0.0/24"]
    assert pairs(swarm, "a")[1][1] == cluster_subnet(swarm.state.cluster.id, 1)


# --- networks of users


def test_a_network_gets_a_subnet_of_the_prefix(swarm):
    dual(swarm, "a")
    dual(swarm, "b")
    own = [cluster_subnet(swarm.state.cluster.id, number) for number in (1, 2)]
    assert pairs(swarm, "a") == [("10.0.1.0/24", own[0], 4097)]
    assert pairs(swarm, "b") == [("10.0.2.0/24", own[1], 4098)]
    swarm.change(control.remove_network, "a")
    dual(swarm, "c")
    assert pairs(swarm, "c")[0][1] == own[0]


def test_subnets_stand_side_by_side(swarm):
    dual(swarm, "a", "10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24", "fd00:2::/64")
    assert pairs(swarm, "a") == [
        ("10.1.0.0/24", "fd00:1::/64", 4097),
        ("10.2.0.0/24", "fd00:2::/64", 4098),
    ]
    dual(swarm, "b", "fd00:3::/64", "fd00:4::/64")
    assert [pair[0] for pair in pairs(swarm, "b")] == ["10.0.1.0/24", "10.0.2.0/24"]
    with pytest.raises(Invalid, match="2 IPv4 and 1 IPv6 subnets"):
        dual(swarm, "c", "10.3.0.0/24", "10.4.0.0/24", "fd00:5::/64")


def test_gateways_ranges_and_auxiliary_addresses(swarm):
    six = IpamConfig(
        subnet="fd00:1::/64",
        ip_range="fd00:1::100/120",
        auxiliary_addresses={"printer": "fd00:1::1", "door": "fd00:1::101"},
    )
    dual(swarm, "a", "10.1.0.0/24", six, attachable=True)
    (subnet,) = swarm.state.find_network("a").subnets
    assert subnet.config6.gateway == "fd00:1::2"
    assert attach(swarm, "a") == ("10.1.0.2/24", "fd00:1::100/64")
    assert attach(swarm, "a") == ("10.1.0.3/24", "fd00:1::102/64")
    dual(swarm, "b", IpamConfig(subnet="fd00:2::/64", gateway="fd00:2::ff"))
    assert swarm.state.find_network("b").subnets[0].config6.gateway == "fd00:2::ff"


@pytest.mark.parametrize(
    ("subnets", "sentence"),
    [
        (("fd00:1::/127",), "invalid subnet fd00:1::/127: a network needs a /126"),
        (("fd00:1::1/64",), "invalid subnet fd00:1::1/64: it should be fd00:1::/64"),
        (("fd00:zz::/64",), "invalid subnet fd00:zz::/64: invalid CIDR block notation"),
        ((IpamConfig(subnet="fd00:1::/64", gateway="fd00:2::1"),), "doesn't contain this address"),
        ((IpamConfig(subnet="fd00:1::/64", ip_range="10.0.0.0/8"),), "not of the family"),
    ],
)
def test_what_is_no_subnet_is_refused(swarm, subnets, sentence):
    with pytest.raises(Invalid, match=sentence):
        dual(swarm, "a", *subnets)


def test_what_is_refused(swarm):
    with pytest.raises(Invalid, match=r"fd00:1::/64 is of IPv6, which takes --ipv6"):
        swarm.network("a", "fd00:1::/64")
    with pytest.raises(Unsupported, match="IPv6 alone"):
        dual(swarm, "a", enable_i_pv4=False)
    with pytest.raises(Invalid, match="IPv6 needs packets of 1280 bytes"):
        dual(swarm, "a", options={"com.docker.network.driver.mtu": "1300"})
    dual(swarm, "a", "fd00:1::/64")
    with pytest.raises(Forbidden, match=r"fd00:1::/48 and fd00:1::/64 of network a"):
        dual(swarm, "b", "fd00:1::/48")
    gateway = cluster_subnet(swarm.state.cluster.id, GATEWAY)
    with pytest.raises(Forbidden, match="of network docker_gwbridge"):
        dual(swarm, "b", gateway)
    with pytest.raises(Forbidden, match="of network ingress"):
        dual(swarm, "b", cluster_subnet(swarm.state.cluster.id, MESH))


def test_hosts_whose_tunnels_cannot_meet_are_refused(swarm):
    six = replace(swarm.host("late"), vtep="2001:db8::9")
    with pytest.raises(
        Invalid, match=r"end at 2001:db8::9, those of h\d at 192.168.0.\d.*data-path"
    ):
        swarm.change(control.add_node, six)
    by_ipv6 = replace(swarm.host("late"), address="2001:db8::9")
    swarm.change(control.add_node, by_ipv6)
    assert swarm.node("late").address == "2001:db8::9"


# --- addresses


def test_tasks_and_services_have_both(swarm):
    net = dual(swarm, "net", "10.5.0.0/24", "fd00:5::/64")
    swarm.create("web", 2, networks=("net",))
    swarm.obey()
    (vip,) = swarm.state.find_service("web").endpoint.virtual_ips
    assert vip == VirtualIp(net, "10.5.0.2/24", "fd00:5::2/64")
    found = {task.attachments for task in swarm.live("web")}
    assert found == {
        (Attachment(network_id=net, address=f"10.5.0.{n}/24", address6=f"fd00:5::{n}/64"),)
        for n in (3, 4)
    }
    network = assign(swarm.state, swarm.live("web")[0].node_id).networks[net]
    assert {each.vip6 for each in network.services.values()} == {"fd00:5::2"}
    assert {each.address6 for each in network.endpoints.values()} == {"fd00:5::3", "fd00:5::4"}


def test_freed_addresses_rest(swarm):
    dual(swarm, "net", "10.5.0.0/24", "fd00:5::/64", attachable=True)
    first = attach(swarm, "net")
    (task,) = swarm.state.tasks_of_network(swarm.state.find_network("net").id)
    swarm.change(control.detach, node_id=task.node_id, task_id=task.id)
    second = attach(swarm, "net")
    assert (first, second) == (
        ("10.5.0.2/24", "fd00:5::2/64"),
        ("10.5.0.3/24", "fd00:5::3/64"),
    )


def test_wanted_addresses(swarm):
    dual(swarm, "net", "10.5.0.0/24", "fd00:5::/64", "10.6.0.0/24", "fd00:6::/64", attachable=True)
    assert attach(swarm, "net", "10.6.0.9", "fd00:6::9") == ("10.6.0.9/24", "fd00:6::9/64")
    assert attach(swarm, "net", wanted6="fd00:6:0:0::a") == ("10.6.0.2/24", "fd00:6::a/64")
    assert attach(swarm, "net", "10.6.0.10") == ("10.6.0.10/24", "fd00:6::2/64")
    for taken in ("fd00:6::9", "fd00:5::1", "fd00:5::"):
        with pytest.raises(Forbidden, match="Address already in use"):
            attach(swarm, "net", wanted6=taken)
    with pytest.raises(Invalid, match="lie in subnets that are not side by side"):
        attach(swarm, "net", "10.5.0.9", "fd00:6::b")
    with pytest.raises(Invalid, match="does not belong to any of this network's subnets"):
        attach(swarm, "net", wanted6="fd00:7::1")
    swarm.network("four", attachable=True)
    with pytest.raises(Invalid, match="network four has no IPv6"):
        attach(swarm, "four", wanted6="fd00:7::1")


def test_a_full_ipv6_range_is_a_full_network(swarm):
    six = IpamConfig(subnet="fd00:5::/64", ip_range="fd00:5::10/128")
    dual(swarm, "net", "10.5.0.0/24", six, attachable=True)
    assert attach(swarm, "net")[1] == "fd00:5::10/64"
    with pytest.raises(Unavailable, match="network net"):
        attach(swarm, "net")


def test_a_large_subnet_is_no_burden(swarm):
    dual(swarm, "net", IpamConfig(subnet="fd00::/32"), attachable=True)
    assert attach(swarm, "net")[1] == "fd00::2/32"


def test_hosts_are_not_told_of_cursors(swarm):
    net = dual(swarm, "net", attachable=True)
    attach(swarm, "net")
    told = assign(swarm.state, swarm.node("h2").id).networks[net].subnets
    assert told == tuple(
        replace(each, cursor="", cursor6="") for each in swarm.state.networks[net].subnets
    )


def test_the_subnet_beside_a_wanted_address_may_be_full(world):
    """The smaller subnet's IPv4 addresses are all given out; the other's are no help there."""
    world.init("h1", "h2")
    dual(world, "two", "10.67.0.0/29", "10.67.1.0/24", "fd67::/64", "fd67:0:0:1::/64",
         attachable=True)  # fmt: skip
    taken = {attach(world, "two")[0] for _ in range(5)}
    assert taken == {f"10.67.0.{last}/29" for last in range(2, 7)}
    sentence = (
        "network two: 5 of 5 addresses of its subnet 10.67.0.0/29 in use, which is the one beside "
        "fd67::/64"
    )
    with pytest.raises(Unavailable) as refused:
        attach(world, "two", wanted6="fd67::77")
    assert str(refused.value) == sentence
    assert attach(world, "two", wanted6="fd67:0:0:1::77") == (
        "10.67.1.2/24", "fd67:0:0:1::77/64"
    )  # fmt: skip
