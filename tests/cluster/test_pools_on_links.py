"""Networks on links of the hosts: one pool of what the hosts say, addresses of it once each."""

from ipaddress import ip_address, ip_network

import pytest

from skep.cluster import control
from skep.cluster.assign import assign
from skep.cluster.parents import extended
from skep.model.cluster import Form, Grounds, TaskState
from skep.model.errors import Forbidden, Invalid, Missing, Unavailable, Unsupported
from skep.model.spec import Ipam, IpamConfig, NetworkSpec, Placement

LAN = "10.9.0.0/24"


def form(span="", gateway="10.9.0.1", subnet=LAN, six="", **aux):
    fours = IpamConfig(subnet=subnet, ip_range=span, gateway=gateway, auxiliary_addresses=aux)
    return Form("cfg", ipam=(fours, *([IpamConfig(subnet=six)] if six else ())), ipv6=bool(six))


def offer(world, host, *forms, drivers=("macvlan",)):
    world.change(control.report_grounds, world.node(host).id, Grounds(drivers, forms))


def create(world, configs=(), **spec):
    wanted = NetworkSpec(name="lan", driver="macvlan", scope="swarm", attachable=True,
                         ipam=Ipam(config=tuple(configs)), **spec)  # fmt: skip
    return world.state.networks[world.change(control.create_network, wanted)]


def from_form(world):
    return create(world, config_from={"Network": "cfg"})


@pytest.fixture
def pair(world):
    world.init("h1", "h2", "h3")
    offer(world, "h1", form("10.9.0.64/29", printer="10.9.0.66"))
    offer(world, "h2", form("10.9.0.32/29", door="10.9.0.34"))
    offer(world, "h3")
    return world


def test_ranges_of_all_hosts_are_one_pool_and_what_one_keeps_back_all_do(pair):
    network = from_form(pair)
    assert [each.config.ip_range for each in network.subnets] == ["10.9.0.32/29", "10.9.0.64/29"]
    assert {each.vni for each in network.subnets} == {0}
    pair.create("web", 14, networks=("lan",))
    pair.settle()
    given = [t.attachments[0].address.partition("/")[0] for t in pair.state.tasks.values()]
    spans = [ip_network("10.9.0.32/29"), ip_network("10.9.0.64/29")]
    assert len(set(given)) == 14
    assert all(any(ip_address(each) in span for span in spans) for each in given)
    assert not {"10.9.0.34", "10.9.0.66"} & set(given)


def test_tasks_go_where_the_configuration_is_and_are_known_by_their_addresses(pair):
    network = from_form(pair)
    service = pair.create("web", 4, networks=("lan",))
    pair.settle()
    nodes = {pair.state.nodes[t.node_id].description.hostname for t in pair.state.tasks.values()}
    assert nodes == {"h1", "h2"}
    seen = assign(pair.state, pair.node("h1").id).networks[network.id]
    assert seen.services[service].vip == ""
    assert seen.services[service].mark == 0
    assert len(seen.endpoints) == 4
    # With VIPs it would have one of these addresses.
    assert pair.state.services[service].endpoint.virtual_ips[0].address == ""


