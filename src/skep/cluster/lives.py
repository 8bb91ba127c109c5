"""Where a task stands between what is wanted of it and what was observed."""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster.context import Context
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Task, TaskState


def is_dead(task: Task) -> bool:
    """Observed to have ended, however it did."""
    return task.status.state > TaskState.RUNNING


def is_live(task: Task) -> bool:
    """Wanted, and not observed dead."""
    return task.desired_state <= TaskState.RUNNING and not is_dead(task)


def is_stopping(task: Task) -> bool:
    """Told to stop, and not observed dead yet."""
    return task.desired_state > TaskState.RUNNING and not is_dead(task)


def is_abandoned(view: View, task: Task) -> bool:
    """Its node is gone or down, so nothing new will be heard of it."""
    if not task.node_id:
        return False
    node = view.nodes.get(task.node_id)
    return node is None or node.state == "down"


def age_key(task: Task) -> tuple[float, int, bool, str]:
    """Sorts the tasks of a slot from oldest to newest."""
    return task.created_at, task.spec_version, not is_dead(task), task.id


def stop(draft: Draft, context: Context, task: Task, desired: TaskState) -> None:
    """Want the task stopped (SHUTDOWN) or gone (REMOVE). One that no node knows is deleted."""
    if not task.node_id and not is_dead(task):
        draft.delete(task)
    elif task.desired_state < desired:
        draft.put(replace(task, desired_state=desired, updated_at=context.now))
