"""An inquiry that takes time, as both sides of it see it: it begins, tells something now and then,
and can be ended before its time. The asking side makes one, and the listening side uses it."""

from __future__ import annotations

import asyncio
import threading

from skep.model.inspection import Sightings


class Talk:
    """One such inquiry. `enough` may be looked at from any thread."""

    def __init__(self) -> None:
        self.enough = threading.Event()
        self.listening = asyncio.Event()

    async def begun(self) -> None:
        """All ears are open now."""
        self.listening.set()

    async def heard(self, seen: Sightings) -> None:
        """Something was seen, and more may come."""

    async def stop(self) -> None:
        """That is enough: the answer is wanted now."""
        self.enough.set()
