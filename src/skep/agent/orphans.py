"""Attachments of this host that no container of its has: the answer that gave them was lost, or the
daemon that asked for them was killed before it wrote them down."""

from __future__ import annotations

import time
from collections.abc import Callable

from skep.agent.records import Records
from skep.agent.uplink import ANSWER_WITHIN, Uplink
from skep.model.cluster import Task


class Orphans:
    """Those of one host. ``is_busy`` says whether a container, by its id, is being worked on just
    now: what it was given may not be on record yet."""

    def __init__(self, records: Records, uplink: Uplink, is_busy: Callable[[str], bool]) -> None:
        self._records = records
        self._uplink = uplink
        self._is_busy = is_busy
        self._since: dict[str, float] = {}

    async def give_back(self) -> None:
        """Give back those that nobody has taken for a while."""
        held = {held for record in self._records for held in record.attachments.values()}
        now = time.monotonic()
        self._since = {
            task.id: self._since.get(task.id, now)
            for task in self._uplink.assignment.tasks.values()
            if task.id not in held and self._is_orphan(task)
        }
        for task_id, since in self._since.items():
            if now - since > ANSWER_WITHIN:
                await self._uplink.detach(task_id)

    def _is_orphan(self, task: Task) -> bool:
        return bool(task.container_name) and not self._is_busy(task.status.container_id)
