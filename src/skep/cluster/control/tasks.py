"""Reports of agents on their tasks."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from skep.cluster.context import Context
from skep.cluster.lives import is_dead, is_placed, keep
from skep.cluster.state import Draft
from skep.model.cluster import Task, TaskState, TaskStatus

OBSERVABLE = range(TaskState.ACCEPTED, TaskState.REJECTED + 1)
"""The states that are an agent's to observe; the others are the manager's to decide."""


def update_status(
    draft: Draft, context: Context, node_id: str, statuses: Mapping[str, TaskStatus]
) -> None:
    """Note what a node observed of tasks of its own.

    States only move forward: what is older than what is known, or about tasks of others, is
    ignored, as reports may arrive late or twice.
    """
    for task_id, status in statuses.items():
        task = draft.tasks.get(task_id)
        if task is None or task.node_id != node_id or not _is_news(task, status):
            continue
        if not status.container_id:
            status = replace(status, container_id=task.status.container_id)  # noqa: PLW2901
        since = task.running_since
        if status.state == TaskState.RUNNING and not since:
            since = context.now
        keep(draft, replace(task, status=status, running_since=since, updated_at=context.now))


def _is_news(task: Task, status: TaskStatus) -> bool:
    known = task.status
    if status.state not in OBSERVABLE or is_dead(task) or not is_placed(task):
        return False
    if status.state == known.state:
        return status.timestamp > known.timestamp
    return status.state > known.state
