"""Choosing a node for each task: filters that say in words why a node will not do, then the one
with the fewest tasks of the service, the fewest tasks, the lowest id.

Placement preferences come first: of the values of a label, the one with the fewest tasks of the
service. A node on which the service's tasks keep failing comes after those on which they do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace
from typing import Any

from msgspec.structs import replace

from skep.cluster import constraints
from skep.cluster.context import Context
from skep.cluster.dirty import Attention
from skep.cluster.filters import LASTING, PASSING, checks, claimed, on_bridges, on_links, refusal
from skep.cluster.index import UNPLACED_TASKS
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import Node, Task, TaskState

FAILURES = 3
FAILURES_WITHIN = 300.0
"""So many failed tasks of one spec within so many seconds make a node the last choice."""

Need = tuple[object, ...]
"""Tasks with the same need are the same to the scheduler."""

Rank = tuple[Any, ...]


class Spread:
    """How many tasks of one service are under each value of its placement preferences."""

    def __init__(self, view: View, task: Task) -> None:
        preferences = task.spec.placement.preferences if task.spec.placement else ()
        self._keys = [p.spread.spread_descriptor for p in preferences if p.spread]
        self._service_id = task.service_id
        self._tasks: Counter[tuple[str, ...]] = Counter()
        if self._keys:
            for node in view.nodes.values():
                self.add(node, view.load_of(node.id).services[task.service_id])

    @property
    def matters(self) -> bool:
        """Whether there are preferences at all."""
        return bool(self._keys)

    def _path(self, node: Node) -> tuple[str, ...]:
        # What a node does not say counts as one value more.
        return tuple(constraints.attribute(key, node) or "" for key in self._keys)

    def add(self, node: Node, tasks: int = 1) -> None:
        """So many tasks more are on this node."""
        path = self._path(node)
        for length in range(1, len(path) + 1):
            self._tasks[path[:length]] += tasks

    def rank(self, node: Node) -> Rank:
        """Sorts nodes by the first preference, then the next."""
        if not self._keys:
            return ()
        path = self._path(node)
        prefixes = [path[:length] for length in range(1, len(path) + 1)]
        return tuple(part for prefix in prefixes for part in (self._tasks[prefix], prefix[-1]))


class Candidates:
    """The nodes that would do for one need, best first, and kept so while a batch is placed.

    Nodes are looked at in the order of their loads, and only until no other can be better. In a
    batch loads only grow: a node that was refused stays so, and ranks only get worse.
    """

    def __init__(self, draft: Draft, now: float, task: Task, spread: Spread) -> None:
        self._draft = draft
        self._task = task
        self._spread = spread
        self._lasting = checks(LASTING, task)
        self._passing = checks((*PASSING, on_bridges(draft), on_links(draft)), task)
        self._failures = _failures(draft, now, task)
        self._heap: list[tuple[Rank, str]] = []
        self._unseen = draft.nodes_by_load()
        self._next = next(self._unseen, None)
        if spread.matters:
            # What a label's value counts says nothing of a single node's load.
            while self._next is not None:
                self._look()

    def _rank(self, node: Node) -> Rank:
        load = self._draft.load_of(node.id)
        return (
            *self._spread.rank(node),
            self._failures[node.id] >= FAILURES,
            load.services[self._task.service_id],
            load.tasks,
        )

    def _look(self) -> None:
        """Look at the next node: it is a candidate, or refused for good."""
        assert self._next is not None
        node = self._draft.nodes[self._next[1]]
        if not refusal(self._lasting, node, self._draft.load_of(node.id)):
            heappush(self._heap, (self._rank(node), node.id))
        self._next = next(self._unseen, None)

    def _may_be_better(self, top: tuple[Rank, str]) -> bool:
        """Whether a node that was not looked at might be better than the best that was."""
        return self._next is not None and ((False, 0, self._next[0]), self._next[1]) < top

    def best(self) -> Node | None:
        """The best of those that will do now."""
        while self._heap or self._next is not None:
            if not self._heap or self._may_be_better(self._heap[0]):
                self._look()
                continue
            rank, node_id = self._heap[0]
            node = self._draft.nodes[node_id]
            if refusal(self._passing, node, self._draft.load_of(node_id)):
                heappop(self._heap)
            elif (now := self._rank(node)) != rank:
                heapreplace(self._heap, (now, node_id))
            else:
                return node
        return None

    def explain(self, nodes: Iterable[Node]) -> str:
        """Why none of the nodes will do."""
        every = (*self._lasting, *self._passing)
        load_of = self._draft.load_of
        reasons = Counter(refusal(every, node, load_of(node.id)) for node in nodes)
        parts = [
            f"{count} {'node' if count == 1 else 'nodes'}: {words}"
            for words, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ]
        return f"no suitable node ({'; '.join(parts) or 'there are no nodes'})"

    def will_do(self, node: Node) -> bool:
        """Whether one node will do."""
        return not refusal((*self._lasting, *self._passing), node, self._draft.load_of(node.id))


def _failures(view: View, now: float, task: Task) -> Counter[str]:
    """How often tasks of this service and version failed lately, by node."""
    failed = [view.tasks[id] for id in view.ids(("tasks", "failed", task.service_id))]
    return Counter(
        each.node_id
        for each in failed
        if each.spec_version == task.spec_version and each.updated_at > now - FAILURES_WITHIN
    )


class Batch:
    """The placing of some tasks in one draft."""

    def __init__(self, draft: Draft, context: Context) -> None:
        self._draft = draft
        self._context = context
        self._candidates: dict[Need, Candidates] = {}
        self._spreads: dict[Need, Spread] = {}

    def place(self, tasks: Iterable[Task]) -> None:
        """Assign them to nodes, the oldest first, or note in their status why none will do."""
        left = []
        for task in sorted(tasks, key=lambda t: (t.created_at, t.service_name, t.slot, t.id)):
            candidates = self._for(task)
            # A task may come with its node, as those of global services do.
            node = self._draft.nodes.get(task.node_id) if task.node_id else candidates.best()
            if node is None or (task.node_id and not candidates.will_do(node)):
                left.append(task)
            else:
                self._assign(task, node)
        # Only now it is known what all the others took.
        sentences: dict[tuple[Need, str], str] = {}
        for task in left:
            key = (_need(task), task.node_id)
            if key not in sentences:
                sentences[key] = self._for(task).explain(self._asked(task))
            self._excuse(task, sentences[key])

    def _asked(self, task: Task) -> Iterable[Node]:
        if not task.node_id:
            return self._draft.nodes.values()
        node = self._draft.nodes.get(task.node_id)
        return [node] if node else []

    def _for(self, task: Task) -> Candidates:
        need = _need(task)
        found = self._candidates.get(need)
        if found is None:
            spread = self._spreads.get(need[:2])
            if spread is None:
                spread = self._spreads[need[:2]] = Spread(self._draft, task)
            found = Candidates(self._draft, self._context.now, task, spread)
            self._candidates[need] = found
        return found

    def _assign(self, task: Task, node: Node) -> None:
        status = replace(
            task.status,
            state=TaskState.ASSIGNED,
            timestamp=self._context.now,
            message="scheduler assigned task to node",
            error="",
        )
        self._draft.put(
            replace(
                task,
                node_id=node.id,
                status=status,
                updated_at=self._context.now,
                generic_resources=claimed(task, node, self._draft.load_of(node.id)),
            )
        )
        for (service_id, *_), spread in self._spreads.items():
            if service_id == task.service_id:
                spread.add(node)

    def _excuse(self, task: Task, error: str) -> None:
        if task.status.error != error:
            status = replace(task.status, error=error, timestamp=self._context.now)
            self._draft.put(replace(task, status=status, updated_at=self._context.now))


def _need(task: Task) -> Need:
    """The service and its version say all, but for ports that were given since."""
    return task.service_id, task.spec_version, task.host_ports


def schedule(draft: Draft, context: Context, attention: Attention) -> None:
    """Place the tasks that wait for a node and may find one now."""
    waiting = [
        task
        for task in map(draft.tasks.__getitem__, list(draft.ids(UNPLACED_TASKS)))
        if attention.room or task.id in attention.tasks or task.service_id in attention.services
    ]
    if waiting:
        Batch(draft, context).place(waiting)
