"""What a change costs a manager: deciding, encoding for the store, and every host's delta.

Pure code only, without disk and network: the same decisions, assignments and messages as a real
manager's. Ten tasks a host, fifty a service; each service is on a network of its own, and a tenth
of them publish a port, so that every host is told of their tasks.

    python benchmarks/schedule.py [TASKS …]        (100 1000 10000)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.bulletin import Bulletin
from skep.cluster.codec import encode
from skep.cluster.context import Context
from skep.cluster.delta import says_nothing
from skep.cluster.keeper import Keeper
from skep.cluster.state import Draft
from skep.model.assignment import Assignment
from skep.model.cluster import Cluster, Node, NodeDescription, Task, TaskState, TaskStatus, Tokens
from skep.model.ids import base36
from skep.model.messages import Assign
from skep.model.spec import (
    ContainerSpec,
    EndpointSpec,
    NetworkAttachmentConfig,
    NetworkSpec,
    NodeSpec,
    Placement,
    PortConfig,
    Replicated,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
)

A_HOST, A_SERVICE = 10, 50
TIMES = 15
GIGA = 10**9


class Bench:
    """A cluster of hosts that are told everything and do what they are told."""

    def __init__(self, tasks: int) -> None:
        self.keeper, self.bulletin = Keeper(), Bulletin()
        self.now, self._ids, self._revision = 1_000_000.0, 0, 0
        self.sent: dict[str, Assignment] = {}
        self.told = self.bytes = 0
        cluster = Cluster(
            id="c" * 25, ca_certificate="", ca_key="", tokens=Tokens("w", "m"), subnet_size=20,
        )  # fmt: skip
        self.change(control.init_cluster, cluster=cluster, node=self.host("m", "manager"))
        for number in range(tasks // A_HOST):
            self.change(control.add_node, self.host(f"h{number}"))
        for number in range(tasks // A_SERVICE):
            self.change(control.create_network, NetworkSpec(name=f"n{number}", driver="overlay"))
        self.services = tasks // A_SERVICE

    def new_id(self) -> str:
        self._ids += 1
        return base36(self._ids * 0x9E3779B97F4A7C15F39CC0605CEDC835, 25)

    def host(self, name: str, role: str = "worker") -> Node:
        description = NodeDescription(hostname=name, nano_cpus=64 * GIGA, memory_bytes=1 << 40)
        labels = {"zone": str(self._ids % 3)}
        availability = "drain" if role == "manager" else "active"
        return Node(
            id=self.new_id(), spec=NodeSpec(role=role, labels=labels, availability=availability),
            description=description, address="192.0.2.1", vtep="192.0.2.1", state="ready",
        )  # fmt: skip

    # --- the manager

    def change(self, decide: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        draft = Draft(self.keeper.state)
        decide(draft, Context(self.now, self.new_id), *args, **kwargs)
        self.commit(draft)

    def commit(self, draft: Draft) -> None:
        changes = draft.changes()
        for change in changes:
            if change.record is not None:
                encode(change.record)
        if changes:
            self._revision += 1
            self.bulletin.note(changes, self.keeper.state)
            self.keeper.take(changes, self._revision)

    def settle(self) -> None:
        draft, dues = self.keeper.settle(Context(self.now, self.new_id))
        self.commit(draft)
        self.keeper.settled(dues)

    def tell(self) -> None:
        """Every host's message, as it would go over the wire."""
        self.told = self.bytes = 0
        state = self.keeper.state
        for node_id in self.bulletin.stale() if self.sent else list(state.nodes):
            old, new = self.sent.get(node_id), self.bulletin.of(state, node_id)
            delta = self.bulletin.difference(old, new)
            if not says_nothing(old, delta):
                self.bytes += len(msgspec.msgpack.encode(Assign(delta=delta)))
                self.told += 1
                self.sent[node_id] = new

    # --- what happens

    def create_all(self) -> None:
        for number in range(self.services):
            self.change(control.create_service, ServiceSpec(
                name=f"s{number}",
                mode=ServiceMode(replicated=Replicated(replicas=A_SERVICE)),
                task_template=TaskSpec(
                    container_spec=ContainerSpec(image="nginx"),
                    networks=(NetworkAttachmentConfig(target=f"n{number}"),),
                    placement=Placement(constraints=("node.role==worker",)),
                ),
                endpoint_spec=EndpointSpec(
                    ports=(PortConfig(target_port=80),) if number % 10 == 0 else ()
                ),
            ))  # fmt: skip

    def obey(self) -> None:
        """All hosts report what they run and what they stopped."""
        state = self.keeper.state
        for node in state.nodes.values():
            news = {
                task.id: self.status(task, TaskState.RUNNING if task.wanted else TaskState.SHUTDOWN)
                for task in state.tasks_of_node(node.id)
                if node.state == "ready" and task.status.state <= TaskState.RUNNING
            }
            self.change(control.update_status, node.id, news)
        self.settle()
        self.tell()

    def status(self, task: Task, state: TaskState) -> TaskStatus:
        return TaskStatus(state=state, timestamp=self.now, container_id=task.id)

    def scale(self, name: str, by: int) -> None:
        service = self.keeper.state.service_named(name)
        assert service is not None and service.spec.mode.replicated is not None
        wanted = (service.spec.mode.replicated.replicas or 0) + by
        spec = replace(service.spec, mode=ServiceMode(replicated=Replicated(replicas=wanted)))
        self.change(control.update_service, service.id, service.version, spec)

    def report(self, name: str, number: int) -> None:
        service = self.keeper.state.service_named(name)
        assert service is not None
        task = self.keeper.state.tasks_of_service(service.id)[number]
        news = {task.id: self.status(task, TaskState.FAILED)}
        self.change(control.update_status, task.node_id, news)

    def lose(self, number: int) -> None:
        node = list(self.keeper.state.nodes.values())[number + 1]
        self.change(control.update_node_status, node.id, state="down", message="gone")


def timed(*steps: Callable[[], object]) -> list[float]:
    """Milliseconds of processor time of each step."""
    found = []
    for step in steps:
        start = time.process_time()
        step()
        found.append((time.process_time() - start) * 1000)
    return found


def measure(tasks: int) -> dict[str, tuple[float, int]]:
    """Milliseconds and hosts told, of each kind of change."""
    bench = Bench(tasks)
    found: dict[str, tuple[float, int]] = {}
    create, settle, tell = timed(bench.create_all, bench.settle, bench.tell)
    found["place all: decide"] = (create + settle, 0)
    found["place all: tell"] = (tell, bench.told)
    bench.obey()

    def repeat(name: str, act: Callable[[int], object]) -> None:
        costs = []
        for number in range(TIMES):
            bench.now += 1
            steps = (lambda n=number: act(n), bench.settle, bench.tell)  # type: ignore[misc]
            costs.append(sum(timed(*steps)))
            found[name] = (median(costs), bench.told)
            bench.now += 10
            bench.obey()

    repeat("scale one by one", lambda _: bench.scale("s1", 1))
    repeat("one status", lambda n: bench.report("s1", n))
    repeat("one status, published", lambda n: bench.report("s0", n))
    repeat("one host lost", bench.lose) if tasks > TIMES * A_HOST else None
    return found


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [100, 1000, 10000]
    found = {size: measure(size) for size in sizes}
    names = list(found[sizes[-1]])
    print(f"{'ms of processor time (hosts told)':34}" + "".join(f"{size:>18}" for size in sizes))
    for name in names:
        cells = [
            f"{found[size][name][0]:.1f} ({found[size][name][1]})" if name in found[size] else "-"
            for size in sizes
        ]
        print(f"{name:34}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
