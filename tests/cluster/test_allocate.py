from ipaddress import IPv4Interface

from skep.cluster import control
from skep.cluster.allocate import take_address
from skep.cluster.state import Draft
from skep.model.cluster import TaskState
from skep.model.spec import EndpointSpec, IpamConfig, PortConfig


def port(published, target=80, **rest):
    return PortConfig(target_port=target, published_port=published, **rest)


def addresses(world, name):
    return [task.attachments[-1].address for task in world.tasks(name)]


def take(world, network_id):
    draft = Draft(world.state)
    found = take_address(draft, network_id)
    world.commit(draft)
    return found


# --- addresses


def test_addresses_come_in_order_and_skip_what_is_reserved(swarm):
    config = IpamConfig(
        subnet="10.5.0.0/29", gateway="10.5.0.3", auxiliary_addresses={"a": "10.5.0.2"}
    )
    swarm.network("net", config)
    swarm.create("web", 2, networks=("net",))
    swarm.settle()
    assert swarm.service("web").endpoint.virtual_ips[0].address == "10.5.0.1/29"
    assert addresses(swarm, "web") == ["10.5.0.4/29", "10.5.0.5/29"]


def test_only_the_ip_range_is_given_out(swarm):
    net = swarm.network("net", IpamConfig(subnet="10.5.0.0/16", ip_range="10.5.9.0/30"))
    assert swarm.state.networks[net].subnets[0].config.gateway == "10.5.0.1"
    swarm.create("web", 4, networks=("net",), mode="dnsrr")
    swarm.settle()
    assert addresses(swarm, "web") == [f"10.5.9.{n}/16" for n in range(4)]
    swarm.scale("web", 5)
    swarm.settle()
    assert swarm.tasks("web")[4].status.error == "network net: 4 of 4 addresses in use"


def test_a_second_subnet_is_used_when_the_first_is_full(swarm):
    swarm.network("net", "10.5.0.0/30", "10.6.0.0/24")
    swarm.create("web", 2, networks=("net",))
    swarm.settle()
    assert swarm.service("web").endpoint.virtual_ips[0].address == "10.5.0.2/30"
    assert addresses(swarm, "web") == ["10.6.0.2/24", "10.6.0.3/24"]


def test_a_freed_address_rests_until_all_others_were_used(swarm):
    net = swarm.network("net", "10.5.0.0/29", attachable=True)
    seen = []
    for _ in range(10):
        task = swarm.change(
            control.attach, node_id=swarm.node("h1").id, container_id="c", container_name="c",
            networks={net: ""},
        )  # fmt: skip
        seen.append(task.attachments[0].address)
        swarm.change(control.detach, node_id=task.node_id, task_id=task.id)
    assert seen[:5] == [f"10.5.0.{n}/29" for n in range(2, 7)]
    assert seen[5:] == seen[:5]


def test_a_full_network_keeps_tasks_waiting_and_says_so(swarm):
    net = swarm.network("net", "10.5.0.0/24")
    swarm.create("web", 253, networks=("net",))
    swarm.settle()
    waiting = [task for task in swarm.tasks("web") if not task.node_id]
    assert len(waiting) == 1
    assert waiting[0].status.state == TaskState.NEW
    assert waiting[0].status.error == "network net: 253 of 253 addresses in use"
    assert take(swarm, net) is None
    swarm.obey()
    swarm.scale("web", 252)
    swarm.obey()
    assert all(task.status.state == TaskState.RUNNING for task in swarm.tasks("web"))
    swarm.scale("web", 253)
    swarm.obey()
    assert len(swarm.tasks("web")) == 253
    assert [t.status.error for t in swarm.tasks("web") if t.status.error] == [
        "network net: 253 of 253 addresses in use"
    ]


def test_nothing_is_given_out_in_part(swarm):
    swarm.network("full", "10.5.0.0/30")
    swarm.network("free")
    swarm.create("one", 1, networks=("full",), mode="dnsrr")
    swarm.settle()
    swarm.create("web", 2, networks=("free", "full"))
    swarm.settle()
    assert swarm.service("web").endpoint is None
    assert swarm.state.find_network("free").subnets[0].cursor == ""
    for task in swarm.tasks("web"):
        assert task.attachments == ()
        assert task.status.error == "network full: 1 of 1 addresses in use"


def test_no_address_is_held_twice_over(swarm):
    swarm.network("net", "10.5.0.0/26")
    for name in ("a", "b", "c"):
        swarm.create(name, 10, networks=("net",), ports=(port(0),))
    swarm.obey()
    tasks = swarm.state.tasks.values()
    held = [(a.network_id, a.address) for task in tasks for a in task.attachments]
    held += [
        (vip.network_id, vip.address)
        for service in swarm.state.services.values()
        for vip in service.endpoint.virtual_ips
    ]
    held += [(swarm.state.ingress_id, n.ingress_address) for n in swarm.state.nodes.values()]
    assert len(held) == len(set(held)) == 30 * 2 + 3 * 2 + 3
    for network_id, address in held:
        config = swarm.state.networks[network_id].subnets[0].config
        assert str(IPv4Interface(address).network) == config.subnet
        assert str(IPv4Interface(address).ip) != config.gateway


