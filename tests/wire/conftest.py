"""A cluster's keys, made once; a manager's endpoint, made for each test."""

import asyncio
import ctypes
import socket
import struct
import time
from collections.abc import Callable

import pytest

from skep.model.cluster import NodeDescription, Tokens
from skep.model.errors import Forbidden
from skep.model.messages import Hello
from skep.wire.authority import Authority, Subject, make_key_and_csr
from skep.wire.calls import Admission, Candidate
from skep.wire.server import Endpoint
from skep.wire.tls import Credentials
from skep.wire.tokens import format_token, role_of

MANAGER = Subject(node_id="m" * 25, role="manager", cluster_id="c" * 25)
WORKER = Subject(node_id="w" * 25, role="worker", cluster_id="c" * 25)
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
TOKENS = Tokens(worker="1" * 25, manager="2" * 25)


class Cluster:
    """A CA and ways to get certificates of it."""

    def __init__(self) -> None:
        self.authority = Authority.create(time.time())
        self.ca = self.authority.certificate_pem
        self.manager = self.credentials(MANAGER)
        self.worker = self.credentials(WORKER)

    def credentials(self, subject: Subject, *, days: int = 90, now: float = 0.0) -> Credentials:
        key, csr = make_key_and_csr()
        certificate = self.authority.sign(csr, subject, days=days, now=now or time.time())
        return Credentials(certificate=certificate, key=key, ca=self.ca)

    def token(self, role: str = "worker") -> str:
        return format_token(self.ca, getattr(TOKENS, role))


@pytest.fixture(scope="package")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture(scope="package")
def foreign() -> Cluster:
    """Another cluster, that even has the same id."""
    return Cluster()


@pytest.fixture
def candidate() -> Candidate:
    return Candidate(description=NodeDescription(hostname="host2"), vtep="10.0.0.2")


@pytest.fixture
def hello() -> Hello:
    return Hello(description=NodeDescription(hostname="host2"), address="10.0.0.2", vtep="10.0.0.2")


class Manager:
    """Hooks that admit by token, and keep what they saw."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.calls = []
        self.sessions = asyncio.Queue()
        self.ended = asyncio.Queue()
        self.removed = set()
        self.refusal = None

    async def join(self, call, address):
        self.calls.append((call, address))
        if self.refusal is not None:
            raise self.refusal
        role = role_of(call.secret, TOKENS)
        if role is None:
            raise Forbidden("A valid join token is necessary to join this cluster")
        subject = Subject(node_id="n" * 25, role=role, cluster_id=MANAGER.cluster_id)
        return self.admission(subject, call.csr, address)

    async def renew(self, subject, csr):
        return self.admission(subject, csr, "")

    def admission(self, subject, csr, address):
        certificate = self.cluster.authority.sign(csr, subject, days=90, now=time.time())
        return Admission(certificate, {MANAGER.node_id: "10.0.0.1:2377"}, address)

    async def session(self, session):
        if self.refusal is not None:
            raise self.refusal
        self.sessions.put_nowait((session, received := []))
        async for message in session:
            received.append(message)
        self.ended.put_nowait(session.reason)

    def revoked(self, node_id):
        return node_id in self.removed


@pytest.fixture
def manager(cluster):
    return Manager(cluster)


@pytest.fixture
async def endpoint(cluster, manager):
    opened = Endpoint(cluster.manager, manager)
    await opened.start("127.0.0.1", 0)
    yield opened
    await opened.close()


@pytest.fixture
def remote(endpoint) -> str:
    return f"127.0.0.1:{endpoint.port}"


@pytest.fixture
def unplug() -> Callable:
    """From here on nothing reaches a socket, and its kernel confirms nothing."""

    def drop_all(connection) -> None:
        # linux/filter.h: a program of one instruction, "keep 0 bytes of the packet".
        instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        program = struct.pack("HL", 1, ctypes.addressof(instruction))
        connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    return drop_all


@pytest.fixture
def until() -> Callable:
    async def wait(condition) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)

    return wait
