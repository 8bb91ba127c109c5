"""A cluster in memory: decisions are committed through the codec, as a store would do it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.change import Change
from skep.cluster.codec import decode, encode, key
from skep.cluster.context import Context
from skep.cluster.lives import age_key, is_live, is_placed, is_running, is_stopping
from skep.cluster.reconcile import reconcile
from skep.cluster.state import Draft, State
from skep.model.cluster import (
    Cluster,
    Node,
    NodeDescription,
    Service,
    Task,
    TaskState,
    TaskStatus,
    Tokens,
)
from skep.model.container import ConfigReference, FileTarget, SecretReference
from skep.model.ids import base36
from skep.model.spec import (
    ContainerSpec,
    EndpointSpec,
    Ipam,
    IpamConfig,
    NetworkAttachmentConfig,
    NetworkSpec,
    NodeSpec,
    PortConfig,
    Replicated,
    SecretSpec,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
)


class World:
    """A swarm with a clock that only tests move."""

    def __init__(self) -> None:
        self.state = State()
        self.now = 1000.0
        self.revision = 0
        self._ids = 0

    # --- the machinery

    def context(self) -> Context:
        return Context(now=self.now, new_id=self.new_id)

    def new_id(self) -> str:
        # Scrambled, so that ids do not sort by age and have no long common prefixes.
        self._ids += 1
        return base36(self._ids * 0x9E3779B97F4A7C15F39CC0605CEDC835, 25)

    def change(self, decide: Any, *args: Any, **kwargs: Any) -> Any:
        draft = Draft(self.state)
        result = decide(draft, self.context(), *args, **kwargs)
        self.commit(draft)
        return result

    def commit(self, draft: Draft) -> tuple[Change, ...]:
        changes = draft.changes()
        if not changes:
            return ()
        self.revision += 1
        stored = []
        for change in changes:
            old = self.state.records(change.kind).get(change.id)
            assert change.expect == (old.version if old else 0)
            record = change.record
            if record is not None:
                record = decode(key(change.kind, change.id), encode(record), self.revision)
            stored.append(Change(change.kind, change.id, record, change.expect))
        self.state.apply(stored, self.revision)
        return tuple(stored)

    def settle(self) -> float | None:
        draft = Draft(self.state)
        wake = reconcile(draft, self.context())
        self.commit(draft)
        again = Draft(self.state)
        assert reconcile(again, self.context()) == wake
        assert again.changes() == ()
        return wake

    # --- users

    def init(self, *hosts: str, pools: tuple[str, ...] = ("10.0.0.0/8",), size: int = 24) -> None:
        cluster = Cluster(
            id=self.new_id(), ca_certificate="c", ca_key="k", tokens=Tokens("w", "m"),
            address_pools=pools, subnet_size=size,
        )  # fmt: skip
        first, *others = hosts or ("h1",)
        self.change(control.init_cluster, cluster=cluster, node=self.host(first, role="manager"))
        for name in others:
            self.change(control.add_node, self.host(name))

    def host(self, name: str, **spec: Any) -> Node:
        number = len(self.state.nodes) + 1
        return Node(
            id=self.new_id(),
            spec=NodeSpec(**spec),
            description=NodeDescription(hostname=name, nano_cpus=4 * 10**9, memory_bytes=8 * 2**30),
            address=f"192.168.0.{number}",
            vtep=f"192.168.0.{number}",
            state="ready",
        )

    def node(self, name: str) -> Node:
        return self.state.find_node(name)

    def down(self, name: str) -> None:
        self.change(control.update_node_status, self.node(name).id, state="down", message="lost")

    def up(self, name: str) -> None:
        self.change(control.update_node_status, self.node(name).id, state="ready")

    def node_spec(self, name: str, **changes: Any) -> None:
        node = self.node(name)
        spec = replace(node.spec, **changes)
        self.change(control.update_node, node.id, node.version, spec)

    def network(self, name: str, *subnets: str | IpamConfig, **spec: Any) -> str:
        configs = [s if isinstance(s, IpamConfig) else IpamConfig(subnet=s) for s in subnets]
        return self.change(
            control.create_network,
            NetworkSpec(name=name, driver="overlay", ipam=Ipam(config=tuple(configs)), **spec),
        )

    def spec(
        self,
        name: str = "web",
        replicas: int | None = 1,
        *,
        networks: tuple[str, ...] = (),
        ports: tuple[PortConfig, ...] = (),
        mode: str = "vip",
        image: str = "nginx",
        service_mode: ServiceMode | None = None,
        **template: Any,
    ) -> ServiceSpec:
        return ServiceSpec(
            name=name,
            mode=service_mode or ServiceMode(replicated=Replicated(replicas=replicas)),
            task_template=TaskSpec(
                container_spec=template.pop("container_spec", ContainerSpec(image=image)),
                networks=tuple(NetworkAttachmentConfig(target=n) for n in networks),
                **template,
            ),
            endpoint_spec=EndpointSpec(mode=mode, ports=ports),
        )

    def create(self, *args: Any, **kwargs: Any) -> str:
        self.now += 1  # so that services have an order
        return self.change(control.create_service, self.spec(*args, **kwargs))

    def secret(self, name: str, target: str = "", **spec: Any) -> SecretReference:
        id = self.change(control.create_secret, SecretSpec(name=name, data=b"x", **spec))
        file = FileTarget(name=target or name)
        return SecretReference(file=file, secret_id=id, secret_name=name)

    def config(self, name: str, target: str = "", **spec: Any) -> ConfigReference:
        id = self.change(control.create_config, SecretSpec(name=name, data=b"x", **spec))
        file = FileTarget(name=target or name)
        return ConfigReference(file=file, config_id=id, config_name=name)

    def update(self, name: str, /, **changes: Any) -> None:
        service = self.service(name)
        self.change(control.update_service, name, service.version, replace(service.spec, **changes))

    def scale(self, name: str, replicas: int) -> None:
        self.update(name, mode=ServiceMode(replicated=Replicated(replicas=replicas)))

    def service(self, name: str) -> Service:
        return self.state.find_service(name)

    # --- hosts

    def tasks(self, name: str) -> list[Task]:
        found = self.state.tasks_of_service(self.service(name).id)
        return sorted(found, key=lambda t: (t.slot, t.node_id if not t.slot else "", *age_key(t)))

    def live(self, name: str) -> list[Task]:
        return [task for task in self.tasks(name) if is_live(task)]

    def stopping(self, name: str) -> list[Task]:
        return [task for task in self.tasks(name) if is_stopping(task)]

    def on(self, name: str, host: str) -> list[Task]:
        return [task for task in self.tasks(name) if task.node_id == self.node(host).id]

    def report(self, task: Task, state: TaskState, **details: Any) -> None:
        status = TaskStatus(state=state, timestamp=self.now, **details)
        self.change(control.update_status, task.node_id, {task.id: status})

    def obey(self) -> None:
        """All hosts do at once what they are told, until nothing is left to do."""
        for _ in range(50):
            self.settle()
            todo = [
                (task, TaskState.RUNNING)
                for task in self.state.tasks.values()
                if is_live(task) and is_placed(task) and not is_running(task)
            ] + [
                (task, TaskState.SHUTDOWN)
                for task in self.state.tasks.values()
                if is_stopping(task) and task.node_id in self.state.nodes
            ]
            todo = [
                (task, state)
                for task, state in todo
                if self.state.nodes[task.node_id].state == "ready"
            ]
            if not todo:
                return
            for task, state in todo:
                self.report(task, state, container_id=f"{task.id}f00d")
        raise AssertionError("the hosts never finish")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def swarm(world: World) -> World:
    """Three hosts, the first a manager."""
    world.init("h1", "h2", "h3")
    return world
