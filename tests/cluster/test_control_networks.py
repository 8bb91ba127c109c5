import pytest

from skep.cluster import control
from skep.model.cluster import TaskState
from skep.model.errors import Clash, Forbidden, Invalid, Missing, Unavailable, Unsupported
from skep.model.spec import Ipam, IpamConfig, NetworkSpec, PortConfig


def subnets(world, reference):
    network = world.state.find_network(reference)
    return [(s.config.subnet, s.config.gateway, s.vni) for s in network.subnets]


# --- what networks get


def test_networks_get_subnets_and_vnis_in_order(swarm):
    assert subnets(swarm, "ingress") == [("10.0.0.0/24", "10.0.0.1", 4096)]
    swarm.network("a")
    swarm.network("b")
    assert subnets(swarm, "a") == [("10.0.1.0/24", "10.0.1.1", 4097)]
    assert subnets(swarm, "b") == [("10.0.2.0/24", "10.0.2.1", 4098)]
    swarm.change(control.remove_network, "a")
    swarm.network("c")
    assert subnets(swarm, "c") == [("10.0.1.0/24", "10.0.1.1", 4097)]


def test_a_default_subnet_avoids_what_users_took(swarm):
    swarm.network("mine", "10.0.1.0/25", "10.0.2.128/25", "10.0.4.0/22")
    swarm.network("a")
    assert subnets(swarm, "a")[0][0] == "10.0.3.0/24"
    swarm.network("b")
    assert subnets(swarm, "b")[0][0] == "10.0.8.0/24"


def test_pools_are_used_one_after_the_other_until_none_is_left(world):
    world.init(pools=("10.1.0.0/25", "10.9.0.0/24"), size=25)
    assert subnets(world, "ingress")[0][0] == "10.1.0.0/25"
    world.network("a")
    world.network("b")
    assert subnets(world, "b")[0][0] == "10.9.0.128/25"
    sentence = r"^no free /25 subnet is left in the swarm's pools 10.1.0.0/25, 10.9.0.0/24$"
    with pytest.raises(Unavailable, match=sentence):
        world.network("c")


def test_several_subnets_get_a_vni_each(swarm):
    swarm.network("prod", "10.1.1.0/24", "11.1.1.0/24")
    assert subnets(swarm, "prod") == [
        ("10.1.1.0/24", "10.1.1.1", 4097),
        ("11.1.1.0/24", "11.1.1.1", 4098),
    ]


def test_vnis_can_be_chosen(swarm):
    option = "com.docker.network.driver.overlay.vxlanid_list"
    swarm.network("a", "10.1.0.0/24", "10.2.0.0/24", options={option: "5000"})
    assert [s[2] for s in subnets(swarm, "a")] == [5000, 4097]
    with pytest.raises(Clash, match="VXLAN id 5000 is already in use by network a"):
        swarm.network("b", options={option: "5000"})
    with pytest.raises(Invalid, match="must be between 4096 and 16777215"):
        swarm.network("b", options={option: "77"})
    with pytest.raises(Invalid, match="2 VXLAN ids for 1 subnets"):
        swarm.network("b", options={option: "5001,5002"})


def test_gateway_and_auxiliary_addresses_are_kept(swarm):
    config = IpamConfig(
        subnet="10.1.0.0/24",
        ip_range="10.1.0.128/25",
        auxiliary_addresses={"printer": "10.1.0.1"},
    )
    swarm.network("a", config)
    kept = swarm.state.find_network("a").subnets[0].config
    assert (kept.gateway, kept.ip_range) == ("10.1.0.2", "10.1.0.128/25")
    swarm.network("b", IpamConfig(subnet="10.2.0.0/24", gateway="10.2.0.254"))
    assert subnets(swarm, "b")[0][1] == "10.2.0.254"


def test_a_network_is_an_overlay_of_the_swarm(swarm):
    id = swarm.change(control.create_network, NetworkSpec(name="a"))
    network = swarm.state.networks[id]
    assert (network.spec.driver, network.spec.scope) == ("overlay", "swarm")
    assert network.created_at == swarm.now
    assert len(id) == 25


# --- what is refused


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"subnet": "10.1.0.0"}, "invalid subnet 10.1.0.0: invalid CIDR block notation"),
        ({"subnet": "10.1.0.0/x"}, "invalid subnet 10.1.0.0/x: invalid CIDR block notation"),
        ({"subnet": "10.1.0.7/24"}, "invalid subnet 10.1.0.7/24: it should be 10.1.0.0/24"),
        (
            {"subnet": "10.1.0.0/255.255.255.0"},
            "invalid subnet 10.1.0.0/255.255.255.0: it should be 10.1.0.0/24",
        ),
        ({"subnet": "10.1.0.0/31"}, "a network needs a /30 or larger"),
        (
            {"ip_range": "10.0.0.0/8"},
            "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.1.0.0/24",
        ),
        (
            {"ip_range": "10.2.0.0/25"},
            "invalid ip-range 10.2.0.0/25: parent subnet 10.1.0.0/24 doesn't contain ip-range",
        ),
        (
            {"ip_range": "10.1.0.3/25"},
            "invalid ip-range 10.1.0.3/25: it should be 10.1.0.0/25",
        ),
        (
            {"gateway": "10.2.0.1"},
            "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/24 doesn't contain this address",
        ),
        ({"gateway": "10.1.0.0"}, "invalid gateway 10.1.0.0: it names no host of 10.1.0.0/24"),
        ({"gateway": "me"}, "invalid gateway me: invalid address"),
        (
            {"auxiliary_addresses": {"p": "10.2.0.9"}},
            "invalid auxiliary address p: parent subnet 10.1.0.0/24 doesn't contain this address",
        ),
        (
            {"gateway": "10.1.0.9", "auxiliary_addresses": {"p": "10.1.0.9"}},
            "invalid auxiliary address p: 10.1.0.9 is the gateway",
        ),
    ],
)
def test_wrong_addresses_are_refused(swarm, config, sentence):
    config = IpamConfig(**{"subnet": "10.1.0.0/24", **config})
    with pytest.raises(Invalid) as refusal:
        swarm.network("a", config)
    assert str(refusal.value).startswith("invalid network config:\n")
    assert sentence in str(refusal.value)
    assert swarm.state.network_named("a") is None


