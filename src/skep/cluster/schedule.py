"""Choosing a node for each task: filters that say in words why a node will not do, then the one
with the fewest tasks of the service, the fewest tasks, the lowest id.

A node on which the service's tasks keep failing comes after those on which they do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from skep.cluster import constraints
from skep.cluster.context import Context
from skep.cluster.lives import is_dead, is_live
from skep.cluster.state import Draft
from skep.model.cluster import Node, Task, TaskState
from skep.model.spec import Reservation

FAILURES = 3
FAILURES_WITHIN = 300.0
"""So many failed tasks of one spec within so many seconds make a node the last choice."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's words for what uname says."""

FAILED = (TaskState.FAILED, TaskState.REJECTED)


class Load:
    """What every node carries, kept up to date while tasks are placed."""

    def __init__(self, draft: Draft, now: float) -> None:
        self.tasks: Counter[str] = Counter()
        self.of_service: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[tuple[str, str, int]] = Counter()
        self.nano_cpus: Counter[str] = Counter()
        self.memory: Counter[str] = Counter()
        for task in draft.tasks.values():
            if not task.node_id or not task.service_id:
                continue
            if not is_dead(task):
                self.add(task, task.node_id)
            elif task.status.state in FAILED and task.updated_at > now - FAILURES_WITHIN:
                self.failures[task.node_id, task.service_id, task.spec_version] += 1

    def add(self, task: Task, node_id: str) -> None:
        """Count a task that is not dead. Its reservation stands until it is; its place does not."""
        if is_live(task):
            self.tasks[node_id] += 1
            self.of_service[node_id, task.service_id] += 1
        reservation = reservation_of(task)
        self.nano_cpus[node_id] += reservation.nano_cpus
        self.memory[node_id] += reservation.memory_bytes

    def rank(self, task: Task, node: Node) -> tuple[bool, int, int, str]:
        """Sorts nodes that would do from best to worst."""
        failures = self.failures[node.id, task.service_id, task.spec_version]
        return (
            failures >= FAILURES,
            self.of_service[node.id, task.service_id],
            self.tasks[node.id],
            node.id,
        )


Filter = Callable[[Task, Node, Load], str]
"""Says why the node will not do for the task; "" if it will."""


def reservation_of(task: Task) -> Reservation:
    """The resources to set aside for a task."""
    resources = task.spec.resources
    return (resources.reservations if resources else None) or Reservation()


def is_ready(_task: Task, node: Node, _load: Load) -> str:
    """Only hosts that are there."""
    return "" if node.state == "ready" else "not ready"


def is_available(_task: Task, node: Node, _load: Load) -> str:
    """Only hosts that take new tasks."""
    wanted = node.spec.availability
    return "" if wanted == "active" else f"availability {wanted}"


def meets_constraints(task: Task, node: Node, _load: Load) -> str:
    """Only hosts that all constraints hold for."""
    placement = task.spec.placement
    broken = constraints.violated(placement.constraints, node) if placement else ""
    return f"constraint {broken}" if broken else ""


def has_platform(task: Task, node: Node, _load: Load) -> str:
    """Only hosts that the image runs on."""
    platforms = task.spec.placement.platforms if task.spec.placement else ()
    if not platforms or any(_fits(platform, node) for platform in platforms):
        return ""
    return "unsupported platform"


def _fits(wanted: Mapping[str, str], node: Node) -> bool:
    have = node.description.platform
    architecture, system = wanted.get("Architecture", ""), wanted.get("OS", "")
    return system in ("", have.os) and (
        not architecture or _normal(architecture) == _normal(have.architecture)
    )


def _normal(architecture: str) -> str:
    return ARCHITECTURES.get(architecture.lower(), architecture.lower())


def has_resources(task: Task, node: Node, load: Load) -> str:
    """Only hosts that can still set aside what the task reserves."""
    wanted = reservation_of(task)
    if wanted.nano_cpus > node.description.nano_cpus - load.nano_cpus[node.id]:
        return "insufficient CPU"
    if wanted.memory_bytes > node.description.memory_bytes - load.memory[node.id]:
        return "insufficient memory"
    return ""


def has_room(task: Task, node: Node, load: Load) -> str:
    """Only hosts with fewer than ``--replicas-max-per-node`` tasks of the service."""
    limit = task.spec.placement.max_replicas if task.spec.placement else 0
    if limit and load.of_service[node.id, task.service_id] >= limit:
        return f"max replicas per node {limit}"
    return ""


FILTERS: tuple[Filter, ...] = (
    is_ready,
    is_available,
    meets_constraints,
    has_platform,
    has_resources,
    has_room,
)


def refusal(task: Task, node: Node, load: Load) -> str:
    """Why the node will not do: the first filter's words, "" if it will."""
    return next((words for check in FILTERS if (words := check(task, node, load))), "")


def schedule(draft: Draft, context: Context) -> None:
    """Assign every task that waits for a node, or note in its status why none will do."""
    waiting = [
        task
        for task in draft.tasks.values()
        if is_live(task) and not task.node_id and task.status.state == TaskState.PENDING
    ]
    if not waiting:
        return
    load = Load(draft, context.now)
    nodes = list(draft.nodes.values())
    for task in sorted(waiting, key=lambda t: (t.created_at, t.service_name, t.slot, t.id)):
        _place(draft, context, task, (nodes, load))


def _place(draft: Draft, context: Context, task: Task, field: tuple[list[Node], Load]) -> None:
    nodes, load = field
    reasons = {node.id: refusal(task, node, load) for node in nodes}
    fit = [node for node in nodes if not reasons[node.id]]
    if not fit:
        _explain(draft, context, task, Counter(reasons.values()))
        return
    best = min(fit, key=lambda node: load.rank(task, node))
    status = replace(
        task.status,
        state=TaskState.ASSIGNED,
        timestamp=context.now,
        message="scheduler assigned task to node",
        error="",
    )
    draft.put(replace(task, node_id=best.id, status=status, updated_at=context.now))
    load.add(task, best.id)


def _explain(draft: Draft, context: Context, task: Task, reasons: Counter[str]) -> None:
    parts = [
        f"{count} {'node' if count == 1 else 'nodes'}: {words}"
        for words, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    error = f"no suitable node ({'; '.join(parts) or 'there are no nodes'})"
    if task.status.error != error:
        status = replace(task.status, error=error, timestamp=context.now)
        draft.put(replace(task, status=status, updated_at=context.now))
