"""``GET /metrics``: what is measured, for Prometheus; on the API's socket, and by itself on TCP."""

from __future__ import annotations

import msgspec
from aiohttp import web

from skep.api.call import Call, json
from skep.api.ports import MetricsPort
from skep.api.shapes.metrics import exposed
from skep.model.errors import Unavailable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def scrape(call: Call) -> web.StreamResponse:
    """All readings of this daemon."""
    if call.ports.metrics is None:
        raise Unavailable("this daemon measures nothing")
    return await _answer(call.ports.metrics)


async def readings(call: Call) -> web.StreamResponse:
    """``GET /skep/readings``: the same as JSON, for ``skep top``."""
    if call.ports.metrics is None:
        raise Unavailable("this daemon measures nothing")
    return json(msgspec.to_builtins(await call.ports.metrics.readings()))


def make_metrics_app(port: MetricsPort) -> web.Application:
    """Nothing but the readings, for a listener that others may reach."""

    async def handle(_: web.Request) -> web.StreamResponse:
        return await _answer(port)

    app = web.Application()
    app.router.add_get("/metrics", handle)
    return app


async def _answer(port: MetricsPort) -> web.StreamResponse:
    body = exposed(await port.readings())
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})
