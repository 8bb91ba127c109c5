"""Raw streams: the connection of ``attach`` and ``exec/start`` taken over, joined to the engine's.

The client's half-close is the end of the process's input while its output goes on; a slow reader
on either side slows the other down. Answers 101 to clients that ask for ``Upgrade: tcp``, else 200.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from skep.api.call import HEADERS, Call
from skep.api.loglines import STDERR, frame
from skep.api.ports import RawStream

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED_SINCE = (1, 42)
PIECE = 1 << 16


def media_type(version: tuple[int, int], *, tty: bool) -> str:
    """How a container's output is framed: without a terminal, 8-byte heads before each piece.

    Before API 1.42 both forms went under the raw stream's name.
    """
    return RAW if tty or version < MULTIPLEXED_SINCE else MULTIPLEXED


class ClientStream(asyncio.Protocol):
    """The client's side of a connection that is no longer HTTP.

    ``former`` is the HTTP protocol that had the connection: it is told when the connection ends,
    so that the server forgets it.
    """

    def __init__(self, transport: asyncio.Transport, former: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._former = former
        self._reader = asyncio.StreamReader(limit=PIECE)
        self._reader.set_transport(transport)
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Input; the reader pauses the transport when too much of it waits."""
        self._reader.feed_data(data)

    def eof_received(self) -> bool:
        """End of input. True keeps our side open: output goes on."""
        self._reader.feed_eof()
        return True

    def pause_writing(self) -> None:
        """The client reads slower than the process writes."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Both ways are closed: wake whoever waits."""
        self._reader.feed_eof()
        self._writable.set()
        self._former.connection_lost(exc)

    async def read(self) -> bytes:
        """Some bytes of input, b"" at its end."""
        return await self._reader.read(PIECE)

    async def write(self, data: bytes) -> None:
        """Send output, waiting while the client is slow. Raises ConnectionResetError if it left."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client closed the stream")
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Close both ways, after what was written has been sent."""
        self._transport.close()


class Silence:
    """A process's stream where there is none. Implements `RawStream`."""

    async def read(self) -> bytes:
        """Its end."""
        return b""

    async def write(self, data: bytes) -> None:
        """Input that nobody takes."""

    async def write_eof(self) -> None:
        """The end of such input."""

    async def close(self) -> None:
        """Nothing is open."""


class Said(Silence):
    """A stream on which a sentence comes, of standard error unless it is a terminal's."""

    def __init__(self, sentence: str, *, tty: bool) -> None:
        payload = sentence.encode()
        self._rest = payload if tty else frame(STDERR, payload)

    async def read(self) -> bytes:
        """The sentence, then the end."""
        said, self._rest = self._rest, b""
        return said


class Hijacked(web.StreamResponse):
    """Tells the HTTP server that the answer was given and nothing is left to send."""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        """Nothing: the head was written when the connection was taken over."""
        self.force_close()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the stream ended by itself."""


async def hijack(call: Call, engine: RawStream, *, tty: bool) -> web.StreamResponse:
    """Join the client's connection to the engine's stream until either side is done.

    The request's body must have been read. The engine's stream is closed in every case.
    """
    client = _take_over(call, media_type(call.version, tty=tty))
    try:
        if client is not None:
            await _join(client, engine)
    finally:
        if client is not None:
            client.close()
        await engine.close()
    return Hijacked()


def _take_over(call: Call, framing: str) -> ClientStream | None:
    """The client's connection, its head answered; None if the client has left already."""
    transport = call.request.transport
    if transport is None:
        return None
    client = ClientStream(transport, call.request.protocol)
    transport.set_protocol(client)
    transport.write(_head(call, framing))
    return client


def _head(call: Call, framing: str) -> bytes:
    extra = call.request.app[HEADERS]
    if call.request.headers.get("Upgrade", "").lower() == "tcp":
        lines = ["HTTP/1.1 101 UPGRADED", f"Content-Type: {framing}"]
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    else:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {RAW}"]
    lines += [f"{name}: {value}" for name, value in extra.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _join(client: ClientStream, engine: RawStream) -> None:
    """Carry input and output until the output ends. The end of input alone ends nothing."""
    inward = asyncio.create_task(_input(client, engine))
    try:
        await _output(engine, client)
    finally:
        inward.cancel()
        await asyncio.gather(inward, return_exceptions=True)


async def _input(client: ClientStream, engine: RawStream) -> None:
    while data := await client.read():
        await engine.write(data)
    await engine.write_eof()


async def _output(engine: RawStream, client: ClientStream) -> None:
    while data := await engine.read():
        try:
            await client.write(data)
        except ConnectionResetError:
            return
