"""``/tasks``: the runs of services' containers. Attachments of hand-started containers are tasks
inside the cluster, but not shown here, as in Docker."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web

from skep.api.call import Call, json
from skep.api.filters import Filters
from skep.api.shapes import task as shapes
from skep.cluster.state import State
from skep.model.cluster import Task, TaskState
from skep.model.errors import Invalid, Unsupported

UP_TO_DATE = "_up-to-date"
FILTERS = ("desired-state", "id", "label", "name", "node", "runtime", "service", UP_TO_DATE)
STATES = frozenset(state.word for state in TaskState)
CONTAINER = "container"


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /tasks``. Asked several times a second by clients that wait: starts from the index of
    services or nodes where the filters allow it."""
    filters = call.filters(*FILTERS)
    for word in filters.get("desired-state"):
        if word not in STATES:
            raise Invalid(f"invalid desired-state filter: '{word}'")
    state = call.ports.cluster.state()
    passes = _predicate(state, filters)
    found = (task for task in _candidates(call, state, filters) if task.service_id)
    return json([shapes.task(task, state.networks) for task in found if passes(task)])


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /tasks/{id}``."""
    state = call.ports.cluster.state()
    return json(shapes.task(state.find_task(call.parts["id"]), state.networks))


async def logs(call: Call) -> web.StreamResponse:
    """``GET /tasks/{id}/logs``: refused."""
    task = call.ports.cluster.state().find_task(call.parts["id"])
    raise Unsupported(
        "logs of tasks are not supported by this version of Skep: "
        f"use docker logs {task.name} on the task's own node"
    )


def _candidates(call: Call, state: State, filters: Filters) -> Iterable[Task]:
    """The tasks of the services and nodes that were asked for.

    Raises `Missing` if one does not exist, as Docker does.
    """
    nodes = {_node_id(call, state, reference) for reference in filters.get("node")}
    if "service" in filters:
        ids = {state.find_service(reference).id for reference in filters.get("service")}
        found = [task for id in sorted(ids) for task in state.tasks_of_service(id)]
        return [task for task in found if not nodes or task.node_id in nodes]
    if nodes:
        return [task for id in sorted(nodes) for task in state.tasks_of_node(id)]
    return state.tasks.values()


def _node_id(call: Call, state: State, reference: str) -> str:
    if reference == "self":
        return call.ports.cluster.membership().node_id
    return state.find_node(reference).id


def _predicate(state: State, filters: Filters) -> Callable[[Task], bool]:
    up_to_date = filters.truth(UP_TO_DATE)

    def passes(task: Task) -> bool:
        return (
            filters.prefix("id", task.id)
            and filters.prefix("name", task.name)
            and filters.exact("desired-state", task.desired_state.word)
            and filters.exact("runtime", CONTAINER)
            and filters.labels("label", _labels(task, state))
            and (not up_to_date or _is_up_to_date(task, state))
        )

    return passes


def _labels(task: Task, state: State) -> dict[str, str]:
    """A task goes by its service's labels too: that is how a stack finds its tasks."""
    service = state.services.get(task.service_id)
    return {**(service.spec.labels if service else {}), **task.labels}


def _is_up_to_date(task: Task, state: State) -> bool:
    service = state.services.get(task.service_id)
    return service is not None and task.spec_version == service.spec_version
