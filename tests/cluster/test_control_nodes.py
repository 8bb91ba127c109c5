import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.model.cluster import (
    Attachment,
    Cluster,
    NodeDescription,
    TaskState,
    TaskStatus,
    Tokens,
)
from skep.model.errors import (
    Clash,
    Forbidden,
    Invalid,
    Missing,
    OutOfSequence,
    Unavailable,
    Unsupported,
)
from skep.model.spec import IpamConfig, Reservation, Resources, ServiceMode

FAILED_PRECONDITION = "rpc error: code = FailedPrecondition desc = "


# --- the swarm itself


def test_a_swarm_begins_with_its_ingress_network_and_a_manager(world):
    world.init("h1")
    ingress = world.state.ingress
    assert (ingress.spec.name, ingress.spec.driver, ingress.spec.ingress) == (
        "ingress", "overlay", True,
    )  # fmt: skip
    assert ingress.subnets[0].config == IpamConfig(subnet="10.0.0.0/24", gateway="10.0.0.1")
    node = world.node("h1")
    assert (node.spec.role, node.ingress_address) == ("manager", "10.0.0.2/24")
    assert world.state.cluster.created_at == world.now
    with pytest.raises(Unavailable, match=r"^This node is already part of a swarm\. Use"):
        world.init("h1")


@pytest.mark.parametrize(
    ("pools", "size"),
    [
        ((), 24),
        (("10.0.0.0/8x",), 24),
        (("10.0.0.1/8",), 24),
        (("fd00::/8",), 24),
        (("10.0.0.0/28",), 24),
        (("10.0.0.0/8",), 31),
        (("10.0.0.0/8", "10.1.0.0/16"), 24),
    ],
)
def test_unusable_pools_are_refused(world, pools, size):
    with pytest.raises(Invalid, match="address pool"):
        world.init(pools=pools, size=size)
    assert world.state.cluster is None


def test_tokens_rotate_one_by_one(swarm):
    before = swarm.state.cluster
    swarm.change(control.rotate_tokens, before.version, worker=True)
    after = swarm.state.cluster
    assert after.tokens.manager == before.tokens.manager
    assert after.tokens.worker != before.tokens.worker
    assert len(after.tokens.worker) == 25
    with pytest.raises(OutOfSequence):
        swarm.change(control.rotate_tokens, before.version, manager=True)


def test_settings_change_and_nothing_else(swarm):
    before = swarm.state.cluster
    settings = control.Settings(task_history=2, heartbeat=7.0, certificate_days=30)
    swarm.change(control.update_cluster, before.version, settings)
    after = swarm.state.cluster
    assert (after.task_history, after.heartbeat, after.certificate_days) == (2, 7.0, 30)
    assert (after.tokens, after.ca_key) == (before.tokens, before.ca_key)
    with pytest.raises(OutOfSequence):
        swarm.change(control.update_cluster, before.version, settings)
    for wrong in (control.Settings(heartbeat=0.0), control.Settings(certificate_days=0)):
        with pytest.raises(Invalid):
            swarm.change(control.update_cluster, after.version, wrong)


# --- nodes


def test_nodes_get_addresses_on_the_ingress_network(swarm):
    addresses = [swarm.node(name).ingress_address for name in ("h1", "h2", "h3")]
    assert addresses == ["10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"]


def test_a_node_joins_once(swarm):
    with pytest.raises(Clash):
        swarm.change(control.add_node, swarm.node("h2"))


def test_a_full_ingress_network_takes_no_node(world):
    world.init("h1", pools=("10.0.0.0/8",), size=30)
    with pytest.raises(Unavailable, match=r"^network ingress: 1 of 1 addresses in use$"):
        world.change(control.add_node, world.host("h2"))


def test_a_node_reports_what_it_is(swarm):
    id = swarm.node("h2").id
    swarm.now += 10
    description = NodeDescription(hostname="other", memory_bytes=5)
    swarm.change(
        control.update_node_status, id, state="ready", description=description, address="1.2.3.4"
    )
    node = swarm.state.nodes[id]
    assert (node.description, node.address, node.vtep) == (description, "1.2.3.4", "192.168.0.2")
    assert node.seen_at == swarm.now
    swarm.change(control.update_node_status, id, state="down", message="gone fishing")
    node = swarm.state.nodes[id]
    assert (node.state, node.message, node.address) == ("down", "gone fishing", "1.2.3.4")
    with pytest.raises(Missing, match="node nosuch not found"):
        swarm.change(control.update_node_status, "nosuch", state="ready")


def test_a_report_without_news_changes_nothing(swarm):
    before = swarm.revision
    swarm.now += 10
    swarm.up("h2")
    assert swarm.revision == before


