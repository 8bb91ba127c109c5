"""Where a task stands between what is wanted of it and what was observed."""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster.context import Context
from skep.cluster.modes import is_job, job_status
from skep.cluster.needs import host_ports
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Service, Task, TaskState, TaskStatus

DIED_BY_ITSELF = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)


def is_dead(task: Task) -> bool:
    """Observed to have ended, however it did."""
    return task.status.state > TaskState.RUNNING


def is_live(task: Task) -> bool:
    """Wanted, and not observed dead."""
    return task.wanted and not is_dead(task)


def is_running(task: Task) -> bool:
    """Observed running, and healthy if that is checked."""
    return task.status.state == TaskState.RUNNING


def is_stopping(task: Task) -> bool:
    """Told to stop, and not observed dead yet."""
    return not task.wanted and not is_dead(task)


def is_placed(task: Task) -> bool:
    """Assigned to a node, which may have heard of it. Before that, nobody but managers knows it."""
    return bool(task.node_id) and task.status.state >= TaskState.ASSIGNED


def is_abandoned(view: View, task: Task) -> bool:
    """Its node is gone or down, so nothing new will be heard of it."""
    if not is_placed(task):
        return False
    node = view.nodes.get(task.node_id)
    return node is None or node.state == "down"


def age_key(task: Task) -> tuple[float, int, bool, str]:
    """Sorts the tasks of a slot from oldest to newest."""
    return task.created_at, task.spec_version, not is_dead(task), task.id


def stop(draft: Draft, context: Context, task: Task, desired: TaskState) -> None:
    """Want the task stopped (SHUTDOWN) or gone (REMOVE). One that no node knows is deleted."""
    if not is_placed(task) and not is_dead(task):
        draft.delete(task)
    elif task.desired_state < desired:
        keep(draft, replace(task, desired_state=desired, updated_at=context.now))


def keep(draft: Draft, task: Task) -> None:
    """Put a task that changed; delete it if it is to be gone and has ended. ``docker stack rm``
    waits for ever if it sees both that some have ended and, at its next look, fewer."""
    if is_over(task):
        draft.delete(task)
    else:
        draft.put(task)


def is_over(task: Task) -> bool:
    """Whether the task has ended and is to be gone."""
    return is_dead(task) and task.desired_state >= TaskState.REMOVE


def new_task(
    context: Context, service: Service, *, slot: int = 0, node_id: str = "", replaces: str = ""
) -> Task:
    """A task of the service as it is now: in a slot, or on a node; a job's is to run to its end."""
    job = is_job(service.spec)
    return Task(
        id=context.new_id(),
        created_at=context.now,
        updated_at=context.now,
        service_id=service.id,
        service_name=service.spec.name,
        slot=slot,
        node_id=node_id,
        spec=service.spec.task_template,
        spec_version=service.spec_version,
        desired_state=TaskState.COMPLETE if job else TaskState.RUNNING,
        status=TaskStatus(timestamp=context.now, message="created"),
        job_iteration=job_status(service).iteration if job else 0,
        host_ports=host_ports(service.spec),
        replaces=replaces,
    )
