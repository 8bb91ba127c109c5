"""What clients ask first: ``_ping``, ``version``, ``info``; and ``system df``."""

from __future__ import annotations

import time

from aiohttp import web

from skep.api import containers, relay
from skep.api.ahead import INFO
from skep.api.call import Call, json
from skep.api.ports import Membership
from skep.api.shapes import image as image_shapes
from skep.api.shapes import info as shapes
from skep.api.shapes.base import Json, instant
from skep.api.shapes.swarm import membership_info
from skep.model.cluster import Node
from skep.model.errors import Unavailable

PING_HEADERS = {
    "Builder-Version": "1",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}


async def ping(call: Call) -> web.StreamResponse:
    """``GET`` and ``HEAD /_ping``: its headers are the point."""
    swarm = swarm_header(call.ports.cluster.membership())
    return web.Response(text="OK", headers={**PING_HEADERS, "Swarm": swarm})


def swarm_header(membership: Membership) -> str:
    """This host's place in one word, by which clients choose the commands they offer."""
    if membership.state != "active":
        return membership.state
    return "active/manager" if membership.manager else "active/worker"


async def version(call: Call) -> web.StreamResponse:
    """``GET /version``."""
    try:
        engine = await relay.ask(call.ports.engine, "GET", "/version") or {}
    except Unavailable:
        engine = {}
    return json(shapes.version(call.facts, engine))


def _drivers(call: Call) -> tuple[str, ...]:
    return call.ports.networks.drivers() if call.ports.networks is not None else ()


async def info(call: Call) -> web.StreamResponse:
    """``GET /info``; without the engine's part, and a warning, while the engine is away."""
    engine, warnings = await call.request.app[INFO].get()
    answer = shapes.info(call.facts, engine, _swarm(call), warnings, _drivers(call))
    return json({**answer, "SystemTime": instant(time.time())})


async def disk_usage(call: Call) -> web.StreamResponse:
    """``GET /system/df``."""
    engine = call.ports.engine
    found = await relay.ask(engine, "GET", "/system/df") or {}
    listed = await relay.ask(engine, "GET", "/images/json")
    rows = await containers.shown(call.ports, sizes=True)
    images, size = image_shapes.used(listed, found.get("Images"))
    return json(
        {
            "LayersSize": size,
            "Images": images,
            "Containers": rows,
            "Volumes": found.get("Volumes") or [],
            "BuildCache": [],
        }
    )


def _swarm(call: Call) -> Json:
    membership = call.ports.cluster.membership()
    if not membership.manager:
        return membership_info(membership)
    nodes = call.ports.cluster.state().nodes.values()
    return membership_info(membership, Nodes=len(nodes), Managers=sum(map(_is_manager, nodes)))


def _is_manager(node: Node) -> bool:
    return node.spec.role == "manager"
