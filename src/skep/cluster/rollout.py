"""Rolling updates and roll-backs: slots with an outdated task are renewed a few at a time.

All that an update must remember is in the service's `UpdateStatus` and in its tasks: a task that
took over from one of another version since the update began is that slot's renewal. Docker's
updater keeps the same in memory. Source: swarmkit manager/orchestrator/update.
"""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster import constraints
from skep.cluster.claims import port_conflict
from skep.cluster.context import Context
from skep.cluster.lives import (
    DIED_BY_ITSELF,
    is_abandoned,
    is_dead,
    is_placed,
    is_stopping,
    stop,
)
from skep.cluster.needs import host_ports, task_networks
from skep.cluster.slots import Slot
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Service, Task, TaskState, UpdateStatus
from skep.model.spec import SECOND, TaskSpec, UpdateConfig

UPDATING, PAUSED, COMPLETED = "updating", "paused", "completed"
ROLLING_BACK, ROLLBACK_PAUSED = "rollback_started", "rollback_paused"
ROLLBACK_COMPLETED = "rollback_completed"
UNDER_WAY = (UPDATING, ROLLING_BACK)

START_FIRST = "start-first"
MANUAL_ROLLBACK = "manually requested rollback"
DEFAULT = UpdateConfig(parallelism=1)
DEFAULT_MONITOR = 5 * SECOND


# --- what is known of an update


def state_of(service: Service) -> str:
    """The state of the service's last update, "" if there was none."""
    return service.update_status.state if service.update_status else ""


def is_paused(service: Service) -> bool:
    """Whether the update waits for its user."""
    return state_of(service) in (PAUSED, ROLLBACK_PAUSED)


def config_of(service: Service) -> UpdateConfig:
    """How the service's tasks are renewed now: as an update, or as a roll-back."""
    back = state_of(service) in (ROLLING_BACK, ROLLBACK_PAUSED)
    return (service.spec.rollback_config if back else service.spec.update_config) or DEFAULT


def monitor_of(config: UpdateConfig) -> float:
    """For how many seconds a new task's end counts as the update's failure."""
    return (config.monitor or DEFAULT_MONITOR) / SECOND


def is_outdated(view: View, task: Task, service: Service) -> bool:
    """Whether the task was made from another spec than the service has now.

    Other placement alone does not make it outdated while its node meets it.
    """
    if task.spec_version == service.spec_version:
        return False
    if not _fits(view, task, service.spec.task_template):
        return True
    if task.host_ports != host_ports(service.spec):
        return True
    if task.status.state == TaskState.NEW:
        return False
    held = tuple(attachment.network_id for attachment in task.attachments)
    return held != task_networks(service.spec, view.ingress_id)


def _fits(view: View, task: Task, template: TaskSpec) -> bool:
    if task.spec == template:
        return True
    node = view.nodes.get(task.node_id) if is_placed(task) else None
    if node is None or replace(task.spec, placement=template.placement) != template:
        return False
    return not template.placement or not constraints.violated(template.placement.constraints, node)


def renewals(service: Service, slot: Slot) -> list[Task]:
    """The tasks by which the current update tried to renew the slot, oldest first."""
    status = service.update_status
    if status is None:
        return []
    made = (
        task
        for task in slot.tasks
        if task.replaces
        and task.spec_version == service.spec_version
        and task.created_at >= status.started_at
    )
    return sorted(made, key=lambda task: (task.created_at, task.id))


def renewal(service: Service, slot: Slot) -> Task | None:
    """The task by which the current update renewed the slot."""
    return next(iter(renewals(service, slot)), None)


# --- failures


def note_failures(draft: Draft, context: Context, service: Service, slots: list[Slot]) -> Service:
    """Count the renewals that have just ended early, and pause or roll back if there are too many.

    Each end is seen here once: what is dead is not wanted any more when the round is over.
    """
    status = service.update_status
    config = config_of(service)
    if status is None or status.state not in UNDER_WAY or config.failure_action == "continue":
        return service
    failed = [
        task
        for slot in slots
        if (task := renewal(service, slot)) and _ended_early(task, monitor_of(config))
    ]
    if not failed:
        return service
    failures = status.failures + len(failed)
    service = replace(service, update_status=replace(status, failures=failures))
    if failures / max(status.slots, failures) > config.max_failure_ratio:
        latest = max(failed, key=lambda task: (task.updated_at, task.id))
        service = _react(draft, service, config.failure_action, latest)
    service = replace(service, updated_at=context.now)
    draft.put(service)
    return service


def _ended_early(task: Task, monitor: float) -> bool:
    if not task.wanted or task.status.state not in DIED_BY_ITSELF:
        return False
    return not task.running_since or task.updated_at - task.running_since <= monitor


def _react(draft: Draft, service: Service, action: str, task: Task) -> Service:
    status = service.update_status
    assert status is not None, "only an update can fail"
    because = f"due to failure or early termination of task {task.id}"
    if action != "rollback":
        return _paused(service, f"update paused {because}")
    if status.state == ROLLING_BACK:
        return _paused(service, f"rollback paused {because}")
    if service.previous_spec is None:
        return _paused(service, f"update paused {because}: there is no previous spec to go back to")
    conflict = port_conflict(draft, service.previous_spec, but=service.id)
    if conflict:
        return _paused(service, f"update paused {because}: it cannot be rolled back: {conflict}")
    return replace(
        service,
        spec=service.previous_spec,
        previous_spec=None,
        spec_version=service.spec_version + 1,
        update_status=UpdateStatus(
            state=ROLLING_BACK,
            started_at=status.started_at,
            message=f"update rolled back {because}",
        ),
    )


