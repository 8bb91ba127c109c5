import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.model.cluster import TaskState
from skep.model.spec import SECOND, ContainerSpec, RestartPolicy, TaskSpec

RUNNING, SHUTDOWN = TaskState.RUNNING, TaskState.SHUTDOWN


def slots(world, name="web"):
    return [task.slot for task in world.live(name)]


def images(world, name="web"):
    return [task.spec.container_spec.image for task in world.live(name)]


def template(image="nginx:2", **rest):
    return TaskSpec(container_spec=ContainerSpec(image=image), **rest)


def restarting(**policy):
    return {"restart_policy": RestartPolicy(**policy)}


def die(world, state=TaskState.FAILED, name="web"):
    """The one task runs and dies; what reconciling wants to be woken for."""
    (task,) = world.live(name)
    world.report(task, RUNNING)
    world.report(task, state)
    return world.settle()


# --- slots


def test_as_many_slots_as_replicas(swarm):
    swarm.create("web", 3)
    swarm.obey()
    assert slots(swarm) == [1, 2, 3]
    assert {task.status.state for task in swarm.live("web")} == {RUNNING}
    task = swarm.live("web")[0]
    assert task.name == f"web.1.{task.id}"


def test_one_replica_is_the_default_and_none_is_possible(swarm):
    swarm.create("one", None)
    swarm.create("none", 0)
    swarm.obey()
    assert (slots(swarm, "one"), slots(swarm, "none")) == ([1], [])


def test_scaling_up_fills_the_lowest_free_slots(swarm):
    swarm.create("web", 4)
    swarm.obey()
    first = swarm.live("web")
    swarm.scale("web", 6)
    swarm.obey()
    assert slots(swarm) == [1, 2, 3, 4, 5, 6]
    assert swarm.live("web")[:4] == first


def test_scaling_down_takes_from_the_fullest_host_the_newest(swarm):
    swarm.create("web", 5)
    swarm.obey()
    crowded = {task.node_id for task in swarm.live("web")[:2]}
    swarm.scale("web", 3)
    swarm.obey()
    assert slots(swarm) == [1, 2, 3]
    assert len({task.node_id for task in swarm.live("web")}) == 3
    assert crowded <= {task.node_id for task in swarm.live("web")}


def test_scaling_down_takes_idle_slots_first(swarm):
    swarm.create("web", 3, **restarting(delay=100 * SECOND))
    swarm.obey()
    swarm.report(swarm.live("web")[0], TaskState.FAILED)
    swarm.settle()
    swarm.scale("web", 2)
    swarm.obey()
    assert slots(swarm) == [2, 3]
    assert len(swarm.tasks("web")) == 2
    swarm.scale("web", 3)
    swarm.obey()
    assert slots(swarm) == [1, 2, 3]


def test_tasks_of_no_host_are_simply_deleted(swarm):
    for name in ("h1", "h2", "h3"):
        swarm.node_spec(name, availability="pause")
    swarm.create("web", 3)
    swarm.settle()
    swarm.scale("web", 1)
    swarm.settle()
    assert len(swarm.tasks("web")) == 1
    swarm.change(control.remove_service, "web")
    swarm.settle()
    assert not swarm.state.tasks


# --- restarts


def test_a_failed_task_is_replaced_after_five_seconds(swarm):
    swarm.create()
    swarm.obey()
    old = swarm.live("web")[0]
    died = swarm.now
    assert die(swarm) == died + 5
    dead = swarm.state.tasks[old.id]
    assert (dead.desired_state, dead.status.state) == (SHUTDOWN, TaskState.FAILED)
    swarm.now = died + 4.9
    assert swarm.settle() == died + 5
    assert swarm.live("web") == []
    swarm.now = died + 5
    assert swarm.settle() is None
    (new,) = swarm.live("web")
    assert (new.slot, new.status.state) == (1, TaskState.ASSIGNED)


@pytest.mark.parametrize("state", [TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED])
@pytest.mark.parametrize("condition", ["any", "on-failure", "none"])
def test_conditions(swarm, condition, state):
    swarm.create(**restarting(condition=condition, delay=0))
    swarm.settle()
    die(swarm, state)
    again = condition == "any" or (condition == "on-failure" and state != TaskState.COMPLETE)
    assert len(swarm.live("web")) == int(again)
    assert len(swarm.tasks("web")) == 1 + int(again)


def test_attempts_are_limited_for_good(swarm):
    swarm.create(**restarting(max_attempts=7, delay=0))
    for _ in range(8):
        swarm.settle()
        swarm.now += 1
        die(swarm)
    assert swarm.live("web") == []
    swarm.now += 1e6
    assert swarm.settle() is None
    assert swarm.live("web") == []


def test_attempts_are_counted_within_the_window(swarm):
    policy = restarting(max_attempts=2, delay=0, window=10 * SECOND)
    swarm.create(**policy)
    for _ in range(6):
        swarm.settle()
        swarm.now += 6
        die(swarm)
    assert len(swarm.live("web")) == 1
    swarm.now += 1
    die(swarm)
    assert swarm.live("web") == []


