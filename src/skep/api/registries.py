"""Registries: the engine speaks to them, with what the client shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from skep.api import relay
from skep.api.call import Call, json
from skep.api.ports import EngineReply
from skep.api.shapes import image as shapes
from skep.engine.reference import familiar
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
    """``POST /images/{name}/push?tag=``; without a tag all that the image's name has here."""
    name = call.parts["name"]
    tags = [call.query("tag")] if call.query("tag") or ":" in _last(name) else await _tags(call)
    if not tags:
        raise _unknown(name)
    first = await _pushed(call, tags[0])
    return await relay.stream(
        call, first, content_type=relay.JSON, pieces=_told(call, first, tags[1:])
    )


async def _told(call: Call, first: EngineReply, others: Iterable[str]) -> AsyncIterator[bytes]:
    async for line in relay.json_lines(first.chunks(), shapes.progress):
        yield line
    for tag in others:
        reply = await _pushed(call, tag)
        async for line in relay.json_lines(reply.chunks(), shapes.progress):
            yield line
        await reply.close()


async def _pushed(call: Call, tag: str) -> EngineReply:
    name = call.parts["name"]
    params = {**call.parameters(), "tag": tag} if tag else None
    try:
        return await relay.accepted(call, "POST", f"/images/{name}/push", params=params)
    except Missing as missing:
        raise _unknown(name) from missing


def _unknown(name: str) -> Missing:
    return Missing(f"An image does not exist locally with the tag: {name}")


async def _tags(call: Call) -> list[str]:
    """The tags that this host has of an image's name."""
    found = shapes.images(await relay.ask(call.ports.engine, "GET", "/images/json"))
    known = [tag.rpartition(":") for image in found for tag in image.get("RepoTags") or ()]
    return sorted(tag for name, _, tag in known if name == familiar(call.parts["name"]))


def _last(name: str) -> str:
    return name.rpartition("/")[2]
