"""The agent's side of its session with a manager: what it is told, what it says, what it asks.

The last assignment is kept on disk: a host that starts while no manager answers serves on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import msgspec
import structlog

from skep.agent.logs import Logs
from skep.agent.statefile import forget, read, write_atomically
from skep.cluster.delta import patch
from skep.model.assignment import Assignment
from skep.model.cluster import Grounds, TakenPort, TaskStatus
from skep.model.errors import Broken, Refusal, Unavailable, refusal_kind
from skep.model.messages import (
    Assign,
    Attach,
    Attached,
    Beat,
    Detach,
    FromAgent,
    FromManager,
    Goodbye,
    Hello,
    Keys,
    Listening,
    LogPiece,
    MoreLogs,
    Offers,
    ReadLogs,
    ReadState,
    Resync,
    StateAnswer,
    Status,
    StopLogs,
    StopState,
)
from skep.model.secure import TunnelKey
from skep.wire.client import AgentConnection

ANSWER_WITHIN = 10.0
"""Seconds that an agent waits for a manager's answer."""

SESSION_WITHIN = 5.0
"""Seconds that a question waits for a session: a manager that starts anew is back within them."""

ASSIGNED_WITHIN = 20.0
"""Seconds that a start waits for an assignment that a manager has to say again."""

GIVEN_BACK_WITHIN = 2.0
"""Seconds that an end waits until a manager has taken addresses back."""

Send = Callable[[StateAnswer], Awaitable[bool]]
"""Sends a piece of an answer; False if there is no session."""

log = structlog.get_logger("skep.uplink")


