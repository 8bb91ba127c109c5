"""Updates as their users see them: states, messages, and what fails."""

import pytest
from msgspec.structs import replace
from updating import (
    BAD,
    FAILED,
    NEW,
    OLD,
    RUNNING,
    SHUTDOWN,
    begin,
    image,
    images,
    play,
    status,
    step,
    template,
    update,
)

from skep.cluster import control
from skep.model.cluster import TaskState
from skep.model.spec import (
    SECOND,
    EndpointSpec,
    Placement,
    PortConfig,
    Replicated,
    RestartPolicy,
    ServiceMode,
)

# --- states and messages


def test_an_update_that_goes_well(swarm):
    begin(swarm)
    assert status(swarm) is None
    swarm.settle()
    assert status(swarm) == ("updating", "update in progress")
    started = swarm.now
    play(swarm)
    assert images(swarm) == [NEW] * 3
    assert status(swarm) == ("updating", "update in progress")
    assert swarm.settle() == started + 5
    swarm.now = started + 5
    assert swarm.settle() is None
    assert status(swarm) == ("completed", "update completed")
    found = swarm.service("web").update_status
    assert (found.started_at, found.completed_at) == (started, started + 5)


def test_the_monitor_counts_from_the_last_task(swarm):
    begin(swarm, replicas=2, delay=10 * SECOND, monitor=30 * SECOND)
    play(swarm)
    assert images(swarm) == [OLD, NEW]
    assert swarm.settle() == swarm.now + 10
    swarm.now += 10
    play(swarm)
    assert images(swarm) == [NEW] * 2
    # The delay after the last task, then the monitor.
    assert swarm.settle() == swarm.now + 10
    swarm.now += 10
    assert swarm.settle() == swarm.now + 30


def test_a_new_service_has_no_update(swarm):
    swarm.create("web", 3)
    swarm.obey()
    assert status(swarm) is None


def test_what_renews_no_task_is_no_update(swarm):
    swarm.create("web", 3)
    swarm.obey()
    swarm.update("web", labels={"a": "b"})
    swarm.obey()
    swarm.scale("web", 5)
    swarm.obey()
    assert status(swarm) is None


def test_another_update_forgets_the_last_one(swarm):
    begin(swarm)
    swarm.obey()
    swarm.now += 5
    swarm.settle()
    assert status(swarm)[0] == "completed"
    swarm.scale("web", 2)
    swarm.obey()
    assert status(swarm) is None


def test_an_update_of_what_has_ended_is_one_too(swarm):
    once = {"restart_policy": RestartPolicy(condition="none")}
    swarm.create("web", 2, image=OLD, **once)
    swarm.obey()
    for task in swarm.live("web"):
        swarm.report(task, TaskState.COMPLETE)
    swarm.settle()
    update(swarm)
    swarm.settle()
    assert status(swarm) == ("updating", "update in progress")
    assert swarm.service("web").update_status.slots == 2
    assert images(swarm) == [NEW] * 2
    play(swarm)
    swarm.now += 5
    swarm.settle()
    assert status(swarm)[0] == "completed"


# --- failures: pause


def test_a_failure_pauses_the_update(swarm):
    begin(swarm, BAD)
    play(swarm)
    failed = next(t for t in swarm.tasks("web") if t.status.state == FAILED)
    assert status(swarm) == (
        "paused", f"update paused due to failure or early termination of task {failed.id}",
    )  # fmt: skip
    # The slot that failed is restarted as its policy says; the others are left alone.
    swarm.now += 1
    swarm.settle()
    assert images(swarm) == sorted([BAD, OLD, OLD])
    assert [image(t) for t in swarm.live("web") if t.status.state == RUNNING] == [OLD, OLD]


def test_a_paused_update_stays_so_whatever_happens(swarm):
    begin(swarm, BAD)
    play(swarm)
    for _ in range(20):
        swarm.now += 100
        step(swarm)
    swarm.now += 1
    play(swarm, fail=())
    assert status(swarm)[0] == "paused"
    assert images(swarm) == sorted([BAD, OLD, OLD])


def test_an_old_task_that_dies_while_the_update_is_paused_waits_for_its_delay(swarm):
    begin(swarm, BAD)
    play(swarm)
    (old, _) = [t for t in swarm.live("web") if image(t) == OLD]
    swarm.now += 1
    swarm.report(old, FAILED)
    swarm.settle()
    assert old.slot not in [t.slot for t in swarm.live("web")]
    swarm.now += 1
    swarm.settle()
    assert [image(t) for t in swarm.live("web") if t.slot == old.slot] == [BAD]
    assert status(swarm)[0] == "paused"


def test_a_paused_update_goes_on_when_it_is_asked_for_again(swarm):
    begin(swarm, BAD)
    play(swarm)
    service = swarm.service("web")
    swarm.change(control.update_service, "web", service.version, service.spec)
    assert status(swarm) is None
    swarm.now += 1
    play(swarm, fail=())
    assert images(swarm) == [BAD] * 3
    assert status(swarm)[0] == "updating"


@pytest.mark.parametrize("end", [TaskState.COMPLETE, FAILED, TaskState.REJECTED])
def test_whatever_ends_early_is_a_failure(swarm, end):
    begin(swarm, BAD)
    play(swarm, worst=end)
    assert status(swarm)[0] == "paused"


