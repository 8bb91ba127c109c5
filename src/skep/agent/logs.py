"""Sending containers' logs to a manager that asks: ``docker service logs`` reads all hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from skep.engine.client import Engine
from skep.engine.transport import ErrorReply
from skep.model.errors import Refusal
from skep.model.messages import LogPiece, ReadLogs

PIECE = 64 << 10
"""Bytes of a log in one message, at most."""

Send = Callable[[LogPiece], Awaitable[bool]]


class Logs:
    """The logs that are being read from this host."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading: dict[int, asyncio.Task[None]] = {}

    def read(self, request: ReadLogs, send: Send) -> None:
        """Begin to send a container's log, in pieces, until it ends or nobody listens."""
        self.stop(request.serial)
        reader = asyncio.create_task(self._read(request, send))
        self._reading[request.serial] = reader
        reader.add_done_callback(lambda _: self._reading.pop(request.serial, None))

    def stop(self, serial: int) -> None:
        """Nobody listens any more."""
        reader = self._reading.pop(serial, None)
        if reader is not None:
            reader.cancel()

    def stop_all(self) -> None:
        """The session ended."""
        for serial in list(self._reading):
            self.stop(serial)

    async def _read(self, request: ReadLogs, send: Send) -> None:
        try:
            tty = await self._tty(request.container_id)
            path = f"/containers/{request.container_id}/logs"
            async for piece in self._pieces(path, request.options):
                if not await send(LogPiece(serial=request.serial, data=piece, tty=tty)):
                    return
        except Refusal as refusal:
            await send(LogPiece(serial=request.serial, end=True, refusal=str(refusal)))
            return
        await send(LogPiece(serial=request.serial, tty=tty, end=True))

    async def _tty(self, container_id: str) -> bool:
        inspected = await self._engine.inspect(container_id)
        return bool((inspected.get("Config") or {}).get("Tty"))

    async def _pieces(self, path: str, options: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        reply = await self._engine.request("GET", path, params=options)
        if isinstance(reply, ErrorReply):
            raise reply.refusal
        try:
            async for chunk in reply.chunks():
                for start in range(0, len(chunk), PIECE):
                    yield chunk[start : start + PIECE]
        finally:
            await reply.close()
