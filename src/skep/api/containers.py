"""``/containers``: looking at containers and talking to them. What changes them: `lifecycle`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from skep.api import frames, networks, relay, streams
from skep.api.arriving import ARRIVALS
from skep.api.call import Call, empty, json
from skep.api.loglines import Lines
from skep.api.ports import Container, EngineReply, Ports
from skep.api.selection import FILTERS, Selection
from skep.api.shapes import container as shapes
from skep.api.shapes.base import Json
from skep.api.unbegun import UNBEGUN
from skep.model.errors import Clash, Missing, Refusal

NOT_RUNNING, REMOVED = "not-running", "removed"
LETTING_GO = 10.0
"""Seconds that a container's removal may take after the engine's part in it."""
STREAMS = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /containers/json``: newest first; without ``all``, those that run."""
    filters = call.filters(*FILTERS)
    limit = call.number("limit") or 0
    rows = await shown(call.ports, sizes=call.flag("size"))
    selection = Selection(rows, filters)
    everything = call.flag("all") or limit > 0 or "status" in filters
    found = [row for row in rows if selection.passes(row) and (everything or _runs(row))]
    return json(found[:limit] if limit > 0 else found)


async def shown(ports: Ports, *, sizes: bool = False) -> list[Json]:
    """All containers on record as ``GET /containers/json`` shows them, newest first."""
    params = {"all": "1", "size": "1"} if sizes else {"all": "1"}
    engine = await relay.ask(ports.engine, "GET", "/containers/json", params=params)
    records = {container.id: container for container in ports.host.containers()}
    names = networks.names(ports)
    rows = [
        shapes.row(item, records[item["Id"]], names) for item in engine if item["Id"] in records
    ]
    # The engine's seconds are shown; which of one second came first, only the record knows.
    return sorted(
        rows,
        key=lambda row: (row.get("Created", 0), records[row["Id"]].created_at),
        reverse=True,
    )


def _runs(row: Json) -> bool:
    return row["State"] in ("running", "paused", "restarting")


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/json``."""
    container = _container(call)
    params = {"size": "1"} if call.flag("size") else None
    return json(
        shapes.inspected(
            await of_engine(call.ports, container, params), container, networks.names(call.ports)
        )
    )


async def of_engine(ports: Ports, container: Container, params: dict[str, str] | None) -> Json:
    """What the engine knows of a container. Raises `Missing` in the user's own words for it."""
    try:
        found: Json = await relay.ask(
            ports.engine, "GET", f"/containers/{container.id}/json", params=params
        )
    except Missing as missing:
        raise Missing(f"No such container: {container.name}") from missing
    return found


