"""The order start-first: a new task runs before the old one stops, in updates and when moving."""

import pytest
from msgspec.structs import replace
from updating import (
    BAD,
    FAILED,
    NEW,
    OLD,
    RUNNING,
    SHUTDOWN,
    SOON,
    begin,
    image,
    images,
    play,
    status,
    step,
    template,
    update,
)

from skep.cluster.state import Draft
from skep.model.cluster import TaskState
from skep.model.spec import (
    SECOND,
    Placement,
    RestartPolicy,
    UpdateConfig,
)

# --- start first


def test_the_new_task_runs_before_the_old_one_stops(swarm):
    swarm.network("net")
    swarm.create("web", 2, image=OLD, networks=("net",))
    swarm.obey()
    networks = swarm.service("web").spec.task_template.networks
    swarm.update(
        "web",
        task_template=template(networks=networks),
        update_config=UpdateConfig(parallelism=1, order="start-first"),
    )
    seen = []
    for _ in range(20):
        swarm.settle()
        working = [t for t in swarm.live("web") if t.status.state == RUNNING]
        assert len(working) >= 2
        busy = swarm.stopping("web") + [t for t in swarm.live("web") if t.status.state < RUNNING]
        if not busy:
            break
        addresses = [a.address for t in (*working, *busy) for a in t.attachments]
        assert len(addresses) == len(set(addresses))
        for task in busy:
            seen.append(task.status.state == RUNNING)
            swarm.report(task, SHUTDOWN if task.desired_state == SHUTDOWN else RUNNING)
    assert images(swarm) == [NEW] * 2
    assert seen.count(True) == seen.count(False) == 2
    assert not seen[0]


def test_the_old_task_stays_if_the_new_one_does_not_come_up(swarm):
    begin(swarm, BAD, order="start-first")
    for _ in range(10):
        step(swarm)
        swarm.now += 60
    assert status(swarm)[0] == "paused"
    assert [image(t) for t in swarm.live("web") if t.status.state == RUNNING] == [OLD] * 3
    assert [image(t) for t in swarm.tasks("web") if t.status.state == FAILED] == [BAD]


def test_a_start_first_update_rolls_back_without_a_gap(swarm):
    swarm.create("web", 2, image=OLD, restart_policy=SOON)
    swarm.obey()
    before = {task.id for task in swarm.live("web")}
    update(swarm, BAD, order="start-first", failure_action="rollback")
    play(swarm)
    assert {task.id for task in swarm.live("web")} == before
    swarm.now += 5
    swarm.settle()
    assert status(swarm)[0] == "rollback_completed"


def test_a_renewal_that_fails_is_tried_again_if_failures_are_ignored(swarm):
    begin(swarm, BAD, replicas=1, order="start-first", failure_action="continue")
    play(swarm)
    swarm.now += 1
    play(swarm, fail=())
    assert [t.status.state for t in swarm.tasks("web") if image(t) == BAD] == [FAILED, RUNNING]
    assert images(swarm) == [BAD]


def test_a_renewal_is_not_tried_again_against_its_policy(swarm):
    once = RestartPolicy(condition="none")
    swarm.create("web", 1, image=OLD, restart_policy=once)
    swarm.obey()
    swarm.update(
        "web",
        task_template=replace(template(BAD), restart_policy=once),
        update_config=UpdateConfig(parallelism=1, order="start-first", failure_action="continue"),
    )
    play(swarm)
    assert images(swarm) == [OLD]
    swarm.now += 5
    swarm.settle()
    assert status(swarm) == ("completed", "update completed")


def test_only_what_runs_is_kept_until_the_new_one_does(swarm):
    for name in ("h1", "h2", "h3"):
        swarm.node_spec(name, availability="pause")
    swarm.create("web", 2, image=OLD)
    swarm.settle()
    update(swarm, order="start-first", parallelism=0)
    swarm.settle()
    assert images(swarm) == [NEW] * 2


def test_an_update_of_tasks_that_wait_needs_nobody_to_stop_them(swarm):
    placement = {"placement": Placement(constraints=("node.labels.a==b",))}
    swarm.create("web", 3, image=OLD, **placement)
    swarm.settle()
    update(swarm, parallelism=0)
    swarm.obey()
    assert images(swarm) == [NEW] * 3
    assert len(swarm.tasks("web")) == 3


# --- drained hosts


