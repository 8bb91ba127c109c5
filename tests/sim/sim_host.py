"""A host without kernel and containers: what its agent was told, what it remembers over a restart,
and what really runs there."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace
from sim_manager import Wire

from skep.cluster.delta import patch
from skep.cluster.loads import reservation_of
from skep.model.assignment import Assignment
from skep.model.cluster import Attachment, NodeDescription, Task, TaskState, TaskStatus
from skep.model.messages import Assign, Attach, Attached, Detach, Hello, Resync, Status

ANSWER_WITHIN = 10.0
CREATED, RUNNING, GOOD, BAD = "created", "running", "exited 0", "exited 1"


class Box:
    """A container, a task's or one that a user started by hand."""

    def __init__(
        self,
        attachments: tuple[Attachment, ...],
        state: str = CREATED,
        task: Task | None = None,
    ) -> None:
        self.attachments = attachments
        self.state = state
        self.ports = task.host_ports if task else ()
        self.memory = reservation_of(task).memory_bytes if task else 0


class SimHost:
    """One host. What survives a restart of its agent: ``disk``, ``finals``, ``boxes``, ``hand``."""

    def __init__(self, sim: Any, node_id: str, description: NodeDescription) -> None:
        self.sim = sim
        self.node_id = node_id
        self.description = description
        self.boxes: dict[str, Box] = {}
        self.hand: dict[str, Box] = {}
        self.disk = Assignment()
        self.finals: dict[str, TaskStatus] = {}
        self.wire: Wire | None = None
        self.retry_at = 0.0
        self.serial = 0
        self._boot()

    def _boot(self) -> None:
        self.assignment = self.disk
        self.statuses: dict[str, TaskStatus] = dict(self.finals)
        self.waiting: dict[int, float] = {}
        self.owed: list[str] = []
        self.orphans: dict[str, float] = {}

    def restart(self) -> None:
        """The agent is killed and started again."""
        if self.wire is not None:
            self.sim.cut(self.wire)
        self._boot()

    # --- the session

    def connect(self) -> None:
        """A new session, with what the last one may have lost."""
        self.wire = Wire(self.node_id)
        address = f"192.0.2.{self.serial % 200}"
        hello = Hello(
            description=self.description, address=address, vtep=address, index=self.assignment.index
        )
        owed, self.owed = self.owed, []
        self.wire.up.append(hello)
        if self.statuses:
            self.wire.up.append(Status(tasks=dict(self.statuses)))
        self.wire.up.extend(Detach(task_id=task_id) for task_id in owed)
        self.sim.manager.open(self.wire)

    def take(self, message: Any) -> None:
        """One message of the manager."""
        match message:
            case Assign(delta=delta):
                known = self.assignment if delta.base else None
                if known is not None and known.index != delta.base:
                    self._say(Resync())
                elif known is None or delta.index >= known.index:
                    self._adopt(patch(known, delta))
            case Attached(serial=serial) if serial in self.waiting:
                del self.waiting[serial]
                if not message.refusal:
                    self._attached(message)

    def _adopt(self, assignment: Assignment) -> None:
        self.sim.checks.adopting(self, assignment)
        self.assignment = assignment
        # Secrets are for memory alone.
        self.disk = replace(assignment, secrets={}, configs={})
        self.finals = {id: said for id, said in self.finals.items() if id in assignment.tasks}

    def _attached(self, answer: Attached) -> None:
        self.sim.checks.attached(self, answer)
        self.hand[answer.task_id] = Box(answer.attachments, RUNNING)

    def _say(self, message: Any) -> bool:
        if self.wire is None:
            return False
        self.wire.up.append(message)
        return True

    # --- containers started by hand

    def attach(self, network: str) -> None:
        """A user runs a container on a network of the swarm."""
        self.serial += 1
        request = Attach(
            serial=self.serial, container_id=f"{self.serial:064x}",
            container_name=f"box{self.serial}", networks={network: ""},
        )  # fmt: skip
        if self._say(request):
            self.waiting[self.serial] = self.sim.now

    def detach(self, task_id: str) -> None:
        """A user removes it."""
        del self.hand[task_id]
        self._give_back(task_id)

    def _give_back(self, task_id: str) -> None:
        if not self._say(Detach(task_id=task_id)):
            self.owed.append(task_id)

    def beat(self) -> None:
        """Give up waiting for answers; give back attachments that no container holds."""
        now = self.sim.now
        self.waiting = {s: at for s, at in self.waiting.items() if now - at < ANSWER_WITHIN}
        mine = [task for task in self.assignment.tasks.values() if task.container_name]
        self.orphans = {
            task.id: self.orphans.get(task.id, now) for task in mine if task.id not in self.hand
        }
        for task_id, since in self.orphans.items():
            if now - since > ANSWER_WITHIN:
                self._give_back(task_id)

    # --- tasks

    def live(self, dice: random.Random, failures: float) -> None:
        """Every task makes a step, or not, or a false one; what comes of it is reported."""
        news: dict[str, TaskStatus] = {}
        tasks = self.assignment.tasks
        for task_id in [id for id in self.boxes if id not in tasks]:
            del self.boxes[task_id]
        for task in tasks.values():
            if task.service_id and dice.random() < 0.8:
                state = self._step(task, dice, failures)
                if state is not None:
                    self._note(task, state, news)
        if news:
            self.statuses = {id: s for id, s in self.statuses.items() if id in tasks}
            self._say(Status(tasks=news))

    def _note(self, task: Task, state: TaskState, news: dict[str, TaskStatus]) -> None:
        known = self.statuses.get(task.id, task.status)
        status = TaskStatus(state=state, timestamp=self.sim.now, container_id=f"{task.id}f00d")
        if replace(status, timestamp=known.timestamp) == known:
            self.statuses[task.id] = known
            return
        self.statuses[task.id] = news[task.id] = status
        if state > TaskState.RUNNING:
            self.finals[task.id] = status

    def _final(self, task: Task) -> bool:
        said = self.statuses.get(task.id)
        return said is not None and said.state > TaskState.RUNNING

    def _step(self, task: Task, dice: random.Random, failures: float) -> TaskState | None:
        box = self.boxes.get(task.id)
        if not task.wanted:
            if box is not None:
                del self.boxes[task.id]
                return None if self._final(task) else TaskState.SHUTDOWN
            return TaskState.SHUTDOWN if task.status.state < TaskState.COMPLETE else None
        if task.status.state > TaskState.RUNNING or self._final(task):
            return None
        if box is None:
            if dice.random() < failures:
                return dice.choice((TaskState.REJECTED, TaskState.FAILED))
            self.boxes[task.id] = Box(task.attachments, CREATED, task)
            return TaskState.PREPARING
        if box.state == CREATED:
            box.state = RUNNING
        elif box.state == RUNNING:
            ends = failures
            if task.desired_state == TaskState.COMPLETE:
                ends = 0.3 if failures else 1.0
            if dice.random() < ends:
                box.state = BAD if dice.random() < 0.5 and failures else GOOD
        if box.state == RUNNING:
            return TaskState.RUNNING
        return TaskState.COMPLETE if box.state == GOOD else TaskState.FAILED

    def ports(self) -> list[int]:
        """The ports of this host that containers here publish."""
        boxes = [box for box in self.boxes.values() if box.state in (CREATED, RUNNING)]
        return [p.published_port for box in boxes for p in box.ports if p.published_port]

    def memory(self) -> int:
        """What containers here were promised."""
        boxes = [box for box in self.boxes.values() if box.state in (CREATED, RUNNING)]
        return sum(box.memory for box in boxes)

    def held(self) -> list[tuple[str, str]]:
        """The addresses that containers here really use: network and address."""
        boxes = [box for box in self.boxes.values() if box.state in (CREATED, RUNNING)]
        return [
            (attachment.network_id, attachment.address)
            for box in (*boxes, *self.hand.values())
            for attachment in box.attachments
        ]
