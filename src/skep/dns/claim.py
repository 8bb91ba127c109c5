"""Being the only server on a control socket: a lock beside it, held for the process's life."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from skep.model.errors import Broken, Clash

BACKLOG = 16
PROBE_TIMEOUT = 1.0


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[socket.socket]:
    """The listening control socket at ``path``, for its owner alone, removed at the end.

    A socket that a dead server left is replaced. Raises `Clash` if a live server has it, `Broken`
    if the path cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Broken(f"cannot use {path}: {error.strerror}") from error
    try:
        _lock(lock, path)
        with _listening(path) as sock:
            yield sock
    finally:
        os.close(lock)


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Clash(f"{path} is in use by another skep-dns") from None


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    if _is_live(path):
        raise Clash(f"{path} is in use by another server")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with sock:
        try:
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            raise Broken(f"cannot listen on {path}: {error.strerror}") from error
        # Not before the mode is right: until then nobody can connect.
        sock.listen(BACKLOG)
        sock.setblocking(False)
        try:
            yield sock
        finally:
            path.unlink(missing_ok=True)


def _is_live(path: Path) -> bool:
    """Whether something listens there that does not know our lock."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise Broken(f"cannot use {path}: {error.strerror or error}") from error
        return True
