"""A manager without clock, disk and sockets: the same pure decisions in the same order as
`skep.manager`, over a store in memory that can fail."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from skep.cluster import control
from skep.cluster.bulletin import Bulletin
from skep.cluster.change import Change
from skep.cluster.codec import decode, encode, key, split
from skep.cluster.context import Context
from skep.cluster.delta import says_nothing
from skep.cluster.keeper import Keeper, changes_between
from skep.cluster.state import Draft, State
from skep.model.assignment import Assignment
from skep.model.errors import Broken, Missing, Refusal
from skep.model.ids import base36
from skep.model.messages import Assign, Attach, Attached, Detach, Hello, Resync, Status

LOST_AFTER = 5.0
SILENCE = 5.0


class Wire:
    """A session: messages in order both ways, until it is cut."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.up: deque[Any] = deque()
        self.down: deque[Any] = deque()
        self.sent: Assignment | None = None
        self.cut_at: float | None = None

    def cut(self, dice: random.Random, now: float) -> None:
        """What was under way is lost, but for what the manager may be busy with."""
        self.cut_at = now
        self.down.clear()
        while len(self.up) > dice.randint(0, 1):
            self.up.pop()


class SimStore:
    """The store: values and revisions, and now and then a fault."""

    def __init__(self) -> None:
        self.items: dict[str, tuple[bytes, int]] = {}
        self.revision = 0

    def commit(self, changes: tuple[Change, ...]) -> int:
        """All of the changes, each on condition of the version that was seen."""
        self.revision += 1
        for change in changes:
            name = key(change.kind, change.id)
            _, found = self.items.get(name, (b"", 0))
            assert found == change.expect, f"{name} is at {found}, not at {change.expect}"
            if change.record is None:
                del self.items[name]
            else:
                self.items[name] = (encode(change.record), self.revision)
        return self.revision

    def state(self) -> State:
        """All of it, read anew."""
        found = State()
        records = [decode(name, value, at) for name, (value, at) in self.items.items()]
        found.load(records, self.revision)
        assert all(split(name)[1] for name in self.items)
        return found


