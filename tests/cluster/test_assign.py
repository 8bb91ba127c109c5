import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.assign import assign
from skep.cluster.delta import difference, patch
from skep.cluster.needs import bare
from skep.model.assignment import (
    Assignment,
    AssignmentDelta,
    NetworkAssignment,
    NetworkEndpoint,
    NetworkService,
    PeerNode,
)
from skep.model.cluster import Subnet, Task, TaskState, TaskStatus
from skep.model.spec import (
    ContainerSpec,
    IpamConfig,
    NetworkAttachmentConfig,
    NetworkSpec,
    PortConfig,
    TaskSpec,
)
from skep.model.ula import mirrored


def told(world, name):
    return assign(world.state, world.node(name).id)


def attach(world, network_id, name="h2", **rest):
    request = {"container_id": "abcdef0123456789" * 4, "container_name": "box", **rest}
    node_id = world.node(name).id
    return world.change(control.attach, node_id=node_id, networks={network_id: ""}, **request)


# --- networks


def test_every_host_knows_all_hosts_and_the_ingress_network(swarm):
    for name in ("h1", "h2", "h3"):
        found = told(swarm, name)
        assert (found.index, found.node_id) == (swarm.revision, swarm.node(name).id)
        assert found.cluster_id == swarm.state.cluster.id
        assert [p.ingress_address for p in found.peers.values()] == [
            "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24",
        ]  # fmt: skip
        assert list(found.networks) == [swarm.state.ingress_id]
        assert found.networks[swarm.state.ingress_id].present


def test_a_network_is_present_where_a_task_is_on_it(swarm):
    net = swarm.network("net")
    swarm.create("web", 2, networks=("net",))
    swarm.obey()
    homes = {task.node_id for task in swarm.live("web")}
    for node in swarm.state.nodes.values():
        networks = assign(swarm.state, node.id).networks
        assert (net in networks) == (node.id in homes)
    for home in homes:
        picture = assign(swarm.state, home).networks[net]
        assert picture.present
        assert len(picture.endpoints) == 2


def test_attachable_networks_are_known_everywhere_by_name(swarm):
    net = swarm.network("net", attachable=True)
    swarm.create("web", 1, networks=("net",))
    swarm.obey()
    home = swarm.live("web")[0].node_id
    for node in swarm.state.nodes.values():
        known = assign(swarm.state, node.id).networks[net]
        assert known.spec.name == "net"
        assert known.present == (node.id == home)
        assert bool(known.endpoints) == bool(known.services) == known.present


def test_a_network_stays_until_its_last_task_is_dead(swarm):
    net = swarm.network("net")
    swarm.create("web", 3, networks=("net",))
    swarm.obey()
    task = next(t for t in swarm.live("web") if t.node_id == swarm.node("h2").id)
    swarm.scale("web", 0)
    swarm.settle()
    found = told(swarm, "h2")
    assert found.tasks[task.id].desired_state == TaskState.REMOVE
    assert found.networks[net].present
    swarm.obey()
    assert net not in told(swarm, "h2").networks
    assert told(swarm, "h2").tasks == {}


def test_hosts_do_not_hear_of_the_allocators_cursor(swarm):
    net = swarm.network("net")
    swarm.create("web", 3, networks=("net",))
    swarm.obey()
    assert swarm.state.networks[net].subnets[0].cursor
    assert told(swarm, "h2").networks[net].subnets[0] == Subnet(
        IpamConfig(subnet="10.0.1.0/24", gateway="10.0.1.1"), vni=4097
    )


# --- tasks


def test_a_host_gets_its_own_tasks_only(swarm):
    swarm.create("web", 3)
    swarm.obey()
    for node in swarm.state.nodes.values():
        found = assign(swarm.state, node.id).tasks
        assert {task.node_id for task in found.values()} == {node.id}


def test_a_host_keeps_what_has_ended_while_it_is_remembered(swarm):
    secret = swarm.secret("pass")
    spec = ContainerSpec(image="a", secrets=(secret,))
    swarm.network("net")
    swarm.create("web", 1, networks=("net",), container_spec=spec)
    swarm.obey()
    (dead,) = swarm.live("web")
    swarm.report(dead, TaskState.FAILED, container_id="c1")
    told = assign(swarm.state, dead.node_id)
    assert told.tasks[dead.id].attachments == ()
    assert told.secrets == {}, "it needs nothing any more"
    swarm.settle()
    swarm.now += 6
    swarm.obey()
    assert dead.id in assign(swarm.state, dead.node_id).tasks
    swarm.change(control.remove_service, "web")
    swarm.settle()
    assert dead.id not in assign(swarm.state, dead.node_id).tasks


