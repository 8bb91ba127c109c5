"""Reading tasks' logs from the hosts they run on, over the sessions that those hosts have anyway.

Each log has a serial of its own: pieces that come with it go to whoever asked. A host is believed
about the logs that were asked of it, and no others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping

from skep.manager.manager import Manager
from skep.model.cluster import Task
from skep.model.errors import Refusal, Unavailable
from skep.model.messages import LOG_WINDOW, LogPiece, MoreLogs, ReadLogs, StopLogs
from skep.wire.server import Session

TOO_MUCH = 2 * LOG_WINDOW
"""What a host may send of one log without being asked: more than it should, then it is no log."""


class LogHub:
    """The logs that are being read now. ``session_of`` gives a node's session, None without one."""

    def __init__(self, manager: Manager, session_of: Callable[[str], Session | None]) -> None:
        self._manager = manager
        self._session_of = session_of
        self._serial = 0
        self._reading: dict[int, _Log] = {}

    async def read(self, task: Task, options: Mapping[str, str]) -> AsyncGenerator[LogPiece, None]:
        """The log of a task's container, piece by piece. ``options`` are the query parameters of
        ``GET /containers/x/logs``.

        The last piece has ``end`` set, and a ``refusal`` with its ``status`` if there could be
        more: the host cannot be reached (503), has no such container (404). Close the generator
        to have the host stop.
        """
        session = self._session_of(task.node_id)
        if session is None:
            yield self._lost(task.node_id)
            return
        self._serial += 1
        serial = self._serial
        log = self._reading[serial] = _Log(session)
        try:
            await session.send(
                ReadLogs(serial=serial, container_id=task.status.container_id, options={**options})
            )
            while True:
                piece = await log.next()
                yield piece
                if piece.end:
                    return
                if weight := log.read(piece):
                    await session.send(MoreLogs(serial=serial, weight=weight))
        except Unavailable:
            yield self._lost(task.node_id)
        finally:
            del self._reading[serial]
            if log.runs:
                with contextlib.suppress(Refusal):
                    await session.send(StopLogs(serial=serial))

    def take(self, session: Session, piece: LogPiece) -> None:
        """A piece has come over a session."""
        log = self._reading.get(piece.serial)
        if log is not None and log.session is session:
            log.put(piece)

    def lost(self, session: Session) -> None:
        """A session has ended, and with it the logs that came over it."""
        for log in self._reading.values():
            if log.session is session:
                log.put(self._lost(session.node_id))

    def _lost(self, node_id: str) -> LogPiece:
        node = self._manager.state.nodes.get(node_id)
        name = node.description.hostname if node else node_id
        return LogPiece(serial=0, end=True, refusal=f"node {name} is not available", status=503)


class _Log:
    """One log: what has come of it and was not read yet."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.runs = True
        """Whether the host goes on sending."""
        self._ended = False
        self._pieces: deque[LogPiece] = deque()
        self._came = asyncio.Event()
        self._waiting = 0
        self._unsaid = 0

    def put(self, piece: LogPiece) -> None:
        """A piece has come. What comes after the end is not this log's."""
        self.runs = self.runs and not piece.end
        if self._ended:
            return
        self._waiting += piece.weight
        if self._waiting > TOO_MUCH:
            reason = f"node {self.session.node_id} sends more of a log than it was asked for"
            piece = LogPiece(serial=piece.serial, end=True, refusal=reason, status=500)
        self._ended = piece.end
        self._pieces.append(piece)
        self._came.set()

    async def next(self) -> LogPiece:
        """The next piece, as soon as there is one."""
        while not self._pieces:
            self._came.clear()
            await self._came.wait()
        return self._pieces.popleft()

    def read(self, piece: LogPiece) -> int:
        """Note that a piece has been read; how much more the host should be told to send, if it is
        time to tell."""
        self._waiting -= piece.weight
        self._unsaid += piece.weight
        if self._ended or self._unsaid < LOG_WINDOW // 2:
            return 0
        weight, self._unsaid = self._unsaid, 0
        return weight
