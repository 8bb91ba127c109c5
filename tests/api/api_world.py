"""All of the daemon's ports in memory: the real state and the real decisions, nothing else real."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import os
import re
import time

import msgspec
from aiohttp import web
from api_engine import FakeEngine
from api_host import NODE1, NODE2, FakeHost
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from skep.api.facts import Facts
from skep.api.ports import Event, Membership, Ports
from skep.api.server import make_app, make_runner
from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.reconcile import reconcile
from skep.cluster.state import Draft, State
from skep.model.cluster import Cluster, Node, NodeDescription, TaskState, TaskStatus, Tokens
from skep.model.errors import Unavailable
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


class FakeCluster:
    """A manager whose agents do at once what they are told."""

    def __init__(self):
        self._state = State()
        self._membership = Membership()
        self._ids = itertools.count(1)
        self.requests = []

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
        draft = Draft(self._state)
        answer = decide(draft, self._context())
        reconcile(draft, self._context())
        self._agents(draft)
        self._state.apply(draft.changes(), self._state.revision + 1)
        return answer

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

    async def add_worker(self):
        await self.change(
            lambda draft, context: control.add_node(
                draft, context, make_node(NODE2, "node2", "worker")
            )
        )

    def _context(self):
        return Context(time.time(), lambda: f"{next(self._ids):025d}"[::-1])

    def _agents(self, draft):
        for task in list(draft.tasks.values()):
            if not task.node_id or not task.service_id:
                continue
            wanted = min(task.desired_state, TaskState.SHUTDOWN)
            if task.status.state < TaskState.RUNNING or wanted > TaskState.RUNNING:
                status = TaskStatus(
                    state=wanted, timestamp=time.time(), container_id="c0" * 32, pid=7
                )
                control.update_status(draft, self._context(), task.node_id, {task.id: status})
        reconcile(draft, self._context())


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


class FakeEvents:
    """``kept`` events first, then those put into ``coming``."""

    def __init__(self):
        self.kept, self.coming, self.listening = [], asyncio.Queue(), 0

    async def subscribe(self, since):
        self.listening += 1
        try:
            for event in self.kept:
                if since is not None and event.time >= since:
                    yield event
            while True:
                yield await self.coming.get()
        finally:
            self.listening -= 1


def happened(action, *, kind="container", id="c" * 64, at=None, **attributes):
    return Event(kind=kind, action=action, id=id, attributes=attributes, time=at or time.time())


class World:
    """A daemon on a unix socket."""

    def __init__(self, socket):
        self.socket = str(socket)
        self.engine = FakeEngine()
        self.cluster, self.host, self.events = FakeCluster(), FakeHost(self.engine), FakeEvents()
        self.ports = Ports(
            cluster=self.cluster, host=self.host, engine=self.engine, events=self.events
        )
        self.facts = Facts(id="id", hostname="node1", version="0.1.0", python="3.11")
        self.environment = {"DOCKER_CLI_HINTS": "false", "PATH": os.environ["PATH"],
                            "DOCKER_CONFIG": os.path.dirname(self.socket)}  # fmt: skip

    @contextlib.asynccontextmanager
    async def serve(self):
        self.runner = runner = make_runner(make_app(self.ports, facts=self.facts))
        await runner.setup()
        await web.UnixSite(runner, self.socket).start()
        try:
            yield self
        finally:
            for task in list(self.engine.tasks):
                task.cancel()
            await runner.cleanup()

    async def swarm(self):
        await self.cluster.init(None)
        self.host.enter_swarm(self.cluster.state())
        return self

    async def docker(self, *arguments, stdin=b"", code=0):
        """Run the docker CLI; its standard output. Fails unless it exits with ``code``."""
        out, err, found = await self.try_docker(*arguments, stdin=stdin)
        assert found == code, (arguments, out, err)
        return out if code == 0 else err

    async def try_docker(self, *arguments, stdin=b""):
        process = await asyncio.create_subprocess_exec(
            "docker", "-H", f"unix://{self.socket}", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self.environment,
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                out, err = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return out.decode(), err.decode(), process.returncode


async def until(condition, seconds=5.0):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.005)


def words(text):
    return [re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines()]
