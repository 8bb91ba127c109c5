"""The last words on this host's tasks, kept on disk before they are said.

What a manager was told to have ended holds no address any more: another task may have it. A daemon
that starts anew while no manager can be reached must not start it again, though the last assignment
that it knows of still wants it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
import structlog

from skep.agent.statefile import read, write_atomically
from skep.model.cluster import TaskState, TaskStatus
from skep.model.errors import Broken

log = structlog.get_logger("skep.finals")


class Finals:
    """The statuses of tasks that have ended here, by task id, for as long as they are assigned."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, TaskStatus] = {}

    def load(self) -> Mapping[str, TaskStatus]:
        """Read them. A file that cannot be read counts as none: tasks are then tried once more."""
        try:
            known = read(self._path, dict[str, TaskStatus], decode=msgspec.msgpack.decode)
            self._known = known or {}
        except Broken as broken:
            log.warning("last words unreadable", why=str(broken))
        return dict(self._known)

    def note(self, statuses: Mapping[str, TaskStatus]) -> None:
        """Keep those that are final."""
        ended = {i: said for i, said in statuses.items() if said.state > TaskState.RUNNING}
        if ended:
            self._known.update(ended)
            self._write()

    def keep_only(self, task_ids: Collection[str]) -> None:
        """Forget those of tasks that are assigned no more."""
        gone = self._known.keys() - set(task_ids)
        for task_id in gone:
            del self._known[task_id]
        if gone:
            self._write()

    def _write(self) -> None:
        try:
            write_atomically(self._path, msgspec.msgpack.encode(self._known))
        except Broken as error:
            # The manager hears them all the same; only a restart meanwhile would not know.
            log.warning("last words not kept", why=str(error))
