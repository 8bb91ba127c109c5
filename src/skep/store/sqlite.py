"""The store of a swarm with one manager: an SQLite file, one writer thread, group commit.

Commits that wait at the same moment share one sync of the disk, and each is acknowledged only after
it. Watchers read the log, so a slow one costs no memory, and none can miss a change.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from skep.model.errors import Unavailable
from skep.store import faults
from skep.store.database import open_file
from skep.store.interface import Event, Op, Snapshot

T = TypeVar("T")
KEEP = 10_000
"""Revisions that a watcher may lag behind before it has to list again."""
BATCH = 256
"""Commits that share one sync of the disk, at most."""

_Outcome = int | Exception
_Waiting = tuple[Sequence[Op], "asyncio.Future[int]"]


class SqliteStore:
    """See `interface.Store`. Made by `open`; used from the event loop it was opened in."""

    def __init__(self, path: Path, keep: int, loop: asyncio.AbstractEventLoop) -> None:
        """Open the file (blocking). Use `open`. Raises `Broken`, `Unavailable`."""
        self._path = path
        self._keep = keep
        self._loop = loop
        self._changed = asyncio.Event()
        self._lock, self._writer, self._reader = open_file(path)
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, path: Path, *, keep: int = KEEP) -> SqliteStore:
        """Open the store at ``path``, made if absent (its directory must exist).

        At least the last ``keep`` revisions stay watchable. Raises `Unavailable` if another process
        has it open, `Broken` if it cannot be read, written or understood.
        """
        self = await asyncio.to_thread(cls, path, keep, asyncio.get_running_loop())
        self._thread.start()
        return self

    async def list(self, prefix: str) -> Snapshot:
        """See `Store.list`."""
        return await self._read(partial(self._reader.snapshot, prefix))

    async def commit(self, ops: Sequence[Op]) -> int:
        """See `Store.commit`."""
        keys = [op.key for op in ops]
        assert len(set(keys)) == len(keys), f"a key is changed twice in one commit: {keys}"
        assert all(key and "!" <= min(key) <= max(key) <= "~" for key in keys), f"bad key: {keys}"
        self._check_open()
        done: asyncio.Future[int] = self._loop.create_future()
        self._queue.put((ops, done))
        return await done

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[tuple[Event, ...], None]:
        """See `Store.watch`."""
        while True:
            # Taken before reading: a commit in between sets this one, and is read next time.
            changed = self._changed
            until, transactions = await self._read(partial(self._reader.changes, prefix, after))
            for events in transactions:
                yield events
            if until == after:
                await changed.wait()
            after = until

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        self._wake()
        self._reader.close()
        await asyncio.to_thread(self._writer.close)
        self._lock.release()

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Unavailable(f"the cluster store {self._path} is closed")

    async def _read(self, query: Callable[[], T]) -> T:
        self._check_open()
        try:
            return await self._loop.run_in_executor(self._readers, query)
        except sqlite3.Error as error:
            raise faults.of_database(self._path, error) from error

    def _write(self) -> None:
        """The writer thread: it outlives every fault, each caller hears of its own."""
        ending = False
        while not ending:
            batch = [self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            ending = batch[-1] is None
            waiting = [entry for entry in batch if entry is not None]
            outcomes = self._outcomes([ops for ops, _ in waiting])
            futures = [future for _, future in waiting]
            self._loop.call_soon_threadsafe(self._acknowledge, futures, outcomes)

    def _outcomes(self, commits: Sequence[Sequence[Op]]) -> Sequence[_Outcome]:
        if not commits:
            return []
        try:
            return self._writer.apply(commits, self._keep)
        except sqlite3.Error as error:
            if len(commits) == 1:
                return [faults.of_database(self._path, error)]
        except Exception as error:  # a bug of ours: it belongs to the caller, not to this thread
            if len(commits) == 1:
                return [error]
        # One that is at fault must not take its neighbours with it.
        return [outcome for ops in commits for outcome in self._outcomes([ops])]

    def _acknowledge(
        self, futures: Sequence[asyncio.Future[int]], outcomes: Sequence[_Outcome]
    ) -> None:
        for future, outcome in zip(futures, outcomes, strict=True):
            if future.cancelled():
                continue
            if isinstance(outcome, int):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        self._wake()

    def _wake(self) -> None:
        """All watchers look at the log again."""
        self._changed.set()
        self._changed = asyncio.Event()
