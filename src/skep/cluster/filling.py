"""Filling a slot: one task of the service as it is now, as soon as it may be; never two that run,
unless its user asks for the new one to start before the old one stops.
"""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster.context import Context
from skep.cluster.ends import is_displaced, is_lost, patience
from skep.cluster.lives import DIED_BY_ITSELF, age_key, is_dead, is_live, is_running, stop
from skep.cluster.modes import is_open
from skep.cluster.restart import policy_of, restart_at, runs_to_remember
from skep.cluster.rollout import is_outdated, is_paused, renewals
from skep.cluster.slots import Slot, forgettable
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Service, Task, TaskState

MOVE_PATIENCE = 300.0
"""Seconds that a task may stay on a drained node while its replacement does not run."""

DEFAULT_HISTORY = 5


def fill(draft: Draft, context: Context, service: Service, slot: Slot) -> float | None:
    """Make sure that the slot has its task, now or when it may; the instant to look again."""
    _adopt(draft, service, slot)
    live = slot.live
    old = [t for t in live if is_displaced(draft, t) or is_outdated(draft, t, service)]
    ids = {task.id for task in old}
    fresh = [task for task in live if task.id not in ids]
    if fresh:
        return _hand_over(draft, context, slot, (fresh, old))
    if old:
        return _succeed(draft, context, service, (slot, old))
    return _refill(draft, context, service, slot)


def may_grow(view: View, slot: Slot) -> bool:
    """Whether the slot may get a new task: one that is a node only while that takes tasks."""
    if not slot.node_id:
        return True
    node = view.nodes.get(slot.node_id)
    return node is not None and is_open(node)


def _adopt(draft: Draft, service: Service, slot: Slot) -> None:
    """Tasks that fit a changed spec as they are, as after a roll-back, count as of this version."""
    for position, task in enumerate(slot.tasks):
        if not is_live(task) or task.spec_version == service.spec_version:
            continue
        if not is_outdated(draft, task, service):
            slot.tasks[position] = replace(
                task, spec=service.spec.task_template, spec_version=service.spec_version
            )
            draft.put(slot.tasks[position])


def _keep_best(draft: Draft, context: Context, tasks: list[Task]) -> Task:
    """Of several live tasks, the one that came furthest; the others are to stop."""
    best = max(tasks, key=lambda task: (task.status.state, age_key(task)))
    for task in tasks:
        if task.id != best.id:
            stop(draft, context, task, TaskState.SHUTDOWN)
    return best


def _hand_over(
    draft: Draft, context: Context, slot: Slot, tasks: tuple[list[Task], list[Task]]
) -> float | None:
    """Of ``tasks``, fresh and old ones: the old stop once a fresh one runs."""
    fresh, old = tasks
    new = _keep_best(draft, context, fresh)
    if is_running(new):
        for task in old:
            stop(draft, context, task, TaskState.SHUTDOWN)
        return None
    if not old:
        return None
    leaving = _keep_best(draft, context, old)
    if not is_displaced(draft, leaving):
        return None
    first = next(iter(slot.successors(leaving)), new)
    return _see_off(draft, context, leaving, first.created_at + MOVE_PATIENCE)


def _see_off(draft: Draft, context: Context, task: Task, due: float) -> float | None:
    """Stop a task when that is due, if not now."""
    if due > context.now:
        return due
    stop(draft, context, task, TaskState.SHUTDOWN)
    return None


def _succeed(
    draft: Draft, context: Context, service: Service, place: tuple[Slot, list[Task]]
) -> float | None:
    """A slot with nothing but old tasks: start another one beside, again if that has failed.

    The first one for an outdated task is the update's business, and so are all while it is paused.
    """
    slot, old = place
    task = _keep_best(draft, context, old)
    # An update's attempt may have begun with another task of the slot, which has stopped since.
    tried = {each.id: each for each in (*slot.successors(task), *renewals(service, slot))}
    ended = (t for t in tried.values() if is_dead(t) or is_lost(draft, t))
    attempts = sorted(ended, key=age_key)
    moving = is_displaced(draft, task)
    if not moving and (not attempts or is_paused(service)):
        return None
    if attempts:
        due = restart_at(attempts)
    else:
        due = None if policy_of(task).condition == "none" else context.now
    limit = attempts[0].created_at + MOVE_PATIENCE if attempts else context.now + MOVE_PATIENCE
    if moving and (due is None or limit <= context.now):
        stop(draft, context, task, TaskState.SHUTDOWN)
        return None
    if due is None:
        return None
    if due > context.now:
        return min(due, limit) if moving else due
    _put_next(draft, context, service, (slot, task.id))
    return None


def _put_next(draft: Draft, context: Context, service: Service, place: tuple[Slot, str]) -> None:
    """Make the slot's next task, to take over from another one if that is named."""
    slot, replaces = place
    if may_grow(draft, slot):
        task = slot.next_task(context, service, replaces=replaces)
        draft.put(task)
        slot.tasks.append(task)


def _refill(draft: Draft, context: Context, service: Service, slot: Slot) -> float | None:
    """A slot without a live task: the next one, when the last is gone and the policy allows it."""
    until = patience(draft, slot.tasks)
    if until > context.now:
        return until
    last = slot.last
    if last is None:
        _put_next(draft, context, service, (slot, ""))
        return None
    outdated = is_outdated(draft, last, service)
    # An update does not ask the old task's policy; while it is paused, there are only restarts.
    by_itself = last.status.state in DIED_BY_ITSELF
    renews = outdated and not (is_paused(service) and by_itself)
    due = context.now if renews else restart_at(slot.tasks)
    if due is None:
        return None
    if due > context.now:
        return due
    _put_next(draft, context, service, (slot, last.id if outdated else ""))
    return None


def forget(draft: Draft, slot: Slot) -> None:
    """Delete the slot's oldest dead tasks beyond the history limit."""
    if len(slot.tasks) <= 1:
        return
    cluster = draft.cluster
    history = cluster.task_history if cluster else DEFAULT_HISTORY
    last = slot.last
    if history < 0 or last is None:
        return
    # The last task stays in any case: it says what became of the slot.
    keep = max(runs_to_remember(last, history), 1)
    for task in forgettable(slot, keep):
        draft.delete(task)