def test_labels_and_availability_change(swarm):
    swarm.node_spec("h2", labels={"disk": "ssd"}, availability="pause")
    assert swarm.node("h2").spec.labels == {"disk": "ssd"}
    node = swarm.node("h2")
    with pytest.raises(OutOfSequence):
        swarm.change(control.update_node, "h2", node.version - 1, node.spec)
    with pytest.raises(Invalid):
        swarm.node_spec("h2", availability="lazy")
    with pytest.raises(Missing, match="node nosuch not found"):
        swarm.change(control.update_node, "nosuch", 1, node.spec)


def test_roles_do_not_change(swarm):
    with pytest.raises(Unsupported) as unsupported:
        swarm.node_spec("h2", role="manager")
    assert str(unsupported.value) == (
        "a second manager needs a store that several managers share, which this version of Skep "
        "does not have: node h2 stays a worker, and h1 the swarm's manager"
    )
    with pytest.raises(Invalid) as refusal:
        swarm.node_spec("h1", role="worker")
    assert str(refusal.value) == (
        f"{FAILED_PRECONDITION}attempting to demote the last manager of the swarm"
    )
    with pytest.raises(Invalid):
        swarm.node_spec("h2", role="king")


def test_a_node_is_removed_when_it_is_down_or_by_force(swarm):
    id = swarm.node("h2").id
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.remove_node, "h2")
    assert str(refusal.value) == (
        f"{FAILED_PRECONDITION}node {id} is not down and can't be removed"
    )
    swarm.change(control.remove_node, "h2", force=True)
    swarm.down("h3")
    swarm.change(control.remove_node, "h3")
    assert len(swarm.state.nodes) == 1


def test_what_waits_for_a_removed_node_is_deleted(swarm):
    reserved = Resources(reservations=Reservation(memory_bytes=9 * 2**30))
    swarm.create("web", service_mode=ServiceMode(global_={}), resources=reserved)
    swarm.settle()
    swarm.down("h3")
    swarm.change(control.remove_node, "h3")
    swarm.settle()
    assert len(swarm.tasks("web")) == 2


def test_a_manager_is_never_removed(swarm):
    id = swarm.node("h1").id
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.remove_node, "h1", force=True)
    assert str(refusal.value) == (
        f"{FAILED_PRECONDITION}node {id} is a cluster manager and is a member of the raft "
        "cluster. It must be demoted to worker before removal"
    )


def test_a_removed_nodes_tasks_are_lost_and_replaced(swarm):
    net = swarm.network("a", attachable=True)
    swarm.create("web", 3, networks=("a",))
    swarm.obey()
    id = swarm.node("h2").id
    swarm.change(
        control.attach, node_id=id, container_id="c" * 64, container_name="box",
        networks={net: ""},
    )  # fmt: skip
    swarm.change(control.remove_node, "h2", force=True)
    assert all(task.service_id for task in swarm.state.tasks.values())
    lost = swarm.state.tasks_of_node(id)
    assert [task.status.state for task in lost] == [TaskState.ORPHANED]
    swarm.obey()
    assert len(swarm.live("web")) == 3
    assert id not in {task.node_id for task in swarm.live("web")}


# --- attachments


@pytest.fixture
def net(swarm):
    return swarm.network("net", "10.5.0.0/29", attachable=True)


def attach(swarm, net, wanted="", node="h2", **rest):
    request = {
        "node_id": swarm.node(node).id,
        "container_id": "abcdef0123456789" * 4,
        "container_name": "box",
        "networks": {net: wanted},
        **rest,
    }
    return swarm.change(control.attach, **request)


def test_a_container_gets_an_address_and_its_names(swarm, net):
    task = attach(swarm, net, names=("box", "abcdef012345", "host"), aliases={net: ("db", "host")})
    assert task.attachments == (
        Attachment(network_id=net, address="10.5.0.2/29", aliases=("host", "db")),
    )
    assert (task.container_name, task.name, task.service_id) == ("box", "box", "")
    assert task.status.state == task.desired_state == TaskState.RUNNING
    assert task.status.container_id.startswith("abcdef012345")


def test_a_wanted_address_is_given_if_it_is_free(swarm, net):
    assert attach(swarm, net, "10.5.0.5").attachments[0].address == "10.5.0.5/29"
    for taken in ("10.5.0.5", "10.5.0.1", "10.5.0.0", "10.5.0.7"):
        with pytest.raises(Forbidden, match=f"^Address already in use: {taken} on network net$"):
            attach(swarm, net, taken)
    with pytest.raises(Invalid) as refusal:
        attach(swarm, net, "10.6.0.5")
    assert str(refusal.value) == (
        "Invalid address 10.6.0.5: It does not belong to any of this network's subnets"
    )
    with pytest.raises(Invalid, match="invalid IP address: ten"):
        attach(swarm, net, "ten")


def test_a_full_network_says_so(swarm, net):
    for _ in range(5):
        attach(swarm, net)
    with pytest.raises(Unavailable, match=r"^network net: 5 of 5 addresses in use$"):
        attach(swarm, net)


