"""A manager in memory: the real state and the real decisions, with agents that obey at once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import time

import msgspec
from api_host import NODE1, NODE2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from skep.api.ports import Event, LogPiece, Membership
from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.reconcile import reconcile
from skep.cluster.state import Draft, State
from skep.happenings import of_changes
from skep.model.cluster import Cluster, Node, NodeDescription, TaskState, TaskStatus, Tokens
from skep.model.errors import Unavailable
from skep.model.readings import Versions
from skep.model.spec import NodeSpec

INACTIVE = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager."
)
TOKENS = Tokens(worker=f"SWMTKN-1-{'d' * 50}-{'w' * 25}", manager=f"SWMTKN-1-{'d' * 50}-{'m' * 25}")


def make_ca():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "swarm-ca")])
    now = datetime.datetime(2024, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=9000))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


CA = make_ca()


class FakeEvents:
    """``kept`` events first, then those that are told while somebody listens."""

    def __init__(self):
        self.kept, self._queues, self.told = [], [], []

    @property
    def listening(self):
        """How many clients listen; the daemon itself does, too."""
        return len(self._queues) - 1

    def tell(self, event):
        self.told.append(event)
        for queue in self._queues:
            queue.put_nowait(event)

    async def subscribe(self, since):
        self._queues.append(queue := asyncio.Queue())
        try:
            for event in self.kept:
                if since is not None and event.time >= since:
                    yield event
            while True:
                yield await queue.get()
        finally:
            self._queues.remove(queue)


def happened(action, *, kind="container", id="c" * 64, at=None, **attributes):
    return Event(kind=kind, action=action, id=id, attributes=attributes, time=at or time.time())


class FakeLogs:
    """Scripted logs of tasks. What is said while nobody reads is the log's past."""

    def __init__(self):
        self.pieces, self.asked, self.open, self._news = {}, [], 0, asyncio.Condition()

    async def say(self, task_id, data=b"", **details):
        end = bool(details.pop("end", "refusal" in details))
        piece = LogPiece(serial=1, data=data, end=end, **details)
        self.pieces.setdefault(task_id, []).append(piece)
        async with self._news:
            self._news.notify_all()

    async def read(self, task_id, options):
        self.asked.append((task_id, dict(options)))
        self.open += 1
        try:
            pieces = self.pieces.setdefault(task_id, [])
            while True:
                while pieces:
                    piece = pieces.pop(0)
                    yield piece
                    if piece.end:
                        return
                if "follow" not in options:
                    yield LogPiece(serial=1, end=True)
                    return
                async with self._news:
                    await self._news.wait()
        finally:
            self.open -= 1


