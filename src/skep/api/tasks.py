"""``/tasks``: the runs of services' containers. Attachments of hand-started containers are tasks
inside the cluster, but not shown here, as in Docker."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web

from skep.api.call import Call, json
from skep.api.filters import Filters
from skep.api.shapes.task import Tasks
from skep.cluster.modes import is_job, job_status
from skep.cluster.rollout import is_outdated
from skep.cluster.state import State
from skep.model.cluster import Task, TaskState
from skep.model.errors import Invalid

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
    shapes = Tasks(state)
    found = (task for task in _candidates(call, state, filters) if task.service_id)
    return json([shapes.task(task) for task in found if passes(task)])


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /tasks/{id}``."""
    state = call.ports.cluster.state()
    return json(Tasks(state).task(state.find_task(call.parts["id"])))


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
    labels = _Labels(state, filters)

    def passes(task: Task) -> bool:
        return (
            labels.passes(task)
            and filters.exact("desired-state", task.desired_state.word)
            and filters.prefix("id", task.id)
            and filters.prefix("name", task.name)
            and filters.exact("runtime", CONTAINER)
            and (not up_to_date or _is_up_to_date(task, state))
        )

    return passes


class _Labels:
    """The filter by labels. A task goes by its service's: that is how a stack finds its tasks.

    Once its service was removed, a task goes by those of its container, among which docker puts the
    stack's: who waits for a stack's end must still see it.
    """

    def __init__(self, state: State, filters: Filters) -> None:
        self._state = state
        self._filters = filters
        self._services: dict[str, bool] = {}

    def passes(self, task: Task) -> bool:
        """Whether the task has the wanted labels."""
        if "label" not in self._filters:
            return True
        service = self._state.services.get(task.service_id)
        if service is None:
            container = task.spec.container_spec
            labels = container.labels if container else {}
            return self._filters.labels("label", {**labels, **task.labels})
        if task.labels:
            return self._filters.labels("label", {**service.spec.labels, **task.labels})
        if service.id not in self._services:
            self._services[service.id] = self._filters.labels("label", service.spec.labels)
        return self._services[service.id]


def _is_up_to_date(task: Task, state: State) -> bool:
    """Whether the task is what its service is now to be; a job's, in its present run."""
    service = state.services.get(task.service_id)
    if service is None:
        return False
    if is_job(service.spec) and task.job_iteration != job_status(service).iteration:
        return False
    return not is_outdated(state, task, service)
