import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.assign import assign
from skep.model.cluster import TaskState
from skep.model.errors import Invalid
from skep.model.spec import (
    SECOND,
    ContainerSpec,
    Placement,
    ReplicatedJob,
    RestartPolicy,
    ServiceMode,
    TaskSpec,
    UpdateConfig,
)

RUNNING, SHUTDOWN = TaskState.RUNNING, TaskState.SHUTDOWN
COMPLETE, FAILED = TaskState.COMPLETE, TaskState.FAILED
EVERYWHERE = ServiceMode(global_job={})


def times(total=None, at_once=None):
    return ServiceMode(
        replicated_job=ReplicatedJob(max_concurrent=at_once, total_completions=total)
    )


def create(world, mode, name="job", **rest):
    return world.create(name, service_mode=mode, **rest)


def again(world, name="job", **changes):
    """Run the job anew, as ``docker service update --force`` does."""
    template = world.service(name).spec.task_template
    forced = replace(template, force_update=template.force_update + 1)
    world.now += 1
    world.update(name, task_template=forced, **changes)


def finish(world, *tasks, state=COMPLETE):
    for task in tasks:
        world.report(task, state)
    world.obey()


def complete(world, name="job"):
    iteration = world.service(name).job.iteration
    return [
        t for t in world.tasks(name) if t.job_iteration == iteration and t.status.state == COMPLETE
    ]


def run(world, name="job"):
    """Every task that runs completes, until none does."""
    for _ in range(50):
        world.obey()
        running = world.live(name)
        if not running:
            return
        for task in running:
            world.report(task, COMPLETE)
    raise AssertionError("it never completes")


# --- replicated jobs


def test_a_job_runs_so_often_and_so_many_at_once(swarm):
    create(swarm, times(5, 2))
    swarm.obey()
    assert [t.slot for t in swarm.live("job")] == [0, 1]
    assert {t.desired_state for t in swarm.live("job")} == {COMPLETE}
    finish(swarm, swarm.live("job")[1])
    assert [t.slot for t in swarm.live("job")] == [0, 2]
    seen = 0
    while swarm.live("job"):
        seen = max(seen, len(swarm.live("job")))
        finish(swarm, swarm.live("job")[0])
    assert seen == 2
    assert [t.slot for t in complete(swarm)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("mode", "stored", "first"),
    [
        (times(), (1, 1), 1),
        (times(3), (3, 1), 1),
        (times(None, 3), (3, 3), 3),
        (times(4, 0), (4, 0), 4),
        (times(0, 2), (0, 2), 0),
        (times(2, 9), (2, 9), 2),
    ],
)
def test_open_numbers_are_dockers(swarm, mode, stored, first):
    create(swarm, mode)
    swarm.obey()
    job = swarm.service("job").spec.mode.replicated_job
    assert (job.total_completions, job.max_concurrent) == stored
    assert len(swarm.live("job")) == first


def test_what_completed_stays_wanted_and_known_to_its_host(swarm):
    net = swarm.network("net")
    create(swarm, times(1), networks=("net",))
    run(swarm)
    (task,) = swarm.tasks("job")
    assert (task.desired_state, task.status.state) == (COMPLETE, COMPLETE)
    told = assign(swarm.state, task.node_id)
    # Its container is kept for its log; its address is another's now.
    assert told.tasks[task.id].attachments == ()
    assert net not in told.networks
    assert not swarm.state.in_use(swarm.state.networks[net], task.attachments[0].address)


def test_the_job_status_counts_runs(swarm):
    create(swarm, times(1))
    assert swarm.service("job").job.iteration == 0
    assert swarm.service("job").job.last_execution == swarm.now
    run(swarm)
    again(swarm)
    assert swarm.service("job").job.iteration == 1
    assert swarm.service("job").job.last_execution == swarm.now
    swarm.update("job", labels={"a": "b"})
    assert swarm.service("job").job.iteration == 2
    swarm.change(control.rollback_service, "job", swarm.service("job").version)
    assert swarm.service("job").job.iteration == 3


def test_other_services_have_no_job_status(swarm):
    swarm.create("web", 1)
    swarm.update("web", labels={"a": "b"})
    assert swarm.service("web").job is None


def test_a_new_run_begins_from_nothing(swarm):
    create(swarm, times(2, 2))
    run(swarm)
    before = swarm.tasks("job")
    again(swarm)
    swarm.obey()
    assert [t.job_iteration for t in swarm.live("job")] == [1, 1]
    assert {swarm.state.tasks[t.id].desired_state for t in before} == {SHUTDOWN}
    run(swarm)
    assert len(complete(swarm)) == 2
    assert len(swarm.tasks("job")) == 4


