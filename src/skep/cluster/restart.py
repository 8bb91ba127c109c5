"""Whether a slot whose task is gone gets a new one, and when.

The slot's own history is all that is consulted, so any manager decides the same.
Source: swarmkit manager/orchestrator/restart.
"""

from __future__ import annotations

from skep.cluster.lives import DIED_BY_ITSELF, age_key
from skep.model.cluster import Task, TaskState
from skep.model.spec import SECOND, RestartPolicy

DEFAULT_DELAY = 5 * SECOND


def policy_of(task: Task) -> RestartPolicy:
    """The task's restart policy, Docker's defaults filled in."""
    return task.spec.restart_policy or RestartPolicy()


def restart_at(tasks: list[Task]) -> float | None:
    """When a slot that had these tasks (at least one, none live) gets its next; None for never.

    In Unix seconds, in the past for "at once". Tasks that were stopped on order, or lost with their
    node, are replaced without delay.
    """
    last = max(tasks, key=age_key)
    policy = policy_of(last)
    if policy.condition == "none":
        return None
    if policy.condition == "on-failure" and last.status.state == TaskState.COMPLETE:
        return None
    if policy.max_attempts and _restarts(tasks, last) >= policy.max_attempts:
        return None
    if last.status.state not in DIED_BY_ITSELF:
        return last.updated_at
    delay = DEFAULT_DELAY if policy.delay is None else policy.delay
    return last.updated_at + delay / SECOND


def _restarts(tasks: list[Task], last: Task) -> int:
    """How often this version of the task was restarted in its slot, within the policy's window."""
    runs = sorted((t for t in tasks if t.spec_version == last.spec_version), key=age_key)
    window = policy_of(last).window or 0
    since = last.updated_at - window / SECOND if window else 0.0
    return sum(1 for task in runs[1:] if task.created_at > since)


def runs_to_remember(task: Task, history: int) -> int:
    """How many tasks of a slot to keep: the history limit, or what the policy must count."""
    attempts = policy_of(task).max_attempts or 0
    return max(history, attempts + 1 if attempts else 0)
