from collections import Counter

import pytest
from msgspec.structs import replace

from skep.cluster.constraints import parse, satisfied, violated
from skep.model.cluster import Node, NodeDescription, Platform, TaskState
from skep.model.errors import Invalid
from skep.model.spec import NodeSpec, Placement, Reservation, Resources


def hosts(world, name):
    found = Counter(world.state.nodes[t.node_id].description.hostname for t in world.live(name))
    return dict(sorted(found.items()))


def placed(*constraints, **rest):
    return {"placement": Placement(constraints=constraints, **rest)}


def error(world, name="web"):
    (task,) = world.live(name)
    assert (task.node_id, task.status.state) == ("", TaskState.PENDING)
    return task.status.error


# --- constraints

NODE = Node(
    id="abc",
    spec=NodeSpec(role="manager", labels={"disk": "ssd", "Zone": "A"}),
    description=NodeDescription(
        hostname="h1", platform=Platform("x86_64", "linux"), engine_labels={"rack": "7"}
    ),
    address="192.168.7.9",
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("node.id==abc", True),
        ("node.hostname == H1", True),
        ("node.hostname!=h1", False),
        ("node.role==manager", True),
        ("node.role != worker", True),
        ("node.platform.os==linux", True),
        ("node.platform.arch==arm", False),
        ("node.labels.disk==SSD", True),
        ("Node.Labels.disk==ssd", True),
        ("node.labels.Disk==ssd", False),
        ("node.labels.nope==x", False),
        ("node.labels.nope!=x", True),
        ("engine.labels.rack==7", True),
        ("node.ip==192.168.7.9", True),
        ("node.ip==192.168.7.0/24", True),
        ("node.ip!=192.168.7.0/24", False),
        ("node.ip==elsewhere", False),
        ("node.ip!=elsewhere", False),
        ("node.shape==round", False),
        ("node.shape!=round", False),
    ],
)
def test_constraints(expression, holds):
    (constraint,) = parse([expression])
    assert satisfied(constraint, NODE) is holds
    assert violated([expression], NODE) == ("" if holds else str(constraint))


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("node.id", "constraint expected one operator from ==, !="),
        ("node.id=abc", "constraint expected one operator from ==, !="),
        ("no de==abc", "key 'no de' is invalid"),
        ("==abc", "key '' is invalid"),
        ("node.id==", "value '' is invalid"),
        ("node.id==a;b", "value 'a;b' is invalid"),
    ],
)
def test_malformed_constraints(expression, sentence):
    with pytest.raises(Invalid) as refusal:
        parse([expression])
    assert str(refusal.value) == f"rpc error: code = Unknown desc = {sentence}"


# --- spreading


def test_tasks_spread_over_hosts(swarm):
    swarm.create("web", 7)
    swarm.obey()
    assert sorted(hosts(swarm, "web").values()) == [2, 2, 3]


def test_own_tasks_count_before_others(swarm):
    swarm.create("a", 2)
    swarm.obey()
    swarm.create("b", 1)
    swarm.obey()
    assert not hosts(swarm, "a").keys() & hosts(swarm, "b").keys()
    swarm.scale("a", 3)
    swarm.obey()
    assert hosts(swarm, "a") == {"h1": 1, "h2": 1, "h3": 1}


def test_a_host_where_tasks_keep_failing_comes_last(swarm):
    swarm.create("web", 1)
    homes = []
    for _ in range(5):
        swarm.settle()
        (task,) = swarm.live("web")
        homes.append(task.node_id)
        swarm.report(task, TaskState.REJECTED, error="no such image")
        swarm.now += 10
    assert len(set(homes)) == 2
    assert homes[:3] == [homes[0]] * 3


def test_what_is_about_to_stop_does_not_count(swarm):
    swarm.create("a", 1)
    swarm.obey()
    lowest = min(swarm.state.nodes)
    assert swarm.live("a")[0].node_id == lowest
    swarm.scale("a", 0)
    swarm.create("b", 1)
    swarm.settle()
    assert swarm.live("b")[0].node_id == lowest


# --- filters


def test_only_ready_and_active_hosts_take_tasks(swarm):
    swarm.down("h1")
    swarm.node_spec("h2", availability="pause")
    swarm.create("web", 3)
    swarm.obey()
    assert hosts(swarm, "web") == {"h3": 3}
    swarm.node_spec("h3", availability="drain")
    swarm.obey()
    sentence = "no suitable node (1 node: availability drain; 1 node: availability pause; 1 node: "
    assert {t.status.error for t in swarm.live("web")} == {sentence + "not ready)"}


