"""What a decision may know besides the state: the time, and fresh ids. Passed in, never fetched."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Context(msgspec.Struct, frozen=True):
    """``now`` in Unix seconds; ``new_id`` gives a fresh swarm id at each call."""

    now: float
    new_id: Callable[[], str]
