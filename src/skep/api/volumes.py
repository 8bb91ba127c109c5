"""``/volumes``: the engine's, in Docker's shape."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from skep.api import relay
from skep.api.call import Call, empty, json
from skep.api.shapes.base import Json
from skep.model.errors import Missing

FILTERS = ("dangling", "driver", "label", "name")


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /volumes``."""
    call.filters(*FILTERS)
    return await relay.rewritten(call, "/volumes", _listed)


async def create(call: Call) -> web.StreamResponse:
    """``POST /volumes/create``."""
    body = await call.body()
    return json(
        await relay.ask(call.ports.engine, "POST", "/volumes/create", json=body), status=201
    )


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /volumes/{name}``."""
    return json(await _ask(call, "GET"))


async def remove(call: Call) -> web.StreamResponse:
    """``DELETE /volumes/{name}?force=``."""
    await _ask(call, "DELETE")
    return empty()


async def prune(call: Call) -> web.StreamResponse:
    """``POST /volumes/prune``."""
    return await relay.rewritten(call, "/volumes/prune", _pruned)


async def _ask(call: Call, method: str) -> Any:
    name = call.parts["name"]
    try:
        return await relay.ask(
            call.ports.engine, method, f"/volumes/{name}", params=call.parameters()
        )
    except Missing as missing:
        raise Missing(f"volume {name} not found") from missing


def _listed(engine: Any) -> Json:
    found = engine or {}
    return {"Volumes": found.get("Volumes") or [], "Warnings": found.get("Warnings") or []}


def _pruned(engine: Any) -> Json:
    found = engine or {}
    return {
        "VolumesDeleted": found.get("VolumesDeleted") or [],
        "SpaceReclaimed": found.get("SpaceReclaimed") or 0,
    }
