"""Running the tasks that the cluster assigned to this host, and saying how they fare.

One coroutine a task: create, start, watch, stop, remove. What is true is asked of the engine, so a
restarted agent picks up where the last one was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from skep.agent.body import task_body
from skep.agent.containers import Containers
from skep.agent.drain import Draining
from skep.agent.health import Health
from skep.agent.opening import Opening, ports_of
from skep.agent.payloads import Payloads
from skep.agent.records import Record, container_of
from skep.model.assignment import Assignment
from skep.model.cluster import Task, TaskState, TaskStatus
from skep.model.errors import EngineLost, Invalid, Missing, Refusal, Unsupported
from skep.model.options import read_options
from skep.model.spec import SECOND, PortConfig

Json = dict[str, Any]
Report = Callable[[dict[str, TaskStatus]], Awaitable[None]]

REJECTING = (Missing, Invalid, Unsupported)
"""What no second try on the same host would change: the task is rejected."""

GRACE = 10
"""Seconds between a task's stop signal and its kill, when its spec names none."""

RETRY = 1.0
"""Seconds until a step that could not be done is tried again."""

log = structlog.get_logger("skep.tasks")


class Clients(NamedTuple):
    """When a task's clients may come, and when they have gone."""

    opening: Opening
    draining: Draining


