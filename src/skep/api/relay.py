"""Passing requests on to the container engine, and its answers back as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from aiohttp import web

from skep.api.call import Call, json
from skep.api.errors import refusal_of
from skep.api.ports import EnginePort, EngineReply
from skep.model.errors import UNREADABLE, Refusal

JSON = "application/json"
KEPT_HEADERS = ("Content-Type", "X-Docker-Container-Path-Stat")
"""What of an engine's headers is the client's business."""

CREDENTIALS = ("X-Registry-Auth", "X-Registry-Config")
"""Headers with a registry's user and password."""

log = structlog.get_logger("skep.api")


async def ask(
    engine: EnginePort,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    json: Any = None,
) -> Any:
    """One request to the engine; its whole answer, decoded. Raises the refusal it stands for."""
    reply = await engine.request(method, path, params=params, json=json)
    return await _decoded(reply)


async def accepted(
    call: Call, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
) -> EngineReply:
    """The engine's answer, to be read as it comes. Raises the refusal it stands for.

    ``params`` are the client's own if none are given.
    """
    asked = call.parameters() if params is None else params
    reply = await _engine(call).request(method, path, params=asked, json=json)
    return await _checked(reply)


def _engine(call: Call) -> EnginePort:
    """The engine, shown what the client shows to registries."""
    headers = call.request.headers
    shown = {name: headers[name] for name in CREDENTIALS if name in headers}
    return call.ports.engine.showing(shown) if shown else call.ports.engine


async def pass_on(call: Call, path: str, *, json: Any = None) -> web.StreamResponse:
    """The client's request for ``path``, its parameters included; the engine's answer in pieces."""
    reply = await accepted(call, call.request.method, path, json=json)
    return await stream(call, reply, content_type=reply.headers.get("Content-Type", JSON))


async def pass_upload(call: Call, path: str, params: Mapping[str, str]) -> EngineReply:
    """The client's request for ``path`` with its body in pieces (tar archives)."""
    reply = await _engine(call).request(
        call.request.method, path, params=params, body=_upload(call.request)
    )
    return await _checked(reply)


async def rewritten(call: Call, path: str, rewrite: Callable[[Any], Any]) -> web.Response:
    """The engine's JSON answer to the client's request, changed on its way."""
    reply = await accepted(call, call.request.method, path)
    return json(rewrite(await reply.json()), status=reply.status)


async def stream(
    call: Call,
    reply: EngineReply,
    *,
    content_type: str,
    pieces: AsyncIterator[bytes] | None = None,
) -> web.StreamResponse:
    """The engine's body (or what ``pieces`` make of it) as it comes, headers first and at once.

    A client that goes away cancels it, and with it the request to the engine. If the engine goes
    away in the middle, the connection is cut, so that nobody takes half an answer for a whole one.
    """
    response = web.StreamResponse(status=reply.status)
    for name in KEPT_HEADERS:
        if name in reply.headers:
            response.headers[name] = reply.headers[name]
    response.headers["Content-Type"] = content_type
    try:
        await response.prepare(call.request)
        async for piece in pieces or reply.chunks():
            await response.write(piece)
        await response.write_eof()
    except Refusal as refused:
        log.warning("the engine broke off its answer", path=call.request.path, cause=str(refused))
        cut(call.request)
    finally:
        await reply.close()
    return response


async def json_lines(
    pieces: AsyncIterator[bytes], rewrite: Callable[[Any], Any]
) -> AsyncIterator[bytes]:
    """JSON lines, each whole and rewritten; lines that are no JSON as they are."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield _rewritten_line(line, rewrite) + b"\n"
    if rest:
        yield _rewritten_line(rest, rewrite) + b"\n"


async def awaited_lines(
    pieces: AsyncIterator[bytes], rewrite: Callable[[Any], Awaitable[Any]]
) -> AsyncIterator[bytes]:
    """As `json_lines`, by a rewriting that has to ask somebody."""
    async for line in json_lines(pieces, lambda told: told):
        yield msgspec.json.encode(await rewrite(msgspec.json.decode(line))) + b"\n"


def _rewritten_line(line: bytes, rewrite: Callable[[Any], Any]) -> bytes:
    try:
        told = msgspec.json.decode(line, type=dict[str, Any])
    except UNREADABLE:
        return line
    return msgspec.json.encode(rewrite(told))


def cut(request: web.Request) -> None:
    """Close the client's connection without an orderly end."""
    if request.transport is not None:
        request.transport.abort()


async def _upload(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_any():
        yield piece


async def _checked(reply: EngineReply) -> EngineReply:
    if reply.status >= 400:
        await _decoded(reply)
    return reply


async def _decoded(reply: EngineReply) -> Any:
    try:
        found = await reply.json()
    finally:
        await reply.close()
    if reply.status >= 400:
        raise refusal_of(reply.status, found)
    return found