def _paused(service: Service, message: str) -> Service:
    status = service.update_status
    assert status is not None, "only an update can be paused"
    state = ROLLBACK_PAUSED if status.state == ROLLING_BACK else PAUSED
    return replace(service, update_status=replace(status, state=state, message=message))


# --- progress


def advance(draft: Draft, context: Context, service: Service, slots: list[Slot]) -> float | None:
    """Begin to renew as many outdated slots as the update's parallelism allows now.

    Answers the instant at which its delay or its monitoring is over, None if it waits for none.
    """
    waiting = [slot for slot in slots if _waits(draft, service, slot)]
    if service.update_status is None and not waiting and not _has_begun(context, service, slots):
        return None
    service = _begin(context, service)
    config = config_of(service)
    rests = [_rest(draft, service, slot, config.delay / SECOND) for slot in slots]
    service = _count(service, len(waiting) + sum(1 for rest in rests if rest != 0.0))
    draft.put(service)
    busy = sum(1 for rest in rests if rest is None or rest > context.now)
    if is_paused(service):
        return None
    # Replacing what does not run costs nothing, so that comes first.
    for slot in sorted(waiting, key=lambda s: (s.running is not None, s.number, s.node_id)):
        if config.parallelism and busy >= config.parallelism:
            break
        _renew(draft, context, service, slot)
        busy += 1
    if not waiting and not busy:
        return _finish(draft, context, service, max((r for r in rests if r), default=0.0))
    resting = (rest for rest in rests if rest is not None and rest > context.now)
    return min(resting, default=None)


def _has_begun(context: Context, service: Service, slots: list[Slot]) -> bool:
    """Whether a slot whose outdated task had ended anyway got its new one just now."""
    return any(
        task.created_at == context.now
        and task.spec_version == service.spec_version
        and task.replaces == other.id
        and other.spec_version != service.spec_version
        for slot in slots
        for task in slot.tasks
        if task.replaces
        for other in slot.tasks
    )


def _begin(context: Context, service: Service) -> Service:
    """The service with an update under way, if there was none."""
    if service.update_status is not None:
        return service
    status = UpdateStatus(state=UPDATING, started_at=context.now, message="update in progress")
    return replace(service, update_status=status, updated_at=context.now)


def _count(service: Service, slots: int) -> Service:
    """The service with the number of slots that its update is about, if that is not known yet."""
    status = service.update_status
    if status is None or status.state not in UNDER_WAY or status.slots:
        return service
    return replace(service, update_status=replace(status, slots=slots))


def _waits(draft: Draft, service: Service, slot: Slot) -> bool:
    """Whether the slot's live tasks are all outdated, and the update did not try it yet."""
    live = slot.live
    return (
        bool(live)
        and all(is_outdated(draft, task, service) for task in live)
        and renewal(service, slot) is None
    )


def _rest(draft: Draft, service: Service, slot: Slot, delay: float) -> float | None:
    """Until when a slot counts as being renewed: None while its new task neither runs nor ended,
    0.0 if the update does not concern it."""
    task = renewal(service, slot)
    if task is None:
        return None if any(_holds_up(draft, task, service) for task in slot.tasks) else 0.0
    instead = slot.running
    if is_stopping(task) and not task.running_since and instead is not None:
        # It was lost with its host, which may never say so: what runs in its place counts.
        task = instead if instead.spec_version == service.spec_version else task
    if task.running_since:
        return task.running_since + delay
    return task.updated_at + delay if is_dead(task) else None


def _holds_up(draft: Draft, task: Task, service: Service) -> bool:
    """Whether an outdated task is still to stop; a host that is down may never say that it did."""
    return is_stopping(task) and not is_abandoned(draft, task) and is_outdated(draft, task, service)


def _renew(draft: Draft, context: Context, service: Service, slot: Slot) -> None:
    """Stop a slot's outdated task, or have another one started beside it first."""
    if slot.running is not None and config_of(service).order == START_FIRST:
        draft.put(slot.next_task(context, service, replaces=slot.running.id))
        return
    for task in slot.live:
        if not is_placed(task):
            draft.put(slot.next_task(context, service, replaces=task.id))
        stop(draft, context, task, TaskState.SHUTDOWN)


def _finish(draft: Draft, context: Context, service: Service, last: float) -> float | None:
    """Complete an update whose tasks have all been renewed, once they were watched for a while.

    ``last`` is when the last one was done with; 0.0 if nothing was to be renewed.
    """
    status = service.update_status
    if status is None or status.state not in UNDER_WAY:
        return None
    due = last + monitor_of(config_of(service))
    if due > context.now:
        return due
    back = status.state == ROLLING_BACK
    status = replace(
        status,
        state=ROLLBACK_COMPLETED if back else COMPLETED,
        completed_at=context.now,
        message="rollback completed" if back else "update completed",
    )
    draft.put(replace(service, update_status=status, updated_at=context.now))
    return None