class Tasks:
    """The tasks of one host. ``report`` passes statuses on to a manager."""

    def __init__(
        self,
        containers: Containers,
        health: Health,
        payloads: Payloads,
        clients: Clients,
        report: Report,
    ) -> None:
        self._containers = containers
        self._health = health
        self._payloads = payloads
        self._opening, self._draining = clients
        self._report = report
        self._assignment = Assignment()
        self._wanted: dict[str, Task] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._news: dict[str, asyncio.Event] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._leaving: dict[str, int] = {}
        self._put_away: set[str] = set()
        self._drain_times: dict[str, float] = {}
        self.statuses: dict[str, TaskStatus] = {}

    async def run(self) -> None:
        """Live until cancelled; containers live on. A bug in one task's life ends the daemon."""
        async with asyncio.TaskGroup() as self._group:
            self.assigned(self._assignment)
            await asyncio.Event().wait()

    def assigned(self, assignment: Assignment) -> None:
        """The tasks that should be here, with their desired states; all others must go."""
        mine = {i: t for i, t in assignment.tasks.items() if t.service_id}
        self._assignment = assignment
        gone = set(self._wanted) - set(mine)
        self._wanted = mine
        stopping = {i for i, task in mine.items() if not task.wanted}
        self._leaving = {i: self._leaving.get(i, assignment.index) for i in stopping}
        # A service that is removed takes its options along: the last ones count.
        self._drain_times = {
            i: self._drain_times.get(i, drain_time(task)) if i in stopping else drain_time(task)
            for i, task in mine.items()
        }
        self._draining.settled(assignment.settled)
        if self._group is None:
            return
        self._payloads.keep_only({*mine, *(r.task_id for r in self._containers.task_records())})
        orphans = {r.task_id for r in self._containers.task_records()} - set(mine)
        for task_id in set(mine) | gone | orphans:
            self._changed.setdefault(task_id, asyncio.Event()).set()
            if task_id not in self._running or self._running[task_id].done():
                self._running[task_id] = self._group.create_task(self._live(task_id))

    def heard(self, container_id: str) -> None:
        """Something happened to a container: it ended, or its health changed."""
        if container_id in self._news:
            self._news[container_id].set()

    # --- one task's life

    async def _live(self, task_id: str) -> None:
        while True:
            self._changed[task_id].clear()
            try:
                if await self._step(task_id):
                    break
            except Refusal as refusal:
                log.warning("task not brought to its state", task=task_id, why=str(refusal))
                await asyncio.sleep(RETRY)
                continue
            await self._changed[task_id].wait()
        self._changed.pop(task_id, None)
        self._put_away.discard(task_id)
        self.statuses.pop(task_id, None)
        self._running.pop(task_id, None)

    async def _step(self, task_id: str) -> bool:
        """Bring the task one assignment further; True when there is nothing left to do."""
        task = self._wanted.get(task_id)
        record = self._containers.task_record(task_id)
        if task is None or not task.wanted:
            if record is not None:
                if not self._is_put_away(task):
                    await self._end(task, record)
            elif task is not None and not is_over(task):
                await self._say(task, TaskState.SHUTDOWN, "shutdown")
            return task is None
        if is_over(task) or self._final(task_id):
            return False
        await self._begin(task, record)
        return False

    def _is_put_away(self, task: Task | None) -> bool:
        """Whether its container has been stopped, and is only kept."""
        return (
            task is not None and task.desired_state < TaskState.REMOVE and task.id in self._put_away
        )

    def _final(self, task_id: str) -> bool:
        status = self.statuses.get(task_id)
        return status is not None and status.state > TaskState.RUNNING

    async def _begin(self, task: Task, record: Record | None) -> None:
        try:
            if record is None:
                await self._say(task, TaskState.PREPARING, "preparing")
                record = await self._containers.create_task(task, self._body(task))
            state = await self._containers.state(record.id)
            if state.get("Status") in ("exited", "stopped") and started(state):
                await self._ended(task, record, state)
                return
            if not state.get("Running"):
                await self._say(task, TaskState.STARTING, "starting", record=record)
            await self._containers.start_record(record.id, task)
            await self._watch(task, record)
        except EngineLost:
            raise  # no fault of the task's, which may well run: look again when it is back
        except Refusal as refusal:
            state_ = TaskState.REJECTED if isinstance(refusal, REJECTING) else TaskState.FAILED
            await self._say(task, state_, str(refusal.args[0]), error=str(refusal), record=record)

    def _body(self, task: Task) -> Json:
        body = task_body(task)
        known = self._assignment
        files = self._payloads.mounts(task, known.secrets, known.configs)
        if files:
            host = body["HostConfig"]
            host["Mounts"] = [*host.get("Mounts", []), *files]
        return body

    async def _watch(self, task: Task, record: Record) -> None:
        """Report how it runs, until its process ends or it is wanted no more.

        A task with a health check counts as running from its first success on, another one from
        when it listens; one that is found unhealthy has failed.
        """
        news = self._news.setdefault(record.id, asyncio.Event())
        changed = self._changed[task.id]
        await self._health.started(record.id)
        while True:
            news.clear()
            state = await self._containers.state(record.id)
            if not state.get("Running"):
                await self._ended(task, record, state)
                return
            health = self._health.statuses.get(record.id, "healthy")
            if health == "unhealthy":
                await self._containers.stop(container_of(record), grace(task))
                await self._say(
                    task, TaskState.FAILED, "started", record=record, error="unhealthy container"
                )
                return
            if health == "healthy":
                await self._opened(task, lambda: news.is_set() or changed.is_set())
                pid = state.get("Pid", 0)
                ports = self._ports(task)
                await self._say(
                    task, TaskState.RUNNING, "started", record=record, pid=pid, ports=ports
                )
            await first(news, changed)
            wanted = self._wanted.get(task.id)
            if wanted is None or not wanted.wanted:
                return
            changed.clear()

    async def _opened(self, task: Task, over: Callable[[], bool]) -> None:
        """Wait a moment for its process to listen, unless it was told to run before."""
        record = self._containers.task_record(task.id)
        told = self.statuses.get(task.id, task.status).state >= TaskState.RUNNING
        if record is not None and record.sandbox is not None and not told:
            ports = ports_of(task, record.exposed_ports, self._assignment)
            await self._opening.wait(record.sandbox.namespace, ports, over)

    def _ports(self, task: Task) -> tuple[PortConfig, ...]:
        """What this host alone publishes for the task, numbers chosen here filled in."""
        record = self._containers.task_record(task.id)
        return record.ports if record else ()

    async def _ended(self, task: Task, record: Record, state: Json) -> None:
        # Whoever hears that it ended may take its addresses.
        await self._containers.retire(record.id)
        code = int(state.get("ExitCode") or 0)
        if code == 0:
            await self._say(task, TaskState.COMPLETE, "finished", record=record)
        else:
            await self._say(
                task, TaskState.FAILED, "started", record=record, exit_code=code,
                error=state.get("Error") or f"task: non-zero exit ({code})",
            )  # fmt: skip

    async def _end(self, task: Task | None, record: Record) -> None:
        """Stop the container of a task that is wanted no more, its clients first. It is kept while
        the task is remembered, then removed."""
        container = container_of(record)
        if task is not None and record.endpoints:
            await self._drain(task, record)
        with contextlib.suppress(Missing):
            await self._containers.stop(container, grace(task))
        self._news.pop(record.id, None)
        self._payloads.remove(record.task_id)
        if task is None or task.desired_state >= TaskState.REMOVE:
            await self._containers.remove(container, force=True, volumes=True)
        else:
            await self._containers.retire(record.id)
            self._put_away.add(task.id)
        if task is not None and not self._final(task.id) and not is_over(task):
            await self._say(task, TaskState.SHUTDOWN, "shutdown", record=record)

    async def _drain(self, task: Task, record: Record) -> None:
        async def alive() -> bool:
            current = self._containers.task_record(task.id)
            return current is not None and bool(current.endpoints)

        box = record.sandbox
        since = self._leaving.get(task.id, self._assignment.index)
        if box is not None:
            seconds = self._drain_times.get(task.id, drain_time(task))
            await self._draining.drain(box.namespace, since, seconds, alive)

    async def _say(
        self,
        task: Task,
        state: TaskState,
        message: str,
        *,
        record: Record | None = None,
        **details: Any,
    ) -> None:
        status = TaskStatus(
            state=state,
            timestamp=time.time(),
            message=message,
            container_id=record.id if record else "",
            **details,
        )
        known = self.statuses.get(task.id, task.status)
        if msgspec.structs.replace(status, timestamp=known.timestamp) == known:
            self.statuses[task.id] = known
            return
        self.statuses[task.id] = status
        await self._report({task.id: status})


async def first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def started(state: Json) -> bool:
    """Whether a container in this state was ever started."""
    return not str(state.get("StartedAt") or "0001").startswith("0001")


def is_over(task: Task) -> bool:
    """Whether the manager knows that it has ended."""
    return task.status.state > TaskState.RUNNING


def drain_time(task: Task) -> float:
    """Seconds that open connections have before a task's process gets its signal."""
    options, _ = read_options(task.options)
    return float(grace(task)) if options.drain is None else options.drain


def grace(task: Task | None) -> int:
    """Seconds that the task's process has between signal and kill."""
    spec = task.spec.container_spec if task else None
    if spec is None or spec.stop_grace_period is None:
        return GRACE
    return max(0, round(spec.stop_grace_period / SECOND))
