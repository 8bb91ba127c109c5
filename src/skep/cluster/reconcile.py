"""All that follows from the cluster's state without anybody asking, decided in one draft."""

from __future__ import annotations

from skep.cluster.agenda import Subject
from skep.cluster.allocate import Allocator
from skep.cluster.context import Context
from skep.cluster.dirty import Attention
from skep.cluster.index import UNALLOCATED_SERVICES, UNALLOCATED_TASKS
from skep.cluster.orchestrate import orchestrate_service, sweep
from skep.cluster.schedule import schedule
from skep.cluster.state import Draft

ROUNDS = 20
"""More rounds than any state needs: one settles it, one more sees that it is settled, and what an
update or a removal frees can take a few."""


def reconcile(draft: Draft, context: Context) -> float | None:
    """Bring the whole draft to rest, looking at everything.

    Answers the instant (Unix seconds) at which something will be due, such as a restart's delay;
    None if nothing will unless the state changes.
    """
    attention = Attention()
    attention.look_at_all(draft)
    dues = settle(draft, context, attention)
    return min((due for due in dues.values() if due is not None), default=None)


def settle(draft: Draft, context: Context, attention: Attention) -> dict[Subject, float | None]:
    """Bring the draft to rest, looking only at what ``attention`` names and what follows from that.

    Doing it again at the same instant would change nothing. Answers when each subject that was
    looked at is to be looked at again.
    """
    dues: dict[Subject, float | None] = {}
    for _ in range(ROUNDS):
        if not attention:
            return dues
        done = draft.edits
        _round(draft, context, attention, dues)
        attention = Attention()
        attention.note(draft.history[done:], draft)
    raise AssertionError("reconciling does not come to rest")


def _round(
    draft: Draft, context: Context, attention: Attention, dues: dict[Subject, float | None]
) -> None:
    for task_id in attention.tasks:
        task = draft.tasks.get(task_id)
        dues["tasks", task_id] = sweep(draft, context, task) if task else None
    for service_id in attention.services:
        service = draft.services.get(service_id)
        due = orchestrate_service(draft, context, service) if service else None
        dues["services", service_id] = due
    _allocate(draft, context, attention)
    schedule(draft, context, attention)


def _allocate(draft: Draft, context: Context, attention: Attention) -> None:
    """Allocate for the services and tasks that may need it now, the oldest first."""
    tasks = [
        task
        for task in map(draft.tasks.__getitem__, list(draft.ids(UNALLOCATED_TASKS)))
        if attention.supplies or task.id in attention.tasks or task.service_id in attention.services
    ]
    ids = dict(attention.services)
    if attention.supplies:
        ids.update(dict.fromkeys(draft.ids(UNALLOCATED_SERVICES)))
    ids.update((task.service_id, None) for task in tasks)
    services = [service for id in ids if (service := draft.services.get(id)) is not None]
    allocator = Allocator(draft, context)
    problems = {
        service.id: allocator.service(service)
        for service in sorted(services, key=lambda s: (s.created_at, s.id))
    }
    for task in sorted(tasks, key=lambda t: (t.created_at, t.service_id, t.slot, t.id)):
        if task.service_id in problems:
            allocator.task(task, draft.services[task.service_id], problems[task.service_id])
