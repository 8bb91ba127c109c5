"""Noticing that something was mounted or unmounted: a namespace's name is a mount, and to unmount
it alters no directory.

Source: proc_pid_mountinfo(5): "the file descriptor is marked as having a priority event, and as
being in error, when an entry is added or removed". epoll(7): an epoll descriptor can be polled.
"""

from __future__ import annotations

import contextlib
import select

TABLE = "/proc/self/mountinfo"


class Mounts:
    """A descriptor that is readable when something has happened to the mounts of this process."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as opened:
            table = opened.enter_context(open(TABLE, "rb"))
            self._poll = opened.enter_context(select.epoll())
            # The table itself is always readable; event loops know nothing of priority.
            self._poll.register(table, select.EPOLLPRI)
            self._opened = opened.pop_all()

    def fileno(self) -> int:
        """What event loops wait on."""
        return self._poll.fileno()

    def seen(self) -> None:
        """What has happened up to now is known."""
        self._poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._opened.close()
