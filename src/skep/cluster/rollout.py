"""Rolling updates: slots with an outdated task are renewed a few at a time, old task first out.

An update stalls on its own when new tasks do not come up: their slots stay busy, and no further
running task is taken down.
"""

from __future__ import annotations

import msgspec

from skep.cluster.context import Context
from skep.cluster.lives import is_live, stop
from skep.cluster.needs import task_networks
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Service, Task, TaskState
from skep.model.spec import SECOND


class Slot(msgspec.Struct):
    """A replica's place: all its tasks, and whether its restart policy gave it up."""

    number: int
    tasks: list[Task]
    given_up: bool = False

    @property
    def live(self) -> list[Task]:
        """The tasks that are wanted and not dead; at most one, but for a moment."""
        return [task for task in self.tasks if is_live(task)]

    @property
    def running(self) -> Task | None:
        """The live task that was observed running."""
        found = (task for task in self.live if task.status.state == TaskState.RUNNING)
        return next(found, None)


def is_outdated(view: View, task: Task, service: Service) -> bool:
    """Whether the task was made from another spec than the service has now."""
    if task.spec_version == service.spec_version:
        return False
    if task.spec != service.spec.task_template:
        return True
    if task.status.state == TaskState.NEW:
        return False
    held = tuple(attachment.network_id for attachment in task.attachments)
    return held != task_networks(service.spec, view.ingress_id)


def advance(draft: Draft, context: Context, service: Service, slots: list[Slot]) -> float | None:
    """Take down as many outdated tasks as the update's parallelism allows now.

    Answers the instant at which the update's delay is over, None if it waits for no instant.
    """
    outdated = [slot for slot in slots if any(is_outdated(draft, t, service) for t in slot.live)]
    if not outdated:
        return None
    config = service.spec.update_config
    parallelism = config.parallelism if config else 1
    delay = config.delay / SECOND if config else 0.0
    rests = [_rest(slot, context.now, delay) for slot in slots if slot not in outdated]
    busy = sum(1 for rest in rests if rest is None or rest > context.now)
    # Replacing what does not run costs nothing, so that comes first.
    for slot in sorted(outdated, key=lambda s: (s.running is not None, s.number)):
        if parallelism and busy >= parallelism:
            break
        for task in slot.live:
            stop(draft, context, task, TaskState.SHUTDOWN)
        busy += 1
    return min((rest for rest in rests if rest is not None and rest > context.now), default=None)


def _rest(slot: Slot, now: float, delay: float) -> float | None:
    """Until when a renewed slot counts as busy; None while it does not run."""
    if slot.given_up:
        return now
    return slot.running.updated_at + delay if slot.running else None
