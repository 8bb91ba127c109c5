"""What must always hold, checked from outside: by its own books, not by the code that is tested."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec.structs import replace

from skep.cluster.assign import assign
from skep.cluster.change import KINDS, Change
from skep.cluster.context import Context
from skep.cluster.reconcile import reconcile
from skep.cluster.state import Draft, State
from skep.model.cluster import Network, Node, Record, Service, Task, TaskState

DEAD = TaskState.RUNNING


class Books:
    """Who holds what: one holder each."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], str] = {}

    def release(self, old: Record | None, new: Record | None) -> None:
        """What an object held and does not hold now is free."""
        kept = _holdings(new)
        for thing in _holdings(old):
            if thing not in kept:
                del self._held[thing]

    def take(self, new: Record | None) -> None:
        """What an object holds is its own."""
        for thing in _holdings(new):
            assert new is not None
            holder = self._held.setdefault(thing, new.id)
            assert holder == new.id, f"{thing} is held by {holder} and {new.id}"


def _holdings(record: Record | None) -> list[tuple[str, ...]]:
    match record:
        case Task() if record.status.state <= DEAD:
            return [("address", a.network_id, a.address) for a in record.attachments]
        case Service() if record.endpoint is not None:
            allocated = record.endpoint
            return [
                *(("address", vip.network_id, vip.address) for vip in allocated.virtual_ips),
                *(("six", v.network_id, v.address6) for v in allocated.virtual_ips if v.address6),
                *([("mark", str(allocated.mark))] if allocated.mark else []),
                *(
                    ("port", port.protocol, str(port.published_port))
                    for port in allocated.ports
                    if port.publish_mode == "ingress"
                ),
            ]
        case Network():
            return [("vni", str(subnet.vni)) for subnet in record.subnets]
        case Node() if record.ingress_address:
            return [("ingress", record.ingress_address), ("ingress", record.ingress_address6)]
    return []


