"""What falls due, and when. Instants are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

Subject = tuple[str, str]
"""A kind ("tasks", "services") and an id."""

Dues = Mapping[Subject, float | None]
"""When each subject is to be looked at again; None for not unless something changes."""


class Agenda:
    """The next instant of each subject."""

    def __init__(self) -> None:
        self._due: dict[Subject, float] = {}
        self._heap: list[tuple[float, Subject]] = []

    def update(self, dues: Dues) -> None:
        """Replace what is known of these subjects."""
        for subject, due in dues.items():
            if due is None:
                self._due.pop(subject, None)
            elif self._due.get(subject) != due:
                self._due[subject] = due
                heappush(self._heap, (due, subject))
        if len(self._heap) > 2 * len(self._due) + 64:
            # Mostly entries that were replaced since.
            self._heap = [(due, subject) for subject, due in self._due.items()]
            heapify(self._heap)

    @property
    def next(self) -> float | None:
        """The earliest instant, None if there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Subject]:
        """The subjects whose instant has come; they stay until they are updated."""
        if self.next is None or self._heap[0][0] > now:
            return []
        found, rest = [], []
        while self._heap and self._heap[0][0] <= now:
            entry = heappop(self._heap)
            if self._due.get(entry[1]) == entry[0]:
                found.append(entry[1])
                rest.append(entry)
        for entry in rest:
            heappush(self._heap, entry)
        return found
