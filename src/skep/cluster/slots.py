"""Slots: the places that a service's tasks take, one after the other.

A replicated service's slots are numbered, a global one's are nodes. Which of them there should be
is the mode's business; what became of a slot is read from its tasks, dead ones included.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

import msgspec

from skep.cluster.context import Context
from skep.cluster.lives import age_key, is_dead, is_live, is_running, new_task
from skep.model.cluster import Service, Task, TaskState


class Slot(msgspec.Struct):
    """A place: its number or its node, and all its tasks."""

    number: int
    tasks: list[Task]
    node_id: str = ""

    @property
    def live(self) -> list[Task]:
        """The tasks that are wanted and not dead: one, or two while one takes over."""
        return [task for task in self.tasks if is_live(task)]

    @property
    def running(self) -> Task | None:
        """A live task that was observed running."""
        return next((task for task in self.live if is_running(task)), None)

    @property
    def last(self) -> Task | None:
        """The newest task, dead or alive."""
        return max(self.tasks, key=age_key, default=None)

    def next_task(self, context: Context, service: Service, replaces: str = "") -> Task:
        """A new task for this place; ``replaces`` is the one it takes over from."""
        return new_task(context, service, slot=self.number, node_id=self.node_id, replaces=replaces)

    def successors(self, task: Task) -> list[Task]:
        """The tasks that were made to take over from a task, oldest first."""
        found = [other for other in self.tasks if other.replaces == task.id]
        return sorted(found, key=age_key)


def by_number(tasks: Iterable[Task]) -> dict[int, Slot]:
    """The slots that have a task which is not to be removed, in order of their numbers."""
    slots: dict[int, Slot] = {}
    for task in tasks:
        if task.desired_state < TaskState.REMOVE:
            slots.setdefault(task.slot, Slot(task.slot, [])).tasks.append(task)
    return {number: slots[number] for number in sorted(slots)}


def by_node(tasks: Iterable[Task]) -> dict[str, Slot]:
    """The same for slots that are nodes."""
    slots: dict[str, Slot] = {}
    for task in tasks:
        if task.desired_state < TaskState.REMOVE:
            slot = slots.setdefault(task.node_id, Slot(0, [], node_id=task.node_id))
            slot.tasks.append(task)
    return {node_id: slots[node_id] for node_id in sorted(slots)}


def surplus(slots: Iterable[Slot], count: int) -> list[Slot]:
    """The numbered slots to give up: idle ones first, then from the fullest nodes, newest first."""
    idle: list[Slot] = []
    crowds: dict[str, list[Slot]] = {}
    for slot in sorted(slots, key=lambda slot: slot.number):
        running = slot.running
        (crowds.setdefault(running.node_id, []) if running else idle).append(slot)
    chosen = idle[::-1][:count]
    heap = [(-len(crowd), -crowd[-1].number, node_id) for node_id, crowd in crowds.items()]
    heapify(heap)
    while len(chosen) < count:
        _, _, node_id = heappop(heap)
        crowd = crowds[node_id]
        chosen.append(crowd.pop())
        if crowd:
            heappush(heap, (-len(crowd), -crowd[-1].number, node_id))
    return chosen


def forgettable(slot: Slot, keep: int) -> list[Task]:
    """The slot's dead tasks beyond the ``keep`` newest tasks.

    The first successor of a live task says since when that one is being replaced: it stays.
    """
    live = slot.live
    first = {successors[0].id for task in live if (successors := slot.successors(task))}
    newest_first = sorted(slot.tasks, key=age_key, reverse=True)
    return [task for task in newest_first[keep:] if is_dead(task) and task.id not in first]