def test_a_host_that_comes_to_have_the_configuration_adds_its_range(pair):
    network = from_form(pair)
    pair.create(
        "web", 1, networks=("lan",), placement=Placement(constraints=("node.hostname==h3",))
    )
    pair.settle()
    (task,) = pair.state.tasks.values()
    assert "no configuration network cfg" in task.status.error
    offer(pair, "h3", form("10.9.0.0/29", gateway="10.9.0.9"))
    pair.settle()
    (task,) = pair.state.tasks.values()
    assert "its gateway is 10.9.0.9 instead of 10.9.0.1" in task.status.error
    offer(pair, "h3", form("10.9.0.16/29"))
    pair.settle()
    (task,) = pair.state.tasks.values()
    assert task.status.state == TaskState.ASSIGNED
    spans = [each.config.ip_range for each in pair.state.networks[network.id].subnets]
    assert spans == ["10.9.0.16/29", "10.9.0.32/29", "10.9.0.64/29"]
    again = pair.state.networks[network.id]
    assert extended(again, form("10.9.0.16/29")) == again


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (form("10.9.0.64/28"), "its range 10.9.0.64/28 overlaps 10.9.0.64/29"),
        (form(), "its range 10.9.0.0/24 overlaps 10.9.0.64/29"),
        (form(gateway="10.9.0.2"), "its gateway is 10.9.0.2 instead of 10.9.0.1"),
        (form(subnet="10.8.0.0/24", gateway="10.8.0.1"), "its subnet is 10.8.0.0/24 instead of"),
        (form("10.9.0.32/29", six="fd09::/64"), "only one of them has IPv6"),
    ],
)
def test_hosts_that_disagree_are_named(pair, other, sentence):
    offer(pair, "h2", other)
    with pytest.raises(Forbidden) as refused:
        from_form(pair)
    words = "configuration network cfg of host h2 does not go with that of h1: "
    assert str(refused.value).startswith(words + sentence)


def test_both_families(world):
    world.init("h1", "h2")
    for host in ("h1", "h2"):
        offer(world, host, form(six="fd09::/64"))
    network = from_form(world)
    assert network.spec.enable_i_pv6
    assert network.subnets[0].config6 == IpamConfig(subnet="fd09::/64", gateway="fd09::1")
    world.create("web", 2, networks=("lan",))
    world.settle()
    assert {t.attachments[0].address6 for t in world.state.tasks.values()} == {
        "fd09::2/64", "fd09::3/64"
    }  # fmt: skip


def test_what_is_refused(pair):
    with pytest.raises(Missing, match="configuration network other not found"):
        create(pair, config_from={"Network": "other"})
    with pytest.raises(Forbidden, match="user specified configurations are not supported"):
        create(pair, config_from={"Network": "cfg"}, options={"parent": "eth0"})
    offer(pair, "h1", Form("cfg"))
    with pytest.raises(Invalid, match="configuration network cfg of host h1: it needs one subnet"):
        from_form(pair)
    with pytest.raises(Invalid, match="needs a link of each host"):
        create(pair)
    with pytest.raises(Invalid, match="say its --subnet"):
        create(pair, options={"parent": "eth0"})
    with pytest.raises(Invalid, match="mode 'fast' is not valid"):
        create(pair, options={"parent": "eth0", "macvlan_mode": "fast"})
    with pytest.raises(Unsupported, match="option encrypted"):
        create(pair, options={"parent": "eth0", "encrypted": ""})
    for host in ("h1", "h2", "h3"):
        offer(pair, host, drivers=())
    with pytest.raises(Unsupported, match="no host of this swarm has a kernel with macvlan"):
        create(pair, [IpamConfig(subnet=LAN)], options={"parent": "eth0"})


def test_what_hosts_have_themselves_is_nobody_s(world):
    """Its hosts are 192.168.0.1 and 192.168.0.2."""
    world.init("h1", "h2")
    offer(world, "h1")
    subnet = IpamConfig(subnet="192.168.0.0/29", gateway="192.168.0.6")
    create(world, [subnet], options={"parent": "eth0"})
    node = world.node("h1").id
    words = {"node_id": node, "container_id": "c" * 64, "container_name": "c"}
    for address in ("192.168.0.1", "192.168.0.6"):
        with pytest.raises(Forbidden, match=f"Address already in use: {address}"):
            world.change(control.attach, **words, networks={"lan": address})
    found = [world.change(control.attach, **words, networks={"lan": ""}) for _ in range(3)]
    given = [task.attachments[0].address for task in found]
    assert given == ["192.168.0.3/29", "192.168.0.4/29", "192.168.0.5/29"]
    with pytest.raises(Unavailable, match="network lan: 5 of 5 addresses in use"):
        world.change(control.attach, **words, networks={"lan": ""})