def test_a_new_run_stops_the_old_one_first(swarm):
    create(swarm, times(2, 1))
    swarm.obey()
    (old,) = swarm.live("job")
    again(swarm)
    swarm.settle()
    assert swarm.state.tasks[old.id].desired_state == SHUTDOWN
    assert swarm.live("job") == []
    swarm.report(old, SHUTDOWN)
    swarm.obey()
    assert [(t.slot, t.job_iteration) for t in swarm.live("job")] == [(0, 1)]


def test_a_smaller_run_leaves_no_slots_behind(swarm):
    create(swarm, times(5, 5))
    run(swarm)
    swarm.now += 1
    swarm.update("job", mode=times(2, 2))
    run(swarm)
    assert {t.slot for t in swarm.tasks("job")} == {0, 1}
    assert len(complete(swarm)) == 2


def test_history_is_limited_but_results_stay(swarm):
    settings = control.Settings(task_history=1)
    swarm.change(control.update_cluster, swarm.state.cluster.version, settings)
    create(swarm, times(2, 2), restart_policy=RestartPolicy(delay=0))
    for _ in range(3):
        swarm.obey()
        swarm.report(swarm.live("job")[0], FAILED)
    run(swarm)
    assert [t.status.state for t in swarm.tasks("job")] == [COMPLETE, COMPLETE]
    for _ in range(3):
        again(swarm)
        run(swarm)
    assert [t.status.state for t in swarm.tasks("job")] == [COMPLETE, COMPLETE]


# --- failures


@pytest.mark.parametrize("condition", ["any", "on-failure"])
def test_only_failures_are_repeated(swarm, condition):
    create(swarm, times(2, 2), restart_policy=RestartPolicy(condition=condition, delay=0))
    swarm.obey()
    one, two = swarm.live("job")
    finish(swarm, one)
    finish(swarm, two, state=FAILED)
    (repeated,) = swarm.live("job")
    assert (repeated.slot, repeated.id == two.id) == (two.slot, False)
    assert swarm.state.tasks[two.id].desired_state == SHUTDOWN
    finish(swarm, repeated)
    assert len(complete(swarm)) == 2
    swarm.now += 1000
    assert swarm.settle() is None
    assert swarm.live("job") == []


def test_a_failure_that_waits_for_its_delay_keeps_its_place(swarm):
    create(swarm, times(3, 1), restart_policy=RestartPolicy(delay=9 * SECOND))
    swarm.obey()
    swarm.report(swarm.live("job")[0], FAILED)
    assert swarm.settle() == swarm.now + 9
    assert swarm.live("job") == []
    swarm.now += 9
    swarm.obey()
    assert [t.slot for t in swarm.live("job")] == [0]


@pytest.mark.parametrize(
    "policy", [RestartPolicy(condition="none"), RestartPolicy(max_attempts=1, delay=0)]
)
def test_what_is_given_up_leaves_its_place_to_others(swarm, policy):
    create(swarm, times(2, 1), restart_policy=policy)
    for _ in range(1 + (policy.max_attempts or 0)):
        swarm.obey()
        assert [t.slot for t in swarm.live("job")] == [0]
        swarm.report(swarm.live("job")[0], FAILED)
    swarm.obey()
    assert [t.slot for t in swarm.live("job")] == [1]
    run(swarm)
    assert [t.slot for t in complete(swarm)] == [1]
    again(swarm)
    swarm.obey()
    assert [t.slot for t in swarm.live("job")] == [0]


def test_attempts_are_counted_anew_in_each_run(swarm):
    policy = RestartPolicy(max_attempts=1, delay=0)
    create(swarm, times(1), restart_policy=policy)
    for _ in range(2):
        swarm.obey()
        swarm.report(swarm.live("job")[0], FAILED)
    swarm.obey()
    assert swarm.live("job") == []
    swarm.now += 1
    swarm.update("job", labels={"again": "1"})
    swarm.obey()
    assert len(swarm.live("job")) == 1
    swarm.report(swarm.live("job")[0], FAILED)
    swarm.obey()
    assert len(swarm.live("job")) == 1


def test_a_task_that_must_leave_runs_elsewhere(swarm):
    create(swarm, times(3, 3))
    swarm.obey()
    swarm.node_spec("h1", availability="drain")
    swarm.down("h2")
    swarm.obey()
    assert {t.node_id for t in swarm.live("job")} == {swarm.node("h3").id}
    assert len(swarm.live("job")) == 3