async def logs(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/logs``, framed as the container's output is."""
    container = _container(call)
    tty = await _has_terminal(call, container)
    reply = await relay.accepted(call, "GET", f"/containers/{container.id}/logs")
    pieces = None
    if call.flag("details"):
        # What a log driver was told to note of each line: of those that there are none is.
        lines = Lines(b" ", timestamps=call.flag("timestamps"), framed=not tty)
        pieces = _detailed(reply, lines, tty)
    kind = streams.media_type(call.version, tty=tty)
    return await relay.stream(call, reply, content_type=kind, pieces=pieces)


async def _detailed(reply: EngineReply, lines: Lines, raw: bool) -> AsyncIterator[bytes]:
    async for piece in reply.chunks():
        yield lines.feed(piece, raw=raw)
    yield lines.end()


async def attach(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/attach``: also before the container was started.

    An engine has to begin the container for that. If it cannot, there is no output, and the start
    that follows says why.
    """
    await call.request.app[ARRIVALS].whole(call.request)
    container = _container(call)
    found = await of_engine(call.ports, container, None)
    tty = bool((found.get("Config") or {}).get("Tty"))
    path = f"/containers/{container.id}/attach"
    try:
        engine = await call.ports.engine.hijack(path, params=call.parameters())
    except Refusal as refused:
        if shapes.status_of(found) != "created":
            raise
        call.request.app[UNBEGUN].remember(container.id, refused)
        engine = streams.Silence()
    wanted = [stream for stream, name in STREAMS.items() if call.flag(name)]
    if not tty and len(wanted) == 1:
        engine = frames.Chosen(engine, wanted)
    return await streams.hijack(call, engine, tty=tty)


async def wait(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/wait``. The engine answers with headers once it watches, and so do
    we: clients start the container only then. The body follows at the container's end."""
    params = {"condition": call.query("condition") or NOT_RUNNING}
    try:
        container = _container(call)
        path = f"/containers/{container.id}/wait"
        reply = await relay.accepted(call, "POST", path, params=params)
    except Refusal:
        if call.request.app[UNBEGUN].knows(call.parts["id"]):
            return json({"StatusCode": 0})  # an engine has removed it; the start says why
        raise
    pieces = _let_go(call, container, reply) if params["condition"] == REMOVED else None
    return await relay.stream(call, reply, content_type=relay.JSON, pieces=pieces)


async def _let_go(call: Call, container: Container, reply: EngineReply) -> AsyncIterator[bytes]:
    """The engine's answer, once this host has let go of the container's addresses, too: who is told
    that it is gone may remove its networks next."""
    body = b"".join([piece async for piece in reply.chunks()])
    deadline = time.monotonic() + LETTING_GO
    with suppress(Missing):
        while call.ports.host.find(container.id) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
    yield body


async def resize(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/resize``."""
    container = _container(call)
    await relay.ask(
        call.ports.engine,
        "POST",
        f"/containers/{container.id}/resize",
        params=call.parameters(),
    )
    return empty(200)


async def top(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/top``."""
    container = _container(call)
    found = await of_engine(call.ports, container, None)
    if not (found.get("State") or {}).get("Running"):
        raise Clash(f"Container {container.id} is not running")
    return await relay.pass_on(call, f"/containers/{container.id}/top")


async def changes(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/changes``."""
    return await relay.pass_on(call, f"/containers/{_container(call).id}/changes")


async def stats(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/stats``: one answer or one a second. The engine knows the container's
    name without Docker's slash (clients cut the first character off), and not its interfaces."""
    container = _container(call)
    reply = await relay.accepted(call, "GET", f"/containers/{container.id}/stats")

    async def told(line: Json) -> Json:
        networks = await call.ports.host.traffic(container)
        return {
            **line,
            "name": f"/{container.name}",
            **({"networks": networks} if networks else {}),
        }

    lines = relay.awaited_lines(reply.chunks(), told)
    return await relay.stream(call, reply, content_type=relay.JSON, pieces=lines)


async def export(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/export``: its files as a tar archive."""
    return await relay.pass_on(call, f"/containers/{_container(call).id}/export")


async def archive(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/archive``: files out of it (``docker cp``)."""
    container = _container(call)
    try:
        return await relay.pass_on(call, f"/containers/{container.id}/archive")
    except Missing as missing:
        raise _no_file(call, container) from missing


def _no_file(call: Call, container: Container) -> Missing:
    path = call.query("path")
    return Missing(f"Could not find the file {path} in container {container.name}")


async def archive_stat(call: Call) -> web.StreamResponse:
    """``HEAD /containers/{id}/archive``: what is at a path, in a header."""
    container = _container(call)
    path = f"/containers/{container.id}/archive"
    reply = await call.ports.engine.request("HEAD", path, params=call.parameters())
    await reply.close()
    if reply.status == 404:
        raise _no_file(call, container)
    kept = {name: reply.headers[name] for name in relay.KEPT_HEADERS if name in reply.headers}
    return web.Response(status=reply.status, headers=kept)


async def extract(call: Call) -> web.StreamResponse:
    """``PUT /containers/{id}/archive``: files into it."""
    path = f"/containers/{_container(call).id}/archive"
    reply = await relay.pass_upload(call, path, call.parameters())
    await reply.close()
    return empty(200)


def _container(call: Call) -> Container:
    return call.ports.host.find(call.parts["id"])


async def _has_terminal(call: Call, container: Container) -> bool:
    found = await of_engine(call.ports, container, None)
    return bool((found.get("Config") or {}).get("Tty"))
