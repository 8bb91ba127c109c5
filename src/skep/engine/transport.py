"""HTTP with the engine over its unix socket: answers read as they come, and hijacked streams."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json as jsonlib
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

import aiohttp

from skep.engine.refusals import error_body, refusal
from skep.model.errors import Broken, EngineLost, Refusal

HOST = "http://engine"
HEAD_LIMIT = 64 * 1024
CHUNK = 64 * 1024
UNREACHABLE = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class Reply:
    """An answer whose body is read as it comes. Implements the API's ``EngineReply``."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    async def read(self) -> bytes:
        """The whole body. Raises `Unavailable` if the engine goes away before its end."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def json(self) -> Any:
        """The whole body, decoded; None if it is empty. Raises `Broken` if it is no JSON."""
        payload = await self.read()
        try:
            return jsonlib.loads(payload) if payload.strip() else None
        except (ValueError, RecursionError) as error:
            raise Broken(f"the engine's answer makes no sense: {error}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as the engine sends it. Raises `Unavailable` as `read`."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except UNREACHABLE as fault:
            raise lost(fault) from fault
        finally:
            self._response.close()

    async def close(self) -> None:
        """Give the connection back, whether or not the body was read."""
        self._response.close()

    def refused(self, refused: Refusal) -> ErrorReply:
        """The same connection's answer, as an error."""
        return ErrorReply(self._response, refused)

    def with_body(self, body: AsyncIterator[bytes]) -> WrappedReply:
        """The same connection's answer, with another body."""
        return WrappedReply(self._response, body)


class ErrorReply(Reply):
    """An error answer, already read: status and body are Docker's, whatever the engine's were."""

    def __init__(self, response: aiohttp.ClientResponse, refused: Refusal) -> None:
        super().__init__(response)
        self.status = refused.status
        self.headers = {"Content-Type": "application/json"}
        self.refusal = refused

    async def chunks(self) -> AsyncIterator[bytes]:
        """Docker's error body, in one piece."""
        yield error_body(self.refusal)


class WrappedReply(Reply):
    """An answer with another body than the engine's."""

    def __init__(self, response: aiohttp.ClientResponse, body: AsyncIterator[bytes]) -> None:
        super().__init__(response)
        self.headers = {"Content-Type": "application/json"}
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """That body."""
        async for chunk in self._body:
            yield chunk


class Stream:
    """A hijacked connection. Implements the API's ``RawStream``.

    ``content_type`` tells a raw stream from a multiplexed one, if the engine says.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content_type: str
    ) -> None:
        self.content_type = content_type
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Some bytes, b"" at the end, be it orderly or not."""
        try:
            return await self._reader.read(CHUNK)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the engine is slow; dropped if it has closed the stream."""
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def write_eof(self) -> None:
        """End our side; the engine's output goes on."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def close(self) -> None:
        """Close both sides."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Transport:
    """Requests to the engine behind ``socket`` (a path). Connections are not kept, so that none
    can be stale after the engine's restart; opening one costs 0.1 ms."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._session: aiohttp.ClientSession | None = None
        self._shown: Mapping[str, str] = {}

    def showing(self, headers: Mapping[str, str]) -> Transport:
        """The same connections, with these headers on all requests."""
        self._open_session()
        shown = copy.copy(self)
        shown._shown = headers
        return shown

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> Reply:
        """One request for ``path`` (with version). An error answer comes as `ErrorReply`.

        Raises `Unavailable` when the engine cannot be reached.
        """
        try:
            response = await self._open_session().request(
                method, HOST + path, params=params, json=json, data=body,
                headers={**_headers(body), **self._shown},
            )  # fmt: skip
            if response.status < 400:
                return Reply(response)
            said = await response.read()
            return ErrorReply(response, refusal(response.status, said, subject_of(path)))
        except UNREACHABLE as fault:
            raise lost(fault) from fault

    async def hijack(
        self, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Stream:
        """``POST`` with ``Upgrade: tcp``; what follows the answer's head is the stream.

        Raises the refusal of the engine's answer, `Unavailable` when it cannot be reached.
        """
        target = f"{path}?{urlencode(params)}" if params else path
        payload = b"" if json is None else jsonlib.dumps(json).encode()
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket, limit=HEAD_LIMIT)
        except OSError as fault:
            raise lost(fault) from fault
        try:
            writer.write(_upgrade_request(target, payload))
            await writer.drain()
            status, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
            if status not in (101, 200):
                said = await _error_payload(reader, headers)
                raise refusal(status, said, subject_of(path))
        except BaseException as fault:
            writer.close()
            if isinstance(fault, (*UNREACHABLE, ValueError, IndexError)):
                # The last two: half an answer.
                raise lost(fault) from fault
            raise
        return Stream(reader, writer, headers.get("content-type", ""))

    async def close(self) -> None:
        """Close the connections still open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self.socket, limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                auto_decompress=False,
            )
        return self._session


def lost(fault: BaseException) -> EngineLost:
    """The refusal for an engine that is not there, or went away in the middle of an answer."""
    return EngineLost(f"Cannot reach the container engine: {fault or type(fault).__name__}")


def subject_of(path: str) -> str:
    """The object that a request's path names: ``/v1.41/containers/web/exec`` is about ``web``."""
    parts = path.split("/")
    kinds = [at for at, part in enumerate(parts) if part in ("containers", "exec", "volumes")]
    return unquote("/".join(parts[kinds[0] + 1 : kinds[0] + 2])) if kinds else ""


def _headers(body: AsyncIterator[bytes] | None) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/x-tar"}


def _upgrade_request(target: str, payload: bytes) -> bytes:
    return (
        f"POST {target} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    ).encode() + payload


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _error_payload(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    payload = b""
    while headers.get("transfer-encoding") == "chunked":
        size = int(await reader.readline(), 16)
        payload += await reader.readexactly(size)
        await reader.readline()
        if not size:
            break
    return payload
