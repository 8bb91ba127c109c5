"""A directory that is in memory alone. Source: tmpfs(5), mount(2)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
OPTIONS = b"mode=0700,size=64m"

_libc = ctypes.CDLL(None, use_errno=True)


def ensure_tmpfs(directory: Path) -> None:
    """Have a tmpfs at ``directory`` (made if absent), unless it is a mount point already.

    Raises `OSError` if it cannot be mounted.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.ismount(directory):
        return
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    if _libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", flags, OPTIONS):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(directory))
