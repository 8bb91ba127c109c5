"""``/skep/…``: what Docker has not. Where packets go, and what is wrong."""

from __future__ import annotations

import contextlib

import msgspec
from aiohttp import web

from skep.api.call import Call, json
from skep.api.ports import InspectionPort
from skep.model.errors import Invalid, Unavailable

LONGEST_HOLD = 24 * 3600
"""Seconds that a host may be left unrepaired at one go."""


async def trace(call: Call) -> web.StreamResponse:
    """``GET /skep/trace?from=&to=&live=&follow=``: a `Trace`."""
    source, target = call.query("from"), call.query("to")
    if not source or not target:
        raise Invalid("a trace needs both ends: from and to")
    if call.flag("follow"):
        return await _follow(call, source, target)
    found = await _port(call).trace(source, target, call.flag("live"))
    return json(msgspec.to_builtins(found))


async def _follow(call: Call, source: str, target: str) -> web.StreamResponse:
    """``&follow=1``: the `Trace`, then a `Followed` a second, one JSON object a line."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    async with contextlib.aclosing(_port(call).follow(source, target)) as reports:
        async for each in reports:
            if not response.prepared:  # only now is it certain that nothing is refused
                await response.prepare(call.request)
            await response.write(msgspec.json.encode(each) + b"\n")
    await response.write_eof()
    return response


async def doctor(call: Call) -> web.StreamResponse:
    """``GET /skep/doctor?host=``: a `Checkup`. By ``POST``, after converging."""
    host = call.query("host")
    repair = call.request.method == "POST"
    found = await _port(call).examine((host,) if host else (), repair)
    return json({**msgspec.to_builtins(found), "code": found.code})


async def hold(call: Call) -> web.StreamResponse:
    """``POST /skep/hold?host=&seconds=``: repair nothing there for so long; 0 lets it go."""
    host, seconds = call.query("host"), call.number("seconds")
    if not host or seconds is None:
        raise Invalid("say which host to hold, and for how many seconds (0 lets it go)")
    if not 0 <= seconds <= LONGEST_HOLD:
        raise Invalid(f"a host can be held for up to {LONGEST_HOLD // 3600} hours")
    return json({"until": await _port(call).hold(host, seconds)})


def _port(call: Call) -> InspectionPort:
    port = call.ports.inspection
    if port is None:
        raise Unavailable("this daemon cannot look into hosts")
    return port
