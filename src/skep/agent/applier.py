"""Bringing kernel and names to each assignment, and saying so when they are there.

That word counts: a task elsewhere is only stopped once every host has said that it sends nothing
new to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

RETRY = 1.0
"""Seconds until what the kernel refused is tried again."""


class Applier:
    """``apply`` brings the host to what is assigned now, True if all went well; ``say`` passes the
    index on that was brought about."""

    def __init__(
        self, apply: Callable[[], Awaitable[bool]], say: Callable[[int], Awaitable[None]]
    ) -> None:
        self._apply = apply
        self._say = say
        self._wanted = 0
        self._wake = asyncio.Event()
        self.applied = 0

    def assigned(self, index: int) -> None:
        """There is something new to apply."""
        self._wanted = index
        self._wake.set()

    async def run(self) -> None:
        """Apply whatever is assigned, the latest only, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            index = self._wanted
            if await self._apply():
                self.applied = index
                await self._say(index)
            else:
                asyncio.get_running_loop().call_later(RETRY, self._wake.set)