def test_a_removed_job_leaves_nothing(swarm):
    create(swarm, times(3, 2))
    swarm.obey()
    finish(swarm, swarm.live("job")[0])
    swarm.change(control.remove_service, "job")
    swarm.obey()
    assert not swarm.state.tasks


# --- global jobs


def test_a_global_job_runs_once_on_every_host_there_is(swarm):
    swarm.node_spec("h3", availability="drain")
    create(swarm, EVERYWHERE)
    swarm.obey()
    assert {t.node_id for t in swarm.live("job")} == {swarm.node(h).id for h in ("h1", "h2")}
    assert {(t.slot, t.desired_state) for t in swarm.live("job")} == {(0, COMPLETE)}
    run(swarm)
    assert len(complete(swarm)) == 2


def test_hosts_that_come_later_wait_for_the_next_run(swarm):
    create(swarm, EVERYWHERE)
    run(swarm)
    swarm.now += 1
    swarm.change(control.add_node, swarm.host("h4"))
    swarm.obey()
    assert swarm.live("job") == []
    again(swarm)
    run(swarm)
    assert len(complete(swarm)) == 4


def test_hosts_that_were_away_run_it_when_they_are_back(swarm):
    swarm.down("h2")
    swarm.node_spec("h3", availability="pause")
    create(swarm, EVERYWHERE)
    run(swarm)
    assert len(complete(swarm)) == 1
    swarm.up("h2")
    swarm.node_spec("h3", availability="active")
    run(swarm)
    assert len(complete(swarm)) == 3


def test_a_global_jobs_failures_are_repeated_on_their_host(swarm):
    create(swarm, EVERYWHERE, restart_policy=RestartPolicy(max_attempts=2, delay=0))
    for _ in range(3):
        swarm.obey()
        (task,) = [t for t in swarm.on("job", "h2") if t.status.state == RUNNING]
        swarm.report(task, FAILED)
    run(swarm)
    assert len(complete(swarm)) == 2
    assert [t.status.state for t in swarm.on("job", "h2")] == [FAILED] * 3


def test_constraints_hold_for_global_jobs(swarm):
    create(swarm, EVERYWHERE, placement=Placement(constraints=("node.hostname==h2",)))
    run(swarm)
    assert [t.node_id for t in complete(swarm)] == [swarm.node("h2").id]


def test_a_drained_hosts_task_is_not_made_elsewhere(swarm):
    create(swarm, EVERYWHERE)
    swarm.obey()
    swarm.node_spec("h2", availability="drain")
    swarm.obey()
    assert len(swarm.live("job")) == 2
    assert swarm.on("job", "h2")[0].status.state == SHUTDOWN


def test_a_removed_hosts_results_are_forgotten(swarm):
    create(swarm, EVERYWHERE)
    run(swarm)
    swarm.down("h2")
    swarm.change(control.remove_node, "h2")
    swarm.obey()
    assert len(swarm.tasks("job")) == 2


def test_a_global_job_stops_the_run_before(swarm):
    create(swarm, EVERYWHERE)
    swarm.obey()
    old = swarm.live("job")
    again(swarm)
    swarm.settle()
    assert swarm.live("job") == []
    assert {swarm.state.tasks[t.id].desired_state for t in old} == {SHUTDOWN}
    swarm.obey()
    assert {t.job_iteration for t in swarm.live("job")} == {1}
    assert len(swarm.live("job")) == 3


# --- what jobs cannot


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        (times(-1), "Total completed jobs must not be negative"),
        (times(1, -1), "Maximum concurrent jobs must not be negative"),
    ],
)
def test_impossible_numbers_are_refused(swarm, mode, sentence):
    with pytest.raises(Invalid, match=sentence):
        create(swarm, mode)


@pytest.mark.parametrize("mode", [times(1), EVERYWHERE])
def test_jobs_have_no_update_config(swarm, mode):
    spec = replace(swarm.spec("job", service_mode=mode), update_config=UpdateConfig())
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.create_service, spec)
    assert str(refusal.value) == (
        "rpc error: code = InvalidArgument desc = Jobs may not have an update config"
    )


def test_a_job_is_not_updated_but_run(swarm):
    create(swarm, times(2, 2))
    swarm.obey()
    template = TaskSpec(container_spec=ContainerSpec(image="other"))
    swarm.update("job", task_template=template)
    run(swarm)
    assert swarm.service("job").update_status is None
    assert {t.spec.container_spec.image for t in complete(swarm)} == {"other"}
