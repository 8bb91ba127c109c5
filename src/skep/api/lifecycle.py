"""``/containers``: making, starting, stopping and removing them, their networking included."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from skep.api import containers, relay, schema
from skep.api.call import Call, empty, json
from skep.api.filters import moment
from skep.api.members import check_members
from skep.api.ports import Container, Event
from skep.api.selection import Selection
from skep.api.unbegun import UNBEGUN
from skep.model.errors import Clash, Invalid, Missing, Refusal, Unsupported

ENDED = frozenset({"created", "exited", "dead"})
PRUNE_FILTERS = ("until", "label", "label!")


async def create(call: Call) -> web.StreamResponse:
    """``POST /containers/create?name=``."""
    body = await schema.raw_body(call.request)
    if not isinstance(body, dict) or not body:
        raise Invalid("config cannot be empty in order to create a container")
    check_shape(body)
    await _check_platform(call, body["Image"])
    made, warnings = await call.ports.host.create(call.query("name"), body)
    return json({"Id": made, "Warnings": warnings}, status=201)


async def _check_platform(call: Call, image: str) -> None:
    """Raises `Missing` if the image that is there is for another platform than ``platform=``."""
    asked = call.query("platform")
    if not asked:
        return
    try:
        found = await relay.ask(call.ports.engine, "GET", f"/images/{image}/json")
    except Missing:
        return  # its absence is said where the container is made
    own = f"{found.get('Os')}/{found.get('Architecture')}"
    if not f"{asked}/".startswith(f"{own}/"):
        raise Missing(
            f"image with reference {image} was found but its platform ({own}) does not match the "
            f"specified platform ({asked})"
        )


def check_shape(body: dict[str, Any]) -> None:
    """Raises `Invalid` if a container is asked for in a shape that nobody can read."""
    check_members(body)
    if not body.get("Image"):
        raise Invalid("say which image to make the container of")


async def start(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/start``: 304 if it runs."""
    unbegun = call.request.app[UNBEGUN]
    try:
        container = _container(call)
    except Missing:
        unbegun.check(call.parts["id"])  # an engine may have removed it already
        raise
    try:
        unbegun.check(container.id)
    except Refusal:
        await _give_up(call, container)
        raise
    return empty(204 if await call.ports.host.start(container) else 304)


async def _give_up(call: Call, container: Container) -> None:
    """One that cannot begin and is to be removed at its end is: its client waits for that. That it
    cannot is what counts, whatever becomes of this."""
    with contextlib.suppress(Refusal):
        found = await containers.of_engine(call.ports, container, None)
        if (found.get("HostConfig") or {}).get("AutoRemove"):
            await call.ports.host.remove(container, force=True, volumes=True)


async def stop(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/stop?t=``: 304 if it does not run."""
    stopped = await call.ports.host.stop(_container(call), call.number("t"))
    return empty(204 if stopped else 304)


async def restart(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/restart?t=``: its addresses may be others afterwards."""
    container = _container(call)
    await call.ports.host.stop(container, call.number("t"))
    await call.ports.host.start(container)
    return empty()


async def kill(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/kill?signal=``."""
    return await _act(call, "kill", call.parameters())


async def pause(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/pause``."""
    return await _act(call, "pause", {})


async def unpause(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/unpause``."""
    return await _act(call, "unpause", {})


async def update(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/update``: resource limits."""
    container = _container(call)
    await call.ports.host.update(container, await call.object_body())
    return json({"Warnings": None})


async def rename(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/rename?name=``: on its networks too."""
    container = _container(call)
    await call.ports.host.rename(container, call.query("name").removeprefix("/"))
    former = {"oldName": f"/{container.name}"}
    call.ports.events.tell(_happened("rename", call.ports.host.find(container.id), former))
    return empty()


async def remove(call: Call) -> web.StreamResponse:
    """``DELETE /containers/{id}?force=&v=``."""
    if call.flag("link"):
        raise Unsupported("links between containers are not supported by this version of Skep")
    await call.ports.host.remove(_container(call), force=call.flag("force"), volumes=call.flag("v"))
    return empty()


async def prune(call: Call) -> web.StreamResponse:
    """``POST /containers/prune``: all that ended, except tasks of services."""
    filters = call.filters(*PRUNE_FILTERS)
    latest = min((moment(text, time.time()) for text in filters.get("until")), default=math.inf)
    rows = await containers.shown(call.ports, sizes=True)
    selection = Selection(rows, filters)
    deleted, freed = [], 0
    for row in rows:
        kept = row["State"] not in ENDED or not filters.without_labels("label!", row["Labels"])
        if kept or row["Created"] > latest or not selection.passes(row):
            continue
        container = call.ports.host.find(row["Id"])
        if not container.task_id and await _removed(call, container):
            deleted.append(container.id)
            freed += row.get("SizeRw") or 0
    return json({"ContainersDeleted": deleted, "SpaceReclaimed": freed})


def _happened(action: str, container: Container, more: Mapping[str, str]) -> Event:
    """What the engine does not tell of."""
    attributes = {**container.labels, "name": container.name, "image": container.image, **more}
    return Event(
        kind="container", action=action, id=container.id, attributes=attributes, time=time.time()
    )


async def _removed(call: Call, container: Container) -> bool:
    """Remove it; False if it was started or removed meanwhile."""
    try:
        await call.ports.host.remove(container, force=False, volumes=False)
    except (Clash, Missing):
        return False
    return True


async def _act(call: Call, verb: str, params: dict[str, str]) -> web.StreamResponse:
    container = _container(call)
    path = f"/containers/{container.id}/{verb}"
    await relay.ask(call.ports.engine, "POST", path, params=params)
    return empty()


def _container(call: Call) -> Container:
    return call.ports.host.find(call.parts["id"])