class Uplink:
    """One host's session. ``assigned`` is called with every new assignment, in order."""

    def __init__(
        self,
        path: Path,
        assigned: Callable[[Assignment], Awaitable[None]],
        removed: Callable[[str], Awaitable[None]],
        logs: Logs,
    ) -> None:
        self._path = path
        self._assigned = assigned
        self._removed = removed
        self._logs = logs
        self._connection: AgentConnection | None = None
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Attached]] = {}
        self._owed: dict[str, None] = {}
        self._taken: tuple[TakenPort, ...] | None = None
        self._keys: tuple[TunnelKey, ...] = ()
        self._grounds = Grounds()
        self.statuses: dict[str, TaskStatus] = {}
        self.on_read_state: Callable[[ReadState, Send], None] = lambda *_: None
        self.on_stop_state: Callable[[int], None] = lambda _: None
        self.assignment = Assignment()
        self._heard = asyncio.Event()

    def load(self) -> None:
        """Take up the last assignment that this host was given, if it can be read."""
        try:
            kept = read(self._path, Assignment, decode=msgspec.msgpack.decode)
            self.assignment = kept or Assignment()
        except Broken as broken:
            log.warning("last assignment unreadable", why=str(broken))

    async def have_assignment(self) -> None:
        """A host whose last assignment is lost or damaged, while it has containers of the swarm,
        must hear from a manager before it changes anything: wait for that. Raises `Unavailable`
        if none speaks."""
        if self.assignment.index:
            return
        log.error("the last assignment is lost; waiting for a manager")
        try:
            async with asyncio.timeout(ASSIGNED_WITHIN):
                await self._heard.wait()
        except TimeoutError as error:
            raise Unavailable(
                f"{self._path} with this host's last assignment is lost or damaged, and no manager"
                " says what it was: containers and networks stay as they are until one can be"
                " reached"
            ) from error

    def forget(self) -> None:
        """The host left its swarm."""
        forget(self._path)
        self.assignment = Assignment()
        self.statuses.clear()
        self._owed.clear()

    async def run(self, connection: AgentConnection) -> None:
        """Follow one connection (which reconnects by itself) until cancelled."""
        self._connection = connection
        try:
            async for message in connection.messages():
                await self._take(message)
        finally:
            self._connection = None

    def greeting(self, hello: Hello) -> list[FromAgent]:
        """What begins a (new) session: Hello, then what the last one may have lost."""
        self._logs.stop_all()
        said: list[FromAgent] = [hello]
        if self._keys:
            said.append(Keys(keys=self._keys))
        said.append(Offers(grounds=self._grounds))
        if self.statuses:
            said.append(Status(tasks=dict(self.statuses)))
        if self._taken is not None:
            said.append(Listening(ports=self._taken))
        return [*said, *(Detach(task_id=task_id) for task_id in self._owed)]

    # --- what is said

    async def report(self, statuses: dict[str, TaskStatus]) -> None:
        """Tell the manager what was observed; kept and said again if there is none now."""
        self.statuses.update(statuses)
        for task_id in [i for i in self.statuses if i not in self.assignment.tasks]:
            if task_id not in statuses:
                del self.statuses[task_id]
        await self._send(Status(tasks=statuses))

    async def listening(self, taken: tuple[TakenPort, ...]) -> None:
        """Tell which ports this host's programs listen on; told again when a session begins."""
        self._taken = taken
        await self._send(Listening(ports=taken))

    async def keys(self, keys: tuple[TunnelKey, ...]) -> None:
        """Tell the public halves of this host's keys; told again when a session begins."""
        self._keys = keys
        await self._send(Keys(keys=keys))

    async def offers(self, grounds: Grounds) -> None:
        """Tell what this host has for networks on its links; told again when a session begins."""
        if grounds != self._grounds:
            self._grounds = grounds
            await self._send(Offers(grounds=grounds))

    async def attach(self, request: Callable[[int], Attach]) -> Attached:
        """Ask for addresses on swarm networks. Raises the manager's refusal, or `Unavailable`."""
        self._serial += 1
        serial = self._serial
        future: asyncio.Future[Attached] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = future
        try:
            await self._connected()
            if not await self._send(request(serial)):
                raise Unavailable("no manager of the swarm can be reached just now")
            answer = await asyncio.wait_for(future, ANSWER_WITHIN)
        except TimeoutError as error:
            raise Unavailable("no manager of the swarm answered in time") from error
        finally:
            self._waiting.pop(serial, None)
        if answer.refusal:
            raise refusal_kind(answer.status)(answer.refusal)
        return answer

    async def detach(self, task_id: str) -> bool:
        """Give the addresses of an attachment back; said again when a session begins, until a
        manager has taken them: what is said last on a session that ends may not have been heard.
        Answers whether there is a session to say it on."""
        self._owed[task_id] = None
        return await self._send(Detach(task_id=task_id))

    async def given_back(self, task_ids: Collection[str]) -> None:
        """Wait, for a while, until a manager has taken these: who removes a container may remove
        its network next."""
        left = self._owed.keys() & task_ids & self.assignment.tasks.keys()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVEN_BACK_WITHIN):
                while left & self._owed.keys():
                    self._heard.clear()
                    await self._heard.wait()

    async def beat(self, applied: int) -> None:
        """Say that this host is alive and how far it has come."""
        await self._send(Beat(applied=applied))

    async def goodbye(self, reason: str) -> None:
        """Say that this host leaves."""
        await self._send(Goodbye(reason=reason))

    async def send_patiently(self, piece: LogPiece | StateAnswer) -> bool:
        """Send one of many messages when there is room; False if there is no session."""
        if self._connection is None:
            return False
        try:
            await self._connection.send_patiently(piece)
        except Refusal:
            return False
        return True

    async def _connected(self) -> None:
        """Wait for a session, for a while. Raises `Unavailable` if none comes about."""
        connection = self._connection
        if connection is None:
            raise Unavailable("no manager of the swarm can be reached just now")
        try:
            await asyncio.wait_for(connection.connected.wait(), SESSION_WITHIN)
        except TimeoutError:
            raise Unavailable(
                f"no manager of the swarm can be reached just now ({connection.problem})"
            ) from None

    async def _send(self, message: FromAgent) -> bool:
        if self._connection is None:
            return False
        try:
            await self._connection.send(message)
        except Refusal:
            return False
        return True

    # --- what is heard

    async def _take(self, message: FromManager) -> None:
        match message:
            case Assign(delta=delta):
                known = self.assignment if delta.base else None
                if known is not None and known.index != delta.base:
                    await self._send(Resync())
                    return
                if known is None or delta.index >= known.index:
                    await self._adopt(patch(known, delta))
            case Attached(serial=serial):
                future = self._waiting.get(serial)
                if future is not None and not future.done():
                    future.set_result(message)
            case ReadLogs():
                self._logs.read(message, self.send_patiently)
            case MoreLogs(serial=serial, weight=weight):
                self._logs.more(serial, weight)
            case ReadState():
                self.on_read_state(message, self.send_patiently)
            case StopState(serial=serial):
                self.on_stop_state(serial)
            case StopLogs(serial=serial):
                self._logs.stop(serial)
            case Goodbye(reason=reason):
                await self._removed(reason)

    async def _adopt(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self._heard.set()
        self._owed = {each: None for each in self._owed if each in assignment.tasks}
        with contextlib.suppress(Broken):
            # Secrets are for memory alone.
            kept = msgspec.structs.replace(assignment, secrets={}, configs={})
            write_atomically(self._path, msgspec.msgpack.encode(kept))
        await self._assigned(assignment)
