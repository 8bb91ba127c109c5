"""Logs of services and tasks: many containers on many hosts, one answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import structlog
from aiohttp import web

from skep.api import streams
from skep.api.call import Call
from skep.api.loglines import PROBLEM, STDERR, STDOUT, Lines, frame, labelled
from skep.api.ports import LogPiece
from skep.api.shapes.base import instant
from skep.model.cluster import Task, TaskState
from skep.model.errors import Invalid, Missing, Unavailable
from skep.model.spec import TaskSpec

PASSED_ON = ("stdout", "stderr", "timestamps", "since", "until", "tail")
LABELS = "com.docker.swarm"

LOOK = 0.25
"""Seconds between looks at what tasks there are, while they are followed."""

AT_ONCE = 8
"""How many logs are read at the same time if they are not followed."""

INCOMPLETE = (
    "Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. some "
    "logs could not be retrieved for the following reasons: {}\n"
)

log = structlog.get_logger("skep.api")


async def of_service(call: Call) -> web.StreamResponse:
    """``GET /services/{id}/logs``: of all its tasks, those of its history included; with
    ``follow`` also of those that are still to come, until the service is removed."""
    service = call.ports.cluster.state().find_service(call.parts["id"])

    def tasks() -> list[Task]:
        return call.ports.cluster.state().tasks_of_service(service.id)

    def is_over() -> bool:
        return service.id not in call.ports.cluster.state().services

    return await _answer(call, Asked(tasks, is_over, has_terminal(service.spec.task_template)))


async def of_task(call: Call) -> web.StreamResponse:
    """``GET /tasks/{id}/logs``: with ``follow`` until the task is dead."""
    task = call.ports.cluster.state().find_task(call.parts["id"])

    def tasks() -> list[Task]:
        known = call.ports.cluster.state().tasks.get(task.id)
        return [known] if known else []

    def is_over() -> bool:
        return not any(_lives(task) for task in tasks())

    return await _answer(call, Asked(tasks, is_over, has_terminal(task.spec)))


def has_terminal(spec: TaskSpec) -> bool:
    """Whether its containers' output is that of a terminal, which is not framed."""
    return bool(spec.container_spec and spec.container_spec.tty)


class Asked(msgspec.Struct, frozen=True):
    """What is asked for: the tasks that there are now, whether no more of them can come, and
    whether the client takes a terminal's raw output."""

    tasks: Callable[[], list[Task]]
    is_over: Callable[[], bool]
    tty: bool


async def _answer(call: Call, asked: Asked) -> web.StreamResponse:
    if not (call.flag("stdout") or call.flag("stderr")):
        raise Invalid("Bad parameters: you must choose at least one stream")
    response = web.StreamResponse(
        headers={"Content-Type": streams.media_type(call.version, tty=asked.tty)}
    )
    await response.prepare(call.request)
    gathering = Gathering(call, asked, response)
    try:
        await (gathering.follow() if call.flag("follow") else gathering.once())
    except* ConnectionError:
        log.info("a client left while it was sent logs", path=call.request.path)
    else:
        await response.write_eof()
    return response


