import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.rollout import is_outdated
from skep.model.cluster import TaskState
from skep.model.spec import SECOND, ContainerSpec, RestartPolicy, TaskSpec, UpdateConfig

RUNNING, SHUTDOWN = TaskState.RUNNING, TaskState.SHUTDOWN


def images(world, name="web"):
    return [task.spec.container_spec.image for task in world.live(name)]


def template(image="nginx:2", **rest):
    return TaskSpec(container_spec=ContainerSpec(image=image), **rest)


def test_an_update_replaces_tasks_one_after_the_other(swarm):
    swarm.create("web", 3, image="nginx:1")
    swarm.obey()
    swarm.update("web", task_template=template())
    seen = []
    for _ in range(30):
        swarm.settle()
        working = [t for t in swarm.live("web") if t.status.state == RUNNING]
        assert len(working) >= 2
        todo = [
            (t, SHUTDOWN if t.desired_state > RUNNING else RUNNING)
            for t in swarm.tasks("web")
            if (t.desired_state > RUNNING) == (t.status.state <= RUNNING)
            or (t.desired_state == RUNNING and t.status.state < RUNNING)
        ]
        todo = [(t, s) for t, s in todo if t.status.state <= RUNNING]
        if not todo:
            break
        assert len(todo) == 1
        seen.append(todo[0][1])
        swarm.report(*todo[0])
    assert seen == [SHUTDOWN, RUNNING] * 3
    assert images(swarm) == ["nginx:2"] * 3


@pytest.mark.parametrize(("parallelism", "first"), [(2, 2), (0, 5), (9, 5)])
def test_parallelism(swarm, parallelism, first):
    swarm.create("web", 5, image="nginx:1")
    swarm.obey()
    config = UpdateConfig(parallelism=parallelism)
    swarm.update("web", task_template=template(), update_config=config)
    swarm.settle()
    stopping = [t for t in swarm.tasks("web") if t.desired_state == SHUTDOWN]
    assert len(stopping) == first
    swarm.obey()
    assert images(swarm) == ["nginx:2"] * 5


def test_an_update_that_does_not_come_up_stops_by_itself(swarm):
    swarm.create("web", 3, image="nginx:1")
    swarm.obey()
    swarm.update("web", task_template=template("broken"))
    for _ in range(5):
        swarm.settle()
        for task in swarm.tasks("web"):
            if task.desired_state > RUNNING and task.status.state <= RUNNING:
                swarm.report(task, SHUTDOWN)
            if task.spec.container_spec.image == "broken" and task.status.state < RUNNING:
                swarm.report(task, TaskState.REJECTED)
        swarm.now += 6
    swarm.settle()
    assert sorted(images(swarm)) == ["broken", "nginx:1", "nginx:1"]
    swarm.change(control.rollback_service, "web", swarm.service("web").version)
    swarm.obey()
    assert images(swarm) == ["nginx:1"] * 3


def test_a_rollback_leaves_the_tasks_that_were_not_touched(swarm):
    swarm.create("web", 3, image="nginx:1")
    swarm.obey()
    before = {task.id for task in swarm.live("web")}
    swarm.update("web", task_template=template())
    swarm.settle()
    swarm.change(control.rollback_service, "web", swarm.service("web").version)
    swarm.obey()
    assert len(before & {task.id for task in swarm.live("web")}) == 2
    assert images(swarm) == ["nginx:1"] * 3
    versions = {task.spec_version for task in swarm.live("web")}
    assert versions == {swarm.service("web").spec_version}


def test_the_updates_delay_is_kept(swarm):
    swarm.create("web", 2, image="nginx:1")
    swarm.obey()
    config = UpdateConfig(parallelism=1, delay=20 * SECOND)
    swarm.update("web", task_template=template(), update_config=config)
    swarm.obey()
    started = swarm.now
    assert sorted(images(swarm)) == ["nginx:1", "nginx:2"]
    assert swarm.settle() == started + 20
    swarm.now = started + 20
    swarm.obey()
    assert images(swarm) == ["nginx:2"] * 2


def test_forcing_an_update_replaces_tasks(swarm):
    swarm.create("web", 2)
    swarm.obey()
    before = {task.id for task in swarm.live("web")}
    current = swarm.service("web").spec.task_template
    swarm.update("web", task_template=replace(current, force_update=1))
    swarm.obey()
    assert not before & {task.id for task in swarm.live("web")}


def test_scaling_is_no_update(swarm):
    swarm.create("web", 2)
    swarm.obey()
    before = {task.id for task in swarm.live("web")}
    swarm.scale("web", 4)
    swarm.obey()
    assert before < {task.id for task in swarm.live("web")}
    service = swarm.service("web")
    assert not any(is_outdated(swarm.state, task, service) for task in swarm.live("web"))


def test_an_update_comes_first_to_what_does_not_run(swarm):
    swarm.create("web", 3, image="nginx:1")
    swarm.settle()
    for task in swarm.live("web")[:2]:
        swarm.report(task, RUNNING)
    swarm.update("web", task_template=template())
    swarm.settle()
    assert [t.slot for t in swarm.tasks("web") if t.desired_state == SHUTDOWN] == [3]


def test_an_update_goes_on_past_tasks_that_are_done_for_good(swarm):
    once = {"restart_policy": RestartPolicy(condition="none")}
    swarm.create("web", 3, image="nginx:1", **once)
    swarm.obey()
    config = UpdateConfig(parallelism=1, failure_action="continue")
    swarm.update("web", task_template=template(**once), update_config=config)
    for _ in range(3):
        swarm.settle()
        for task in swarm.tasks("web"):
            if task.desired_state == SHUTDOWN and task.status.state == RUNNING:
                swarm.report(task, SHUTDOWN)
        swarm.settle()
        (task,) = [t for t in swarm.live("web") if t.status.state < RUNNING]
        swarm.report(task, TaskState.COMPLETE)
    swarm.settle()
    assert swarm.live("web") == []
    assert {t.spec.container_spec.image for t in swarm.tasks("web")} == {"nginx:1", "nginx:2"}
