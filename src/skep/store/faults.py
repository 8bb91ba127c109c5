"""The faults of a SQLite file and of the disk below it, in sentences for whoever runs the host."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from skep.model.errors import Broken, Refusal, Unavailable

_PRIMARY = 0xFF  # the low byte of an extended result code is the primary one (sqlite.org/rescode)
_OF_CODE: dict[int, tuple[type[Refusal], str]] = {
    sqlite3.SQLITE_FULL: (Broken, "the disk is full"),
    sqlite3.SQLITE_READONLY: (Broken, "it is read-only"),
    sqlite3.SQLITE_PERM: (Broken, "permission denied"),
    sqlite3.SQLITE_IOERR: (Broken, "the disk failed while reading or writing it"),
    sqlite3.SQLITE_CORRUPT: (Broken, "it is damaged; restore it from a backup"),
    sqlite3.SQLITE_NOTADB: (Broken, "it is not a database; restore it from a backup"),
    sqlite3.SQLITE_TOOBIG: (Broken, "the value is too large for it"),
    sqlite3.SQLITE_BUSY: (Unavailable, "another process holds a lock on it"),
    sqlite3.SQLITE_LOCKED: (Unavailable, "another process holds a lock on it"),
    sqlite3.SQLITE_CANTOPEN: (Broken, "it cannot be opened"),
    sqlite3.SQLITE_NOMEM: (Unavailable, "there is not enough memory"),
}


def of_database(path: Path, error: sqlite3.Error) -> Refusal:
    """The refusal for an error that SQLite reported on the file."""
    # Programming errors carry no code: they are ours, and say so by their own words.
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    kind, why = _OF_CODE.get(code, (Broken, str(error)))
    return kind(f"the cluster store {path} cannot be used: {why}")


def of_system(path: Path, error: OSError) -> Refusal:
    """The refusal for an error of the operating system on the file or its directory."""
    words = os.strerror(error.errno or errno.EIO).lower()
    return Broken(f"the cluster store {path} cannot be used: {words}")
