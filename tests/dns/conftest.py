"""A name server of its own for each test, with namespaces that the test made."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from functools import partial

import dns.message
import dns.query
import dns.rrset
import pytest

from skep.dns.client import DnsClient
from skep.kernel import netns
from skep.model.errors import Unavailable
from skep.model.naming import RESOLVER, RESOLVER_PORT, NameTable, NetworkNames, SandboxNames

DEADLINE = 60.0


async def until(condition):
    """Wait until a condition (plain or awaitable) holds, and answer what it said."""
    end = time.monotonic() + DEADLINE
    while True:
        said = condition()
        if asyncio.iscoroutine(said):
            said = await said
        if said:
            return said
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.02)


class Rig:
    """Namespaces in a directory of the test's, and things that run in them."""

    def __init__(self, directory):
        self.netns = directory / "netns"
        self.control = directory / "run" / "dns.sock"
        self.log = directory / "log" / "dns.log"
        self.thread = netns.NamespaceThread()
        self._cleanup = contextlib.ExitStack()
        self._cleanup.callback(self.thread.close)

    def close(self):
        self._cleanup.close()

    def path(self, name):
        return str(self.netns / name)

    def namespace(self, name, *commands):
        path = self.path(name)
        self.thread.call(None, partial(netns.create, path))
        self._cleanup.callback(netns.remove, path)
        for command in ("link set lo up", *commands):
            self.run(name, "ip", *command.split())

    def namespace_gone(self, name):
        netns.remove(self.path(name))

    def listens(self, name):
        """Whether both sockets are open inside."""
        output = self.run(name, "ss", "-Hltun", "src", f"{RESOLVER}:{RESOLVER_PORT}").stdout
        return len(output.splitlines()) == 2

    def run(self, name, *command, **more):
        return subprocess.run(
            ["nsenter", f"--net={self.path(name)}", *command],
            check=True, capture_output=True, text=True, timeout=60, **more,
        )  # fmt: skip

    def server(self, name=None):
        command = [sys.executable, "-m", "skep.dns.server"]
        command += ["--control", str(self.control), "--netns-dir", str(self.netns)]
        if name:
            command = ["nsenter", f"--net={self.path(name)}", *command]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._cleanup.callback(end, process)
        return process

    async def client(self):
        client = DnsClient(self.control)
        await until(partial(connects, client))
        return client

    def upstream(self, name, address, reply, after=lambda: None):
        """A name server in a namespace that answers by ``reply(message) -> message | None``, and
        calls ``after`` when it has."""
        sockets = self.thread.call(self.path(name), partial(bind, address))
        server = Upstream(sockets, reply, after)
        self._cleanup.callback(server.close)
        return server

    async def ask(self, name, question, kind="A", **more):
        return await asyncio.to_thread(
            self.thread.call, self.path(name), partial(ask, question, kind, **more)
        )

    async def addresses(self, name, question, **more):
        return found(await self.ask(name, question, **more))

    async def connect(self, name):
        """A TCP connection to the name server, to misbehave on."""

        def work():
            return socket.create_connection((RESOLVER, RESOLVER_PORT), timeout=DEADLINE)

        sock = await self.thread.run(self.path(name), work)
        self._cleanup.callback(sock.close)
        return sock


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


async def connects(client):
    try:
        await client.connect()
    except Unavailable:
        return False
    return True


def bind(address):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 53))
    tcp = socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind((address, 53))
    tcp.listen()
    return udp, tcp


class Upstream:
    def __init__(self, sockets, reply, after):
        self.after = after
        self.udp, self.tcp = sockets
        self.reply = reply
        self.asked = []
        self.ports = set()
        self._threads = [threading.Thread(target=t) for t in (self._datagrams, self._streams)]
        for thread in self._threads:
            thread.start()

    def close(self):
        for sock in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    def _answer(self, data):
        message = dns.message.from_wire(data)
        self.asked.append(message)
        reply = self.reply(message)
        return reply if isinstance(reply, bytes | None) else reply.to_wire()

    def _datagrams(self):
        while True:
            data, asker = self.udp.recvfrom(4096)
            if not data:
                return
            self.ports.add(asker[1])
            reply = self._answer(data)
            if reply:
                self.udp.sendto(reply, asker)
            self.after()

    def _streams(self):
        while True:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            with client:
                client.settimeout(DEADLINE)
                length = int.from_bytes(client.recv(2), "big")
                reply = self._answer(client.recv(length))
                if reply:
                    client.sendall(len(reply).to_bytes(2, "big") + reply)


def says(address, ttl=30, rcode=0):
    """An upstream's way to reply: the same address to everything."""

    def reply(message):
        answer = dns.message.make_response(message)
        answer.set_rcode(rcode)
        if address:
            name = message.question[0].name
            answer.answer = [dns.rrset.from_text(name, ttl, "IN", "A", address)]
        return answer

    return reply


def ask(question, kind, tcp=False, port=RESOLVER_PORT, timeout=DEADLINE, **more):
    message = dns.message.make_query(question, kind, **more)
    way = dns.query.tcp if tcp else dns.query.udp
    return way(message, RESOLVER, port=port, timeout=timeout)


def found(message):
    return sorted(r.address for rrset in message.answer for r in rrset if rrset.rdtype == 1)


def table(*sandboxes, **addresses):
    """A table of one network whose names are given, seen by these sandboxes."""
    network = NetworkNames(
        id="N",
        name="net",
        addresses={name: tuple(where.split()) for name, where in addresses.items()},
        pointers={"10.0.1.2": "web.net"},
    )
    return NameTable(networks={"N": network}, sandboxes={box.namespace: box for box in sandboxes})


def box(name, *upstreams, forward=True):
    return SandboxNames(namespace=name, networks=("N",), upstreams=upstreams, forward=forward)


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path)
    yield made
    made.close()
