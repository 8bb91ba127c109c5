"""Sending containers' logs to a manager that asks: ``docker service logs`` reads all hosts.

A log is sent no faster than it is read at the other end: `LOG_WINDOW` of it may be under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from skep.engine.client import Engine
from skep.engine.transport import ErrorReply
from skep.model.errors import Refusal
from skep.model.messages import LOG_WINDOW, LogPiece, ReadLogs

PIECE = 64 << 10
"""Bytes of a log in one message, at most."""

Send = Callable[[LogPiece], Awaitable[bool]]


class Logs:
    """The logs that are being read from this host."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading: dict[int, Reading] = {}

    def read(self, request: ReadLogs, send: Send) -> None:
        """Begin to send a container's log, in pieces, until it ends or nobody listens."""
        self.stop(request.serial)
        reading = Reading(self._engine, request, send)
        self._reading[request.serial] = reading
        reading.task.add_done_callback(lambda _: self._forget(reading))

    def more(self, serial: int, weight: int) -> None:
        """So much of a log has been read at the other end."""
        reading = self._reading.get(serial)
        if reading is not None:
            reading.more(weight)

    def stop(self, serial: int) -> None:
        """Nobody listens any more."""
        reading = self._reading.pop(serial, None)
        if reading is not None:
            reading.task.cancel()

    def stop_all(self) -> None:
        """The session ended."""
        for serial in list(self._reading):
            self.stop(serial)

    def _forget(self, reading: Reading) -> None:
        if self._reading.get(reading.serial) is reading:
            del self._reading[reading.serial]


class Reading:
    """One log on its way to a manager."""

    def __init__(self, engine: Engine, request: ReadLogs, send: Send) -> None:
        self._engine = engine
        self._request = request
        self._send = send
        self._room = LOG_WINDOW
        self._has_room = asyncio.Event()
        self.serial = request.serial
        self.task = asyncio.create_task(self._run())

    def more(self, weight: int) -> None:
        """The other end has read so much."""
        self._room += weight
        self._has_room.set()

    async def _run(self) -> None:
        serial = self.serial
        try:
            tty = await self._tty()
            async for data in self._pieces():
                if not await self._pass(LogPiece(serial=serial, data=data, tty=tty)):
                    return
        except Refusal as refusal:
            told = LogPiece(serial=serial, end=True, refusal=str(refusal), status=refusal.status)
            await self._send(told)
            return
        await self._send(LogPiece(serial=serial, tty=tty, end=True))

    async def _pass(self, piece: LogPiece) -> bool:
        while self._room <= 0:
            self._has_room.clear()
            await self._has_room.wait()
        self._room -= piece.weight
        return await self._send(piece)

    async def _tty(self) -> bool:
        inspected = await self._engine.inspect(self._request.container_id)
        return bool((inspected.get("Config") or {}).get("Tty"))

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        path = f"/containers/{self._request.container_id}/logs"
        options: Mapping[str, str] = self._request.options
        reply = await self._engine.request("GET", path, params=options)
        if isinstance(reply, ErrorReply):
            raise reply.refusal
        try:
            async for chunk in reply.chunks():
                for start in range(0, len(chunk), PIECE):
                    yield chunk[start : start + PIECE]
        finally:
            await reply.close()
