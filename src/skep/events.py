"""The daemon's stream of events: what happened to containers, networks, services and nodes.

Kept in memory only, the last `KEPT`; a subscriber that does not read is cut off, never waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from skep.api.ports import Event

KEPT = 1000
BEHIND = 4096
"""Events that a slow subscriber may be behind before it is cut off."""


class Events:
    """The stream. Implements the API's ``EventsPort``."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._subscribers: set[asyncio.Queue[Event | None]] = set()

    def tell(self, event: Event) -> None:
        """Something happened: keep it, pass it to every subscriber."""
        self._kept.append(event)
        for queue in list(self._subscribers):
            if queue.qsize() >= BEHIND:
                self._subscribers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def subscribe(self, since: float | None) -> AsyncIterator[Event]:
        """Events from now on, preceded by those kept since ``since`` (Unix seconds)."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        if since is not None:
            for event in self._kept:
                if event.time >= since:
                    queue.put_nowait(event)
        self._subscribers.add(queue)
        return self._drain(queue)

    async def _drain(self, queue: asyncio.Queue[Event | None]) -> AsyncIterator[Event]:
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            with contextlib.suppress(KeyError):
                self._subscribers.remove(queue)
