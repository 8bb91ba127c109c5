"""``GET /skep/flows``: who talks to whom."""

from __future__ import annotations

import msgspec
from aiohttp import web

from skep.api.call import Call, json
from skep.model.errors import Invalid, Unavailable
from skep.model.flows import Wanted


async def listed(call: Call) -> web.StreamResponse:
    """``?party=&host=&network=&port=&outside=&unanswered=``: `Flows`."""
    port = call.query("port")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise Invalid(f'invalid port "{port}": it is a number from 1 to 65535')
    if call.ports.flows is None:
        raise Unavailable("this daemon does not know who talks to whom")
    wanted = Wanted(
        party=call.query("party"),
        host=call.query("host"),
        network=call.query("network"),
        port=int(port or 0),
        outside=call.flag("outside"),
        unanswered=call.flag("unanswered"),
    )
    return json(msgspec.to_builtins(await call.ports.flows.flows(wanted)))
