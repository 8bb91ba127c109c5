"""Registries: the engine speaks to them, with what the client shows it."""

from __future__ import annotations

from aiohttp import web

from skep.api import relay
from skep.api.call import Call, json
from skep.api.shapes import image as shapes
from skep.model.errors import Invalid, Missing


async def login(call: Call) -> web.StreamResponse:
    """``POST /auth``: whether a registry takes this user and password."""
    body = await call.object_body()
    if not body.get("serveraddress"):
        raise Invalid("say which registry to log in to")
    told = await relay.ask(call.ports.engine, "POST", "/auth", json=body) or {}
    return json({"Status": told.get("Status") or "Login Succeeded", "IdentityToken": ""})


async def search(call: Call) -> web.StreamResponse:
    """``GET /images/search?term=``."""
    if not call.query("term"):
        raise Invalid("no term to search for")
    found = await relay.accepted(call, "GET", "/images/search")
    return json(await found.json() or [])


async def push(call: Call) -> web.StreamResponse:
    """``POST /images/{name}/push?tag=``."""
    path = f"/images/{call.parts['name']}/push"
    try:
        reply = await relay.accepted(call, "POST", path)
    except Missing as missing:
        name = call.parts["name"]
        raise Missing(f"An image does not exist locally with the tag: {name}") from missing
    told = relay.json_lines(reply.chunks(), shapes.progress)
    return await relay.stream(call, reply, content_type=relay.JSON, pieces=told)