def drained(world, order, **template):
    world.create("web", 3, **template)
    world.obey()
    world.update("web", update_config=UpdateConfig(parallelism=1, order=order))
    world.node_spec("h2", availability="drain")
    world.settle()
    return world.on("web", "h2")[0]


def test_start_first_holds_for_moving_too(swarm):
    old = drained(swarm, "start-first")
    assert old.desired_state == RUNNING
    (new,) = [t for t in swarm.live("web") if t.replaces == old.id]
    assert new.node_id != old.node_id
    swarm.report(new, RUNNING)
    swarm.settle()
    assert swarm.state.tasks[old.id].desired_state == SHUTDOWN
    swarm.obey()
    assert len(swarm.live("web")) == 3
    assert status(swarm) is None


def test_stop_first_holds_as_ever(swarm):
    old = drained(swarm, "stop-first")
    assert old.desired_state == SHUTDOWN
    assert len(swarm.live("web")) == 2


def test_what_has_nowhere_to_go_leaves_in_the_end(swarm):
    for name in ("h1", "h3"):
        swarm.node_spec(name, availability="pause")
    swarm.create("web", 1)
    swarm.obey()
    swarm.update("web", update_config=UpdateConfig(order="start-first"))
    swarm.node_spec("h2", availability="drain")
    due = swarm.settle()
    assert due == swarm.now + 300
    assert {t.status.state for t in swarm.live("web")} == {RUNNING, TaskState.PENDING}
    swarm.now = due
    swarm.settle()
    assert swarm.on("web", "h2")[0].desired_state == SHUTDOWN


@pytest.mark.parametrize("delay", [20, 200])
def test_replacements_that_fail_are_repeated_until_patience_ends(swarm, delay):
    old = drained(swarm, "start-first", restart_policy=RestartPolicy(delay=delay * SECOND))
    began = swarm.now
    for _ in range(100):
        due = swarm.settle()
        if swarm.state.tasks[old.id].desired_state == SHUTDOWN:
            break
        for task in swarm.live("web"):
            if task.status.state < RUNNING:
                swarm.report(task, FAILED)
                due = swarm.settle()
        swarm.now = due
    assert swarm.now == began + 300
    # The history's limit, the task that leaves, and the first that was to replace it.
    assert len([t for t in swarm.tasks("web") if t.slot == old.slot]) <= 7


def test_what_is_not_to_be_replaced_is_not_waited_for(swarm):
    old = drained(swarm, "start-first", restart_policy=RestartPolicy(condition="none"))
    assert old.desired_state == SHUTDOWN
    swarm.obey()
    assert len(swarm.live("web")) == 2


def test_a_host_that_is_gone_cannot_be_waited_for(swarm):
    swarm.create("web", 3)
    swarm.obey()
    swarm.update("web", update_config=UpdateConfig(order="start-first"))
    swarm.down("h2")
    swarm.settle()
    (lost,) = swarm.on("web", "h2")
    assert lost.desired_state == SHUTDOWN


def test_an_attempt_that_began_with_a_task_since_gone_is_repeated(swarm):
    """Of two old tasks of a slot, the new one took over from that which stopped."""
    swarm.create("web", 1, image=OLD, restart_policy=SOON)
    swarm.obey()
    kept = swarm.live("web")[0]
    update(swarm, NEW, order="start-first", failure_action="continue")
    swarm.settle()
    new = next(task for task in swarm.live("web") if image(task) == NEW)
    gone = replace(kept, id="0" * 25, desired_state=SHUTDOWN, version=0)
    draft = Draft(swarm.state)
    draft.put(replace(gone, status=replace(kept.status, state=SHUTDOWN)))
    draft.put(replace(new, replaces=gone.id))
    swarm.commit(draft)
    swarm.report(swarm.state.tasks[new.id], TaskState.REJECTED)
    for _ in range(3):
        swarm.settle()
        swarm.now += 60
    swarm.obey()
    assert images(swarm) == [NEW]


def test_an_update_does_not_wait_for_a_host_that_is_down(swarm):
    """An old task that is to stop there may never say that it did."""
    swarm.create("web", 2, image=OLD, restart_policy=SOON)
    swarm.obey()
    host = swarm.state.nodes[swarm.live("web")[0].node_id].description.hostname
    swarm.down(host)
    swarm.obey()
    assert all(task.status.state == RUNNING for task in swarm.live("web"))
    update(swarm, NEW, parallelism=1)
    for _ in range(8):
        swarm.obey()
        swarm.now += 60
    assert images(swarm) == [NEW] * 2
