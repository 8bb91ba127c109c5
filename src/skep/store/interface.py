"""What a manager needs of a store, whichever engine is behind it: list, commit, watch.

One counter, the revision, orders all changes: it grows by one with every transaction that changes
something, and each item carries the revision of its last change. A caller lists once, then watches
from the snapshot's revision, and so sees every change once and in order.

Keys are printable ASCII (the space not included). Values are bytes that the store never looks into.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec


class Item(msgspec.Struct, frozen=True):
    """A key, its value, and the revision of its last change (never 0)."""

    key: str
    value: bytes
    revision: int


class Snapshot(msgspec.Struct, frozen=True):
    """All items under a prefix, ordered by key, as they were at ``revision``."""

    revision: int
    items: tuple[Item, ...]


class Event(msgspec.Struct, frozen=True):
    """A key got a new value, or was deleted (``value`` None), at ``revision``."""

    key: str
    value: bytes | None
    revision: int


class Put(msgspec.Struct, frozen=True):
    """Set a key. ``expect``: only if its last change was at this revision, 0: only if absent."""

    key: str
    value: bytes
    expect: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Delete a key; no change if it is absent. ``expect`` as in `Put`."""

    key: str
    expect: int | None = None


Op = Put | Delete


class Conflict(Exception):  # noqa: N818 - an outcome that the caller retries on, not a fault
    """A commit expected revisions that are not those stored. Nothing was changed.

    ``keys`` are the ones that differ, as far as the engine tells.
    """

    def __init__(self, *keys: str) -> None:
        super().__init__(f"changed meanwhile: {', '.join(keys)}")
        self.keys = keys


class Compacted(Exception):  # noqa: N818 - an outcome that the caller handles by listing again
    """A watch asked for changes that are no longer kept, or not known here. List again."""


class Store(Protocol):
    """The engine's side. Any method raises `Broken` or `Unavailable` with a sentence when the world
    is in the way (disk full, no quorum, closed); a store stays usable after that."""

    async def list(self, prefix: str) -> Snapshot:
        """Everything under ``prefix`` at one revision, all acknowledged commits included."""

    async def commit(self, ops: Sequence[Op]) -> int:
        """Do all of ``ops`` (distinct keys), or nothing. Answers the store's revision after it.

        When it returns, the change is durable. Raises `Conflict` if an ``expect`` does not hold. A
        commit that changes nothing makes no revision. After `Broken` or `Unavailable`, and when the
        caller is cancelled while waiting, the change may or may not have been made.
        """

    def watch(self, prefix: str, after: int) -> AsyncGenerator[tuple[Event, ...], None]:
        """Changes under ``prefix`` later than revision ``after``, one tuple per transaction, in
        order and without gaps, for ever. Raises `Compacted`; `Unavailable` once closed."""

    async def close(self) -> None:
        """Finish what was accepted, then let go of everything. May be called twice."""