# --- services


def test_vips_come_ingress_first_then_as_asked(swarm):
    a, b = swarm.network("a"), swarm.network("b")
    swarm.create(networks=("b", "a"), ports=(port(80),))
    swarm.settle()
    endpoint = swarm.service("web").endpoint
    expected = [swarm.state.ingress_id, b, a]
    assert [vip.network_id for vip in endpoint.virtual_ips] == expected
    (task,) = swarm.tasks("web")
    assert [attachment.network_id for attachment in task.attachments] == expected
    assert endpoint.spec == swarm.service("web").spec.endpoint_spec


def test_round_robin_has_no_vip_and_no_mark(swarm):
    swarm.network("a")
    swarm.create(networks=("a",), mode="dnsrr")
    swarm.settle()
    endpoint = swarm.service("web").endpoint
    assert (endpoint.virtual_ips, endpoint.mark) == ((), 0)
    assert len(swarm.tasks("web")[0].attachments) == 1


def test_a_service_without_network_needs_nothing(swarm):
    swarm.create()
    swarm.obey()
    assert swarm.service("web").endpoint.mark == 0
    (task,) = swarm.tasks("web")
    assert (task.attachments, task.status.state) == ((), TaskState.RUNNING)


def test_marks_are_the_lowest_free_from_256(swarm):
    swarm.network("a")
    for name in ("x", "y", "z"):
        swarm.create(name, 0, networks=("a",))
    swarm.settle()
    assert [swarm.service(name).endpoint.mark for name in ("x", "y", "z")] == [256, 257, 258]
    swarm.change(control.remove_service, "y")
    swarm.create("w", 0, networks=("a",))
    swarm.settle()
    assert swarm.service("w").endpoint.mark == 257


def test_an_update_keeps_what_is_still_needed(swarm):
    a, b = swarm.network("a"), swarm.network("b")
    swarm.create(networks=("a",), ports=(port(80),))
    swarm.obey()
    before = swarm.service("web").endpoint
    template = swarm.spec(networks=("b", "a")).task_template
    swarm.update("web", task_template=template, endpoint_spec=EndpointSpec())
    swarm.obey()
    after = swarm.service("web").endpoint
    assert after.mark == before.mark
    assert [vip.network_id for vip in after.virtual_ips] == [b, a]
    assert after.virtual_ips[1] == before.virtual_ips[1]
    assert after.ports == ()
    (task,) = swarm.live("web")
    assert [attachment.network_id for attachment in task.attachments] == [b, a]


# --- ports


def published(world, name):
    return [p.published_port for p in world.service(name).endpoint.ports]


def test_dynamic_ports_are_the_lowest_free_from_30000(swarm):
    swarm.create("x", ports=(port(0), port(30001), port(0, 81), port(0, protocol="udp")))
    swarm.create("y", ports=(port(0),))
    swarm.settle()
    assert published(swarm, "x") == [30000, 30001, 30002, 30000]
    assert published(swarm, "y") == [30003]


def test_dynamic_ports_stay_over_updates(swarm):
    swarm.create("x", ports=(port(0), port(0, 81)))
    swarm.settle()
    swarm.update("x", endpoint_spec=EndpointSpec(ports=(port(0, 81), port(0, 82), port(30002, 83))))
    swarm.settle()
    assert published(swarm, "x") == [30001, 30000, 30002]


def test_equal_dynamic_ports_stay_apart(swarm):
    swarm.create("x", ports=(port(0), port(0)))
    swarm.settle()
    swarm.scale("x", 2)
    swarm.settle()
    assert published(swarm, "x") == [30000, 30001]


def test_when_all_dynamic_ports_are_taken_tasks_wait(swarm):
    ports = tuple(port(number) for number in range(30000, 32768))
    swarm.create("hog", ports=ports)
    swarm.create("x", ports=(port(0),))
    swarm.settle()
    (task,) = swarm.tasks("x")
    assert task.status.error == "no free published port between 30000 and 32767"
    assert swarm.service("x").endpoint is None


def test_a_waiting_task_gets_its_addresses_once_they_are_there(swarm):
    swarm.network("net", "10.5.0.0/30")
    swarm.create("one", 1, networks=("net",), mode="dnsrr")
    swarm.settle()
    swarm.create("two", 1, networks=("net",), mode="dnsrr")
    swarm.obey()
    assert swarm.tasks("two")[0].status.state == TaskState.NEW
    swarm.change(control.remove_service, "one")
    swarm.obey()
    (task,) = swarm.tasks("two")
    assert (task.status.state, task.status.error) == (TaskState.RUNNING, "")
    assert task.attachments[0].address == "10.5.0.2/30"
