"""What a daemon has for itself on disk: directories, and the id that its host is known by."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import structlog

from skep.agent.statefile import write_atomically
from skep.model.errors import Broken

log = structlog.get_logger("skep.daemon")


def make_directory(path: Path) -> None:
    """Have a directory of our own. Raises `Broken`."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Broken(f"cannot make {path}: {error.strerror}") from error


def host_id(path: Path) -> str:
    """This host's own id, made at its first start, and anew if its file is damaged."""
    with contextlib.suppress(OSError, ValueError):
        return str(uuid.UUID(path.read_text()))
    made = str(uuid.uuid4())
    try:
        write_atomically(path, made.encode())
    except Broken as broken:
        log.warning("this host's id is another one at its next start", why=str(broken))
    return made
