"""How tasks end: told to leave their node, waited for, given up, deleted."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from skep.cluster import constraints
from skep.cluster.context import Context
from skep.cluster.lives import is_abandoned, is_dead, is_placed, is_stopping
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Task, TaskState, TaskStatus
from skep.model.spec import SECOND

ORPHANED_AFTER = 24 * 3600.0
"""Seconds after which a task on a host that is down counts as gone. Source: swarmkit."""

STOP_PATIENCE = 60.0
"""Seconds beyond its grace period that a slot waits for a task that was told to stop."""

DEFAULT_GRACE = 10 * SECOND


def sweep(draft: Draft, context: Context, task: Task) -> float | None:
    """Carry one task towards its deletion, if it nears that; the instant to look again, if any."""
    if not task.service_id:
        if is_dead(task) or task.node_id not in draft.nodes:
            draft.delete(task)
        return None
    if task.service_id not in draft.services and task.desired_state < TaskState.REMOVE:
        task = replace(task, desired_state=TaskState.REMOVE, updated_at=context.now)
        draft.put(task)
    if task.desired_state >= TaskState.REMOVE and (is_dead(task) or not is_placed(task)):
        draft.delete(task)
        return None
    # On a host that is only cut off its container may live on: until it is known to be gone, nobody
    # else gets its addresses.
    return _orphan(draft, context, task) if is_stopping(task) else None


def _orphan(draft: Draft, context: Context, task: Task) -> float | None:
    """Give up a task that should stop on a host that is not there to stop it."""
    if not is_abandoned(draft, task):
        return None
    node = draft.nodes.get(task.node_id)
    due = node.seen_at + ORPHANED_AFTER if node else context.now
    if due > context.now:
        return due
    status = TaskStatus(
        state=TaskState.ORPHANED,
        timestamp=context.now,
        message="the node was gone for too long",
        container_id=task.status.container_id,
    )
    draft.put(replace(task, status=status, updated_at=context.now))
    return None


def is_lost(view: View, task: Task) -> bool:
    """Whether the task's node is gone or down: nothing can be waited for."""
    return is_placed(task) and is_abandoned(view, task)


def is_displaced(view: View, task: Task) -> bool:
    """Whether the task may not stay where it is: the node was drained, or has other labels now."""
    node = view.nodes.get(task.node_id) if is_placed(task) else None
    if node is None:
        return False
    placement = task.spec.placement
    return node.spec.availability == "drain" or bool(
        placement and constraints.violated(placement.constraints, node)
    )


def shut_down(draft: Draft, context: Context, task: Task) -> Task:
    """The task with its stop ordered; one that has ended is only noted as history.

    Then the instant of the last change stays: restart delays count from the death.
    """
    updated_at = task.updated_at if is_dead(task) else context.now
    task = replace(task, desired_state=TaskState.SHUTDOWN, updated_at=updated_at)
    draft.put(task)
    return task


def patience(view: View, tasks: Iterable[Task]) -> float:
    """Until when to wait for those of the tasks that were told to stop; 0.0 if there are none."""
    waits = (_patience(t) for t in tasks if is_stopping(t) and not is_abandoned(view, t))
    return max(waits, default=0.0)


def _patience(task: Task) -> float:
    spec = task.spec.container_spec
    grace = spec.stop_grace_period if spec else None
    return task.updated_at + (DEFAULT_GRACE if grace is None else grace) / SECOND + STOP_PATIENCE
