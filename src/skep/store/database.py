"""The SQLite file of a store: opening it safely, and the transactions on it. Everything blocks.

Two tables: ``items`` is the present, ``log`` the last changes, one row per transaction, from which
watchers are fed. The log's highest revision is the store's revision, so both always agree.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from skep.model.errors import Broken, Unavailable
from skep.store import faults
from skep.store.interface import Compacted, Conflict, Event, Item, Op, Put, Snapshot

SCHEMA = 1
BUSY_SECONDS = 2.0
"""How long a foreign lock (someone's sqlite3 shell) is waited for."""
READ_AT_ONCE = 256
"""Transactions a watcher takes from the log in one go."""
_LOG_FILE_BYTES = 16 << 20
_END = "\x7f"  # sorts behind every character that a key may have

_TABLES = f"""
begin immediate;
create table meta (name text primary key, value any) strict;
create table items (key text primary key, value blob not null, revision integer not null) strict;
create table log (revision integer primary key, events blob not null) strict;
insert into meta values ('schema', {SCHEMA});
commit;
"""

_Change = tuple[str, bytes | None]
_changes = msgspec.msgpack.Decoder(list[_Change])
_encode = msgspec.msgpack.Encoder().encode


class Lock:
    """The right to open a store's file, held by at most one process; it ends with the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock of the store at ``path``. Raises `Unavailable` if another holds it.

        A file of its own: closing any descriptor of the database would drop SQLite's own locks.
        """
        name = path.with_name(path.name + ".lock")
        self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise Unavailable(
                f"the cluster store {path} is in use by another process (pid {holder or 'unknown'})"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._descriptor)


class Database:
    """One connection to a store's file. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._sql = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._sql.execute("pragma journal_mode=wal")
        self._sql.execute("pragma synchronous=full")
        self._sql.execute(f"pragma journal_size_limit={_LOG_FILE_BYTES}")

    def close(self) -> None:
        """Close the connection; the last one to do so folds the write-ahead log into the file."""
        self._sql.close()

    def prepare(self, path: Path) -> None:
        """Check that the file is whole and ours, or make it ours if it is empty.

        Raises `Broken`; sqlite3.Error.
        """
        (verdict,) = self._sql.execute("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise Broken(
                f"the cluster store {path} cannot be used: it is damaged; restore it from a backup"
            )
        tables = {name for (name,) in self._sql.execute("select name from sqlite_schema")}
        if not tables:
            self._sql.executescript(_TABLES)
        elif not {"meta", "items", "log"} <= tables:
            raise Broken(f"{path} is a database, but not a cluster store")
        (schema,) = self._sql.execute("select value from meta where name = 'schema'").fetchone()
        if schema != SCHEMA:
            raise Broken(
                f"the cluster store {path} has format {schema}, this version of Skep uses {SCHEMA}"
            )

    def snapshot(self, prefix: str) -> Snapshot:
        """Everything under ``prefix``. Raises sqlite3.Error."""
        with self._transaction("deferred"):
            rows = self._sql.execute(
                "select key, value, revision from items where key >= ? and key < ? order by key",
                (prefix, prefix + _END),
            )
            return Snapshot(self._revision(), tuple(Item(*row) for row in rows))

    def changes(self, prefix: str, after: int) -> tuple[int, list[tuple[Event, ...]]]:
        """The next transactions later than ``after`` that touch ``prefix``, and the revision up to
        which that is all. Raises `Compacted`, sqlite3.Error."""
        with self._transaction("deferred"):
            (oldest,) = self._sql.execute("select coalesce(min(revision), 1) from log").fetchone()
            newest = self._revision()
            if not oldest - 1 <= after <= newest:
                raise Compacted(f"changes are kept from {oldest} to {newest}, asked after {after}")
            until = min(newest, after + READ_AT_ONCE)
            rows = self._sql.execute(
                "select revision, events from log where revision > ? and revision <= ? "
                "order by revision",
                (after, until),
            ).fetchall()
        found = (_events(revision, data, prefix) for revision, data in rows)
        return until, [events for events in found if events]

    def apply(self, commits: Sequence[Sequence[Op]], keep: int) -> list[int | Conflict]:
        """Do each of ``commits`` or find its conflict, all made durable by one sync of the disk.

        Afterwards the log holds at least the last ``keep`` revisions. Raises sqlite3.Error, and
        then nothing has changed.
        """
        with self._transaction("immediate"):
            revision = first = self._revision()
            outcomes: list[int | Conflict] = []
            for ops in commits:
                if differing := self._differing(ops):
                    outcomes.append(Conflict(*differing))
                    continue
                if changed := self._write(ops, revision + 1):
                    revision += 1
                    self._sql.execute("insert into log values (?, ?)", (revision, _encode(changed)))
                outcomes.append(revision)
            # Now and then a bunch of rows, rather than one row with each commit.
            step = max(1, keep // 8)
            if revision // step > first // step:
                self._sql.execute("delete from log where revision <= ?", (revision - keep,))
        return outcomes

    def _differing(self, ops: Sequence[Op]) -> list[str]:
        return [
            op.key for op in ops if op.expect is not None and self._revision_of(op.key) != op.expect
        ]

    def _write(self, ops: Sequence[Op], revision: int) -> list[_Change]:
        changed: list[_Change] = []
        for op in ops:
            if isinstance(op, Put):
                self._sql.execute(
                    "insert into items values (?, ?, ?) on conflict (key) "
                    "do update set value = excluded.value, revision = excluded.revision",
                    (op.key, op.value, revision),
                )
                changed.append((op.key, op.value))
            elif self._sql.execute("delete from items where key = ?", (op.key,)).rowcount:
                changed.append((op.key, None))
        return changed

    def _revision(self) -> int:
        (revision,) = self._sql.execute("select coalesce(max(revision), 0) from log").fetchone()
        assert isinstance(revision, int)
        return revision

    def _revision_of(self, key: str) -> int:
        row = self._sql.execute("select revision from items where key = ?", (key,)).fetchone()
        return row[0] if row else 0

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        self._sql.execute(f"begin {kind}")
        try:
            yield
            self._sql.execute("commit")
        finally:
            # A failed statement may have ended the transaction by itself (disk full).
            if self._sql.in_transaction:
                self._sql.execute("rollback")


def _events(revision: int, data: bytes, prefix: str) -> tuple[Event, ...]:
    return tuple(
        Event(key, value, revision)
        for key, value in _changes.decode(data)
        if key.startswith(prefix)
    )


def open_file(path: Path) -> tuple[Lock, Database, Database]:
    """Lock the store's file (made with mode 0600 if new), check it, and connect a writer and a
    reader. Raises `Broken`, `Unavailable`."""
    try:
        lock = Lock(path)
    except OSError as error:
        raise faults.of_system(path, error) from error
    opened: list[Database] = []
    try:
        _make_private(path)
        for _ in range(2):
            opened.append(Database(path))
        opened[0].prepare(path)
    except BaseException as error:
        for database in opened:
            database.close()
        lock.release()
        if isinstance(error, sqlite3.Error):
            raise faults.of_database(path, error) from error
        if isinstance(error, OSError):
            raise faults.of_system(path, error) from error
        raise
    return lock, opened[0], opened[1]


def _make_private(path: Path) -> None:
    """The file exists, durably, and is its owner's alone; SQLite's side files take its mode."""
    for target, flags in ((path, os.O_RDWR | os.O_CREAT), (path.parent, os.O_RDONLY)):
        descriptor = os.open(target, flags | os.O_CLOEXEC, 0o600)
        try:
            if target == path:
                os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
