import asyncio
import contextlib

import msgspec
import pytest

from skep.agent import drain, opening, tasks
from skep.agent.drain import Draining
from skep.agent.opening import Opening
from skep.agent.payloads import Payloads
from skep.agent.records import Record
from skep.agent.tasks import Clients, Tasks, drain_time, grace
from skep.model.assignment import Assignment
from skep.model.cluster import Task, TaskState, TaskStatus
from skep.model.errors import Broken, EngineLost, Missing
from skep.model.host import Endpoint
from skep.model.spec import ContainerSpec, PortConfig, TaskSpec

LEG = Endpoint(
    id="e", network_id="n", network_name="net", link="eth0", port="veth0",
    address="10.0.1.2/24", mac="02:42:0a:00:01:02",
)  # fmt: skip


class FakeHost:
    """Containers and engine in one: enough of both for tasks to live on."""

    def __init__(self):
        self.records = {}
        self.states = {}
        self.stopped = []
        self.broken = {}
        self.refused = 0

    def refuse(self, where):
        if where in self.broken:
            self.refused += 1
            raise self.broken[where]

    def task_records(self):
        return list(self.records.values())

    def task_record(self, task_id):
        return next((r for r in self.records.values() if r.task_id == task_id), None)

    async def create_task(self, task, body):
        self.refuse("create")
        record = Record(
            id=f"c-{task.id}", name=task.name, image=body["Image"], sandbox_id="s" * 64,
            network_mode="default", created_at=0.0, task_id=task.id,
        )  # fmt: skip
        self.records[record.id] = record
        self.states[record.id] = {"Running": False, "Status": "created"}
        return record

    async def start_record(self, container_id, task):
        self.refuse("start")
        self.records[container_id] = msgspec.structs.replace(
            self.records[container_id], endpoints=(LEG,), ports=task.host_ports if task else ()
        )
        self.states[container_id] = {
            "Running": True, "Status": "running", "Pid": 7, "StartedAt": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        return True

    async def state(self, container_id):
        self.refuse("state")
        return self.states[container_id]

    async def stop(self, container, timeout):
        self.stopped.append((container.id, timeout))
        return True

    async def remove(self, container, *, force, volumes):
        del self.records[container.id], self.states[container.id]

    async def retire(self, container_id):
        self.records[container_id] = msgspec.structs.replace(
            self.records[container_id], endpoints=(), sandbox_id=""
        )

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
        self.open = []
        self.listening = set()
        clients = Clients(Opening(self.listeners), Draining(self.connections))
        self.tasks = Tasks(self.host, self.health, Payloads(folder), clients, self.report)

    def assign(self, tasks, index=0, settled=0):
        self.tasks.assigned(Assignment(tasks=tasks, index=index, settled=settled))

    async def listeners(self, namespace):
        return self.listening

    async def connections(self, namespace):
        """How many are open, look by look; none when the test says no more."""
        return self.open.pop(0) if self.open else 0

    async def report(self, statuses):
        self.reports += statuses.values()

    def states(self):
        return [status.state for status in self.reports]

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(drain, "LOOK", 0.005)
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


async def test_it_counts_as_running_when_it_listens(rig, monkeypatch):
    monkeypatch.setattr(opening, "WITHIN", 600.0)
    published = PortConfig(target_port=80, published_port=8080, publish_mode="host")
    rig.assign({"t1": msgspec.structs.replace(task(), host_ports=(published,))})
    await rig.until(lambda: TaskState.STARTING in rig.states())
    await asyncio.sleep(0.05)
    assert TaskState.RUNNING not in rig.states()
    rig.listening.add(("tcp", 80))
    await rig.until(lambda: TaskState.RUNNING in rig.states())


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
    kept = rig.host.records["c-t1"]
    assert kept.sandbox_id == "", "kept for its log alone"


async def test_a_task_runs_only_once_it_is_healthy(rig):
    rig.health.statuses["c-t1"] = "starting"
    rig.assign({"t1": task()})
    await rig.until(lambda: rig.health.watched == ["c-t1"])
    assert rig.states()[-1] == TaskState.STARTING
    rig.health.statuses["c-t1"] = "healthy"
    rig.tasks.heard("c-t1")
    await rig.until(lambda: TaskState.RUNNING in rig.states())


async def test_an_unhealthy_task_is_stopped_and_has_failed(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.health.statuses["c-t1"] = "unhealthy"
    rig.tasks.heard("c-t1")
    await rig.until(lambda: rig.states()[-1] == TaskState.FAILED)
    assert rig.reports[-1].error == "unhealthy container"
    assert rig.host.stopped == [("c-t1", 10)]


async def test_a_task_wanted_no_more_is_stopped_with_its_grace_and_kept_for_a_while(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    gone = task(desired=TaskState.SHUTDOWN, stop_grace_period=3_000_000_000)
    rig.assign({"t1": gone})
    await rig.until(lambda: rig.states()[-1] == TaskState.SHUTDOWN)
    assert rig.host.stopped == [("c-t1", 3)]
    assert rig.host.records["c-t1"].endpoints == ()
    ended = msgspec.structs.replace(gone, status=TaskStatus(state=TaskState.SHUTDOWN))
    rig.assign({"t1": ended})
    said = len(rig.reports)
    await asyncio.sleep(0.02)
    assert (list(rig.host.records), len(rig.reports)) == (["c-t1"], said)
    rig.assign({})
    await rig.until(lambda: rig.host.records == {})


async def test_a_task_that_is_to_be_gone_takes_its_container_along(rig):
    rig.assign({"t1": task()})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.assign({"t1": task(desired=TaskState.REMOVE)})
    await rig.until(lambda: rig.states()[-1] == TaskState.SHUTDOWN)
    assert rig.host.records == {}


async def test_a_task_is_stopped_when_all_hosts_know_and_its_connections_are_over(rig, monkeypatch):
    monkeypatch.setattr(drain, "SETTLE", 600.0)
    options = {"skep.drain": "10m"}
    rig.assign({"t1": msgspec.structs.replace(task(), options=options)}, index=4)
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.open = [2, 1]
    gone = {"t1": msgspec.structs.replace(task(desired=TaskState.SHUTDOWN), options=options)}
    rig.assign(gone, index=5, settled=4)
    await asyncio.sleep(0.03)
    assert rig.open == [2, 1], "not all hosts have heard"
    rig.assign(gone, index=6, settled=5)
    await rig.until(lambda: rig.host.stopped == [("c-t1", 10)])
    assert rig.open == []


async def test_the_options_of_a_removed_service_still_count(rig):
    options = {"skep.drain": "0s"}
    rig.assign({"t1": msgspec.structs.replace(task(), options=options)})
    await rig.until(lambda: TaskState.RUNNING in rig.states())
    rig.open = [1] * 10_000
    rig.assign({"t1": task(desired=TaskState.REMOVE)})
    await rig.until(lambda: rig.host.stopped == [("c-t1", 10)])
    assert len(rig.open) == 9999


async def test_ports_of_its_own_host_are_reported(rig):
    port = PortConfig(target_port=80, published_port=32768, publish_mode="host")
    rig.assign({"t1": msgspec.structs.replace(task(), host_ports=(port,))})
    await rig.until(lambda: rig.states()[-1:] == [TaskState.RUNNING])
    assert rig.reports[-1].ports == (port,)


def test_the_time_to_drain_is_the_options_or_the_grace():
    assert drain_time(task(stop_grace_period=3_000_000_000)) == 3.0
    options = {"skep.drain": "1m"}
    assert drain_time(msgspec.structs.replace(task(), options=options)) == 60.0


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


@pytest.mark.parametrize("where", ["create", "start", "state"])
async def test_an_engine_that_is_away_fails_no_task(rig, where, monkeypatch):
    """It is looked at again when the engine is back."""
    monkeypatch.setattr(tasks, "RETRY", 0.01)
    rig.host.broken[where] = EngineLost("Cannot reach the container engine")
    rig.assign({"t1": task()})
    await rig.until(lambda: rig.host.refused >= 2)
    rig.host.broken.clear()
    await rig.until(lambda: rig.states()[-1:] == [TaskState.RUNNING])
    assert TaskState.FAILED not in rig.states()


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
