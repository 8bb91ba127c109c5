"""What a node carries: how many tasks, of which services, and all that is set aside for them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from skep.model.cluster import Record, Task, TaskState
from skep.model.spec import GenericResource, Reservation

K = TypeVar("K", bound=Hashable)

Unit = tuple[str, str]
"""A generic resource: its kind, and the value of a named one ("" for those that are counted)."""


def reservation_of(task: Task) -> Reservation:
    """The resources to set aside for a task."""
    resources = task.spec.resources
    return (resources.reservations if resources else None) or Reservation()


def units(resources: Iterable[GenericResource]) -> Counter[Unit]:
    """Generic resources, counted: a named one counts once."""
    found: Counter[Unit] = Counter()
    for resource in resources:
        named, discrete = resource.named_resource_spec, resource.discrete_resource_spec
        if named is not None:
            found[named.kind, named.value] += 1
        elif discrete is not None:
            found[discrete.kind, ""] += discrete.value
    return found


class Load:
    """One node's load. A task's reservation stands until it is dead; its place does not."""

    __slots__ = ("attached", "endpoints", "generic", "memory", "nano_cpus", "ports", "services",
                 "tasks")  # fmt: skip

    def __init__(self) -> None:
        self.tasks = 0
        """How many tasks of services are wanted here."""
        self.services: Counter[str] = Counter()
        """How many of them there are of each service."""
        self.nano_cpus = 0
        self.memory = 0
        self.generic: Counter[Unit] = Counter()
        self.ports: Counter[tuple[str, int, str]] = Counter()
        """Ports in mode host: protocol, number, and the name of the service."""
        self.endpoints: Counter[str] = Counter()
        """Endpoints by network, those of hand-started containers too."""
        self.attached = 0
        """How many containers are on networks of the swarm."""

    def copy(self) -> Load:
        """Another one of the same weight."""
        other = Load()
        other.tasks, other.nano_cpus, other.memory = self.tasks, self.nano_cpus, self.memory
        other.services = self.services.copy()
        other.generic = self.generic.copy()
        other.ports = self.ports.copy()
        other.endpoints = self.endpoints.copy()
        other.attached = self.attached
        return other

    def add(self, task: Task) -> None:
        """Carry one more."""
        self._count(task, 1)

    def remove(self, task: Task) -> None:
        """Carry one less."""
        self._count(task, -1)

    def _count(self, task: Task, times: int) -> None:
        self.attached += times * bool(task.attachments)
        for attachment in task.attachments:
            _adjust(self.endpoints, attachment.network_id, times)
        if not task.service_id:
            return
        if task.wanted:
            self.tasks += times
            _adjust(self.services, task.service_id, times)
        reservation = reservation_of(task)
        self.nano_cpus += times * reservation.nano_cpus
        self.memory += times * reservation.memory_bytes
        for unit, number in units(task.generic_resources).items():
            _adjust(self.generic, unit, times * number)
        for port in task.host_ports:
            if port.published_port:
                key = (port.protocol, port.published_port, task.service_name)
                _adjust(self.ports, key, times)

    def user_of(self, protocol: str, port: int) -> str:
        """The name of the service that publishes a port on this node, "" if none does."""
        found = (name for used, number, name in self.ports if (used, number) == (protocol, port))
        return next(found, "")


EMPTY = Load()


class Order:
    """Nodes by the number of their tasks, then by id."""

    def __init__(self) -> None:
        self._sorted: list[tuple[int, str]] = []
        self._tasks: dict[str, int] = {}

    def put(self, node_id: str, tasks: int) -> None:
        """A node has so many tasks."""
        if self._tasks.get(node_id) != tasks:
            self.drop(node_id)
            self._tasks[node_id] = tasks
            insort(self._sorted, (tasks, node_id))

    def drop(self, node_id: str) -> None:
        """A node is no more."""
        tasks = self._tasks.pop(node_id, None)
        if tasks is not None:
            del self._sorted[bisect_left(self._sorted, (tasks, node_id))]

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._tasks

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(self._sorted)


def _adjust(counts: Counter[K], key: K, number: int) -> None:
    counts[key] += number
    if not counts[key]:
        del counts[key]


def bearer(record: Record | None) -> str:
    """The node that carries the object: of a task that was placed and is not dead, or of the
    attachment of a container that a user started."""
    if (
        isinstance(record, Task)
        and record.node_id
        and TaskState.ASSIGNED <= record.status.state <= TaskState.RUNNING
    ):
        return record.node_id
    return ""


def weighs_the_same(old: Task, new: Task) -> bool:
    """Whether two pictures of one task, both carried by a node, weigh the same."""
    return (
        old.wanted == new.wanted
        and old.node_id == new.node_id
        and old.spec == new.spec
        and old.generic_resources == new.generic_resources
        and old.host_ports == new.host_ports
        and old.attachments == new.attachments
    )