# --- endpoints


def test_an_endpoint_has_all_its_names(swarm):
    net = swarm.network("net", attachable=True)
    spec = ContainerSpec(image="a", hostname="host")
    swarm.create("web", 1, networks=("net",), container_spec=spec)
    swarm.obey()
    (task,) = swarm.live("web")
    endpoint = assign(swarm.state, task.node_id).networks[net].endpoints[task.id]
    assert endpoint.names == (task.name, f"{task.id}f00d"[:12], "host")
    assert (endpoint.address, endpoint.mac) == ("10.0.1.3", "02:42:0a:00:01:03")
    assert (endpoint.service_id, endpoint.node_id) == (task.service_id, task.node_id)
    assert endpoint.ready


def test_a_hostname_that_is_a_template_is_a_name_filled_in(swarm):
    net = swarm.network("net")
    spec = ContainerSpec(image="a", hostname="{{.Node.Hostname}}")
    swarm.create("web", 1, networks=("net",), container_spec=spec)
    swarm.settle()
    (task,) = swarm.live("web")
    endpoint = assign(swarm.state, task.node_id).networks[net].endpoints[task.id]
    host = swarm.state.nodes[task.node_id].description.hostname
    assert endpoint.names == (task.name, host)


def test_a_hand_started_container_is_an_endpoint_at_once(swarm):
    net = swarm.network("net", attachable=True)
    task = attach(swarm, net, names=("box", "abcdef012345", "h"), aliases={net: ("db",)})
    found = told(swarm, "h2")
    assert found.networks[net].present
    endpoint = found.networks[net].endpoints[task.id]
    assert endpoint.names == ("box", "abcdef012345", "h", "db")
    assert endpoint.ready
    assert endpoint.service_id == ""
    assert task.id in found.tasks
    assert not told(swarm, "h3").networks[net].present


def test_an_endpoint_is_ready_while_it_runs_is_wanted_and_its_host_is_there(swarm):
    net = swarm.network("net", attachable=True)
    swarm.create("web", 1, networks=("net",))
    swarm.settle()
    watcher = attach(swarm, net, "h1")
    (task,) = swarm.live("web")

    def ready():
        return told(swarm, "h1").networks[net].endpoints[task.id].ready

    assert not ready()
    swarm.report(task, TaskState.RUNNING)
    assert ready()
    host = swarm.state.nodes[task.node_id].description.hostname
    swarm.down(host)
    assert not ready()
    swarm.up(host)
    assert ready()
    swarm.scale("web", 0)
    swarm.settle()
    assert not ready()
    swarm.report(task, TaskState.SHUTDOWN)
    assert task.id not in told(swarm, "h1").networks[net].endpoints
    assert watcher.id in told(swarm, "h1").networks[net].endpoints


def test_a_task_without_host_is_no_endpoint(swarm):
    net = swarm.network("net", attachable=True)
    attach(swarm, net, "h1")
    for name in ("h1", "h2", "h3"):
        swarm.node_spec(name, availability="pause")
    swarm.create("web", 1, networks=("net",))
    swarm.settle()
    assert swarm.live("web")[0].attachments
    assert len(told(swarm, "h1").networks[net].endpoints) == 1


# --- services


def test_a_service_shows_its_vip_mark_aliases_and_ports_where_they_matter(swarm):
    net = swarm.network("net")
    config = NetworkAttachmentConfig(target="net", aliases=("a", "b", "a"))
    port = PortConfig(target_port=80)
    spec = swarm.spec(ports=(port,))
    template = TaskSpec(container_spec=ContainerSpec(image="a"), networks=(config,))
    swarm.change(control.create_service, replace(spec, task_template=template))
    swarm.obey()
    (task,) = swarm.live("web")
    networks = assign(swarm.state, task.node_id).networks
    assert networks[net].services == {
        task.service_id: NetworkService(
            id=task.service_id,
            name="web",
            vip="10.0.1.2",
            mark=256,
            aliases=("a", "b"),
            created_at=swarm.now,
        )
    }
    assert networks[swarm.state.ingress_id].services == {
        task.service_id: NetworkService(
            id=task.service_id, name="web", vip="10.0.0.5", mark=256,
            ports=(replace(port, published_port=30000),), created_at=swarm.now,
            vip6=bare(mirrored(swarm.state.ingress.subnets[0].config6.subnet, "10.0.0.5")),
        )
    }  # fmt: skip