@pytest.mark.parametrize(("after", "state"), [(4, "paused"), (6, "updating")])
def test_what_ends_later_is_not(swarm, after, state):
    begin(swarm, replicas=1, monitor=5 * SECOND, delay=60 * SECOND)
    play(swarm)
    swarm.now += after
    swarm.report(swarm.live("web")[0], FAILED)
    swarm.settle()
    assert status(swarm)[0] == state


def test_an_old_tasks_end_is_not_the_updates_failure(swarm):
    begin(swarm)
    swarm.settle()
    old = next(t for t in swarm.live("web") if t.desired_state == RUNNING)
    swarm.report(old, FAILED)
    swarm.settle()
    assert status(swarm)[0] == "updating"
    play(swarm)
    assert images(swarm) == [NEW] * 3


def test_an_order_to_stop_is_not_a_failure(swarm):
    begin(swarm)
    play(swarm)
    host = swarm.state.nodes[swarm.live("web")[0].node_id].description.hostname
    swarm.node_spec(host, availability="drain")
    play(swarm)
    assert status(swarm)[0] == "updating"


@pytest.mark.parametrize(
    ("ratio", "state"), [(0.0, "paused"), (0.24, "paused"), (0.25, "updating")]
)
def test_some_failures_may_be_allowed(swarm, ratio, state):
    begin(swarm, replicas=4, max_failure_ratio=ratio)
    failed = set()

    for _ in range(30):
        swarm.settle()
        if status(swarm)[0] != "updating":
            break
        todo = [(t, SHUTDOWN) for t in swarm.stopping("web")]
        for task in swarm.live("web"):
            if task.status.state < RUNNING:
                first = image(task) == NEW and not failed
                failed |= {task.id} if first else set()
                todo.append((task, FAILED if first else RUNNING))
        for task, next_state in todo:
            swarm.report(task, next_state)
    assert status(swarm)[0] == state
    swarm.now += 1
    swarm.obey()
    assert (images(swarm) == [NEW] * 4) == (state == "updating")


def test_one_slot_fails_once_however_often_it_restarts(swarm):
    begin(swarm, BAD, replicas=4, max_failure_ratio=0.3)
    for _ in range(12):
        step(swarm)
        swarm.now += 1
        if status(swarm)[0] != "updating":
            break
    # The second slot's failure, not the first one's restarts.
    assert swarm.service("web").update_status.failures == 2
    assert status(swarm)[0] == "paused"


def test_failures_may_be_ignored(swarm):
    begin(swarm, BAD, failure_action="continue")
    for _ in range(12):
        step(swarm)
    assert OLD not in images(swarm)
    assert len({t.slot for t in swarm.tasks("web") if t.status.state == FAILED}) == 3
    assert status(swarm)[0] == "updating"
    swarm.now += 5
    swarm.settle()
    assert status(swarm) == ("completed", "update completed")


# --- what makes tasks outdated


def test_ports_of_the_host_belong_to_the_task(swarm):
    port = PortConfig(target_port=80, published_port=8080, publish_mode="host")
    swarm.create("web", 1, ports=(port,))
    swarm.obey()
    (old,) = swarm.live("web")
    assert old.host_ports == (port,)
    other = replace(port, published_port=9090)
    swarm.update("web", endpoint_spec=EndpointSpec(ports=(other,)))
    swarm.obey()
    (new,) = swarm.live("web")
    assert (new.id == old.id, new.host_ports) == (False, (other,))


def test_tasks_that_meet_new_constraints_stay(swarm):
    swarm.node_spec("h1", labels={"disk": "ssd"})
    swarm.create("web", 3, image=OLD)
    swarm.obey()
    (stays,) = swarm.on("web", "h1")
    spec = replace(
        swarm.service("web").spec.task_template,
        placement=Placement(constraints=("node.labels.disk==ssd",)),
    )
    swarm.update("web", task_template=spec)
    swarm.obey()
    assert {t.node_id for t in swarm.live("web")} == {stays.node_id}
    kept = swarm.state.tasks[stays.id]
    assert kept.desired_state == RUNNING
    assert (kept.spec, kept.spec_version) == (spec, swarm.service("web").spec_version)
    swarm.node_spec("h1", labels={})
    swarm.settle()
    assert swarm.state.tasks[stays.id].desired_state == SHUTDOWN


def test_slots_that_come_with_an_update_are_not_part_of_it(swarm):
    swarm.create("web", 2, image=OLD, placement=Placement(max_replicas=1))
    swarm.obey()
    swarm.update(
        "web",
        mode=ServiceMode(replicated=Replicated(5)),
        task_template=template(BAD, placement=Placement(max_replicas=1)),
    )
    swarm.settle()
    assert swarm.service("web").update_status.slots == 2
    # One of the new tasks finds no host; that does not hold the update up.
    placed = [t for t in swarm.live("web") if image(t) == BAD and t.node_id]
    assert (len(placed), len(swarm.live("web"))) == (2, 4)
    assert len(swarm.stopping("web")) == 1
    swarm.report(placed[0], FAILED)
    swarm.settle()
    assert status(swarm)[0] == "updating"
