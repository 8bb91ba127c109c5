"""skepd's side: keeping skep-dns's table what it should be, with only differences on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TypeVar

from skep.dns import frames
from skep.dns.counters import Counts
from skep.dns.frames import Alive, Amend, Counted, InForce, Message, Ping, Replace, Stale, Stats
from skep.model.errors import Unavailable
from skep.model.naming import NameTable
from skep.names.change import difference

PATIENCE = 10.0
"""Seconds to wait for an answer."""

M = TypeVar("M", bound=Message)


class DnsClient:
    """A connection to skep-dns, made at need and made again after it broke.

    What the server acknowledged is remembered as long as the connection lasts; a new one begins
    with the whole table.
    """

    def __init__(self, socket_path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(socket_path)
        self._turn = asyncio.Lock()
        self._serial = 0
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._acknowledged: NameTable | None = None
        self._lost = asyncio.Event()
        self._lost.set()

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return not self._lost.is_set()

    async def connect(self) -> None:
        """Connect, unless connected. Raises `Unavailable` if no server is there."""
        async with self._turn:
            await self._connect()

    async def sync(self, table: NameTable) -> dict[str, str]:
        """Bring the server to this table; when it returns, the table is in force there.

        Answers the sandboxes whose sockets cannot be opened (namespace name: why); the server keeps
        trying. Raises `Unavailable` if there is no server, or it does not answer.
        """
        async with self._turn:
            await self._connect()
            acknowledged, self._acknowledged = self._acknowledged, None
            answer: Message | None = None
            if acknowledged is not None:
                change = difference(acknowledged, table)
                answer = await self._ask(Amend(serial=self._next(), change=change))
            if answer is None or isinstance(answer, Stale):
                answer = await self._ask(Replace(serial=self._next(), table=table))
            in_force = _expected(answer, InForce)
            self._acknowledged = table
            return in_force.faults

    async def ping(self) -> int:
        """The server's process id. Raises `Unavailable` if it does not answer."""
        return (await self.alive()).pid

    async def alive(self) -> Alive:
        """What the server is. Raises `Unavailable` if it does not answer."""
        async with self._turn:
            await self._connect()
            return _expected(await self._ask(Ping(serial=self._next())), Alive)

    async def stats(self) -> Counts:
        """What the server has done since its start. Raises `Unavailable` if it does not answer."""
        async with self._turn:
            await self._connect()
            return _expected(await self._ask(Stats(serial=self._next())), Counted).counts

    async def wait_lost(self) -> None:
        """Wait until there is no connection: at once if there is none now."""
        await self._lost.wait()

    async def close(self) -> None:
        """Close the connection; the server goes on."""
        async with self._turn:
            await self._disconnect()

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    async def _connect(self) -> None:
        if self.connected:
            return
        await self._disconnect()
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise Unavailable(f"skep-dns is not there ({self._path}): {error}") from error
        self._writer = writer
        self._acknowledged = None
        self._lost.clear()
        self._listening = asyncio.create_task(self._listen(reader))

    async def _disconnect(self) -> None:
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None
        if self._writer:
            self._writer.close()
            with contextlib.suppress(OSError):  # it was broken: that is why it is closed
                await self._writer.wait_closed()
            self._writer = None

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while (answer := await frames.read(reader, frames.ANSWERS)) is not None:
                waiting = self._answers.get(answer.serial)
                if waiting and not waiting.done():
                    waiting.set_result(answer)
        except frames.Garbled:  # its end is all that the askers need to know
            return
        finally:
            self._lost.set()
            for waiting in self._answers.values():
                waiting.cancel()

    async def _ask(self, request: Message) -> Message:
        """Send a request and wait for its answer. Raises `Unavailable`."""
        if self._writer is None or not self.connected:
            raise Unavailable(f"skep-dns ended the connection ({self._path})")
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[request.serial] = answer
        try:
            self._writer.write(frames.pack(request))
            done, _ = await asyncio.wait([answer], timeout=PATIENCE)
        finally:
            del self._answers[request.serial]
        if not done:
            await self._disconnect()
            raise Unavailable(f"skep-dns does not answer ({self._path})")
        if answer.cancelled():
            raise Unavailable(f"skep-dns ended the connection ({self._path})")
        return answer.result()


def _expected(answer: Message, kind: type[M]) -> M:
    """The answer, if it is one to what was asked. Raises `Unavailable`."""
    if not isinstance(answer, kind):
        raise Unavailable(f"skep-dns gave an unexpected answer: {type(answer).__name__}")
    return answer