class Gathering:
    """The logs of several tasks on their way into one answer."""

    def __init__(self, call: Call, asked: Asked, response: web.StreamResponse) -> None:
        self._call = call
        self._asked = asked
        self._response = response
        self._options = {name: call.query(name) for name in PASSED_ON if call.query(name)}
        self._reading: set[str] = set()
        self._done: set[str] = set()
        self._read_until: dict[str, float] = {}
        self._lost: set[str] = set()

    # --- what there is

    async def once(self) -> None:
        """All that was logged so far; at the end, what is missing of it and why."""
        turn = asyncio.Semaphore(AT_ONCE)
        tasks = sorted(self._asked.tasks(), key=_order)
        problems = [
            f"task {task.id} has not been scheduled"
            for task in tasks
            if _lives(task) and not task.node_id
        ]

        async def read(task: Task) -> None:
            async with turn:
                last = await self._copy(task, self._options)
            if last.refusal and last.refusal not in problems and not _is_gone(task, last):
                problems.append(last.refusal)

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                if task.status.container_id:
                    group.create_task(read(task))
        if problems:
            await self._complain(INCOMPLETE.format(", ".join(problems)))

    async def _complain(self, sentence: str) -> None:
        text = sentence.encode()
        await self._response.write(text if self._asked.tty else frame(PROBLEM, text))

    # --- what is still to come

    async def follow(self) -> None:
        """All that was logged and will be, until nothing more can come."""
        early = {task.id for task in self._asked.tasks() if task.status.container_id}
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for task in sorted(self._asked.tasks(), key=_order):
                        if self._can_begin(task):
                            self._reading.add(task.id)
                            options = self._from_now(task, is_early=task.id in early)
                            group.create_task(self._follow_one(task, options))
                    if self._asked.is_over() and not self._reading:
                        return
                    await asyncio.sleep(LOOK)
        except* Unavailable:
            log.info("no manager any more: nothing more can come", path=self._call.request.path)

    def _can_begin(self, task: Task) -> bool:
        if task.id in self._reading or task.id in self._done or not task.status.container_id:
            return False
        node = self._call.ports.cluster.state().nodes.get(task.node_id)
        return task.id not in self._lost or (node is not None and node.state == "ready")

    def _from_now(self, task: Task, *, is_early: bool) -> dict[str, str]:
        """What to ask of a task's log: what was asked for, of one that came later all, of one that
        was read already what came since."""
        options = {**self._options, "follow": "1"} if _lives(task) else {**self._options}
        if task.id in self._read_until:
            options["since"] = f"{self._read_until[task.id]:.9f}"
        if task.id in self._read_until or not is_early:
            options.pop("tail", None)
        return options

    async def _follow_one(self, task: Task, options: dict[str, str]) -> None:
        """Follow one task's log to its end. What ends before its task does is taken up again."""
        last = await self._copy(task, options)
        known = next((found for found in self._asked.tasks() if found.id == task.id), None)
        is_lost = last.status == Unavailable.status
        if last.refusal and task.id not in self._lost and not _is_gone(known or task, last):
            await self._remark(task, last.refusal)
        if is_lost:
            self._lost.add(task.id)
        elif last.refusal or known is None or not _lives(task):
            self._done.add(task.id)
        self._reading.discard(task.id)

    async def _remark(self, task: Task, sentence: str) -> None:
        """Tell of a log that cannot be read just now, among the others that can."""
        stamp = f"{instant(time.time())} " if self._call.flag("timestamps") else ""
        stream = STDERR if self._call.flag("stderr") else STDOUT
        line = f"{stamp}{sentence}\n".encode()
        await self._response.write(self._lines(task).line(stream, line))

    # --- one log

    async def _copy(self, task: Task, options: dict[str, str]) -> LogPiece:
        """Send a task's log to the client; answers its last piece."""
        lines = self._lines(task)
        try:
            pieces = self._call.ports.cluster.logs(task.id, options)
        except Missing as missing:  # the history was cut meanwhile
            return LogPiece(serial=0, end=True, refusal=str(missing), status=missing.status)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if piece.data:
                    self._read_until[task.id] = time.time()
                    self._lost.discard(task.id)
                    await self._write(lines.feed(piece.data, raw=piece.tty))
                if piece.end:
                    await self._write(lines.end())
                    return piece
        raise AssertionError("a log's last piece is marked as such")

    def _lines(self, task: Task) -> Lines:
        labels = {
            f"{LABELS}.node.id": task.node_id,
            f"{LABELS}.service.id": task.service_id,
            f"{LABELS}.task.id": task.id,
        }
        return Lines(
            labelled(labels) if self._call.flag("details") else b"",
            timestamps=self._call.flag("timestamps"),
            framed=not self._asked.tty,
        )

    async def _write(self, data: bytes) -> None:
        if data:
            await self._response.write(data)


def _order(task: Task) -> tuple[int, str, float]:
    return task.slot, task.node_id, task.created_at


def _lives(task: Task) -> bool:
    return task.status.state <= TaskState.RUNNING


def _is_gone(task: Task, last: LogPiece) -> bool:
    """A dead task's container was removed, and its log with it: that is no fault."""
    return not _lives(task) and last.status == Missing.status
