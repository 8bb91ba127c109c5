import asyncio
import contextlib

import pytest

from skep.agent.payloads import Payloads
from skep.agent.records import Record
from skep.agent.tasks import Tasks, grace
from skep.model.assignment import Assignment
from skep.model.cluster import Task, TaskState, TaskStatus
from skep.model.errors import Broken, Missing
from skep.model.spec import ContainerSpec, TaskSpec


class FakeHost:
    """Containers and engine in one: enough of both for tasks to live on."""

    def __init__(self):
        self.records = {}
        self.states = {}
        self.stopped = []
        self.broken = {}

    def task_records(self):
        return list(self.records.values())

    def task_record(self, task_id):
        return next((r for r in self.records.values() if r.task_id == task_id), None)

    async def create_task(self, task, body):
        if "create" in self.broken:
            raise self.broken["create"]
        record = Record(
            id=f"c-{task.id}", name=task.name, image=body["Image"], sandbox_id="s" * 64,
            network_mode="default", created_at=0.0, task_id=task.id,
        )  # fmt: skip
        self.records[record.id] = record
        self.states[record.id] = {"Running": False, "Status": "created"}
        return record

    async def start_record(self, container_id, task):
        if "start" in self.broken:
            raise self.broken["start"]
        self.states[container_id] = {
            "Running": True, "Status": "running", "Pid": 7, "StartedAt": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        return True

    async def state(self, container_id):
        return self.states[container_id]

    async def stop(self, container, timeout):
        self.stopped.append((container.id, timeout))
        return True

    async def remove(self, container, *, force, volumes):
        del self.records[container.id], self.states[container.id]

    def end(self, container_id, code):
        self.states[container_id] = {
            "Running": False, "Status": "exited", "ExitCode": code,
            "StartedAt": "2026-01-01T00:00:00Z",
        }  # fmt: skip


class FakeHealth:
    """Health statuses as the test sets them."""

    def __init__(self):
        self.statuses = {}
        self.watched = []

    async def started(self, container_id):
        self.watched.append(container_id)


class Rig:
    def __init__(self, folder):
        self.host = FakeHost()
        self.health = FakeHealth()
        self.reports = []
        self.tasks = Tasks(self.host, self.health, Payloads(folder), self.report)

    def assign(self, tasks):
        self.tasks.assigned(Assignment(tasks=tasks))

    async def report(self, statuses):
        self.reports += statuses.values()

    def states(self):
        return [status.state for status in self.reports]

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def rig(tmp_path):
    rig = Rig(tmp_path / "payloads")
    runner = asyncio.create_task(rig.tasks.run())
    await asyncio.sleep(0)
    yield rig
    runner.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await runner


def task(desired=TaskState.RUNNING, **kwargs):
    return Task(
        id="t1", service_id="s1", slot=1, service_name="web", desired_state=desired,
        spec=TaskSpec(container_spec=ContainerSpec(image="nginx", **kwargs)),
    )  # fmt: skip


async def test_a_task_runs_and_says_so_step_by_step(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: rig.states()[-1:] == [TaskState.RUNNING])
    assert rig.states() == [TaskState.PREPARING, TaskState.STARTING, TaskState.RUNNING]
    assert (rig.reports[-1].container_id, rig.reports[-1].pid) == ("c-t1", 7)


@pytest.mark.parametrize(
    "code, state, error",
    [(0, TaskState.COMPLETE, ""), (3, TaskState.FAILED, "task: non-zero exit (3)")],
)
async def test_the_end_of_its_process_is_reported(rig, code, state, error):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.host.end("c-t1", code)
    rig.tasks.heard("c-t1")
    await rig.until(lambda: state in rig.states())
    assert rig.reports[-1].error == error
    assert "c-t1" in rig.host.records, "kept, so that its logs can be read"


async def test_a_task_runs_only_once_it_is_healthy(rig):
    rig.health.statuses["c-t1"] = "starting"
    rig.assign({"t1": task()})
    await rig.until(lambda: rig.health.watched == ["c-t1"])
    assert rig.states()[-1] == TaskState.STARTING
    rig.health.statuses["c-t1"] = "healthy"
    rig.tasks.heard("c-t1")
    await rig.until(lambda: rig.states()[-1] == TaskState.RUNNING)


async def test_an_unhealthy_task_is_stopped_and_has_failed(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.health.statuses["c-t1"] = "unhealthy"
    rig.tasks.heard("c-t1")
    await rig.until(lambda: rig.states()[-1] == TaskState.FAILED)
    assert rig.reports[-1].error == "unhealthy container"
    assert rig.host.stopped == [("c-t1", 10)]


async def test_a_task_wanted_no_more_is_stopped_with_its_grace_and_removed(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    gone = task(desired=TaskState.SHUTDOWN, stop_grace_period=3_000_000_000)
    rig.assign({"t1": gone})
    await rig.until(lambda: rig.states()[-1] == TaskState.SHUTDOWN)
    assert rig.host.stopped == [("c-t1", 3)]
    assert rig.host.records == {}


async def test_a_task_that_vanished_from_the_assignment_goes_too(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.assign({})
    await rig.until(lambda: rig.host.records == {})
    assert rig.states()[-1] == TaskState.RUNNING, "nobody asks for a status any more"


async def test_after_a_restart_a_running_container_is_taken_up_again(rig):
    record = await rig.host.create_task(task(), {"Image": "nginx"})
    await rig.host.start_record(record.id, None)
    rig.assign({"t1": task()})
    await rig.until(lambda: rig.states() == [TaskState.RUNNING])


async def test_after_a_reboot_an_ended_container_is_reported_not_started_again(rig):
    record = await rig.host.create_task(task(), {"Image": "nginx"})
    rig.host.end(record.id, 137)
    rig.assign({"t1": task()})
    await rig.until(lambda: rig.states() == [TaskState.FAILED])


async def test_containers_of_tasks_nobody_assigned_are_removed(rig):
    await rig.host.create_task(task(), {"Image": "nginx"})
    rig.assign({})
    await rig.until(lambda: rig.host.records == {})


@pytest.mark.parametrize(
    "where, refusal, state",
    [
        ("create", Missing("No such image: nginx:latest"), TaskState.REJECTED),
        ("start", Broken("runc: no such file"), TaskState.FAILED),
    ],
)
async def test_what_cannot_run_says_why(rig, where, refusal, state):
    rig.host.broken[where] = refusal
    rig.assign({"t1": task()})
    await rig.until(lambda: state in rig.states())
    assert rig.reports[-1].error == str(refusal)


async def test_a_task_the_manager_knows_as_ended_is_not_run_again(rig):
    ended = Task(
        id="t1", service_id="s1", slot=1, service_name="web",
        spec=TaskSpec(container_spec=ContainerSpec(image="nginx")),
        status=TaskStatus(state=TaskState.FAILED),
    )  # fmt: skip
    rig.assign({"t1": ended})
    await asyncio.sleep(0.02)
    assert rig.reports == []
    assert rig.host.records == {}


def test_grace_is_the_specs_or_ten_seconds():
    assert grace(None) == 10
    assert grace(task()) == 10
    assert grace(task(stop_grace_period=1_500_000_000)) == 2