def test_an_update_gives_a_given_up_slot_another_life(swarm):
    swarm.create(**restarting(condition="none"))
    swarm.settle()
    die(swarm, TaskState.COMPLETE)
    assert swarm.live("web") == []
    swarm.update("web", task_template=template(**restarting(condition="none")))
    swarm.obey()
    assert images(swarm) == ["nginx:2"]


def test_history_is_limited(swarm):
    swarm.create("web", 2, **restarting(delay=0))
    for _ in range(9):
        swarm.settle()
        swarm.now += 1
        swarm.report(swarm.live("web")[0], TaskState.FAILED)
    swarm.obey()
    per_slot = [[t.status.state for t in swarm.tasks("web") if t.slot == n] for n in (1, 2)]
    assert per_slot == [[TaskState.FAILED] * 4 + [RUNNING], [RUNNING]]


@pytest.mark.parametrize(("limit", "kept"), [(0, 1), (1, 1), (3, 3), (-1, 9)])
def test_the_history_limit_is_the_clusters(swarm, limit, kept):
    settings = control.Settings(task_history=limit)
    swarm.change(control.update_cluster, swarm.state.cluster.version, settings)
    swarm.create(**restarting(delay=0))
    for _ in range(8):
        swarm.settle()
        swarm.now += 1
        die(swarm)
    assert len(swarm.tasks("web")) == kept


def test_without_history_a_failed_task_still_waits_for_its_delay(swarm):
    settings = control.Settings(task_history=0)
    swarm.change(control.update_cluster, swarm.state.cluster.version, settings)
    swarm.create()
    swarm.settle()
    assert die(swarm) == swarm.now + 5
    assert swarm.live("web") == []


# --- hosts that go


def test_a_lost_hosts_tasks_are_replaced_at_once(swarm):
    swarm.create("web", 3)
    swarm.obey()
    lost = [t for t in swarm.live("web") if t.node_id == swarm.node("h2").id]
    swarm.down("h2")
    swarm.obey()
    assert slots(swarm) == [1, 2, 3]
    assert swarm.node("h2").id not in {task.node_id for task in swarm.live("web")}
    for task in lost:
        left = swarm.state.tasks[task.id]
        assert (left.desired_state, left.status.state) == (SHUTDOWN, RUNNING)
    swarm.up("h2")
    swarm.obey()
    assert {swarm.state.tasks[task.id].status.state for task in lost} == {SHUTDOWN}


def test_a_task_on_a_host_that_stays_away_is_orphaned_after_a_day(swarm):
    swarm.create("web", 3)
    swarm.obey()
    (lost,) = [t for t in swarm.live("web") if t.node_id == swarm.node("h2").id]
    swarm.down("h2")
    went = swarm.now
    assert swarm.settle() == went + 86400
    swarm.now = went + 86399
    swarm.settle()
    assert swarm.state.tasks[lost.id].status.state == RUNNING
    swarm.now = went + 86400
    swarm.settle()
    assert swarm.state.tasks[lost.id].status.state == TaskState.ORPHANED


def test_a_removed_services_tasks_on_a_lost_host_keep_their_addresses_until_it_is_back(swarm):
    swarm.create("web", 3)
    swarm.obey()
    swarm.down("h2")
    (lost,) = [t for t in swarm.tasks("web") if t.node_id == swarm.node("h2").id]
    swarm.change(control.remove_service, "web")
    swarm.obey()
    assert list(swarm.state.tasks) == [lost.id]
    swarm.up("h2")
    swarm.obey()
    assert not swarm.state.tasks


def test_a_drained_hosts_tasks_move_one_stops_before_the_next_starts(swarm):
    swarm.create("web", 3)
    swarm.obey()
    swarm.node_spec("h2", availability="drain")
    wake = swarm.settle()
    (moving,) = [t for t in swarm.tasks("web") if t.desired_state == SHUTDOWN]
    assert len(swarm.tasks("web")) == 3
    assert wake == swarm.now + 70
    swarm.report(moving, SHUTDOWN)
    swarm.settle()
    assert len(swarm.live("web")) == 3
    assert swarm.node("h2").id not in {task.node_id for task in swarm.live("web")}


def test_a_task_that_will_not_stop_is_not_waited_for_for_ever(swarm):
    spec = ContainerSpec(image="a", stop_grace_period=30 * SECOND)
    swarm.create("web", 3, container_spec=spec)
    swarm.obey()
    swarm.node_spec("h2", availability="drain")
    due = swarm.settle()
    assert due == swarm.now + 90
    swarm.now = due
    swarm.settle()
    assert slots(swarm) == [1, 2, 3]


def test_restart_policy_holds_for_lost_tasks_too(swarm):
    swarm.create("web", 3, **restarting(condition="none"))
    swarm.obey()
    swarm.down("h2")
    swarm.obey()
    assert len(swarm.live("web")) == 2


def test_two_live_tasks_in_a_slot_become_one(swarm):
    swarm.create()
    swarm.obey()
    (task,) = swarm.live("web")
    twin = replace(task, id="twin", created_at=swarm.now + 1)
    swarm.change(lambda draft, _: draft.put(twin))
    swarm.obey()
    assert len(swarm.live("web")) == 1
