"""A whole cluster in one process, lived through from a seed.

Dice choose what happens next: the manager decides or tells, a message arrives, a container ends, a
user does something, a session is cut, an agent or the manager is killed, the disk fails, time
passes. The code that decides is the real one. At the end nothing goes wrong any more, and when
nothing is left to do, all must be as it was asked for.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Any

from sim_checks import Checks
from sim_host import SimHost
from sim_manager import SimManager, SimStore, Wire, scrambled
from sim_users import Users

from skep.cluster import control
from skep.model.cluster import Cluster, Node, NodeDescription, Tokens
from skep.model.errors import Refusal
from skep.model.spec import (
    DiscreteResource,
    GenericResource,
    Ipam,
    IpamConfig,
    NetworkSpec,
    NodeSpec,
)

STEPS = 400
"""Events while things go wrong."""

CALM = 3000
"""More events than a cluster needs to come to rest."""

HORIZON = 3600.0
"""Seconds until something falls due that are waited for in the end."""

FAILURES = 0.05

EVENTS = {
    "settle": 20, "publish": 24, "down": 26, "up": 26, "live": 20, "act": 12, "time": 12,
    "give_up": 8, "beat": 2, "cut": 2, "restart_agent": 1, "restart_manager": 1,
}  # fmt: skip
_NAMES = list(EVENTS)
_WEIGHTS = list(accumulate(EVENTS.values()))
_CALM_NAMES = ["settle", "publish", "down", "up", "live", "beat", "give_up"]
_BUSY = ("settle", "publish", "down", "up", "give_up")
_CALM_WEIGHTS = list(accumulate([20, 24, 26, 26, 20, 2, 4]))


class Simulation:
    """One life. ``steps`` bounds the wild part; ``thorough`` is how often all is looked at."""

    def __init__(self, seed: int, steps: int = STEPS, thorough: float = 0.1) -> None:
        self.dice = random.Random(seed)
        self.seed, self.steps, self.thorough = seed, steps, thorough
        self.now = 1_000_000.0
        self.started = self.wild = False
        self.trace: list[tuple[Any, ...]] | None = None
        self._ids = 0
        self.hosts: dict[str, SimHost] = {}
        self.checks = Checks(self)
        self.users = Users(self)
        self.store = SimStore()
        self.manager = SimManager(self, self.store)
        self._found()

    def new_id(self) -> str:
        self._ids += 1
        return scrambled(self._ids)

    def note(self, *what: Any) -> None:
        """Something to show when a seed is replayed."""
        if self.trace is not None:
            self.trace.append((round(self.now - 1_000_000, 3), *what))

    # --- the cluster

    def _found(self) -> None:
        cluster = Cluster(
            id="c" * 25, ca_certificate="", ca_key="", tokens=Tokens("w", "m"), subnet_size=26
        )
        self.manager.change(control.init_cluster, cluster=cluster, node=self._node("manager"))
        self.started = True
        for _ in range(self.dice.randint(1, 3)):
            self.join()
        for name, subnet in (("tight", "172.16.0.0/28"), ("wide", "172.17.0.0/24")):
            ipam = Ipam(config=(IpamConfig(subnet=subnet),))
            spec = NetworkSpec(name=name, attachable=name == "wide", ipam=ipam)
            self.manager.change(control.create_network, spec)

    def _node(self, role: str = "worker") -> Node:
        gpus = GenericResource(discrete_resource_spec=DiscreteResource(kind="gpu", value=2))
        name = f"h{len(self.hosts) + 1}"
        description = NodeDescription(
            hostname=name, nano_cpus=4 * 10**9, memory_bytes=8 << 30, generic_resources=(gpus,)
        )
        node_id = self.new_id()
        self.hosts[node_id] = SimHost(self, node_id, description)
        labels = {"disk": self.dice.choice(("ssd", "hdd"))}
        return Node(id=node_id, spec=NodeSpec(role=role, labels=labels), description=description)

    def join(self) -> None:
        """A host joins."""
        node = self._node()
        try:
            self.manager.change(control.add_node, node)
        except Refusal:
            del self.hosts[node.id]
            raise

    def dismiss(self, node_id: str) -> None:
        """A host was removed from the cluster; all that ran there is gone."""
        host = self.hosts.pop(node_id, None)
        if host is not None and host.wire is not None:
            self.cut(host.wire)

    def some_host(self) -> SimHost:
        return self.dice.choice(list(self.hosts.values()))

    def cut(self, wire: Wire) -> None:
        """A session ends; the manager sees it now, or when the host is back."""
        host = self.hosts.get(wire.node_id)
        if host is not None and host.wire is wire:
            host.wire = None
            host.retry_at = self.now + self.dice.choice((0.1, 1.0, 10.0))
        wire.cut(self.dice, self.now)
        if host is None or self.dice.random() < 0.7:
            self.manager.closed(wire)

    # --- what can happen; each says whether it did

    def give_up(self) -> bool:
        if not self.manager.silent:
            return False
        self.manager.give_up()
        return True

    def settle(self) -> bool:
        due = self.manager.due
        if due is None or due > self.now:
            return False
        self.manager.settle()
        return True

    def publish(self) -> bool:
        wires = self.manager.stale()
        if not wires:
            return False
        self.manager.publish(self.dice.choice(wires))
        return True

    def down(self) -> bool:
        hosts = [host for host in self.hosts.values() if host.wire and host.wire.down]
        if not hosts:
            return False
        host = self.dice.choice(hosts)
        assert host.wire is not None
        host.take(host.wire.down.popleft())
        return True

    def up(self) -> bool:
        wires = self.manager.heard()
        if not wires:
            return False
        wire = self.dice.choice(wires)
        self.manager.take(wire, wire.up.popleft())
        if wire.cut_at is not None and self.dice.random() < 0.7:
            self.manager.closed(wire)
        return True

    def live(self) -> bool:
        host = self.some_host()
        host.live(self.dice, FAILURES if self.wild else 0.0)
        return True

    def act(self) -> bool:
        self.users.act()
        return True

    def time(self) -> bool:
        self.pass_time(self.dice.choice((0.01, 0.1, 1.0, 1.0, 4.0)))
        return True

    def pass_time(self, seconds: float) -> None:
        """The clock goes on; who waited for it acts."""
        self.now += seconds
        manager = self.manager
        manager.mourn()
        for host in list(self.hosts.values()):
            if host.wire is None and self.now >= host.retry_at:
                if manager.unsure or host.node_id in manager.state.nodes:
                    host.connect()
                else:
                    # Removed by a request whose user was told that it may have failed.
                    self.dismiss(host.node_id)
        for node_id in [id for id in manager.links if id not in manager.state.nodes]:
            if node_id in self.hosts:
                self.dismiss(node_id)

    def beat(self) -> bool:
        self.some_host().beat()
        return True

    def cut_one(self) -> bool:
        host = self.some_host()
        if host.wire is not None:
            self.cut(host.wire)
        return True

    def restart_agent(self) -> bool:
        self.some_host().restart()
        return True

    def restart_manager(self) -> bool:
        for host in self.hosts.values():
            host.wire = None
            host.retry_at = self.now + self.dice.choice((0.1, 1.0))
        self.manager = SimManager(self, self.store)
        return True

    # --- a life

    def run(self) -> None:
        """All of it. Raises AssertionError if something is not as it must be."""
        self.wild = True
        for _ in range(self.steps):
            name = self.dice.choices(_NAMES, cum_weights=_WEIGHTS)[0]
            did = getattr(self, "cut_one" if name == "cut" else name)()
            if did:
                self.note(name)
                if self.dice.random() < self.thorough:
                    self.checks.reality()
        self.checks.reality()
        self.wild = False
        self._make_peace()
        self._calm_down()
        self.checks.quiet()
        self.checks.reality()

    def _make_peace(self) -> None:
        """Hosts take tasks again, all but one or two, and come back, most of them."""
        manager = self.manager
        nodes = list(manager.state.nodes.values())
        for node in nodes:
            if node.spec.availability != "active" and self.dice.random() < 0.8:
                spec = NodeSpec(role=node.spec.role, labels=node.spec.labels)
                manager.change(control.update_node, node.id, node.version, spec)
        for host in self.hosts.values():
            for task_id in list(host.hand):
                if self.dice.random() < 0.8:
                    host.detach(task_id)
            host.retry_at = self.now
        if self.dice.random() < 0.2:
            self.some_host().retry_at = self.now + 2 * HORIZON

    def _calm_down(self) -> None:
        idle = 0
        for _ in range(CALM):
            name = self.dice.choices(_CALM_NAMES, cum_weights=_CALM_WEIGHTS)[0]
            if name in _BUSY and getattr(self, name)():
                continue
            if self._under_way():
                continue
            for host in self.hosts.values():
                host.live(self.dice, 0.0)
                host.beat()
            if self._under_way():
                idle = 0
                continue
            idle += 1
            due = self.manager.due
            if idle > 12:
                if due is None or due > self.now + HORIZON:
                    return
                self.now = max(self.now, due)
                idle = 0
            self.pass_time(1.0)
        raise AssertionError("the cluster does not come to rest")

    def _under_way(self) -> bool:
        manager = self.manager
        return (
            bool(manager.stale())
            or bool(manager.silent or manager.heard())
            or any(host.wire and host.wire.down for host in self.hosts.values())
            or (manager.due is not None and manager.due <= self.now)
        )
