"""``/skep/…``: what Docker has not. Where packets go, and what is wrong."""

from __future__ import annotations

import msgspec
from aiohttp import web

from skep.api.call import Call, json
from skep.api.ports import InspectionPort
from skep.model.errors import Invalid, Unavailable


async def trace(call: Call) -> web.StreamResponse:
    """``GET /skep/trace?from=&to=&live=``: a `Trace`."""
    source, target = call.query("from"), call.query("to")
    if not source or not target:
        raise Invalid("a trace needs both ends: from and to")
    found = await _port(call).trace(source, target, call.flag("live"))
    return json(msgspec.to_builtins(found))


async def doctor(call: Call) -> web.StreamResponse:
    """``GET /skep/doctor?host=``: a `Checkup`. By ``POST``, after converging."""
    host = call.query("host")
    repair = call.request.method == "POST"
    found = await _port(call).examine((host,) if host else (), repair)
    return json({**msgspec.to_builtins(found), "code": found.code})


def _port(call: Call) -> InspectionPort:
    port = call.ports.inspection
    if port is None:
        raise Unavailable("this daemon cannot look into hosts")
    return port
