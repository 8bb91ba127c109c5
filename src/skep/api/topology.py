"""The picture of the cluster: whole, its changes as they come, one thing of it, hosts to hosts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec
import structlog
from aiohttp import web

from skep.api.call import Call
from skep.api.ports import TopologyPort
from skep.api.relay import cut
from skep.model.errors import Invalid, Unavailable
from skep.topology.fold import Wanted
from skep.topology.graph import Graph, difference

JSON = "application/json"
SLOW = 5.0
"""Seconds in which a client must have taken what it is sent; else it is dropped, and may come
again for the whole picture."""
BEAT = 10.0
"""Seconds of silence after which a stream says that it is alive."""
LONGEST = 200
"""Letters of what is looked for."""
MOST_NAMED = 100

log = structlog.get_logger("skep.api")


async def whole(call: Call) -> web.StreamResponse:
    """``GET /skep/topology?expand=&show=&find=&all=``: a `Graph`."""
    return _answer(await _port(call).graph(wanted(call)))


async def matrix(call: Call) -> web.StreamResponse:
    """``GET /skep/matrix``: a `Matrix`."""
    return _answer(await _port(call).matrix())


async def thing(call: Call) -> web.StreamResponse:
    """``GET /skep/topology/thing?id=``: a `Detail`."""
    id = call.query("id")
    if not id:
        raise Invalid("say which thing: its id")
    return _answer(await _port(call).detail(id))


async def events(call: Call) -> web.StreamResponse:
    """``GET /skep/topology/events``: server-sent events, ``whole`` with a `Graph` first, then
    ``change`` with a `Change` whenever there is one.

    Nothing is queued: a client gets the difference between what it has and what is, as soon as it
    has taken the last one.
    """
    async with contextlib.aclosing(_port(call).watch(wanted(call))) as graphs:
        known = await anext(graphs)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(call.request)
        try:
            await _send(response, "whole", msgspec.json.encode(known))
            await _follow(response, graphs, known)
        except TimeoutError:
            log.info("a client that took too long was dropped", path=call.request.path)
            cut(call.request)
    return response


async def _follow(
    response: web.StreamResponse, graphs: AsyncGenerator[Graph, None], known: Graph
) -> None:
    """Send changes until there are no more graphs. Raises TimeoutError if they are not taken."""
    upcoming = asyncio.ensure_future(anext(graphs, None))
    try:
        while True:
            await asyncio.wait([upcoming], timeout=BEAT)
            if not upcoming.done():
                await _write(response, b": still here\n\n")
                continue
            graph = upcoming.result()
            if graph is None:
                return
            change = await asyncio.to_thread(difference, known, graph)
            if change is not None:
                await _send(response, "change", msgspec.json.encode(change))
            known = graph
            upcoming = asyncio.ensure_future(anext(graphs, None))
    finally:
        upcoming.cancel()
        await asyncio.wait([upcoming])


async def _send(response: web.StreamResponse, event: str, data: bytes) -> None:
    await _write(response, b"event: " + event.encode() + b"\ndata: " + data + b"\n\n")


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(SLOW):
        await response.write(data)


def wanted(call: Call) -> Wanted:
    """What of the picture is asked for. Raises `Invalid`."""
    find, query = call.query("find"), call.request.query
    expand, show = query.getall("expand", []), query.getall("show", [])
    if len(find) > LONGEST or len(expand) + len(show) > MOST_NAMED:
        raise Invalid(f"look for at most {LONGEST} letters, name at most {MOST_NAMED} things")
    return Wanted(expand=frozenset(expand), show=frozenset(show), find=find, whole=call.flag("all"))


def _answer(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type=JSON)


def _port(call: Call) -> TopologyPort:
    port = call.ports.topology
    if port is None:
        raise Unavailable("this daemon draws no pictures")
    return port
