"""Under which keys an object is found again. One inverted index serves all look-ups of a state."""

from __future__ import annotations

from collections.abc import Iterator

from skep.cluster.needs import is_allocated, is_everywhere, networks_of
from skep.cluster.numbers import INGRESS
from skep.model.cluster import Config, Network, Node, Record, Secret, Service, Task, TaskState

Key = tuple[str, ...]

UNALLOCATED_TASKS: Key = ("tasks", "unallocated")
"""Wanted tasks of services that wait for addresses."""
UNPLACED_TASKS: Key = ("tasks", "unplaced")
"""Wanted tasks of services that wait for a node, or for room on their node."""
UNALLOCATED_SERVICES: Key = ("services", "unallocated")
SERVICES_EVERYWHERE: Key = ("services", "everywhere")
"""Services with a task on every node that will do."""
ATTACHABLE_NETWORKS: Key = ("networks", "attachable")
INGRESS_NETWORK: Key = (INGRESS,)

FAILED = (TaskState.FAILED, TaskState.REJECTED)


def keys(record: Record) -> Iterator[Key]:
    """All index keys of an object."""
    match record:
        case Task():
            yield from _task_keys(record)
        case Service():
            yield from _service_keys(record)
        case Network():
            yield ("networks", "name", record.spec.name)
            if record.spec.attachable:
                yield ATTACHABLE_NETWORKS
            if record.spec.ingress:
                yield INGRESS_NETWORK
        case Node():
            yield ("nodes", "name", record.description.hostname)
        case Secret():
            yield ("secrets", "name", record.spec.name)
        case Config():
            yield ("configs", "name", record.spec.name)


def _task_keys(task: Task) -> Iterator[Key]:
    state = task.status.state
    if task.service_id:
        yield ("tasks", "service", task.service_id)
        if task.wanted:
            if state == TaskState.NEW:
                yield UNALLOCATED_TASKS
            elif state == TaskState.PENDING:
                yield UNPLACED_TASKS
        if state in FAILED:
            yield ("tasks", "failed", task.service_id)
    if task.node_id:
        yield ("tasks", "node", task.node_id)
    if state <= TaskState.RUNNING:
        for attachment in task.attachments:
            yield ("tasks", "network", attachment.network_id)


def _service_keys(service: Service) -> Iterator[Key]:
    yield ("services", "name", service.spec.name)
    if not is_allocated(service):
        yield UNALLOCATED_SERVICES
    if is_everywhere(service.spec):
        yield SERVICES_EVERYWHERE
    virtual_ips = service.endpoint.virtual_ips if service.endpoint else ()
    targets = [config.target for config in networks_of(service.spec)]
    for network_id in dict.fromkeys([*targets, *(vip.network_id for vip in virtual_ips)]):
        yield ("services", "network", network_id)


class Index:
    """Ids by key. Dictionaries stand in for sets: they keep an order that does not vary."""

    def __init__(self) -> None:
        self._ids: dict[Key, dict[str, None]] = {}

    def get(self, key: Key) -> dict[str, None]:
        """The ids under a key, in the order in which they came there."""
        return self._ids.get(key, _NOTHING)

    def add(self, id: str, keys: tuple[Key, ...]) -> None:
        """Find ``id`` under all these keys."""
        for key in keys:
            self._ids.setdefault(key, {})[id] = None

    def discard(self, id: str, keys: tuple[Key, ...]) -> None:
        """Find ``id`` under these keys no more."""
        for key in keys:
            ids = self._ids.get(key)
            if ids is not None:
                ids.pop(id, None)
                if not ids:
                    del self._ids[key]


_NOTHING: dict[str, None] = {}
