"""A small cluster lived through from a seed: users, hosts and the clock do as dice say, while
checkers outside watch what must always hold. At the end all is calm, and every slot must be filled.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.assign import assign
from skep.cluster.context import Context
from skep.cluster.delta import difference, patch
from skep.cluster.reconcile import reconcile
from skep.cluster.state import Draft, State
from skep.model.assignment import Assignment
from skep.model.cluster import (
    Cluster,
    Node,
    NodeDescription,
    Task,
    TaskState,
    TaskStatus,
    Tokens,
)
from skep.model.errors import Refusal
from skep.model.ids import base36
from skep.model.spec import (
    ContainerSpec,
    EndpointSpec,
    Ipam,
    IpamConfig,
    NetworkAttachmentConfig,
    NetworkSpec,
    PortConfig,
    Replicated,
    RestartPolicy,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
)

SECOND = 1_000_000_000
STEPS = 200
CALM = 120
LIFE = (TaskState.ACCEPTED, TaskState.PREPARING, TaskState.STARTING, TaskState.RUNNING)


class Host:
    """An agent: it knows its last assignment, and what its tasks really do."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.linked = True
        self.assignment: Assignment | None = None
        self.states: dict[str, TaskState] = {}
        self.attachments: list[str] = []

    def hear(self, state: State) -> None:
        """The next assignment, as it would come over the wire."""
        new = assign(state, self.node_id)
        assert patch(self.assignment, difference(self.assignment, new)) == new
        self.assignment = new
        self.states = {id: s for id, s in self.states.items() if id in new.tasks}

    def live(self, dice: random.Random, failures: float) -> None:
        """Every task of ours makes a step, or not, or a false one."""
        assert self.assignment is not None
        for task in self.assignment.tasks.values():
            if not task.service_id or dice.random() < 0.4:
                continue
            now = self.states.get(task.id, TaskState.ASSIGNED)
            if now > TaskState.RUNNING:
                continue
            if task.desired_state > TaskState.RUNNING:
                self.states[task.id] = TaskState.SHUTDOWN
            elif dice.random() < failures:
                self.states[task.id] = dice.choice(
                    [TaskState.FAILED, TaskState.REJECTED, TaskState.COMPLETE]
                )
            elif now < TaskState.RUNNING:
                self.states[task.id] = next(state for state in LIFE if state > now)