class SimManager:
    """One life of the manager, from start to crash."""

    def __init__(self, sim: Any, store: SimStore) -> None:
        self.sim = sim
        self.store = store
        self.keeper = Keeper()
        self.bulletin = Bulletin()
        self.links: dict[str, Wire] = {}
        self.late: list[Wire] = []
        self.silent: list[tuple[str, float]] = []
        self.unsure = False
        self._adopt()
        self.lost = dict.fromkeys(self.state.nodes, sim.now)

    @property
    def state(self) -> State:
        return self.keeper.state

    # --- as in manager.py

    def context(self) -> Context:
        return Context(self.sim.now, self.sim.new_id)

    def change(self, decide: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._be_sure()
        draft = Draft(self.state)
        result = decide(draft, self.context(), *args, **kwargs)
        self._commit(draft)
        return result

    @property
    def due(self) -> float | None:
        return 0.0 if self.unsure else self.keeper.due

    def settle(self) -> None:
        self._be_sure()
        draft, dues = self.keeper.settle(self.context())
        self.sim.checks.settling(draft, dues)
        try:
            self._commit(draft)
        except Broken:
            return
        self.keeper.settled(dues)

    def _be_sure(self) -> None:
        if self.unsure:
            self._adopt()
            self.unsure = False

    def _adopt(self) -> None:
        state = self.store.state()
        changes = changes_between(self.state, state)
        self._tell(changes)
        self.keeper.adopt(state)

    def _commit(self, draft: Draft) -> None:
        changes = draft.changes()
        if not changes:
            return
        fault = self.sim.dice.random() if self.sim.wild else 1.0
        if fault < 0.004:
            self.unsure = True
            raise Broken("the disk is full")
        revision = self.store.commit(changes)
        if fault < 0.008:
            # It was made, but nobody was told.
            self.unsure = True
            raise Broken("the disk did not answer")
        self._tell(changes)
        self.keeper.take(changes, revision)

    def _tell(self, changes: tuple[Change, ...]) -> None:
        self.sim.checks.committed(self.state, changes)
        self.bulletin.note(changes, self.state)

    # --- as in sessions.py

    def open(self, wire: Wire) -> None:
        """A host has connected; its first message comes as any other."""
        old = self.links.get(wire.node_id)
        if old is not None and old.up:
            self.late.append(old)
        self.links[wire.node_id] = wire

    def closed(self, wire: Wire) -> None:
        """A session was seen to end."""
        if wire.up:
            # Its end comes after what was heard of it.
            return
        if self.links.get(wire.node_id) is wire:
            del self.links[wire.node_id]
            self.lost[wire.node_id] = self.sim.now

    def heard(self) -> list[Wire]:
        """The sessions with something to read; of an old one, what the manager was busy with."""
        self.late = [wire for wire in self.late if wire.up]
        return [*self.late, *(wire for wire in self.links.values() if wire.up)]

    def take(self, wire: Wire, message: Any) -> None:
        """One message of a host."""
        node_id = wire.node_id
        try:
            match message:
                case Hello():
                    self._greet(wire, message)
                case Status(tasks=tasks):
                    self.change(control.update_status, node_id, tasks)
                case Detach(task_id=task_id):
                    self.change(control.detach, node_id=node_id, task_id=task_id)
                case Attach():
                    self._attach(wire, message)
                case Resync():
                    wire.sent = None
                    self.publish(wire)
        except Missing:
            pass
        except Broken:
            # A session does not outlive what its manager could not write down.
            self.sim.cut(wire)

    def _greet(self, wire: Wire, hello: Hello) -> None:
        self.change(
            control.update_node_status, wire.node_id, state="ready", message="",
            description=hello.description, address=hello.address, vtep=hello.vtep,
        )  # fmt: skip
        if self.links.get(wire.node_id) is wire:
            self.lost.pop(wire.node_id, None)
        self.publish(wire)

    def _attach(self, wire: Wire, request: Attach) -> None:
        try:
            task = self.change(
                control.attach,
                node_id=wire.node_id,
                container_id=request.container_id,
                container_name=request.container_name,
                networks=request.networks,
            )
        except Refusal as refusal:
            answer = Attached(serial=request.serial, refusal=str(refusal), status=refusal.status)
        else:
            self.publish(wire)
            answer = Attached(serial=request.serial, task_id=task.id, attachments=task.attachments)
        wire.down.append(answer)

    def stale(self) -> list[Wire]:
        """The sessions of hosts that may have to be told something."""
        found = []
        for node_id in self.bulletin.stale():
            if node_id in self.links:
                found.append(self.links[node_id])
            else:
                self.bulletin.forget(node_id)
        return found

    def publish(self, wire: Wire) -> None:
        """Tell a host its assignment, unless it was told that already."""
        if wire.node_id not in self.state.nodes or self.links.get(wire.node_id) is not wire:
            return
        wanted = self.bulletin.of(self.state, wire.node_id)
        if wanted is wire.sent:
            return
        delta = self.bulletin.difference(wire.sent, wanted)
        if not says_nothing(wire.sent, delta):
            wire.down.append(Assign(delta=delta))
            wire.sent = wanted

    def mourn(self) -> None:
        """Sessions that are silent for long are ended; hosts without one for a while are down."""
        for wire in list(self.links.values()):
            if wire.cut_at is not None and self.sim.now - wire.cut_at > SILENCE:
                self.closed(wire)
        for node_id, since in list(self.lost.items()):
            if self.sim.now - since >= LOST_AFTER:
                del self.lost[node_id]
                self.silent.append((node_id, since))

    def give_up(self) -> None:
        """Note that a host is down, some time after that was seen."""
        node_id, since = self.silent.pop(0)
        try:
            self.change(self._lost_now, node_id)
        except Missing:
            pass
        except Broken:
            self.lost.setdefault(node_id, since)

    def _lost_now(self, draft: Draft, context: Context, node_id: str) -> None:
        if node_id not in self.links:
            control.update_node_status(draft, context, node_id, state="down", message="silent")


def scrambled(number: int) -> str:
    """An id that does not sort by age."""
    return base36(number * 0x9E3779B97F4A7C15F39CC0605CEDC835, 25)
