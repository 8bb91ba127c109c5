"""What a daemon keeps on disk, a value a file: read whole, replaced whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from skep.model.errors import UNREADABLE, Broken

T = TypeVar("T")

log = structlog.get_logger("skep.state")


def read(
    path: Path,
    kind: type[T],
    *,
    decode: Callable[..., Any] = msgspec.json.decode,
    mend: str = "",
) -> T | None:
    """The value of ``kind`` that ``path`` holds, None if there is no such file. ``mend`` is what to
    do about a damaged one, for who cannot go on without it.

    Raises `Broken`: it cannot be read, or holds no such value.
    """
    try:
        found: T = decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (*UNREADABLE, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Broken(f"cannot read {path}: {why}" + (f"; {mend}" if mend else "")) from error
    return found


def drop(path: Path) -> None:
    """Have no such file. Raises `Broken` if it stays."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Broken(f"cannot remove {path}: {error.strerror}") from error


def forget(path: Path) -> None:
    """Have no such file, if that can be: for who goes on without it in any case."""
    try:
        drop(path)
    except Broken as broken:
        log.warning("not forgotten on disk", why=str(broken))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` with ``data``; after a crash it holds the old bytes or the new, never half.

    Raises `Broken` with the cause in words (disk full, read-only file system).
    """
    scratch = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise Broken(f"cannot write {path}: {error.strerror}") from error
