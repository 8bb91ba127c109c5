"""``/exec``: commands in running containers."""

from __future__ import annotations

from aiohttp import web

from skep.api import relay, schema, streams
from skep.api.call import Call, empty, json
from skep.api.ports import RawStream
from skep.api.unbegun import UNBEGUN
from skep.model.errors import Broken, Invalid

CANNOT = 126
"""The exit code of a command that cannot be begun."""


async def create(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/exec``."""
    container = call.ports.host.find(call.parts["id"])
    body = await call.body()
    if not body.get("Cmd"):
        raise Invalid("No exec command specified")
    made = await relay.ask(call.ports.engine, "POST", f"/containers/{container.id}/exec", json=body)
    return json({"Id": made["Id"]}, status=201)


async def start(call: Call) -> web.StreamResponse:
    """``POST /exec/{id}/start``: detached, or with the connection as its input and output."""
    body = await schema.body(call.request)
    path = f"/exec/{call.parts['id']}/start"
    if body.get("Detach"):
        await relay.ask(call.ports.engine, "POST", path, json=body)
        return empty(200)
    engine: RawStream
    try:
        engine = await call.ports.engine.hijack(path, json=body)
    except (Broken, Invalid) as broken:
        call.request.app[UNBEGUN].remember(call.parts["id"], broken)
        engine = streams.Said(f"{broken}\r\n", tty=bool(body.get("Tty")))
    return await streams.hijack(call, engine, tty=bool(body.get("Tty")))


async def resize(call: Call) -> web.StreamResponse:
    """``POST /exec/{id}/resize``."""
    path = f"/exec/{call.parts['id']}/resize"
    await relay.ask(call.ports.engine, "POST", path, params=call.parameters())
    return empty(200)


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /exec/{id}/json``: above all its exit code, which one that cannot begin has too."""
    if call.request.app[UNBEGUN].knows(call.parts["id"]):
        return json({"ID": call.parts["id"], "Running": False, "ExitCode": CANNOT})
    return json(await relay.ask(call.ports.engine, "GET", f"/exec/{call.parts['id']}/json"))
