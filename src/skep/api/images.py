"""``/images``: the engine's, under the names that users know."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from aiohttp import web

from skep.api import relay
from skep.api.call import Call, empty, json
from skep.api.shapes import image as shapes
from skep.api.shapes.base import Json
from skep.engine.reference import familiar, with_tag
from skep.model.errors import Invalid, Missing, Unsupported

TAR = "application/x-tar"
FILTERS = ("before", "dangling", "label", "reference", "since", "until")


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /images/json``."""
    call.filters(*FILTERS)
    return await relay.rewritten(call, "/images/json", shapes.images)


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /images/{name}/json``."""
    try:
        return await relay.rewritten(call, f"/images/{call.parts['name']}/json", shapes.image)
    except Missing as missing:
        raise _missing(call) from missing


async def history(call: Call) -> web.StreamResponse:
    """``GET /images/{name}/history``."""
    try:
        return await relay.rewritten(call, f"/images/{call.parts['name']}/history", shapes.images)
    except Missing as missing:
        raise _missing(call) from missing


async def tag(call: Call) -> web.StreamResponse:
    """``POST /images/{name}/tag?repo=&tag=``."""
    path = f"/images/{call.parts['name']}/tag"
    try:
        await relay.ask(call.ports.engine, "POST", path, params=call.parameters())
    except Missing as missing:
        raise _missing(call) from missing
    return empty(201)


async def remove(call: Call) -> web.StreamResponse:
    """``DELETE /images/{name}``."""
    try:
        reply = await relay.accepted(call, "DELETE", f"/images/{call.parts['name']}")
    except Missing as missing:
        raise _missing(call) from missing
    removed = shapes.removed(await reply.json())
    tell_deleted(call, removed)
    return json(removed)


def tell_deleted(call: Call, removed: list[Json]) -> None:
    """The events of images that are gone."""
    for item in removed:
        if item.get("Deleted"):
            call.ports.events.tell(shapes.happened("delete", item["Deleted"], "", time.time()))


async def prune(call: Call) -> web.StreamResponse:
    """``POST /images/prune``."""
    call.filters("dangling", "label", "label!", "until").truth("dangling")
    found = shapes.pruned(await relay.ask(
        call.ports.engine, "POST", "/images/prune", params=call.parameters()
    ))  # fmt: skip
    tell_deleted(call, found["ImagesDeleted"])
    return json(found)


async def load(call: Call) -> web.StreamResponse:
    """``POST /images/load``: images from a tar archive."""
    return await _progress(call, "/images/load", call.parameters())


async def create(call: Call) -> web.StreamResponse:
    """``POST /images/create``: pull (``fromImage``) or import an archive (``fromSrc``). The engine
    does both; where it has no registry, its refusal is the answer."""
    params = call.parameters()
    if not params.get("fromSrc") and not params.get("fromImage"):
        raise Invalid("say what to pull (fromImage=) or where to import from (fromSrc=)")
    image = params.get("fromImage", "")
    if image and not params.get("tag") and not {":", "@"} & set(image.rpartition("/")[2]):
        raise Unsupported(f"pulling all tags is not supported: name one, like {image}:latest")
    if params.get("fromSrc") and params.get("tag"):
        params["repo"] = f"{params.get('repo', '')}:{params.pop('tag')}"
    return await _progress(call, "/images/create", params)


async def save(call: Call) -> web.StreamResponse:
    """``GET /images/get?names=``: several images as a tar archive."""
    names = call.request.query.getall("names", [])
    return await _archive(call, f"/images/get?{urlencode([('names', name) for name in names])}")


async def save_one(call: Call) -> web.StreamResponse:
    """``GET /images/{name}/get``."""
    return await _archive(call, f"/images/{call.parts['name']}/get")


async def distribution(call: Call) -> web.StreamResponse:
    """``GET /distribution/{name}/json``: refused at once. Clients ask before each service and wait
    for the answer; without one they keep the tag and say so."""
    raise Missing(
        f"no registry access: the digest of {familiar(call.parts['name'])} cannot be looked up"
    )


def _missing(call: Call) -> Missing:
    return Missing(f"No such image: {with_tag(familiar(call.parts['name']))}")


async def _progress(call: Call, path: str, params: dict[str, str]) -> web.StreamResponse:
    if call.request.body_exists:
        reply = await relay.pass_upload(call, path, params)
    else:
        reply = await relay.accepted(call, "POST", path, params=params)
    failed = []

    def told(line: Json) -> Json:
        if line.get("error"):
            failed.append(line)
        return shapes.progress(line)

    lines = relay.json_lines(reply.chunks(), told)
    answer = await relay.stream(call, reply, content_type=relay.JSON, pieces=lines)
    if params.get("fromImage") and not failed:
        name = pulled(params["fromImage"], params.get("tag", ""))
        call.ports.events.tell(shapes.happened("pull", name, name, time.time()))
    return answer


def pulled(image: str, tag: str) -> str:
    """What users call the image that was pulled."""
    if not tag:
        return with_tag(familiar(image))
    return familiar(f"{image}{'@' if ':' in tag else ':'}{tag}")


async def _archive(call: Call, path: str) -> web.StreamResponse:
    reply = await relay.accepted(call, "GET", path, params={})
    return await relay.stream(call, reply, content_type=TAR)
