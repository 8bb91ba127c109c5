"""A value that nobody could say again, kept on disk twice: damage to one file loses nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from skep.agent.statefile import read, write_atomically
from skep.model.errors import Broken

T = TypeVar("T")

COPY = ".copy"
DAMAGED = ".damaged"

log = structlog.get_logger("skep.state")


class Twice(Generic[T]):
    """``path`` holds a value of ``kind``, ``path.copy`` what it should hold."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._copy = path.with_name(path.name + COPY)
        self._kind = kind

    def load(self) -> T | None:
        """The value; None if there are no such files. A damaged file is set aside, its copy taken,
        and the log says so. Raises `Broken` if neither can be understood."""
        try:
            found = read(self._path, self._kind)
            why = f"{self._path} is gone"
        except Broken as broken:
            found, why = None, str(broken)
        if found is not None:
            self._write(self._copy, found)
            return found
        try:
            copied = read(self._copy, self._kind)
        except Broken as broken:
            raise Broken(f"{why}, and {broken}; {self._mend}") from broken
        if copied is not None:
            self._restore(copied, why)
        elif self._path.exists():
            raise Broken(f"{why}; {self._mend}")
        return copied

    @property
    def _mend(self) -> str:
        return (
            f"restore {self._path.name} from a backup, or move it away, and {self._copy.name} "
            "if there is one, to start anew"
        )

    def _restore(self, copied: T, why: str) -> None:
        aside = self._path.with_name(self._path.name + DAMAGED)
        with contextlib.suppress(OSError):
            self._path.replace(aside)
        self._write(self._path, copied)
        log.error("restored from its copy", file=str(self._path), why=why, aside=str(aside))

    def keep(self, value: T) -> None:
        """Write it down. Raises `Broken` if it cannot be; then the old value is kept."""
        write_atomically(self._path, msgspec.json.encode(value))
        self._write(self._copy, value)

    def _write(self, path: Path, value: T) -> None:
        """Write the file that there may be later, too: the other one is right."""
        data = msgspec.json.encode(value)
        try:
            if not path.exists() or path.read_bytes() != data:
                write_atomically(path, data)
        except (Broken, OSError) as fault:
            log.warning("not kept twice", why=str(fault))
