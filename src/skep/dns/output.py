"""Keeping what we print from growing without end: the place it goes to may be memory."""

from __future__ import annotations

import os

LIMIT = 1 << 20
"""Bytes that our output may grow to; then the older half of it is dropped."""


def bound(descriptor: int) -> None:
    """Drop the older half of a file that has grown too long. Of terminals and pipes, nothing."""
    if os.fstat(descriptor).st_size <= LIMIT:
        return
    with open(f"/proc/self/fd/{descriptor}", "rb") as whole:
        whole.seek(-LIMIT // 2, os.SEEK_END)
        whole.readline()
        newer = whole.read()
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, newer)