class Checks:
    """All checkers. A failed one raises AssertionError."""

    def __init__(self, sim: Any) -> None:
        self.sim = sim
        self.books = Books()

    # --- at every commit

    def committed(self, before: State, changes: tuple[Change, ...]) -> None:
        """One commit; or, after a restart, all that was committed before."""
        if not before.revision:
            self.books = Books()
        for change in changes:
            self.books.release(before.records(change.kind).get(change.id), change.record)
        for change in changes:
            self.books.take(change.record)
            old = before.records(change.kind).get(change.id)
            if isinstance(old, Task) and isinstance(change.record, Task):
                self._forward(old, change.record)

    def _forward(self, old: Task, new: Task) -> None:
        assert new.status.state >= old.status.state, "observed states only move forward"
        assert new.desired_state >= old.desired_state, "desired states only move forward"
        if old.status.state > DEAD:
            assert new.status == old.status, "what is dead stays as it died"

    def settling(self, draft: Draft, dues: Any) -> None:
        """A decision of the loop: it must leave nothing to do, and wait for nothing past."""
        sim = self.sim
        for due in dues.values():
            assert due is None or due > sim.now, "what is due is done"
        if sim.dice.random() < sim.thorough:
            done = draft.edits
            reconcile(draft, Context(sim.now, sim.new_id))
            assert draft.edits == done, f"looking at everything finds more: {draft.history[done:]}"
        for service_id in {id for kind, id in dues if kind == "services"}:
            if service_id in draft.services:
                self._slots(draft, draft.services[service_id])

    def _slots(self, draft: Draft, service: Service) -> None:
        live = Counter(
            _place(task)
            for task in draft.tasks_of_service(service.id)
            if task.wanted and task.status.state <= DEAD and service.spec.mode.replicated
        )
        assert all(number <= 2 for number in live.values()), "a slot has one task, or two in turn"
        replicated = service.spec.mode.replicated
        if replicated is not None:
            assert len(live) <= (replicated.replicas or 0), "no more slots than replicas"

    def adopting(self, host: Any, assignment: Any) -> None:
        """An agent takes an assignment over."""
        assert assignment.index >= host.assignment.index, "never an older assignment"
        assert assignment.node_id == host.node_id, "its own assignment"
        for task in assignment.tasks.values():
            # A network may be removed as soon as all its tasks are told to stop.
            for attachment in task.attachments if task.wanted else ():
                network = assignment.networks.get(attachment.network_id)
                assert network is not None and network.present, "no address without its network"
            self._files(assignment, task)

    def _files(self, assignment: Any, task: Task) -> None:
        spec, state = task.spec.container_spec, self.sim.manager.state
        living = task.wanted and task.status.state <= DEAD
        for reference in spec.secrets if spec and living else ():
            id = reference.secret_id
            assert id in assignment.secrets or id not in state.secrets, "a task gets its secrets"
        for reference in spec.configs if spec and living else ():
            id = reference.config_id
            assert id in assignment.configs or id not in state.configs, "a task gets its configs"

    def attached(self, host: Any, answer: Any) -> None:
        """A container started by hand gets its addresses."""
        for attachment in answer.attachments:
            network = host.assignment.networks.get(attachment.network_id)
            task = host.assignment.tasks.get(answer.task_id)
            assert task is None or (network is not None and network.present)

    def reality(self) -> None:
        """No two containers that run anywhere have the same address, none of a host its port."""
        hosts = self.sim.hosts.values()
        users = Counter(held for host in hosts for held in host.held())
        users.update((host.node_id, port) for host in hosts for port in host.ports())
        twice = [held for held, number in users.items() if number > 1]
        assert not twice, f"used twice: {twice}"
        for host in hosts:
            assert host.memory() <= host.description.memory_bytes, "memory is not promised twice"

    # --- when all is quiet

    def quiet(self) -> None:
        """Nothing is under way any more: everything must be as it was asked for."""
        state = self.sim.manager.state
        self._bookkeeping(state)
        self._hosts(state)
        self._reservations(state)
        for service in state.services.values():
            tasks = state.tasks_of_service(service.id)
            self._filled(state, service, tasks)
            self._history(state, tasks)
        for task in state.tasks.values():
            if task.service_id:
                assert task.service_id in state.services or not self._reachable(task)
            else:
                holds = task.id in self.sim.hosts[task.node_id].hand
                assert holds or not self._reachable(task), "no address for nobody"
            if task.wanted and TaskState.ASSIGNED <= task.status.state <= DEAD:
                node = state.nodes[task.node_id]
                assert not task.service_id or node.spec.availability != "drain", "drained is empty"

    def _reachable(self, task: Task) -> bool:
        host = self.sim.hosts.get(task.node_id)
        return host is not None and host.wire is not None

    def _bookkeeping(self, state: State) -> None:
        again = self.sim.store.state()
        for kind in KINDS:
            assert dict(state.records(kind)) == dict(again.records(kind)), f"{kind} as stored"
        assert _indexes(state) == _indexes(again), "indexes are as if made anew"
        draft = Draft(state)
        wake = reconcile(draft, Context(self.sim.now, self.sim.new_id))
        assert not draft.edits, f"looking at everything finds more: {draft.history}"
        assert wake == self.sim.manager.due, "what is due is on the agenda"

    def _hosts(self, state: State) -> None:
        for host in self.sim.hosts.values():
            if host.wire is None:
                continue
            wanted = assign(state, host.node_id)
            known = replace(host.assignment, index=wanted.index)
            assert known == wanted, f"{host.node_id} is told exactly its part"
            running = {
                task.id
                for task in state.tasks_of_node(host.node_id)
                if task.service_id and task.wanted and task.status.state == DEAD
            }
            alive = {id for id, box in host.boxes.items() if box.state == "running"}
            assert running == alive, "what runs is what is said to run"
            for network in host.assignment.networks.values():
                ready = {id for id, e in network.endpoints.items() if e.ready}
                assert not network.present or ready == self._expected(state, network.id)

    def _reservations(self, state: State) -> None:
        for node in state.nodes.values():
            tasks = [
                task
                for task in state.tasks_of_node(node.id)
                if task.service_id and TaskState.ASSIGNED <= task.status.state <= DEAD
            ]
            reserved = [task.spec.resources.reservations for task in tasks if task.spec.resources]
            memory = sum(each.memory_bytes for each in reserved if each)
            gpus = sum(len(each.generic_resources) for each in reserved if each)
            assert memory <= node.description.memory_bytes, "memory is not promised twice"
            assert gpus <= 2, "nor is anything else"

    def _expected(self, state: State, network_id: str) -> set[str]:
        return {
            task.id
            for task in state.tasks.values()
            if task.status.state == DEAD
            and task.wanted
            and any(a.network_id == network_id for a in task.attachments)
            and task.node_id in state.nodes
            and state.nodes[task.node_id].state != "down"
        }

    def _filled(self, state: State, service: Service, tasks: list[Task]) -> None:
        live = [task for task in tasks if task.wanted and task.status.state <= DEAD]
        stalled = self._is_paused(service) or any(task.status.state < DEAD for task in live)
        for task in live:
            assert task.status.state == DEAD or task.status.error, f"waits without a word: {task}"
            closed = task.node_id and state.nodes[task.node_id].spec.availability != "active"
            lasting = stalled or closed or self._given_up(service, tasks, but=task)
            assert task.spec_version == service.spec_version or lasting, "up to date"
        slots = {_place(task) for task in live}
        given_up = self._given_up(service, tasks)
        mode = service.spec.mode
        if mode.replicated is not None:
            assert len(slots) == len(live) or stalled, "one task a slot in the end"
            assert len(slots) + given_up >= (mode.replicated.replicas or 0), "every slot is filled"
            assert len(slots) <= (mode.replicated.replicas or 0), "and no other"
        elif mode.replicated_job is not None:
            results = {task.slot for task in tasks if task.wanted and task.status.state > DEAD}
            total = mode.replicated_job.total_completions or 0
            done = len(results | {slot for slot, _ in slots})
            assert done + given_up >= total or stalled, "a job is done"
        for task in live:
            # One that waited for addresses through an update gets the new networks.
            if task.status.state == DEAD and task.spec_version == service.spec_version:
                self._addressed(state, task)

    def _addressed(self, state: State, task: Task) -> None:
        networks = [attachment.network_id for attachment in task.attachments]
        assert len(set(networks)) == len(networks), "one address a network"
        wanted = {config.target for config in task.spec.networks}
        assert wanted <= set(networks) <= wanted | {state.ingress_id}, "one for each network"

    def _is_paused(self, service: Service) -> bool:
        status = service.update_status
        return status is not None and "paused" in status.state

    def _given_up(self, service: Service, tasks: list[Task], but: Task | None = None) -> int:
        """How many slots may be without a live task, one that lives there aside."""
        policy = service.spec.task_template.restart_policy
        if self._is_paused(service):
            return len(tasks)
        if policy is None or (policy.condition == "any" and not policy.max_attempts):
            return 0
        others = [task for task in tasks if task is not but]
        live = {_place(task) for task in others if task.wanted and task.status.state <= DEAD}
        return len({_place(task) for task in others} - live)

    def _history(self, state: State, tasks: list[Task]) -> None:
        cluster = state.cluster
        assert cluster is not None
        slots = Counter(_place(task) for task in tasks)
        for number in slots.values():
            # The live one, those that the restart policy counts, and one that is remembered
            # because it says since when another is being replaced.
            assert number <= max(cluster.task_history, 3) + 2, f"{number} tasks in one slot"


def _place(task: Task) -> tuple[int, str]:
    """A slot: its number, or its node."""
    return task.slot, "" if task.slot else task.node_id


def _indexes(state: State) -> Any:
    ids = {key: sorted(ids) for key, ids in state._index._ids.items()}
    numbers = {
        pool: (taken._sorted, taken._holders) for pool, taken in state._numbers.items() if taken
    }
    loads = {
        id: (load.tasks, load.services, load.nano_cpus, load.memory, load.generic, load.ports)
        for id, load in state._loads.items()
        if load.tasks or load.nano_cpus or load.memory or load.ports or load.generic
    }
    return ids, numbers, loads, list(state._order)
