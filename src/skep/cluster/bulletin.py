"""All hosts' assignments, kept up to date at the cost of what changes.

`assign` makes one host's assignment of the whole state. Here the parts that many hosts are told are
made once and held by all as the same object; a change marks the parts and the hosts it concerns,
and only those are made anew. Both always say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from skep.cluster import assign as parts
from skep.cluster.change import Change
from skep.cluster.delta import Steps, difference
from skep.cluster.lives import is_dead, is_placed
from skep.cluster.needs import networks_of
from skep.cluster.state import State
from skep.model.assignment import (
    Assignment,
    AssignmentDelta,
    NetworkAssignment,
    NetworkEndpoint,
    NetworkService,
    PeerNode,
)
from skep.model.cluster import Network, Node, Service, Task, TaskState

T = TypeVar("T")
Marks = dict[str, None]
"""A set that keeps its order."""


class Board:
    """What hosts are told of one network, and which of them are told all of it."""

    def __init__(self, network_id: str, steps: Steps) -> None:
        self._id = network_id
        self._steps = steps
        self._readers: Marks = {}
        self._picture: NetworkAssignment | None = None
        self.mention: NetworkAssignment
        self.frame_stale = True
        self.stale_tasks: Marks = {}
        self.stale_services: Marks = {}

    @property
    def readers(self) -> Iterable[str]:
        """The hosts that are told all of it."""
        return self._readers

    def leave(self, node_id: str) -> None:
        """A host is not told any more; without any, the picture is not kept up to date."""
        self._readers.pop(node_id, None)
        if not self._readers:
            self._picture = None
            self.stale_tasks, self.stale_services = {}, {}
            for part in ("endpoints", "services"):
                self._steps.forget(f"{part}/{self._id}")

    def refresh(self, state: State) -> None:
        """Bring the mention up to date."""
        if self.frame_stale:
            self.frame_stale = False
            self.mention = parts.mention(state.networks[self._id])
            if self._picture is not None:
                self._picture = replace(
                    self.mention,
                    present=True,
                    endpoints=self._picture.endpoints,
                    services=self._picture.services,
                )

    def picture(self, state: State, node_id: str) -> NetworkAssignment:
        """The network with all that is on it, up to date; this host is told it from now on."""
        self._readers[node_id] = None
        network = state.networks[self._id]
        old = self._picture
        if old is None:
            self._picture = parts.picture(state, network)
        elif self.stale_tasks or self.stale_services:
            endpoints = self._endpoints(state, old.endpoints)
            services = self._services(state, network, old.services)
            self._steps.learn(f"endpoints/{self._id}", old.endpoints, endpoints, self.stale_tasks)
            self._steps.learn(f"services/{self._id}", old.services, services, self.stale_services)
            self._picture = replace(old, endpoints=endpoints, services=services)
        self.stale_tasks, self.stale_services = {}, {}
        assert self._picture is not None
        return self._picture

    def _endpoints(
        self, state: State, old: dict[str, NetworkEndpoint]
    ) -> dict[str, NetworkEndpoint]:
        found = old.copy()
        for id in self.stale_tasks:
            task = state.tasks.get(id)
            now = parts.endpoint(state, task, self._id) if task else None
            _set(found, id, now)
        return found

    def _services(
        self, state: State, network: Network, old: dict[str, NetworkService]
    ) -> dict[str, NetworkService]:
        found = old.copy()
        for id in self.stale_services:
            service = state.services.get(id)
            _set(found, id, parts.on_network(service, network) if service else None)
        return found


class Bulletin:
    """Every host's assignment, as it was made last."""

    def __init__(self) -> None:
        self._made: dict[str, Assignment] = {}
        self._stale: Marks = {}
        self._moved: Marks = {}
        self._boards: dict[str, Board] = {}
        self._peers: dict[str, PeerNode] | None = None
        self._stale_peers: Marks = {}
        self._steps = Steps()

    # --- what is asked

    def stale(self) -> list[str]:
        """The hosts whose assignment may be another one by now."""
        return list(self._stale)

    def of(self, state: State, node_id: str) -> Assignment:
        """A host's assignment. The same object as before if nothing of it changed."""
        made = self._made.get(node_id)
        if made is not None and node_id not in self._stale:
            return made
        found = self._make(state, node_id, made)
        self._stale.pop(node_id, None)
        self._moved.pop(node_id, None)
        if made is None or not _same(found, made):
            self._made[node_id] = made = found
        return made

    def difference(self, old: Assignment | None, new: Assignment) -> AssignmentDelta:
        """The delta from one assignment to the next of the same host."""
        return difference(old, new, self._steps)

    def forget(self, node_id: str) -> None:
        """Nobody asks for this host's assignment any more, or for now."""
        self._stale.pop(node_id, None)
        self._moved.pop(node_id, None)
        made = self._made.pop(node_id, None)
        for network_id in made.networks if made else ():
            if network_id in self._boards:
                self._boards[network_id].leave(node_id)

    # --- making

    def _make(self, state: State, node_id: str, made: Assignment | None) -> Assignment:
        if made is None or node_id in self._moved:
            tasks = parts.own_tasks(state, node_id)
            secrets, configs = parts.payloads(state, tasks)
        else:
            tasks, secrets, configs = made.tasks, made.secrets, made.configs
        return replace(
            parts.cover(state, node_id),
            peers=self._all_peers(state),
            networks=self._networks(state, node_id, tasks, made.networks if made else {}),
            tasks=tasks,
            secrets=secrets,
            configs=configs,
        )

    def _all_peers(self, state: State) -> dict[str, PeerNode]:
        old = self._peers
        if old is None:
            self._peers = {node.id: parts.peer(node) for node in state.nodes.values()}
        elif self._stale_peers:
            self._peers = old.copy()
            for id in self._stale_peers:
                node = state.nodes.get(id)
                _set(self._peers, id, parts.peer(node) if node else None)
            self._steps.learn("peers", old, self._peers, self._stale_peers)
        self._stale_peers = {}
        assert self._peers is not None
        return self._peers

    def _networks(
        self,
        state: State,
        node_id: str,
        tasks: Mapping[str, Task],
        old: Mapping[str, NetworkAssignment],
    ) -> dict[str, NetworkAssignment]:
        known = parts.networks_known(state, tasks)
        found = {}
        for id, present in known.items():
            board = self._boards.get(id)
            if board is None:
                board = self._boards[id] = Board(id, self._steps)
            board.refresh(state)
            found[id] = board.picture(state, node_id) if present else board.mention
        for id in old:
            if not known.get(id) and id in self._boards:
                self._boards[id].leave(node_id)
        return found

    # --- marking

    def note(self, changes: Iterable[Change], before: State) -> None:
        """Mark what a commit may change; ``before`` is the state without it."""
        for change in changes:
            old: Any = before.records(change.kind).get(change.id)
            new: Any = change.record
            match change.kind:
                case "tasks":
                    self._task(old, new)
                case "services":
                    self._service(before, old, new)
                case "nodes":
                    self._node(before, old, new)
                case "networks":
                    self._network(old, new)
                case "cluster":
                    self._stale.update(dict.fromkeys(self._made))
                case "secrets" | "configs":
                    self._payload(change.id)

    def _move(self, node_id: str) -> None:
        """The host's own tasks, or what it hears of them, are other ones now."""
        if node_id in self._made:
            self._moved[node_id] = self._stale[node_id] = None

    def _task(self, old: Task | None, new: Task | None) -> None:
        both = [task for task in (old, new) if task is not None]
        for task in both:
            self._move(task.node_id)
        if old is None or new is None or _shown(old) != _shown(new):
            self._mark_endpoints(both)

    def _mark_endpoints(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            for attachment in task.attachments:
                board = self._boards.get(attachment.network_id)
                if board is not None and board.readers:
                    board.stale_tasks[task.id] = None
                    self._stale.update(dict.fromkeys(board.readers))

    def _service(self, before: State, old: Service | None, new: Service | None) -> None:
        id = old.id if old else new.id if new else ""
        for network_id in dict.fromkeys([*_networks_of(old), *_networks_of(new)]):
            board, network = self._boards.get(network_id), before.networks.get(network_id)
            if board is None or not board.readers:
                continue
            if _seen(old, network) != _seen(new, network):
                board.stale_services[id] = None
                self._stale.update(dict.fromkeys(board.readers))
        if old is None or new is None or old.spec.labels != new.spec.labels:
            tasks = before.tasks_of_service(id)
            self._mark_endpoints(tasks)
            for task in tasks:
                self._move(task.node_id)

    def _node(self, before: State, old: Node | None, new: Node | None) -> None:
        id = old.id if old else new.id if new else ""
        if old is None or new is None or parts.peer(old) != parts.peer(new):
            self._stale_peers[id] = None
            self._stale.update(dict.fromkeys(self._made))
            self._move(id)
        if old is None or new is None or (old.state == "down") != (new.state == "down"):
            self._mark_endpoints(before.tasks_of_node(id))
        if new is None:
            self.forget(id)

    def _network(self, old: Network | None, new: Network | None) -> None:
        if old is not None and new is not None and parts.mention(old) == parts.mention(new):
            # Only the allocator's cursor moved.
            return
        known = [network for network in (old, new) if network is not None]
        board = self._boards.get(known[0].id)
        if board is not None:
            board.frame_stale = True
            self._stale.update(dict.fromkeys(board.readers))
            if new is None:
                del self._boards[known[0].id]
        if any(network.spec.attachable or network.spec.ingress for network in known):
            self._stale.update(dict.fromkeys(self._made))

    def _payload(self, id: str) -> None:
        for node_id, made in self._made.items():
            if id in made.secrets or id in made.configs:
                self._move(node_id)


def _set(entries: dict[str, T], id: str, entry: T | None) -> None:
    if entry is None:
        entries.pop(id, None)
    else:
        entries[id] = entry


def _same(one: Assignment, other: Assignment) -> bool:
    """Whether two assignments differ in their index at most."""
    return (
        (one.peers is other.peers or one.peers == other.peers)
        and one.networks == other.networks
        and (one.tasks is other.tasks or one.tasks == other.tasks)
        and (one.secrets is other.secrets or one.secrets == other.secrets)
        and (one.configs is other.configs or one.configs == other.configs)
        and one.cluster_id == other.cluster_id
        and one.data_path_port == other.data_path_port
        and one.mesh_key == other.mesh_key
        and one.generation == other.generation
    )


def _shown(task: Task) -> tuple[object, ...]:
    """All of a task that its endpoints are made from."""
    state = task.status.state
    return (
        task.node_id,
        task.wanted,
        is_placed(task),
        is_dead(task),
        state == TaskState.RUNNING,
        task.status.container_id,
        task.attachments,
    )


def _networks_of(service: Service | None) -> list[str]:
    if service is None:
        return []
    virtual_ips = service.endpoint.virtual_ips if service.endpoint else ()
    targets = [config.target for config in networks_of(service.spec)]
    return [*targets, *(vip.network_id for vip in virtual_ips)]


def _seen(service: Service | None, network: Network | None) -> NetworkService | None:
    return parts.on_network(service, network) if service and network else None
