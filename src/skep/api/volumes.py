"""``/volumes``: the engine's, in Docker's shape."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from aiohttp import web

from skep.api import relay
from skep.api.call import Call, empty, json
from skep.api.shapes.base import Json
from skep.model.errors import Clash, Invalid, Missing

FILTERS = ("dangling", "driver", "label", "name")
UNUSED = {"filters": '{"dangling":["true"]}'}
ANONYMOUS = re.compile("[0-9a-f]{64}")
"""The names of volumes that nobody named."""

ALL_UNTIL = (1, 42)
"""Before this version of the API, a pruning took the named volumes as well."""


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /volumes``."""
    call.filters(*FILTERS)
    return await relay.rewritten(call, "/volumes", _listed)


async def create(call: Call) -> web.StreamResponse:
    """``POST /volumes/create``."""
    body = await call.object_body()
    for name, kind in (("Name", str), ("Driver", str), ("Labels", dict), ("DriverOpts", dict)):
        if name in body and not isinstance(body[name], kind):
            raise Invalid(f"invalid JSON: {name} is of another type")
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
    """``POST /volumes/prune``: those that nothing uses. Since API 1.42 only the anonymous ones,
    unless ``all`` asks for the named, too."""
    filters = call.filters("all", "label", "label!")
    everything = call.version < ALL_UNTIL or bool(filters.truth("all"))
    usage = await relay.ask(call.ports.engine, "GET", "/system/df") or {}
    sizes = {item["Name"]: (item.get("UsageData") or {}).get("Size", 0)
             for item in usage.get("Volumes") or []}  # fmt: skip
    found = await relay.ask(call.ports.engine, "GET", "/volumes", params=UNUSED) or {}
    deleted = []
    for volume in found.get("Volumes") or []:
        labels = volume.get("Labels") or {}
        fits = filters.labels("label", labels) and filters.without_labels("label!", labels)
        if fits and (everything or ANONYMOUS.fullmatch(volume["Name"])):
            with contextlib.suppress(Clash, Missing):  # it was taken, or is gone meanwhile
                await relay.ask(call.ports.engine, "DELETE", f"/volumes/{volume['Name']}")
                deleted.append(volume["Name"])
    freed = sum(max(sizes.get(name, 0), 0) for name in deleted)
    return json({"VolumesDeleted": deleted, "SpaceReclaimed": freed})


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