class Simulation:
    """The cluster, its hosts, its users, and the checkers."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.state = State()
        self.now = 1_000_000.0
        self.revision = 0
        self.hosts: dict[str, Host] = {}
        self.seen: dict[str, TaskState] = {}
        cluster = Cluster(id="c" * 25, ca_certificate="", ca_key="", tokens=Tokens("w", "m"))
        self.change(control.init_cluster, cluster=cluster, node=self.node("manager"))
        for _ in range(3):
            self.join()
        for name, subnet in (("tight", "10.9.0.0/27"), ("wide", "10.8.0.0/24")):
            ipam = Ipam(config=(IpamConfig(subnet=subnet),))
            self.change(control.create_network, NetworkSpec(name=name, attachable=True, ipam=ipam))

    # --- machinery

    def new_id(self) -> str:
        return base36(self.dice.getrandbits(140), 25)

    def change(self, decide: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        draft = Draft(self.state)
        result = decide(draft, Context(self.now, self.new_id), *args, **kwargs)
        changes = draft.changes()
        if changes:
            self.revision += 1
            self.state.apply(changes, self.revision)
            self.check()
        return result

    def node(self, role: str = "worker") -> Node:
        node_id = self.new_id()
        self.hosts[node_id] = Host(node_id)
        node = Node(
            id=node_id, state="ready", description=NodeDescription(hostname=node_id[:6]),
            address="192.168.0.1",
        )  # fmt: skip
        return replace(node, spec=replace(node.spec, role=role))

    def join(self) -> None:
        if len(self.state.nodes) < 7:
            self.change(control.add_node, self.node())

    # --- what users and the world do

    def act(self) -> None:
        """Something happens."""
        action = self.dice.choice(
            [
                self.create, self.create, self.scale, self.scale, self.update, self.remove,
                self.attach, self.detach, self.cut, self.heal, self.drain, self.join, self.leave,
            ]
        )  # fmt: skip
        try:
            action()
        except Refusal as refusal:
            assert "addresses in use" in str(refusal), refusal

    def create(self) -> None:
        if len(self.state.services) >= 5:
            return
        ports = (PortConfig(target_port=80),) if self.dice.random() < 0.5 else ()
        networks = self.dice.sample(["tight", "wide"], self.dice.randint(0, 2))
        self.change(control.create_service, ServiceSpec(
            name=f"s{self.revision}",
            mode=ServiceMode(replicated=Replicated(self.dice.randint(0, 5))),
            task_template=TaskSpec(
                container_spec=ContainerSpec(image="a"),
                networks=tuple(NetworkAttachmentConfig(target=n) for n in networks),
                restart_policy=RestartPolicy(delay=self.dice.randint(0, 5) * SECOND),
            ),
            endpoint_spec=EndpointSpec(
                mode="vip" if ports else self.dice.choice(["vip", "dnsrr"]), ports=ports
            ),
        ))  # fmt: skip

    def some_service(self) -> Any:
        services = list(self.state.services.values())
        return self.dice.choice(services) if services else None

    def scale(self) -> None:
        if service := self.some_service():
            mode = ServiceMode(replicated=Replicated(self.dice.randint(0, 6)))
            spec = replace(service.spec, mode=mode)
            self.change(control.update_service, service.id, service.version, spec)

    def update(self) -> None:
        if service := self.some_service():
            image = self.dice.choice("abc")
            template = replace(
                service.spec.task_template, container_spec=ContainerSpec(image=image)
            )
            spec = replace(service.spec, task_template=template)
            self.change(control.update_service, service.id, service.version, spec)

    def remove(self) -> None:
        if service := self.some_service():
            self.change(control.remove_service, service.id)

    def attach(self) -> None:
        host = self.dice.choice(list(self.hosts.values()))
        if len(host.attachments) < 2:
            target = self.state.network_named(self.dice.choice(["tight", "wide"])).id
            task = self.change(
                control.attach, node_id=host.node_id, container_id=self.new_id(),
                container_name="box", networks={target: ""},
            )  # fmt: skip
            host.attachments.append(task.id)

    def detach(self) -> None:
        host = self.dice.choice(list(self.hosts.values()))
        if host.attachments:
            task_id = host.attachments.pop()
            self.change(control.detach, node_id=host.node_id, task_id=task_id)

    def cut(self) -> None:
        host = self.dice.choice(list(self.hosts.values()))
        host.linked = False
        self.change(control.update_node_status, host.node_id, state="down", message="cut")

    def heal(self) -> None:
        for host in self.hosts.values():
            if not host.linked:
                host.linked = True
                host.assignment = None
                self.change(control.update_node_status, host.node_id, state="ready")

    def drain(self) -> None:
        node = self.dice.choice(list(self.state.nodes.values()))
        availability = self.dice.choice(["active", "drain", "pause"])
        spec = replace(node.spec, availability=availability)
        self.change(control.update_node, node.id, node.version, spec)

    def leave(self) -> None:
        node = self.dice.choice(list(self.state.nodes.values()))
        if node.spec.role == "worker" and len(self.state.nodes) > 3:
            self.change(control.remove_node, node.id, force=True)
            del self.hosts[node.id]

    # --- one tick

    def tick(self, failures: float) -> None:
        wake = self.change(reconcile)
        assert wake is None or wake > self.now
        again = Draft(self.state)
        reconcile(again, Context(self.now, self.new_id))
        assert again.changes() == (), "reconciling twice is reconciling once"
        for host in self.hosts.values():
            if host.linked:
                host.hear(self.state)
            if host.assignment:
                host.live(self.dice, failures)
        for host in self.hosts.values():
            if host.linked and host.states:
                statuses = {
                    id: TaskStatus(state=state, timestamp=self.now)
                    for id, state in host.states.items()
                }
                self.change(control.update_status, host.node_id, statuses)
        self.now += self.dice.choice([0.1, 1.0, 3.0])

    # --- what must always hold

    def check(self) -> None:
        self.check_addresses()
        self.check_states()
        self.check_ports()

    def holders(self) -> list[tuple[str, str, str]]:
        ingress = self.state.ingress_id
        return [
            *((ingress, n.ingress_address, n.id) for n in self.state.nodes.values()),
            *(
                (vip.network_id, vip.address, service.id)
                for service in self.state.services.values()
                if service.endpoint
                for vip in service.endpoint.virtual_ips
            ),
            *(
                (attachment.network_id, attachment.address, task.id)
                for task in self.state.tasks.values()
                if task.status.state <= TaskState.RUNNING
                for attachment in task.attachments
            ),
        ]

    def check_addresses(self) -> None:
        holders: dict[tuple[str, str], str] = {}
        for network_id, address, holder in self.holders():
            config = self.state.networks[network_id].subnets[0].config
            assert str(ip_interface(address).network) == config.subnet
            assert str(ip_interface(address).ip) != config.gateway
            assert (network_id, address) not in holders, "an address has one holder"
            holders[network_id, address] = holder

    def check_states(self) -> None:
        for task in self.state.tasks.values():
            before = self.seen.get(task.id, TaskState.NEW)
            assert task.status.state >= before, "states only move forward"
            self.seen[task.id] = task.status.state

    def check_ports(self) -> None:
        endpoints = [s.endpoint for s in self.state.services.values() if s.endpoint]
        marks = [endpoint.mark for endpoint in endpoints if endpoint.mark]
        assert len(marks) == len(set(marks)), "a mark is one service's"
        ports = [port.published_port for endpoint in endpoints for port in endpoint.ports]
        assert len(ports) == len(set(ports)), "a published port is one service's"

    def check_filled(self) -> None:
        """In the end: as many running tasks as replicas, all up to date, one a slot."""
        for service in self.state.services.values():
            tasks = self.state.tasks_of_service(service.id)
            running = [
                task
                for task in tasks
                if task.desired_state == task.status.state == TaskState.RUNNING
            ]
            assert len(running) == service.spec.mode.replicated.replicas
            assert len({task.slot for task in running}) == len(running)
            assert all(task.spec == service.spec.task_template for task in running)
            for slot in {task.slot for task in tasks}:
                assert sum(task.slot == slot for task in tasks) <= 5
        for task in self.state.tasks.values():
            if task.service_id:
                assert task.service_id in self.state.services
            else:
                assert task.id in self.hosts[task.node_id].attachments


def calm(simulation: Simulation) -> None:
    """Nothing more goes wrong: all hosts are back, none drained, and there is room."""
    simulation.heal()
    for node in list(simulation.state.nodes.values()):
        spec = replace(node.spec, availability="active")
        simulation.change(control.update_node, node.id, node.version, spec)
    for host in simulation.hosts.values():
        for task_id in host.attachments:
            simulation.change(control.detach, node_id=host.node_id, task_id=task_id)
        host.attachments = []
    for service in list(simulation.state.services.values()):
        replicas = min(service.spec.mode.replicated.replicas, 4)
        spec = replace(service.spec, mode=ServiceMode(replicated=Replicated(replicas)))
        simulation.change(control.update_service, service.id, service.version, spec)


@pytest.mark.parametrize("seed", range(12))
def test_a_life_from_a_seed(seed):
    simulation = Simulation(seed)
    for _ in range(STEPS):
        if simulation.dice.random() < 0.4:
            simulation.act()
        simulation.tick(failures=0.08)
    calm(simulation)
    for _ in range(CALM):
        simulation.tick(failures=0.0)
    simulation.check_filled()


def test_a_released_address_rests(seed=7):
    """Between two holders of an address, all others of its network were given out."""
    simulation = Simulation(seed)
    network = simulation.state.network_named("tight")
    host = next(iter(simulation.hosts.values()))
    given: list[str] = []
    for _ in range(200):
        if host.attachments and simulation.dice.random() < 0.5:
            task_id = host.attachments.pop(simulation.dice.randrange(len(host.attachments)))
            simulation.change(control.detach, node_id=host.node_id, task_id=task_id)
        elif len(host.attachments) < 8:
            task: Task = simulation.change(
                control.attach, node_id=host.node_id, container_id="c", container_name="c",
                networks={network.id: ""},
            )  # fmt: skip
            host.attachments.append(task.id)
            given.append(task.attachments[0].address)
    last: dict[str, int] = {}
    for position, address in enumerate(given):
        if address in last:
            # 29 addresses, at most 7 of the others held all the while.
            assert position - last[address] >= 29 - 7
        last[address] = position
    assert len(last) == 29
