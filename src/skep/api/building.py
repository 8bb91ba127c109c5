"""Making images: ``build`` by the classic builder, ``commit`` of a container."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import urlencode

from aiohttp import web

from skep.api import relay
from skep.api.call import Call, json
from skep.api.shapes import image as shapes
from skep.api.shapes.container import digest
from skep.engine.refusals import UNSAID
from skep.model.errors import Broken, Invalid, Unsupported

CLASSIC = ("", "1")
"""Values of ``version=`` that mean the classic builder; 2 is BuildKit."""

NETWORKS = {"": "host", "default": "host", "bridge": "host", "host": "host", "none": "none"}
"""What a build's RUN lines may be on: the engine makes no networks."""

BUILDKIT = (
    "BuildKit is not part of Skep: docker build without the buildx plugin, or with "
    "DOCKER_BUILDKIT=0, uses the classic builder, which is"
)


async def session(call: Call) -> NoReturn:  # noqa: ARG001 - a handler's signature
    """``POST /session``, which only BuildKit needs: refused."""
    raise Unsupported(BUILDKIT)


async def build(call: Call) -> web.StreamResponse:
    """``POST /build``: a Dockerfile and its folder in a tar archive."""
    if call.query("version") not in CLASSIC:
        raise Unsupported(BUILDKIT)
    mode = call.query("networkmode")
    if mode not in NETWORKS:
        raise Unsupported(f"building on network {mode} is not supported: --network host or none")
    asked = urlencode(_others(call, "networkmode", "version"))
    path = f"/build?{asked}&networkmode={NETWORKS[mode]}"
    try:
        reply = await relay.pass_upload(call, path, {})
    except Broken as broken:
        if not str(broken).startswith(UNSAID):
            raise
        raise Invalid("what is to be built is no tar archive, or not all of one") from broken
    told = relay.json_lines(reply.chunks(), shapes.progress)
    return await relay.stream(call, reply, content_type=relay.JSON, pieces=told)


async def prune(call: Call) -> web.StreamResponse:  # noqa: ARG001
    """``POST /build/prune``: there is no build cache apart from images."""
    return json({"CachesDeleted": [], "SpaceReclaimed": 0})


async def commit(call: Call) -> web.StreamResponse:
    """``POST /commit?container=&repo=&tag=&comment=&author=&changes=&pause=``."""
    if not call.query("container"):
        raise Invalid("say which container (container=) to make an image of")
    container = call.ports.host.find(call.query("container"))
    body = await call.object_body()
    path = f"/commit?{urlencode(_others(call, 'container'))}&container={container.id}"
    made = await relay.ask(call.ports.engine, "POST", path, json=body)
    return json({"Id": digest(made["Id"])}, status=201)


def _others(call: Call, *names: str) -> list[tuple[str, str]]:
    """The request's parameters as often as they are given, without those."""
    return [pair for pair in call.request.query.items() if pair[0] not in names]
