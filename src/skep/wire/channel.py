"""One WebSocket as a two-way stream of whole messages, with bounds, heartbeats and an end.

Messages travel in pieces (a flag byte, "more follows" or "last", then up to `PIECE` bytes), since a
WebSocket message cannot be interrupted: so heartbeats pass between the pieces of a large one, and a
slow link is not mistaken for a dead peer. Each side pings every `HEARTBEAT` seconds, and gives the
other up after `SILENCE` seconds without hearing anything; after `MUTE`, if the other's kernel goes
on confirming what it is sent, for then the host is there, and only its daemon is busy or stopped.

Source: tcp(7), linux/tcp.h on TCP_INFO.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec
from aiohttp import WSMsgType, web

from skep.model.errors import Broken, Unavailable

HEARTBEAT = 1.0
SILENCE = 3.0
"""Seconds. A dead host must be noticed, and counted as down, within five."""
MUTE = 15.0
"""Seconds that a peer may say nothing whose kernel confirms our pings: its containers go on."""
CONFIRMED = 1.7
"""Seconds that the last confirmation may be old: one ping and its way, less than two pings."""
LATE = 0.1
"""Seconds by which a timer may be late. If it is later, it was this side that was away, and what it
did not hear in time says nothing of the other."""

CLOSE_SECONDS = 2.0
"""How long an orderly end may take: send what is queued, then the close handshake."""
PIECE = 256 << 10
FROM_AGENT = 1 << 20
FROM_MANAGER = 64 << 20
"""Bytes of a message, at most, by who sends it."""
QUEUE_MESSAGES = 1024
"""Messages that may wait to be sent; their bytes, at most those of two of the largest."""

MAX_FRAME = PIECE + 64
"""What the WebSocket layer is told to accept."""
STALL = 5.0
"""Seconds that one piece may take to leave."""

_LAST, _MORE = b"\0", b"\1"
_LOST = "the connection was lost"
_SLOW = "the other side is too slow"
_TCP_INFO = struct.Struct("=56xI")  # tcpi_last_ack_recv: milliseconds since the last ACK
_REASON_BYTES = 123  # RFC 6455, 5.5: a close frame has 125 bytes, two are the code

WebSocket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse[Any]


class Bounds(msgspec.Struct, frozen=True):
    """The largest message, in bytes, that this side sends and receives."""

    send: int
    receive: int


OF_MANAGER = Bounds(send=FROM_MANAGER, receive=FROM_AGENT)
OF_AGENT = Bounds(send=FROM_AGENT, receive=FROM_MANAGER)


class Channel:
    """See the module. Its WebSocket must have been made with ``autoping=False`` and
    ``max_msg_size=MAX_FRAME``."""

    def __init__(self, websocket: WebSocket, bounds: Bounds) -> None:
        """Take over an open WebSocket; `close` gives it back to nobody."""
        self._websocket = websocket
        # Asked now: asyncio's TLS transport cannot be asked any more once it is closed.
        self._socket = websocket.get_extra_info("socket")
        self._bounds = bounds
        self._parts = bytearray()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()
        self._drained.set()
        self._reason = ""
        self.silent = False
        self._closing: asyncio.Task[None] | None = None
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._beat())]

    @property
    def reason(self) -> str:
        """Why the channel has ended, "" while it has not."""
        return self._reason

    def send(self, message: bytes) -> None:
        """Queue a message. Never waits: a peer that does not keep up is cut off, not buffered for.

        Raises `Unavailable` if the channel has ended (or ends by this), `Broken` if the message is
        larger than the peer accepts.
        """
        if self._reason:
            raise Unavailable(f"the session has ended: {self._reason}")
        if len(message) > self._bounds.send:
            raise Broken(
                f"a message of {len(message)} bytes is larger than {self._bounds.send}, "
                "the most that a session carries"
            )
        room = 2 * self._bounds.send - self._queued_bytes
        if len(self._queue) >= QUEUE_MESSAGES or len(message) > room:
            self._cut(_SLOW)
            raise Unavailable(f"the session has ended: {self._reason}")
        self._queue.append(message)
        self._queued_bytes += len(message)
        self._drained.clear()
        self._filled.set()

    async def drained(self) -> None:
        """Wait until nothing is queued any more, or the channel has ended."""
        await self._drained.wait()

    async def receive(self) -> bytes | None:
        """The next whole message, None when the channel has ended. May be cancelled safely."""
        while not self._reason:
            try:
                frame = await self._heard()
            except TimeoutError as silence:
                self.silent = True
                self._cut(str(silence))
                break
            if self._reason:
                break  # it was `close` that woke us, and it has a farewell to send
            match frame.type:
                case WSMsgType.BINARY:
                    if (message := self._joined(frame.data)) is not None:
                        return message
                case WSMsgType.PING | WSMsgType.PONG:
                    pass  # that it was heard is all there is to it
                case WSMsgType.CLOSE:
                    self._end(frame.extra or "closed by the other side")
                case WSMsgType.ERROR:
                    self._cut(str(frame.data))
                case _:
                    self._cut(_LOST)
        return None

    async def _heard(self) -> aiohttp.WSMessage:
        """The next frame. Raises `TimeoutError`, in words, if the peer must be given up."""
        clock = asyncio.get_running_loop().time
        since, patience = clock(), SILENCE
        while True:
            begun = clock()
            try:
                return await self._websocket.receive(timeout=patience)
            except TimeoutError:
                now = clock()
                if now - begun > patience + LATE:
                    since, patience = now, SILENCE
                    continue
                there = self._is_there()
                if not there or now - since >= MUTE:
                    though = ", though its host answers" if there else ""
                    words = f"nothing was heard for {now - since:.0f} seconds{though}"
                    raise TimeoutError(words) from None
                patience = HEARTBEAT

    def _is_there(self) -> bool:
        """Whether the peer's kernel has confirmed something just now."""
        if self._socket is None:
            return False
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        except OSError:  # it was closed
            return False
        return len(told) == _TCP_INFO.size and _TCP_INFO.unpack(told)[0] < CONFIRMED * 1000

    async def close(self, reason: str) -> None:
        """Send what is queued, tell the peer why, and end; by force if it takes too long. Who calls
        it again waits for the same end, and a caller that is cancelled does not stop it."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(reason))
        await asyncio.shield(self._closing)

    async def _close(self, reason: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._drained.wait()
                self._end(reason)
                words = self._reason.encode()[:_REASON_BYTES].decode(errors="ignore")
                await self._websocket.close(message=words.encode())
        self._cut(reason)
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _joined(self, piece: bytes) -> bytes | None:
        flag, size = piece[:1], len(self._parts) + len(piece) - 1
        if flag not in (_LAST, _MORE):
            self._cut("the other side speaks another protocol")
        elif size > self._bounds.receive:
            self._cut(f"a message is larger than {self._bounds.receive} bytes")
        else:
            self._parts += memoryview(piece)[1:]
            if flag == _LAST:
                message, self._parts = bytes(self._parts), bytearray()
                return message
        return None

    async def _write(self) -> None:
        reason = _LOST
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._queue:
                    await self._send_pieces(self._queue[0])
                    self._queued_bytes -= len(self._queue.popleft())
                self._drained.set()
        except TimeoutError:
            reason = _SLOW
        except OSError:
            pass  # the reader hears of it, too; whoever is first says so
        self._cut(reason)

    async def _send_pieces(self, message: bytes) -> None:
        last = max(0, (len(message) - 1) // PIECE * PIECE)
        for start in range(0, last + 1, PIECE):
            flag = _LAST if start == last else _MORE
            async with asyncio.timeout(STALL):
                await self._websocket.send_bytes(flag + message[start : start + PIECE])

    async def _beat(self) -> None:
        with suppress(OSError):
            while True:
                await asyncio.sleep(HEARTBEAT)
                await self._websocket.ping()
        self._cut(_LOST)

    def _end(self, reason: str) -> None:
        """Nothing is sent from here on; the first reason stays."""
        self._reason = self._reason or reason or "closed"
        self._queue.clear()
        self._drained.set()
        for task in self._tasks:
            task.cancel()

    def _cut(self, reason: str) -> None:
        """End at once: no farewell to a peer that is dead, slow or hostile."""
        self._end(reason)
        shared = self._socket
        if shared is None or shared.fileno() < 0:
            return
        # Closing the transport would wait until its buffer is read, which this peer may never do.
        with socket.socket(fileno=os.dup(shared.fileno())) as connection, suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