def test_who_may_attach_to_what(swarm):
    closed = swarm.network("my-network")
    with pytest.raises(Forbidden) as refusal:
        attach(swarm, closed)
    assert str(refusal.value) == (
        "rpc error: code = PermissionDenied desc = network my-network not manually attachable"
    )
    with pytest.raises(Missing) as missing:
        attach(swarm, "nosuch")
    assert str(missing.value) == ("rpc error: code = NotFound desc = network nosuch not found")
    with pytest.raises(Missing, match="node nosuch not found"):
        attach(swarm, closed, node_id="nosuch")


def test_all_networks_or_none(swarm, net):
    closed = swarm.network("closed")
    with pytest.raises(Forbidden):
        attach(swarm, net, networks={net: "", closed: ""})
    assert not swarm.state.tasks


def test_a_detached_address_rests(swarm, net):
    task = attach(swarm, net)
    node_id = swarm.node("h2").id
    with pytest.raises(Forbidden, match="doesn't belong to this node"):
        swarm.change(control.detach, node_id=swarm.node("h3").id, task_id=task.id)
    swarm.change(control.detach, node_id=node_id, task_id=task.id)
    swarm.change(control.detach, node_id=node_id, task_id=task.id)
    assert attach(swarm, net).attachments[0].address == "10.5.0.3/29"


def test_a_service_task_is_not_detached(swarm, net):
    swarm.create(networks=("net",))
    swarm.obey()
    (task,) = swarm.tasks("web")
    with pytest.raises(Forbidden):
        swarm.change(control.detach, node_id=task.node_id, task_id=task.id)


def test_reconciling_leaves_attachments_alone(swarm, net):
    task = attach(swarm, net)
    swarm.down("h2")
    swarm.settle()
    assert swarm.state.tasks[task.id].status.state == TaskState.RUNNING


# --- reports on tasks


@pytest.fixture
def task(swarm):
    swarm.create()
    swarm.settle()
    return swarm.tasks("web")[0]


def status_of(swarm, task):
    return swarm.state.tasks[task.id].status


def test_states_only_move_forward(swarm, task):
    swarm.report(task, TaskState.STARTING, container_id="c1")
    swarm.now += 1
    swarm.report(task, TaskState.PREPARING)
    assert status_of(swarm, task).state == TaskState.STARTING
    swarm.report(task, TaskState.RUNNING, pid=7)
    assert (status_of(swarm, task).pid, status_of(swarm, task).container_id) == (7, "c1")
    swarm.report(task, TaskState.FAILED, exit_code=3)
    assert status_of(swarm, task).exit_code == 3


def test_it_is_known_since_when_a_task_runs(swarm, task):
    swarm.report(task, TaskState.STARTING)
    assert swarm.state.tasks[task.id].running_since == 0.0
    swarm.report(task, TaskState.RUNNING)
    began = swarm.now
    swarm.now += 5
    swarm.report(task, TaskState.RUNNING, pid=7)
    swarm.now += 5
    swarm.report(task, TaskState.FAILED)
    assert swarm.state.tasks[task.id].running_since == began


def test_the_dead_say_nothing_more(swarm, task):
    swarm.report(task, TaskState.COMPLETE)
    swarm.now += 1
    swarm.report(task, TaskState.FAILED)
    swarm.report(task, TaskState.COMPLETE, exit_code=9)
    assert (status_of(swarm, task).state, status_of(swarm, task).exit_code) == (
        TaskState.COMPLETE, 0,
    )  # fmt: skip


def test_of_two_reports_of_one_state_the_later_counts(swarm, task):
    swarm.report(task, TaskState.RUNNING, pid=1)
    swarm.now -= 5
    swarm.report(task, TaskState.RUNNING, pid=2)
    assert status_of(swarm, task).pid == 1
    swarm.now += 10
    swarm.report(task, TaskState.RUNNING, pid=3)
    assert status_of(swarm, task).pid == 3


@pytest.mark.parametrize("state", [TaskState.REMOVE, TaskState.ORPHANED, TaskState.NEW])
def test_some_states_are_not_a_hosts_to_report(swarm, task, state):
    swarm.report(task, state)
    assert status_of(swarm, task).state == TaskState.ASSIGNED


def test_a_node_speaks_for_its_own_tasks_only(swarm, task):
    other = next(node.id for node in swarm.state.nodes.values() if node.id != task.node_id)
    before = swarm.revision
    swarm.report(replace(task, node_id=other), TaskState.RUNNING)
    swarm.change(
        control.update_status, task.node_id, {"nosuch": TaskStatus(state=TaskState.RUNNING)}
    )
    assert swarm.revision == before


def test_the_cluster_record_is_not_mixed_up(swarm):
    assert isinstance(swarm.state.cluster, Cluster)
    assert swarm.state.cluster.tokens == Tokens("w", "m")
