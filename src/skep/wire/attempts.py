"""How often an address may fail to join, so that nobody keeps a manager busy with guessing."""

from __future__ import annotations

from collections import OrderedDict, deque

LIMIT = 10
WINDOW = 60.0
REMEMBERED = 4096


class Attempts:
    """Failed attempts by address: at most `LIMIT` in `WINDOW` seconds. The clock is passed in."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until ``address`` may try again, 0.0 if it may now."""
        times = self._failures.get(address)
        if times is None or len(times) < LIMIT:
            return 0.0
        return max(0.0, times[0] + WINDOW - now)

    def failed(self, address: str, now: float) -> None:
        """Note a failure. Only the last `REMEMBERED` addresses are known."""
        self._failures.setdefault(address, deque(maxlen=LIMIT)).append(now)
        self._failures.move_to_end(address)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
