"""Letting a task's connections end before its process does.

A task that is to stop leaves names and balancing on every host first, and each host confirms that.
From then on nobody new comes, and what is open is counted down to nothing, or until time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

SETTLE = 10.0
"""Seconds that the other hosts have to confirm. One that is cut off loses its session in fewer, and
is not waited for; one that is slow goes on sending here until it confirms."""

LOOK = 0.1
"""Seconds between looks at the open connections. None must be open at two of them in a row: what
was sent here a moment before the last host confirmed is still on its way."""

log = structlog.get_logger("skep.drain")


class Draining:
    """Drains tasks of one host. ``connections`` counts the connections that others have open to
    servers in a network namespace."""

    def __init__(self, connections: Callable[[str], Awaitable[int]]) -> None:
        self._connections = connections
        self._settled = 0
        self._news = asyncio.Event()

    def settled(self, index: int) -> None:
        """Every connected host has applied what it was told up to this index."""
        self._settled = index
        self._news.set()
        self._news = asyncio.Event()

    async def drain(
        self, namespace: str, since: int, seconds: float, alive: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return when the server in ``namespace`` may be stopped.

        ``since`` is the index of the assignment that said so; open connections have ``seconds``
        from when all hosts confirmed it. One that is not ``alive`` is not waited for.
        """
        if not await self._everybody(since, time.monotonic() + SETTLE):
            log.info("not all hosts confirmed", namespace=namespace, index=since)
        due = time.monotonic() + seconds
        quiet = 0
        while quiet < 2:
            count = await self._connections(namespace)
            quiet = 0 if count else quiet + 1
            if time.monotonic() >= due:
                break
            if not await alive():
                return
            await asyncio.sleep(LOOK)
        if count:
            log.info("connections cut short", namespace=namespace, open=count, after=seconds)

    async def _everybody(self, since: int, due: float) -> bool:
        while self._settled < since:
            news = self._news
            left = due - time.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)
        return True
