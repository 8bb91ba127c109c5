"""How far a service has come: a pure view of what the API says about it, in lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from skep.cli.show.rows import short_id

_STATES = {
    name: number
    for number, name in enumerate(
        ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting",
         "running", "complete", "shutdown", "failed", "rejected"), 1)
}  # fmt: skip
_RUNNING = _STATES["running"]
_MOST_LINES = 20
_ERROR_WIDTH = 75
_BAR_WIDTH = 50


class View(msgspec.Struct, frozen=True):
    """Lines by what they are about ("overall progress", "1/3", …), and whether all is as wished."""

    lines: Mapping[str, str]
    converged: bool


def view(
    service: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    nodes: Iterable[Mapping[str, Any]],
) -> View:
    """The view of a service, its up-to-date tasks, and all nodes."""
    mode = service["Spec"]["Mode"]
    up = {node["ID"] for node in nodes if node.get("Status", {}).get("State") != "down"}
    state = (service.get("UpdateStatus") or {}).get("State", "")
    verb = "rolling back update: " if state.startswith("rollback") else ""
    if mode.get("ReplicatedJob") is not None or mode.get("GlobalJob") is not None:
        return _job(service, tasks, up)
    if mode.get("Global") is not None:
        return _global(tasks, up, verb)
    return _replicated((mode.get("Replicated") or {}).get("Replicas") or 0, tasks, up, verb)


def _number(state: str) -> int:
    return _STATES.get(state, 0)


def _chosen(
    tasks: Iterable[Mapping[str, Any]], key: str, up: set[str]
) -> dict[Any, Mapping[str, Any]]:
    """One task for each slot or node: the one that is wanted most, then the least advanced."""
    chosen: dict[Any, Mapping[str, Any]] = {}
    for task in tasks:
        rank = (_number(task["DesiredState"]), _number(task["Status"]["State"]))
        other = chosen.get(task.get(key))
        if not all(rank) or (task.get("NodeID") and task["NodeID"] not in up):
            continue
        if other is None or rank < (
            _number(other["DesiredState"]),
            _number(other["Status"]["State"]),
        ):
            chosen[task.get(key)] = task
    return chosen


def is_terminal(task: Mapping[str, Any]) -> bool:
    """Whether a task has ended, one way or another."""
    return _number(task["Status"]["State"]) > _RUNNING


def _is_running(task: Mapping[str, Any]) -> bool:
    return _number(task["DesiredState"]) <= _RUNNING and task["Status"]["State"] == "running"


def _replicated(replicas: int, tasks: Sequence[Mapping[str, Any]], up: set[str], verb: str) -> View:
    slots = _chosen(tasks, "Slot", up)
    running = sum(map(_is_running, slots.values()))
    lines = {"overall progress": f"{verb}{running} out of {replicas} tasks"}
    if replicas <= _MOST_LINES:
        lines |= {f"{place}/{replicas}": "" for place in range(1, replicas + 1)}
        for place, slot in enumerate(sorted(slots), 1):
            if place <= replicas:
                lines[f"{place}/{replicas}"] = task_line(slots[slot])
    return View(lines, running == replicas)


def _global(tasks: Sequence[Mapping[str, Any]], up: set[str], verb: str) -> View:
    nodes = _chosen(tasks, "NodeID", up)
    if not nodes:
        return View({"overall progress": "waiting for new tasks"}, converged=False)
    running = sum(map(_is_running, nodes.values()))
    lines = {"overall progress": f"{verb}{running} out of {len(nodes)} tasks"}
    if len(nodes) <= _MOST_LINES:
        lines |= {short_id(node): task_line(nodes[node]) for node in sorted(nodes)}
    return View(lines, running == len(nodes))


def _job(service: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], up: set[str]) -> View:
    iteration = ((service.get("JobStatus") or {}).get("JobIteration") or {}).get("Index", 0)
    mine = [task for task in tasks
            if (task.get("JobIteration") or {}).get("Index", 0) == iteration]  # fmt: skip
    replicated = service["Spec"]["Mode"].get("ReplicatedJob")
    complete = [task for task in mine if task["Status"]["State"] == "complete"]
    if replicated is None:
        nodes = _chosen(mine, "NodeID", up)
        total = len(nodes)
        if not total:
            return View({"job progress": "waiting for new tasks"}, converged=False)
        done = sum(task["Status"]["State"] == "complete" for task in nodes.values())
        lines = {"job progress": f"{done} out of {total} complete"}
        if total <= _MOST_LINES:
            lines |= {short_id(node): task_line(nodes[node]) for node in sorted(nodes)}
        return View(lines, done == total)
    total = replicated.get("TotalCompletions") or 1
    at_once = min(replicated.get("MaxConcurrent") or 1, total - len(complete))
    active = [task for task in mine if _number(task["Status"]["State"]) <= _RUNNING]
    return View(
        {
            "job progress": f"{len(complete)} out of {total} complete",
            "active tasks": f"{len(active)} out of {at_once} tasks",
        },
        len(complete) >= total,
    )


def task_line(task: Mapping[str, Any]) -> str:
    """What a task is doing, or what went wrong."""
    error = task["Status"].get("Err", "").replace("\n", " ")
    if error:
        return error if len(error) <= _ERROR_WIDTH else f"{error[: _ERROR_WIDTH - 1]}…"
    state: str = task["Status"]["State"]
    return state if _number(task["DesiredState"]) <= _RUNNING else ""


def bar(state: str) -> str:
    """A state's place on the way to running, drawn."""
    number = _number(state)
    if not 0 < number <= _RUNNING:
        return ""
    filled = number * _BAR_WIDTH // _RUNNING
    head = ">" if filled < _BAR_WIDTH else ""
    return f"[{'=' * (filled - len(head))}{head:<{len(head)}}{' ' * (_BAR_WIDTH - filled)}]"
