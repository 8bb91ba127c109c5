from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from fresh_host import do

from skep.kernel import netns, sockets
from skep.model.netstate import HOST
from skep.model.ops import AddNamespace

pytestmark = pytest.mark.root

OWN, OTHER = "10.9.9.1", "10.9.9.2"


@pytest.fixture
async def inside(host, kernel):
    """Opens sockets in the namespace ``a``, which has one address of ours and one of others."""
    await do(kernel, AddNamespace(ns="a"))
    for address in (OWN, OTHER):
        host.run("a", f"ip addr add {address}/32 dev lo")
    opened = []

    def make(*, serve="", ask="", source="", port=80, family=socket.AF_INET):
        with netns.inside(host.path("a")):
            made = socket.socket(family)
            opened.append(made)
            if serve:
                made.bind((serve, port))
                made.listen()
            else:
                if source:
                    made.bind((source, 0))
                made.connect((ask, port))
        return made

    yield make
    for each in opened:
        each.close()


def count(host, own=(OWN,)):
    with netns.inside(host.path("a")):
        return sockets.connections(own)


def test_open_connections_of_others_to_servers_are_counted(host, inside):
    server = inside(serve="0.0.0.0")
    assert count(host) == 0
    clients = [inside(ask=OWN, source=OTHER) for _ in range(3)]
    assert count(host) == 3, "accepted or not"
    accepted, _ = server.accept()
    clients[0].shutdown(socket.SHUT_WR)
    assert count(host) == 3, "the server may still answer"
    for each in clients:
        each.close()
    accepted.close()
    assert count(host) <= 2


def test_own_and_outgoing_ones_are_not(host, inside):
    inside(serve="0.0.0.0")
    inside(ask=OWN, source=OWN)
    inside(ask="127.0.0.1")
    assert count(host) == 0
    assert count(host, own=()) == 1, "by its address it would be another's"


def test_servers_on_both_families_are_one(host, inside):
    inside(serve="::", family=socket.AF_INET6)
    inside(ask=OWN, source=OTHER)
    assert count(host) == 1


async def test_the_kernel_knows_its_own_addresses(host, kernel, inside):
    inside(serve="0.0.0.0")
    inside(ask=OWN, source=OTHER)
    assert await kernel.connections("a") == 0, "both are addresses of this namespace"
    assert await kernel.connections("nowhere") == 0


async def test_listeners_of_the_host_and_who_they_are(host, kernel):
    host.run(HOST, "ip link set lo up")
    with netns.inside(host.home):
        stream = socket.socket()
        stream.bind(("127.0.0.1", 8080))
        stream.listen()
        datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagrams.bind(("::", 53))
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.bind(("127.0.0.1", 54))
        asking.connect(("127.0.0.1", 8080))
    try:
        found = await kernel.listeners()
        assert set(found) == {("tcp", 8080), ("udp", 53)}
        comm = Path("/proc/self/comm").read_text().strip()
        assert await kernel.holder(found["tcp", 8080]) == f"{comm} (pid {os.getpid()})"
        assert await kernel.holder(1) == "another program, or the kernel"
    finally:
        for each in (stream, datagrams, asking):
            each.close()