def test_a_pause_leaves_tasks_where_they_are(swarm):
    swarm.create("web", 3)
    swarm.obey()
    before = swarm.live("web")
    swarm.node_spec("h2", availability="pause")
    swarm.obey()
    assert swarm.live("web") == before


def test_refusals_are_counted_in_words(swarm):
    swarm.down("h1")
    swarm.down("h2")
    swarm.create(**placed("node.labels.disk==ssd"))
    swarm.settle()
    assert error(swarm) == (
        "no suitable node (2 nodes: not ready; 1 node: constraint node.labels.disk==ssd)"
    )


def test_an_unplaceable_task_is_placed_once_a_host_will_do(swarm):
    swarm.create(**placed("node.labels.disk==ssd"))
    swarm.settle()
    assert error(swarm).endswith("(3 nodes: constraint node.labels.disk==ssd)")
    swarm.node_spec("h3", labels={"disk": "ssd"})
    swarm.obey()
    assert hosts(swarm, "web") == {"h3": 1}
    assert swarm.live("web")[0].status.error == ""


def test_a_host_that_no_longer_meets_a_constraint_is_left(swarm):
    for name in ("h2", "h3"):
        swarm.node_spec(name, labels={"disk": "ssd"})
    swarm.create("web", 2, **placed("node.labels.disk==ssd"))
    swarm.obey()
    swarm.node_spec("h2", labels={})
    swarm.obey()
    assert hosts(swarm, "web") == {"h3": 2}


def test_reservations_are_set_aside(swarm):
    reserved = Resources(reservations=Reservation(memory_bytes=5 * 2**30))
    swarm.create("big", 4, resources=reserved)
    swarm.settle()
    waiting = [task for task in swarm.live("big") if not task.node_id]
    assert [task.status.error for task in waiting] == [
        "no suitable node (3 nodes: insufficient memory)"
    ]
    swarm.create("fast", resources=Resources(reservations=Reservation(nano_cpus=5 * 10**9)))
    swarm.settle()
    assert error(swarm, "fast") == "no suitable node (3 nodes: insufficient CPU)"


def test_a_stopping_task_keeps_its_reservation(world):
    world.init("h1")
    reserved = Resources(reservations=Reservation(memory_bytes=5 * 2**30))
    world.create("a", resources=reserved)
    world.obey()
    world.create("b", resources=reserved)
    world.scale("a", 0)
    world.settle()
    assert error(world, "b") == "no suitable node (1 node: insufficient memory)"
    world.obey()
    assert hosts(world, "b") == {"h1": 1}


def test_replicas_per_host_are_limited(swarm):
    swarm.create("web", 4, **placed(max_replicas=1))
    swarm.obey()
    assert len({task.node_id for task in swarm.live("web") if task.node_id}) == 3
    waiting = [task for task in swarm.live("web") if not task.node_id]
    assert [task.status.error for task in waiting] == [
        "no suitable node (3 nodes: max replicas per node 1)"
    ]


def test_platforms_must_fit(swarm):
    amd = {"Architecture": "amd64", "OS": "linux"}
    arm = {"Architecture": "arm64", "OS": "linux"}
    swarm.create("web", **placed(platforms=(arm, amd)))
    swarm.create("arm", **placed(platforms=(arm,)))
    swarm.create("any", **placed(platforms=({"OS": "linux"},)))
    swarm.settle()
    assert swarm.live("web")[0].node_id
    assert swarm.live("any")[0].node_id
    assert error(swarm, "arm") == "no suitable node (3 nodes: unsupported platform)"


def test_without_hosts_there_is_a_sentence_too(world):
    world.init("h1")
    world.create()
    world.settle()
    (task,) = world.live("web")
    assert task.node_id
    draft_node = world.node("h1")
    world.change(lambda draft, _: draft.delete(draft_node))
    world.settle()
    assert error(world) == "no suitable node (there are no nodes)"


def test_scheduling_writes_its_words(swarm):
    swarm.create()
    swarm.now += 3
    swarm.settle()
    (task,) = swarm.live("web")
    assert task.status.message == "scheduler assigned task to node"
    assert (task.status.state, task.status.timestamp) == (TaskState.ASSIGNED, swarm.now)
    assert replace(task, version=0).desired_state == TaskState.RUNNING
