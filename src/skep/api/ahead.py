"""What the engine says of itself, asked ahead of whoever wants to know.

``docker node ls``, ``join-token`` and others begin with ``GET /info``, of which they need nothing
that is the engine's, and Podman takes 0.3 seconds to answer. So its last answer is given as long as
it is there, and a new one is asked for when something happened that may change it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from skep.api import relay
from skep.api.ports import EnginePort, Event, Ports
from skep.api.shapes.base import Json
from skep.model.errors import Refusal

OLD = 60.0
"""Seconds after which an answer is not good any more, even if nothing seems to have happened."""

SETTLE = 0.5
"""Seconds in which what happens at the same time is waited for."""

REST = 9
"""How many times as long as the engine took to answer it is left alone afterwards, however much
happens: a tenth of its time is the most that this takes."""

TELLING = frozenset({"create", "start", "die", "destroy", "pause", "unpause"})
"""What happens to containers that changes the engine's counts of them."""

log = structlog.get_logger("skep.api")


class Ahead:
    """One of the engine's answers about itself (``path``), known before it is asked for."""

    def __init__(self, engine: EnginePort, path: str) -> None:
        self._engine = engine
        self._path = path
        self._answer: Json = {}
        self._asked_at = 0.0
        self._is_stale = False
        self._refreshing: asyncio.Task[None] | None = None

    async def get(self) -> tuple[Json, list[str]]:
        """The last answer and no warning; or nothing, and a warning why."""
        try:
            if self._answer:
                await (await self._engine.request("GET", "/_ping")).close()
            else:
                await self._ask()
        except Refusal as refusal:
            return {}, [f"WARNING: {refusal}"]
        if time.monotonic() - self._asked_at >= OLD:
            self.changed(0.0)
        return self._answer, []

    def changed(self, settle: float = SETTLE) -> None:
        """The answer may be another one now: ask anew, in ``settle`` seconds."""
        self._is_stale = True
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(settle))

    async def close(self) -> None:
        """Ask no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def follow(self, events: AsyncIterator[Event]) -> None:
        """Ask anew whenever an event says that the answer may be another one."""
        async for event in events:
            if event.kind == "container" and event.action in TELLING:
                self.changed()

    async def _refresh(self, settle: float) -> None:
        await asyncio.sleep(settle)
        while self._is_stale:
            self._is_stale = False
            begun = time.monotonic()
            try:
                await self._ask()
            except Refusal as refusal:
                log.info("the engine does not say how it is", path=self._path, cause=str(refusal))
                self._answer = {}  # whoever wants to know next asks it then
            await asyncio.sleep(REST * (time.monotonic() - begun))

    async def _ask(self) -> None:
        self._answer = await relay.ask(self._engine, "GET", self._path) or {}
        self._asked_at = time.monotonic()


INFO: web.AppKey[Ahead] = web.AppKey("info", Ahead)
"""``GET /info``, kept for the application's life."""


def keep_ahead(app: web.Application, ports: Ports) -> None:
    """Have an application know the engine's ``/info`` from its start to its end."""
    app[INFO] = Ahead(ports.engine, "/info")

    async def living(app: web.Application) -> AsyncIterator[None]:
        ahead = app[INFO]
        ahead.changed(0.0)
        following = asyncio.create_task(ahead.follow(ports.events.subscribe(None)))
        yield
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await ahead.close()

    app.cleanup_ctx.append(living)
