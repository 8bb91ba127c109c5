"""The application: versions, dispatch, and what every answer carries."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog
from aiohttp import web

from skep.api import errors, page
from skep.api.ahead import INFO, keep_ahead
from skep.api.arriving import ARRIVALS, LARGEST, Arrivals
from skep.api.call import HEADERS, Call
from skep.api.facts import LATEST, OLDEST, Facts, dotted
from skep.api.guard import Guard
from skep.api.ports import Ports
from skep.api.relay import cut
from skep.api.routes import PAGE_ROUTES, ROUTES, Route, Table
from skep.api.streams import Hijacked
from skep.api.unbegun import UNBEGUN, Unbegun
from skep.door import LOG, Door
from skep.model.errors import Invalid, Refusal

VERSIONED = re.compile(r"/v(?P<major>\d+)\.(?P<minor>\d+)(?P<path>/.*)")
SHUTDOWN_TIMEOUT = 2.0
"""Seconds that open streams get to end when the daemon stops."""

IDLE = 60.0
"""Seconds that a client may take for a request's line and headers, or keep a connection without."""

log = structlog.get_logger("skep.api")


def make_app(ports: Ports, *, facts: Facts) -> web.Application:
    """The Docker Engine API over ``ports``. Run it as a `Service`."""
    app = web.Application(client_max_size=LARGEST)
    app[UNBEGUN] = Unbegun()
    app[ARRIVALS] = Arrivals()
    app[HEADERS] = {
        "Api-Version": dotted(LATEST),
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": f"Skep/{facts.version} (linux)",
    }
    app.on_response_prepare.append(_add_headers)
    keep_ahead(app, ports)
    app.router.add_route("*", "/{path:.*}", Dispatcher(ports, facts).handle)
    return app


def make_page_app(ports: Ports, *, facts: Facts, guard: Guard) -> web.Application:
    """What browsers get to see, past a ``guard``. Run it as a `Service`."""
    app = web.Application(middlewares=[guard.check], client_max_size=0)
    app[HEADERS] = {"Server": f"Skep/{facts.version}", **page.HEADERS}
    app.on_response_prepare.append(_add_headers)
    app.router.add_route("*", "/{path:.*}", Dispatcher(ports, facts, PAGE_ROUTES).handle)
    return app


class Service:
    """An application that is served: behind a `Door`, and so that a client that goes away cancels
    its handler, which is what ends streams; handlers that change something are shielded from it
    (see `Dispatcher`)."""

    def __init__(self, app: web.Application) -> None:
        self._door = Door()
        app.middlewares.insert(0, self._door.middleware)
        if ARRIVALS in app:
            app[ARRIVALS].door = self._door
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT,
            keepalive_timeout=IDLE, logger=LOG,
        )  # fmt: skip

    async def open(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Serve who comes by ``listener``, which it closes in the end."""
        await self._runner.setup()
        assert self._runner.server is not None, "it is set up"
        self._door.open(self._runner.server, listener, context)

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return 0 if self._runner.server is None else len(self._runner.server.connections)

    async def close(self) -> None:
        """Serve nobody any more."""
        await self._door.close()
        await self._runner.cleanup()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(request.app[HEADERS])


class Dispatcher:
    """From a request to its handler, and from refusals to answers."""

    def __init__(self, ports: Ports, facts: Facts, routes: Iterable[Route] = ROUTES) -> None:
        self._ports = ports
        self._facts = facts
        self._table = Table(routes)
        self._running: set[asyncio.Task[web.StreamResponse]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        try:
            return await self._answer(request)
        except Refusal as refused:
            return _unless_begun(request, errors.answer(refused))
        except web.HTTPException as fault:
            return errors.said(fault.status, fault.reason)
        except Exception as fault:
            if isinstance(fault, ConnectionError) and _has_left(request):
                return Hijacked()
            log.exception("a request failed", method=request.method, path=request.path)
            return _unless_begun(request, errors.said(500, errors.INTERNAL))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        version, path = split_version(request.path)
        found = self._table.find(request.method, path.rstrip("/") or "/")
        if found is None:
            return errors.said(404, errors.PAGE_NOT_FOUND)
        route, parts = found
        call = Call(
            request=request, version=version, parts=parts, ports=self._ports, facts=self._facts
        )
        if route.streams:
            response = await route.handler(call)
        else:
            response = await self._to_the_end(_run(route, call))
        if request.method != "GET" and path.startswith("/images"):
            request.app[INFO].changed()
        return response

    async def _to_the_end(
        self, work: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """Let the handler finish what it began, even if the client does not wait for it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.add_done_callback(_log_outcome)
            raise


async def _run(route: Route, call: Call) -> web.StreamResponse:
    return await route.handler(call)


def _log_outcome(task: asyncio.Task[web.StreamResponse]) -> None:
    """The client has left: tell the log what it would have been told."""
    if task.cancelled():
        return
    fault = task.exception()
    if isinstance(fault, Refusal):
        log.info("refused a request whose client had left", cause=str(fault))
    elif fault is not None:
        log.error("a request failed whose client had left", exc_info=fault)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _unless_begun(request: web.Request, response: web.Response) -> web.StreamResponse:
    """The answer, unless a part of another was sent: then nothing but the connection's end."""
    if request.writer.output_size == 0:
        return response
    cut(request)
    return Hijacked()


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """The API version that a path asks for, and the path without it.

    Raises `Invalid` with Docker's sentences if the version is not one that is spoken here.
    """
    found = VERSIONED.fullmatch(path)
    if found is None:
        return LATEST, path
    version = int(found["major"]), int(found["minor"])
    if version > LATEST:
        raise Invalid(
            f"client version {dotted(version)} is too new. "
            f"Maximum supported API version is {dotted(LATEST)}"
        )
    if version < OLDEST:
        raise Invalid(
            f"client version {dotted(version)} is too old. "
            f"Minimum supported API version is {dotted(OLDEST)}, "
            "please upgrade your client to a newer version"
        )
    return version, found["path"]
