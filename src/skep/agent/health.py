"""Running containers' health checks on their schedule, and telling whoever waits for the outcome.

The engine runs one check at a time and keeps the count of failures; when to run it is ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from skep.engine.client import Engine
from skep.model.errors import Refusal
from skep.model.spec import SECOND

Json = dict[str, Any]

INTERVAL = 30 * SECOND
START_INTERVAL = 5 * SECOND

log = structlog.get_logger("skep.health")


def check_of(inspected: Json) -> Json | None:
    """The health check of an inspected container, None if it has none."""
    config = inspected.get("Config") or {}
    check = config.get("Healthcheck") or {}
    test = check.get("Test") or []
    return check if test and test[0] != "NONE" else None


def pause(check: Json, status: str) -> float:
    """Seconds until the next check of a container in this health status."""
    interval = check.get("Interval") or INTERVAL
    if status == "starting" and check.get("StartPeriod"):
        interval = min(interval, check.get("StartInterval") or START_INTERVAL)
    return float(max(interval, SECOND // 1000)) / SECOND


class Health:
    """The health checks of one host's containers. ``changed`` hears of every new status; ``asked``
    is a container's check as its user wrote it: the engine forgets the interval of the start."""

    def __init__(
        self,
        engine: Engine,
        changed: Callable[[str, str], Awaitable[None]],
        asked: Callable[[str], Json],
    ) -> None:
        self._engine = engine
        self._changed = changed
        self._asked = asked
        self._running: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.statuses: dict[str, str] = {}

    async def run(self) -> None:
        """Check until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    async def started(self, container_id: str) -> None:
        """A container runs: begin to check it, if it has a check."""
        check = check_of(await self._engine.inspect(container_id))
        current = self._running.get(container_id)
        if check is None or self._group is None or (current and not current.done()):
            return
        self.statuses[container_id] = "starting"
        check = {**check, **self._asked(container_id)}
        self._running[container_id] = self._group.create_task(self._watch(container_id, check))

    def ended(self, container_id: str) -> None:
        """A container does not run any more."""
        self.statuses.pop(container_id, None)
        watcher = self._running.pop(container_id, None)
        if watcher is not None:
            watcher.cancel()

    async def _watch(self, container_id: str, check: Json) -> None:
        status = "starting"
        while True:
            await asyncio.sleep(pause(check, status))
            try:
                found = await self._engine.probe_health(container_id)
            except Refusal as refusal:
                log.info("health check not run", container=container_id, why=str(refusal))
                continue
            if found != status:
                status = found
                self.statuses[container_id] = status
                await self._changed(container_id, status)