def test_round_robin_is_a_service_without_vip(swarm):
    net = swarm.network("net")
    swarm.create("web", 1, networks=("net",), mode="dnsrr")
    swarm.obey()
    (task,) = swarm.live("web")
    networks = assign(swarm.state, task.node_id).networks
    service = networks[net].services[task.service_id]
    assert (service.vip, service.mark, service.name) == ("", 0, "web")
    assert networks[swarm.state.ingress_id].services == {}


def test_a_service_whose_vip_is_yet_to_come_is_not_shown(swarm):
    net = swarm.network("net", "10.5.0.0/30", attachable=True)
    attach(swarm, net)
    swarm.create("web", 1, networks=("net",))
    swarm.settle()
    assert swarm.service("web").endpoint is None
    assert told(swarm, "h2").networks[net].services == {}


# --- deltas

IDS = st.sampled_from(["a", "b", "c"])
ENDPOINTS = st.builds(
    NetworkEndpoint, task_id=IDS, node_id=IDS, address=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    mac=st.just("02:42:0a:00:00:01"), names=st.sampled_from([(), ("x",)]), ready=st.booleans(),
)  # fmt: skip
SERVICES = st.builds(
    NetworkService, id=IDS, name=IDS, mark=st.integers(0, 3),
    ports=st.sampled_from([(), (PortConfig(target_port=80),)]),
)  # fmt: skip
NETWORKS = st.builds(
    NetworkAssignment, id=IDS, spec=st.builds(NetworkSpec, name=IDS, internal=st.booleans()),
    created_at=st.sampled_from([1.5, 2.0]), present=st.booleans(),
    subnets=st.sampled_from([(), (Subnet(IpamConfig(subnet="10.0.0.0/24"), 4096),)]),
    endpoints=st.dictionaries(IDS, ENDPOINTS), services=st.dictionaries(IDS, SERVICES),
)  # fmt: skip
PEERS = st.builds(PeerNode, id=IDS, hostname=IDS, address=IDS, vtep=IDS, ingress_address=IDS)
TASKS = st.builds(
    Task, id=IDS, slot=st.integers(0, 2), desired_state=st.sampled_from(TaskState),
    status=st.builds(TaskStatus, state=st.sampled_from(TaskState), error=IDS),
)  # fmt: skip
ASSIGNMENTS = st.builds(
    Assignment, index=st.integers(1, 9), node_id=IDS, cluster_id=IDS,
    data_path_port=st.integers(1, 2), mesh_key=st.binary(max_size=2),
    peers=st.dictionaries(IDS, PEERS), networks=st.dictionaries(IDS, NETWORKS),
    tasks=st.dictionaries(IDS, TASKS),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.none() | ASSIGNMENTS, ASSIGNMENTS)
def test_patching_undoes_the_difference(old, new):
    delta = difference(old, new)
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=AssignmentDelta)
    assert patch(old, delta) == new
    assert patch(old, wire) == new


@settings(max_examples=50, deadline=None)
@given(ASSIGNMENTS)
def test_no_difference_is_an_empty_delta(same):
    delta = difference(same, same)
    assert (delta.base, delta.index) == (same.index, same.index)
    for part in (delta.peers, delta.networks, delta.tasks):
        assert (part.put, part.remove) == ({}, ())
    assert delta.endpoints == delta.services == {}


def test_one_endpoints_change_is_one_endpoint_long(swarm):
    net = swarm.network("net", attachable=True)
    swarm.create("web", 60, networks=("net",))
    swarm.obey()
    before = told(swarm, "h1")
    task = next(t for t in swarm.live("web") if t.node_id != swarm.node("h1").id)
    swarm.report(task, TaskState.FAILED)
    after = told(swarm, "h1")
    delta = difference(before, after)
    assert list(delta.endpoints) == [net]
    assert delta.endpoints[net].remove == (task.id,)
    assert (delta.networks.put, delta.tasks.put) == ({}, {})
    assert len(msgspec.msgpack.encode(delta)) < 400 < len(msgspec.msgpack.encode(after)) / 30
    assert patch(before, delta) == after


def test_a_delta_for_another_assignment_is_not_applied(swarm):
    old = told(swarm, "h1")
    swarm.network("net")
    delta = difference(old, told(swarm, "h1"))
    with pytest.raises(AssertionError):
        patch(None, delta)
