"""What the convergence loop has done, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from skep.model.ops import Op
from skep.model.readings import Times

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds."""


class Tally:
    """Counts since the daemon's start: looks and how long they took, what was done, and what of it
    was drift: put right in a namespace whose plan had not changed."""

    def __init__(self) -> None:
        self._counts = [0] * len(BOUNDS)
        self._number = 0
        self._total = 0.0
        self.changes = 0
        self.drift: Counter[str] = Counter()

    def looked(self, seconds: float) -> None:
        """A look, with what it led to, took so long."""
        for place, bound in enumerate(BOUNDS):
            self._counts[place] += seconds <= bound
        self._number += 1
        self._total += seconds

    def did(self, ops: Iterable[Op], drifted: Iterable[Op]) -> None:
        """Operations were performed, the latter of them because the kernel had drifted."""
        self.changes += sum(1 for _ in ops)
        self.drift.update(type(op).__name__ for op in drifted)

    @property
    def looks(self) -> Times:
        """How long looks took."""
        return Times(
            bounds=BOUNDS, counts=tuple(self._counts), number=self._number, total=self._total
        )
