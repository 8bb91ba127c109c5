"""Flows that are cut, in a real namespace: what was sent on to one address, and nothing else."""

from __future__ import annotations

import re
import socket

import pytest
from fresh_host import do, fail

from skep.kernel import netns
from skep.model.ops import AddNamespace, CutFlows

pytestmark = pytest.mark.root

VIP, GONE, LEFT = "10.9.9.7", "10.9.9.1", "10.9.9.2"
TABLE = f"""
table ip t {{
    map at {{ type inet_service : ipv4_addr; elements = {{ 53 : {GONE}, 54 : {LEFT} }}
    }}
    chain o {{
        type nat hook output priority -100
        ip daddr {VIP} dnat ip to th dport map @at
    }}
}}
"""


class Talk:
    """Sockets inside a namespace, and what connection tracking remembers of them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sockets: list[socket.socket] = []

    def open(self, kind: socket.SocketKind, *, serve: str = "", ask: str = "", port: int = 53):
        with netns.inside(self.path):
            opened = socket.socket(socket.AF_INET, kind)
            self.sockets.append(opened)
            if serve:
                opened.bind((serve, port))
                if kind == socket.SOCK_STREAM:
                    opened.listen()
            else:
                opened.connect((ask, port))
                opened.send(b"?")
        return opened

    def flows(self) -> set[tuple[str, str, str]]:
        """(protocol, asked, answering) of each."""
        with netns.inside(self.path), open("/proc/thread-self/net/nf_conntrack") as file:
            lines = file.read().splitlines()
        pattern = re.compile(r"ipv4 +\d+ (\w+).*?dst=(\S+).*? src=\S+.*?$")
        found = set()
        for line in lines:
            protocol = pattern.match(line)[1]
            asked = re.findall(r"dst=(\S+)", line)[0]
            answering = re.findall(r"src=(\S+)", line)[1]
            found.add((protocol, asked, answering))
        return found

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@pytest.fixture
async def talk(host, kernel):
    await do(kernel, AddNamespace(ns="a"))
    for address in (VIP, GONE, LEFT):
        host.run("a", f"ip addr add {address}/32 dev lo")
    host.nft("a", TABLE)
    talk = Talk(host.path("a"))
    for address in (GONE, LEFT):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for port in (53, 54):
                talk.open(kind, serve=address, port=port)
    yield talk
    talk.close()


ALL = {
    ("udp", VIP, GONE),
    ("udp", VIP, LEFT),
    ("udp", GONE, GONE),
    ("tcp", VIP, GONE),
}


@pytest.fixture
def flows(talk):
    talk.open(socket.SOCK_DGRAM, ask=VIP, port=53)
    talk.open(socket.SOCK_DGRAM, ask=VIP, port=54)
    talk.open(socket.SOCK_DGRAM, ask=GONE)
    talk.open(socket.SOCK_STREAM, ask=VIP)
    assert talk.flows() == ALL
    return talk.flows


async def test_what_was_sent_on_is_cut_and_tcp_and_all_else_lives(kernel, flows):
    for _ in range(2):
        await do(kernel, CutFlows(ns="a", address=GONE))
        assert flows() == ALL - {("udp", VIP, GONE)}


async def test_a_port_narrows_it(kernel, flows):
    await do(kernel, CutFlows(ns="a", address=GONE, port=54))
    assert flows() == ALL
    await do(kernel, CutFlows(ns="a", address=GONE, port=53))
    assert flows() == ALL - {("udp", VIP, GONE)}


async def test_what_follows_is_a_new_flow(host, kernel, talk, flows):
    asker = talk.open(socket.SOCK_DGRAM, ask=VIP, port=53)
    host.nft(
        "a", f"delete element ip t at {{ 53 : {GONE} }}\nadd element ip t at {{ 53 : {LEFT} }}"
    )
    asker.send(b"?")
    assert ("udp", VIP, GONE) in flows()
    await do(kernel, CutFlows(ns="a", address=GONE))
    asker.send(b"?")
    assert ("udp", VIP, GONE) not in flows()
    assert ("udp", VIP, LEFT) in flows()


async def test_many_flows_are_cut_at_once(kernel, talk):
    for _ in range(600):
        talk.open(socket.SOCK_DGRAM, ask=VIP, port=53)
        talk.sockets.pop().close()
    await do(kernel, CutFlows(ns="a", address=GONE))
    assert talk.flows() == set()


async def test_where_there_is_no_namespace(kernel):
    failure = await fail(kernel, CutFlows(ns="nowhere", address=GONE))
    assert failure.message == (
        "cannot cut the flows to 10.9.9.1 in the namespace nowhere: there is no network namespace "
        "nowhere"
    )


async def test_all_that_is_remembered_can_be_read(host, kernel, talk, flows):
    host.run("a", "sysctl -qw net.netfilter.nf_conntrack_acct=1")
    talk.open(socket.SOCK_STREAM, ask=GONE)
    found = {(each.protocol, each.target, each.answerer, each.answerer_port): each
             for each in await kernel.tracked("a")}  # fmt: skip
    assert {key[:3] for key in found} == {
        (17, VIP, GONE), (17, VIP, LEFT), (17, GONE, GONE), (6, VIP, GONE), (6, GONE, GONE)
    }  # fmt: skip
    asked = found[17, VIP, GONE, 53]
    assert (asked.answered, asked.state, asked.target_port) == (False, "", 53)
    assert asked.sent_bytes == -1, "it was there before the kernel counted"
    counted = found[6, GONE, GONE, 53]
    assert (counted.answered, counted.state) == (True, "open")
    assert counted.sent_packets >= 3
    assert counted.sent_bytes > counted.sent_packets * 40
    assert counted.received_packets >= 1


async def test_of_pings_and_of_ipv6_too(host, kernel):
    await do(kernel, AddNamespace(ns="a"))
    host.nft(
        "a",
        "table inet t { chain o { type filter hook output priority 0; ct state new accept; }; }",
    )
    host.run("a", "busybox ping -c 1 -W 2 127.0.0.1")
    host.run("a", "busybox ping6 -c 1 -W 2 ::1")
    found = {(each.protocol, each.source, each.answered) for each in await kernel.tracked("a")}
    assert found == {(1, "127.0.0.1", True), (58, "::1", True)}


async def test_a_namespace_that_is_gone_remembers_nothing(kernel):
    assert await kernel.tracked("gone") == ()