def test_overlapping_subnets_are_refused_by_name(swarm):
    swarm.network("a", "10.1.0.0/16")
    sentence = (
        "invalid pool request: Pool overlaps with other one on this address space: "
        "10.1.7.0/24 and 10.1.0.0/16 of network a"
    )
    with pytest.raises(Forbidden) as refusal:
        swarm.network("b", "10.1.7.0/24")
    assert str(refusal.value) == sentence
    with pytest.raises(Forbidden, match="of network that is being created"):
        swarm.network("b", "10.2.0.0/24", "10.2.0.0/25")


def test_names_are_checked_in_dockers_words(swarm):
    swarm.network("a")
    with pytest.raises(Clash, match=r"^network with name a already exists$"):
        swarm.network("a")
    rpc = "rpc error: code = InvalidArgument desc = "
    for name, sentence in (
        ("", "meta: name must be provided"),
        ("a.b", "name must be valid as a DNS name component"),
        ("-a", "name must be valid as a DNS name component"),
        ("a\n", "name must be valid as a DNS name component"),
        ("a" * 64, "name must be 63 characters or fewer"),
    ):
        with pytest.raises(Invalid) as refusal:
            swarm.network(name)
        assert str(refusal.value) == rpc + sentence
    swarm.network("a" * 63)
    swarm.network("A_b-c9")


@pytest.mark.parametrize(
    "spec",
    [
        {"options": {"dsr": ""}},
        {"enable_i_pv4": False},
        {"config_only": True},
        {"config_from": {"Network": "x"}},
        {"ipam": Ipam(options={"a": "b"})},
        {"driver": "macvlan"},
    ],
)
def test_what_is_not_done_yet_is_refused(swarm, spec):
    with pytest.raises(Unsupported):
        swarm.change(control.create_network, NetworkSpec(**{"name": "a", **spec}))


def test_addresses_are_no_plugins_business(swarm):
    with pytest.raises(Invalid, match="legacy plugin other of type IpamDriver"):
        swarm.change(control.create_network, NetworkSpec(name="a", ipam=Ipam(driver="other")))


def test_an_mtu_is_a_number_that_can_be_one(swarm):
    option = "com.docker.network.driver.mtu"
    swarm.network("a", options={option: "1400"})
    for wrong in ("", "big", "12", "70000", "-1"):
        with pytest.raises(Invalid, match=f"invalid value for {option}"):
            swarm.network("b", options={option: wrong})


def test_encryption_that_is_not_wanted_is_no_encryption(swarm):
    swarm.network("a", options={"encrypted": "false"})


def test_there_is_one_ingress_network_and_it_is_not_attachable(swarm):
    ingress = swarm.state.ingress_id
    with pytest.raises(Clash) as refusal:
        swarm.network("second", ingress=True)
    assert str(refusal.value) == (
        f"rpc error: code = AlreadyExists desc = ingress network ({ingress}) is already present"
    )
    with pytest.raises(Invalid, match="ingress network cannot be attachable"):
        swarm.network("second", ingress=True, attachable=True)


# --- removing


def test_a_network_is_removed_by_any_reference(swarm):
    id = swarm.network("a")
    swarm.change(control.remove_network, id[:12])
    assert id not in swarm.state.networks
    with pytest.raises(Missing, match=r"^network a not found$"):
        swarm.change(control.remove_network, "a")


def test_a_network_in_use_stays(swarm):
    id = swarm.network("a", attachable=True)
    service = swarm.create(networks=("a",))
    swarm.obey()
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.remove_network, "a")
    assert str(refusal.value) == (
        f"rpc error: code = FailedPrecondition desc = network {id} is in use by service {service}"
    )
    swarm.change(control.remove_service, "web")
    swarm.change(control.remove_network, "a")


def test_a_network_with_a_container_stays(swarm):
    id = swarm.network("a", attachable=True)
    node_id = swarm.node("h2").id
    task = swarm.change(
        control.attach, node_id=node_id, container_id="c" * 64, container_name="box",
        networks={id: ""},
    )  # fmt: skip
    with pytest.raises(Invalid, match=f"network {id} is in use by task {task.id}"):
        swarm.change(control.remove_network, "a")
    swarm.change(control.detach, node_id=node_id, task_id=task.id)
    swarm.change(control.remove_network, "a")


def test_a_network_can_go_before_its_last_tasks_stopped(swarm):
    swarm.network("a")
    swarm.create(networks=("a",))
    swarm.obey()
    task = swarm.tasks("web")[0]
    swarm.change(control.remove_service, "web")
    assert swarm.state.tasks[task.id].status.state == TaskState.RUNNING
    swarm.change(control.remove_network, "a")
    swarm.obey()
    assert not swarm.state.tasks


def test_the_ingress_network_stays_while_it_is_used(swarm):
    service = swarm.create(ports=(PortConfig(target_port=80, published_port=80),))
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.remove_network, "ingress")
    assert str(refusal.value) == (
        "rpc error: code = FailedPrecondition desc = ingress network cannot be removed "
        f"because service {service} depends on it"
    )