class FakeCluster:
    """A manager whose agents do at once what they are told.

    A task whose command is ``fail`` fails, one that is to ``wait`` starts but does not run yet, one
    that is to ``linger`` does not end.
    """

    def __init__(self, events):
        self._state = State()
        self._membership = Membership()
        self._ids = itertools.count(1)
        self._events = events
        self._changed = asyncio.Event()
        self.requests, self.log = [], FakeLogs()

    async def run(self):
        """Let time pass: updates and restarts wait for it."""
        due = None
        while True:
            with contextlib.suppress(TimeoutError):
                timeout = None if due is None else max(0.001, due - time.time())
                await asyncio.wait_for(self._changed.wait(), timeout)
            self._changed.clear()
            due = self._decide(lambda draft, context: None)[1] if self._state.cluster else None

    def versions(self):
        return {node.id: Versions(told=7, applied=6) for node in self._state.nodes.values()}

    def membership(self):
        if not self._membership.manager:
            return self._membership
        return msgspec.structs.replace(self._membership, cluster=self._state.cluster)

    def state(self):
        if not self._membership.manager:
            raise Unavailable(WORKER if self._membership.state == "active" else INACTIVE)
        return self._state

    async def change(self, decide):
        self.state()
        answer = self._decide(decide)[0]
        self._changed.set()
        return answer

    def _decide(self, decide):
        draft = Draft(self._state)
        answer = decide(draft, self._context())
        due = reconcile(draft, self._context())
        for _ in range(20):
            if not self._agents(draft):
                break
            due = reconcile(draft, self._context())
        changes = draft.changes()
        if changes:
            for event in of_changes(changes, self._state, time.time()):
                self._events.tell(event)
            self._state.apply(changes, self._state.revision + 1)
        return answer, due

    def logs(self, task_id, options):
        return self.log.read(self.state().find_task(task_id).id, options)

    async def init(self, request):
        self.requests.append(request)
        cluster = Cluster(
            id="cluster".ljust(25, "0"), ca_certificate=CA, ca_key="", tokens=Tokens("w", "m")
        )
        self._membership = Membership(
            state="active",
            node_id=NODE1,
            address="192.168.90.11",
            manager=True,
            managers={NODE1: "192.168.90.11:2377"},
            join_tokens=TOKENS,
        )
        await self.change(
            lambda draft, context: control.init_cluster(
                draft, context, cluster=cluster, node=make_node(NODE1, "node1", "manager")
            )
        )
        return NODE1

    async def join(self, request):
        self.requests.append(request)
        self._membership = Membership(
            state="active", node_id=NODE2, managers={NODE1: request.remotes[0]}
        )

    async def leave(self, force):
        self.requests.append(force)
        self._membership, self._state = Membership(), State()

    # --- what tests do to it

    async def add_worker(self):
        await self.change(
            lambda draft, context: control.add_node(
                draft, context, make_node(NODE2, "node2", "worker")
            )
        )

    async def lose(self, node_id):
        """A host is gone."""
        await self.change(
            lambda draft, context: control.update_node_status(
                draft, context, node_id, state="down", message="no session with this host"
            )
        )

    async def report(self, task_id, **status):
        """What a task's agent says of it."""
        node_id = self._state.tasks[task_id].node_id
        told = TaskStatus(timestamp=time.time(), **status)
        await self.change(
            lambda draft, context: control.update_status(draft, context, node_id, {task_id: told})
        )

    def running(self, service):
        """The tasks of a service that run."""
        service_id = self._state.find_service(service).id
        found = self._state.tasks_of_service(service_id)
        return [task for task in found if task.wanted and task.status.state == TaskState.RUNNING]

    # --- its agents

    def _context(self):
        return Context(time.time(), lambda: f"{next(self._ids):025d}"[::-1])

    def _agents(self, draft):
        """Whether any agent had something to do."""
        before = draft.edits
        for task in list(draft.tasks.values()):
            if task.status.state < TaskState.ASSIGNED or not task.service_id:
                continue
            node = draft.nodes.get(task.node_id)
            if node is not None and node.state == "ready":
                self._obey(draft, task)
        return draft.edits != before

    def _obey(self, draft, task):
        spec = task.spec.container_spec
        state = min(task.desired_state, TaskState.SHUTDOWN)
        if spec.args[:1] == ("linger",) and state > TaskState.RUNNING:
            return
        details = {"message": "started", "container_id": f"c{task.id}", "pid": 7}
        if state < TaskState.SHUTDOWN and spec.args[:1] == ("fail",):
            state, details["error"] = TaskState.FAILED, "task: non-zero exit (1)"
        elif state < TaskState.SHUTDOWN and spec.args[:1] == ("wait",):
            state = TaskState.STARTING
        if task.status.state < state and task.status.state <= TaskState.RUNNING:
            status = TaskStatus(state=state, timestamp=time.time(), **details)
            control.update_status(draft, self._context(), task.node_id, {task.id: status})


def make_node(id, hostname, role):
    number = hostname[-1]
    return Node(
        id=id,
        spec=NodeSpec(role=role),
        description=NodeDescription(
            hostname=hostname, nano_cpus=2_000_000_000, memory_bytes=1 << 30, engine_version="0.1.0"
        ),
        address=f"192.168.90.1{number}",
        vtep=f"192.168.90.1{number}",
        manager_address=f"192.168.90.1{number}:2377" if role == "manager" else "",
        state="ready",
    )
