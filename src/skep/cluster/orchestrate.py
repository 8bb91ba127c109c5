"""Replicated services: as many slots as replicas, one task in each, the dead replaced.

A slot's next task is made only when the last one is gone, so that a replica never runs twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from skep.cluster import constraints
from skep.cluster.context import Context
from skep.cluster.lives import age_key, is_abandoned, is_dead, is_live, is_stopping, stop
from skep.cluster.restart import restart_at, runs_to_remember
from skep.cluster.rollout import Slot, advance, is_outdated
from skep.cluster.state import Draft
from skep.model.cluster import Node, Service, Task, TaskState, TaskStatus
from skep.model.spec import SECOND

ORPHANED_AFTER = 24 * 3600.0
"""Seconds after which a task on a host that is down counts as gone. Source: swarmkit."""

STOP_PATIENCE = 60.0
"""Seconds beyond its grace period that a slot waits for a task that was told to stop."""

DEFAULT_GRACE = 10 * SECOND
DEFAULT_HISTORY = 5


def orchestrate(draft: Draft, context: Context) -> float | None:
    """Bring tasks in line with services and nodes; the instant to look again, None for no need."""
    wakes = [_sweep(draft, context, task) for task in list(draft.tasks.values())]
    for service in list(draft.services.values()):
        wakes.append(_run(draft, context, service))
    return min((wake for wake in wakes if wake is not None), default=None)


# --- single tasks


def _sweep(draft: Draft, context: Context, task: Task) -> float | None:
    """Carry one task towards its end, if it nears that."""
    if not task.service_id:
        if is_dead(task) or task.node_id not in draft.nodes:
            draft.delete(task)
        return None
    if task.service_id not in draft.services and task.desired_state < TaskState.REMOVE:
        task = replace(task, desired_state=TaskState.REMOVE, updated_at=context.now)
        draft.put(task)
    if task.desired_state >= TaskState.REMOVE:
        if is_dead(task) or not task.node_id or is_abandoned(draft, task):
            draft.delete(task)
        return None
    if is_dead(task) and task.desired_state <= TaskState.RUNNING:
        # The instant of the last change stays: restart delays count from the death.
        draft.put(replace(task, desired_state=TaskState.SHUTDOWN))
    elif is_live(task) and task.node_id and _must_leave(draft.nodes.get(task.node_id), task):
        stop(draft, context, task, TaskState.SHUTDOWN)
    elif is_stopping(task):
        return _orphan(draft, context, task)
    return None


def _must_leave(node: Node | None, task: Task) -> bool:
    """Whether a task may not stay where it is: node gone, down, drained, or of other labels now."""
    if node is None or node.state == "down" or node.spec.availability == "drain":
        return True
    placement = task.spec.placement
    return bool(placement and constraints.violated(placement.constraints, node))


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


# --- services


def _run(draft: Draft, context: Context, service: Service) -> float | None:
    """One service: the right number of slots, each filled, updated and with a short history."""
    slots = _slots(draft, service)
    replicas = _replicas(service)
    if len(slots) > replicas:
        for slot in _surplus(slots, len(slots) - replicas):
            slots.remove(slot)
            for task in slot.tasks:
                stop(draft, context, task, TaskState.REMOVE)
    numbers = {slot.number for slot in slots}
    for number in range(1, replicas + 1):
        if len(slots) < replicas and number not in numbers:
            slots.append(Slot(number, []))
    for slot in slots:
        _adopt(draft, service, slot)
    wakes = [_fill(draft, context, service, slot) for slot in slots]
    wakes.append(advance(draft, context, service, slots))
    for slot in slots:
        _forget(draft, slot)
    return min((wake for wake in wakes if wake is not None), default=None)


def _replicas(service: Service) -> int:
    replicated = service.spec.mode.replicated
    wanted = replicated.replicas if replicated else None
    return 1 if wanted is None else wanted


def _slots(draft: Draft, service: Service) -> list[Slot]:
    """The slots that have a task not meant to be removed, dead ones included, by number."""
    slots: dict[int, Slot] = {}
    for task in draft.tasks_of_service(service.id):
        if task.desired_state < TaskState.REMOVE:
            slots.setdefault(task.slot, Slot(task.slot, [])).tasks.append(task)
    return [slots[number] for number in sorted(slots)]


def _surplus(slots: list[Slot], count: int) -> list[Slot]:
    """The slots to remove: idle ones first, then from the nodes with the most, newest first."""
    rest = list(slots)
    chosen = []
    for _ in range(count):
        crowd = Counter(slot.running.node_id for slot in rest if slot.running)
        worst = max(
            rest,
            key=lambda s: (
                s.running is None,
                crowd[s.running.node_id] if s.running else 0,
                s.number,
            ),
        )
        rest.remove(worst)
        chosen.append(worst)
    return chosen


def _adopt(draft: Draft, service: Service, slot: Slot) -> None:
    """After a roll-back, tasks made from the same spec before count as of this version."""
    for position, task in enumerate(slot.tasks):
        if not is_live(task) or task.spec_version == service.spec_version:
            continue
        if not is_outdated(draft, task, service):
            slot.tasks[position] = replace(task, spec_version=service.spec_version)
            draft.put(slot.tasks[position])


def _fill(draft: Draft, context: Context, service: Service, slot: Slot) -> float | None:
    """Make sure that the slot has one live task, now or when it may."""
    live = sorted(slot.live, key=lambda t: (t.status.state, age_key(t)))
    if live:
        for task in live[:-1]:
            stop(draft, context, task, TaskState.SHUTDOWN)
        return None
    stopping = [t for t in slot.tasks if is_stopping(t) and not is_abandoned(draft, t)]
    patience = max((_patience(task) for task in stopping), default=0.0)
    if patience > context.now:
        return patience
    due = _due(draft, service, slot)
    if due is None:
        slot.given_up = True
        return None
    if due > context.now:
        return due
    task = _new_task(context, service, slot.number)
    draft.put(task)
    slot.tasks.append(task)
    return None


def _patience(task: Task) -> float:
    """Until when to wait for a task that was told to stop."""
    spec = task.spec.container_spec
    grace = spec.stop_grace_period if spec else None
    return task.updated_at + (DEFAULT_GRACE if grace is None else grace) / SECOND + STOP_PATIENCE


def _due(draft: Draft, service: Service, slot: Slot) -> float | None:
    """When the slot gets its next task: at once if it is empty or its last one is outdated."""
    if not slot.tasks:
        return 0.0
    last = max(slot.tasks, key=age_key)
    return 0.0 if is_outdated(draft, last, service) else restart_at(slot.tasks)


def _new_task(context: Context, service: Service, slot: int) -> Task:
    return Task(
        id=context.new_id(),
        created_at=context.now,
        updated_at=context.now,
        service_id=service.id,
        service_name=service.spec.name,
        slot=slot,
        spec=service.spec.task_template,
        spec_version=service.spec_version,
        status=TaskStatus(timestamp=context.now, message="created"),
    )


def _forget(draft: Draft, slot: Slot) -> None:
    """Delete the slot's oldest dead tasks beyond the history limit."""
    cluster = draft.cluster
    history = cluster.task_history if cluster else DEFAULT_HISTORY
    if history < 0 or not slot.tasks:
        return
    newest_first = sorted(slot.tasks, key=age_key, reverse=True)
    # The last task stays in any case: it says what became of the slot.
    keep = max(runs_to_remember(newest_first[0], history), 1)
    _delete(draft, (task for task in newest_first[keep:] if is_dead(task)))


def _delete(draft: Draft, tasks: Iterable[Task]) -> None:
    for task in tasks:
        draft.delete(task)
