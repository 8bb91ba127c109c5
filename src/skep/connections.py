"""Which containers were said to be on which networks. Pure.

A network may be connected between a container's start and the moment at which the engine tells of
that start: both would tell of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.api.ports import Event
from skep.engine.events import ContainerEvent

ENDS = frozenset({"die", "remove"})
"""What takes a container off all its networks."""


class Connections:
    """Lets every connection be told once."""

    def __init__(self) -> None:
        self._told: dict[str, set[str]] = {}

    def forget(self) -> None:
        """Ends may have been missed."""
        self._told.clear()

    def news(self, happened: ContainerEvent, events: Iterable[Event]) -> Iterator[Event]:
        """Those events of what happened that tell something new."""
        yield from filter(self.is_new, events)
        if happened.action in ENDS:
            self._told.pop(happened.id, None)

    def is_new(self, event: Event) -> bool:
        """Whether nobody was told of this yet; it counts as told from now on."""
        container = event.attributes.get("container", "")
        if event.kind != "network" or not container:
            return True
        known = self._told.setdefault(container, set())
        if event.action == "connect" and event.id in known:
            return False
        if event.action == "connect":
            known.add(event.id)
        else:
            known.discard(event.id)
        return True
