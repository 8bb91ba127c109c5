"""Jobs: tasks that run to their end, so many times, or once on every node that suits.

Each update of the service is a new run (iteration), whose slots begin empty. A task that fails is
restarted as its policy says; one that completed is its slot's result. Source: swarmkit
manager/orchestrator/jobs.
"""

from __future__ import annotations

from enum import Enum

from skep.cluster.context import Context
from skep.cluster.ends import is_displaced, is_lost, patience, shut_down
from skep.cluster.filling import forget
from skep.cluster.lives import is_live, stop
from skep.cluster.modes import is_everywhere, is_open, job_size, job_status, suits
from skep.cluster.restart import restart_at
from skep.cluster.slots import Slot, by_node, by_number
from skep.cluster.state import Draft
from skep.model.cluster import Node, Service, Task, TaskState


class Turn(Enum):
    """What a slot's next step is in this run of the job."""

    EMPTY = "nothing ran yet"
    BUSY = "a task runs, or is to run again later"
    DUE = "a task is to run again now"
    OVER = "completed, or given up"


def orchestrate_job(draft: Draft, context: Context, service: Service) -> float | None:
    """Bring a job's tasks on; the instant to look again, None if nothing will be due."""
    tasks = [_close(draft, context, service, task) for task in draft.tasks_of_service(service.id)]
    if is_everywhere(service.spec):
        slots: list[Slot] = _node_slots(draft, context, service, tasks)
    else:
        slots = _numbered_slots(draft, context, service, tasks)
    wakes = _start(draft, context, service, slots)
    for slot in slots:
        forget(draft, slot)
    return min(wakes, default=None)


def _close(draft: Draft, context: Context, service: Service, task: Task) -> Task:
    """Note a task's end, or order it. Only a result of this run stays wanted after its end."""
    if not task.wanted:
        return task
    if task.job_iteration == job_status(service).iteration:
        if task.status.state == TaskState.COMPLETE:
            return task
        if is_live(task) and not is_lost(draft, task) and not is_displaced(draft, task):
            return task
    return shut_down(draft, context, task)


def _numbered_slots(
    draft: Draft, context: Context, service: Service, tasks: list[Task]
) -> list[Slot]:
    """As many slots as completions, from 0; what a larger run before left is removed."""
    total, _ = job_size(service.spec)
    slots = by_number(tasks)
    for number in [number for number in slots if number >= total]:
        _clear(draft, context, slots.pop(number))
    return [slots.get(number) or Slot(number, []) for number in range(total)]


def _node_slots(draft: Draft, context: Context, service: Service, tasks: list[Task]) -> list[Slot]:
    """The nodes that the job ran or is to run on: those that were there when it was started."""
    slots = by_node(tasks)
    for node_id in [node_id for node_id in slots if node_id not in draft.nodes]:
        _clear(draft, context, slots.pop(node_id))
    for node in sorted(draft.nodes.values(), key=lambda node: node.id):
        if node.id not in slots and _takes_part(service, node):
            slots[node.id] = Slot(0, [], node_id=node.id)
    return list(slots.values())


def _clear(draft: Draft, context: Context, slot: Slot) -> None:
    for task in slot.tasks:
        stop(draft, context, task, TaskState.REMOVE)


def _takes_part(service: Service, node: Node) -> bool:
    there = node.created_at <= job_status(service).last_execution
    return there and is_open(node) and suits(service.spec, node)


def _start(draft: Draft, context: Context, service: Service, slots: list[Slot]) -> list[float]:
    """Make the tasks that may run now; answers when slots are to be looked at again."""
    iteration = job_status(service).iteration
    turns = [_turn(draft, context, slot, iteration) for slot in slots]
    limit = len(slots) if is_everywhere(service.spec) else job_size(service.spec)[1]
    active = sum(1 for turn, _ in turns if turn in (Turn.BUSY, Turn.DUE))
    for slot, (turn, _) in zip(slots, turns, strict=True):
        if turn == Turn.EMPTY and active < limit:
            active += 1
        elif turn != Turn.DUE:
            continue
        node = draft.nodes.get(slot.node_id)
        if node is None or _takes_part(service, node):
            task = slot.next_task(context, service)
            draft.put(task)
            slot.tasks.append(task)
    return [due for _, due in turns if due is not None]


def _turn(draft: Draft, context: Context, slot: Slot, iteration: int) -> tuple[Turn, float | None]:
    """The slot's next step, and the instant at which there will be another."""
    until = patience(draft, slot.tasks)
    if until > context.now:
        return Turn.BUSY, until
    tasks = [task for task in slot.tasks if task.job_iteration == iteration]
    if any(is_live(task) for task in tasks):
        return Turn.BUSY, None
    if not tasks:
        return Turn.EMPTY, None
    if any(task.status.state == TaskState.COMPLETE for task in tasks):
        return Turn.OVER, None
    due = restart_at(tasks)
    if due is None:
        return Turn.OVER, None
    return (Turn.BUSY, due) if due > context.now else (Turn.DUE, None)
