"""Time as the cluster's decisions see it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The host's clock, except that it never goes back.

    Decisions compare now with instants that they noted earlier: what is to happen ten seconds after
    one of them would wait for a day, if the host's clock were put back by a day. From then on this
    one goes on by itself, until the host's has caught up. Unix seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._last = 0.0
        self._at = steady()

    def now(self) -> float:
        """What time it is."""
        at = self._steady()
        self._last, self._at = max(self._wall(), self._last + at - self._at), at
        return self._last

    def passed(self, instant: float) -> None:
        """It is later than this: it was noted as a time already."""
        self._last = max(self.now(), instant)
