"""How much of something may be under way at once: in one sandbox, and in all together."""

from __future__ import annotations


class Budget:
    """A count with a limit. A part of a ``whole`` takes from both."""

    def __init__(self, limit: int, whole: Budget | None = None) -> None:
        self._limit = limit
        self._whole = whole
        self.used = 0

    def take(self) -> bool:
        """Begin one more; False, and nothing is taken, if that is too many."""
        if self.used >= self._limit or (self._whole and not self._whole.take()):
            return False
        self.used += 1
        return True

    def give(self) -> None:
        """One has ended."""
        assert self.used > 0, "more was given back than was taken"
        self.used -= 1
        if self._whole:
            self._whole.give()
