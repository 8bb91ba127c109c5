"""Which tasks there should be: as many slots as replicas, or one per node that suits, each with one
task, the dead replaced, the outdated renewed.
"""

from __future__ import annotations

from itertools import islice

from skep.cluster.context import Context
from skep.cluster.ends import is_displaced, is_lost, shut_down, sweep
from skep.cluster.filling import fill, forget, may_grow
from skep.cluster.jobs import orchestrate_job
from skep.cluster.lives import is_dead, is_running, stop
from skep.cluster.modes import is_everywhere, is_job, replicas_of, suits
from skep.cluster.rollout import START_FIRST, advance, note_failures
from skep.cluster.slots import Slot, by_node, by_number, surplus
from skep.cluster.state import Draft
from skep.model.cluster import Service, Task, TaskState


def orchestrate_service(draft: Draft, context: Context, service: Service) -> float | None:
    """All that follows for one service: its slots, each filled, updated and with a short history.

    Answers the instant to look again, None if nothing will be due unless the state changes.
    """
    if is_job(service.spec):
        return orchestrate_job(draft, context, service)
    slots = _slots_with_tasks(draft, service)
    service = note_failures(draft, context, service, slots)
    for slot in slots:
        slot.tasks = [_close(draft, context, service, task) for task in slot.tasks]
    wanted = _wanted_slots(draft, context, service, slots)
    wakes = [fill(draft, context, service, slot) for slot in wanted]
    growing = [slot for slot in wanted if may_grow(draft, slot)]
    wakes.append(advance(draft, context, service, growing))
    for slot in {id(slot): slot for slot in (*slots, *wanted)}.values():
        forget(draft, slot)
    return min((wake for wake in wakes if wake is not None), default=None)


def _slots_with_tasks(draft: Draft, service: Service) -> list[Slot]:
    tasks = draft.tasks_of_service(service.id)
    if is_everywhere(service.spec):
        return list(by_node(tasks).values())
    return list(by_number(tasks).values())


def _close(draft: Draft, context: Context, service: Service, task: Task) -> Task:
    """Note a task's end, or order it if it may not stay where it is."""
    if task.wanted and (is_dead(task) or _must_leave(draft, service, task)):
        return shut_down(draft, context, task)
    return task


def _must_leave(draft: Draft, service: Service, task: Task) -> bool:
    """Whether the task is to stop before another one runs in its place."""
    if is_lost(draft, task):
        return True
    if not is_displaced(draft, task):
        return False
    config = service.spec.update_config
    return config is None or config.order != START_FIRST or not is_running(task)


def _wanted_slots(
    draft: Draft, context: Context, service: Service, slots: list[Slot]
) -> list[Slot]:
    if is_everywhere(service.spec):
        return _nodes(draft, context, service, slots)
    return _numbers(draft, context, service, slots)


def _numbers(draft: Draft, context: Context, service: Service, slots: list[Slot]) -> list[Slot]:
    """As many slots as replicas: with those that there are, and the lowest free numbers."""
    replicas = replicas_of(service.spec)
    if len(slots) > replicas:
        dropped = {slot.number for slot in surplus(slots, len(slots) - replicas)}
        for slot in slots:
            if slot.number in dropped:
                _remove(draft, context, slot)
        slots[:] = [slot for slot in slots if slot.number not in dropped]
    taken = {slot.number for slot in slots}
    free = (number for number in range(1, replicas + 1) if number not in taken)
    return [*slots, *(Slot(number, []) for number in islice(free, replicas - len(slots)))]


def _nodes(draft: Draft, context: Context, service: Service, slots: list[Slot]) -> list[Slot]:
    """A slot for each node that suits."""
    known = {slot.node_id: slot for slot in slots}
    for node_id, slot in list(known.items()):
        node = draft.nodes.get(node_id)
        if node is None:
            _remove(draft, context, slot)
            slots.remove(slot)
            del known[node_id]
        elif not suits(service.spec, node):
            for task in slot.live:
                stop(draft, context, task, TaskState.SHUTDOWN)
            del known[node_id]
    for node in sorted(draft.nodes.values(), key=lambda node: node.id):
        if node.id not in known and suits(service.spec, node):
            known[node.id] = Slot(0, [], node_id=node.id)
    return list(known.values())


def _remove(draft: Draft, context: Context, slot: Slot) -> None:
    for task in slot.tasks:
        stop(draft, context, task, TaskState.REMOVE)


__all__ = ["orchestrate_service", "sweep"]
