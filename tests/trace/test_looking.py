"""The agent's ears and hands, between two real namespaces."""

import asyncio
import socket
import subprocess
import sys
import threading

import pytest
from fresh_host import do, veth

from skep.agent import asking, sending, tapping, watching
from skep.model.inspection import End, Listen, Probe, Tap, Watch
from skep.model.naming import RESOLVER, NameTable, NetworkNames, SandboxNames
from skep.model.netstate import Address, Link
from skep.model.ops import AddAddress, AddNamespace
from skep.talk import Talk

pytestmark = pytest.mark.root

HERE, THERE = "here00000000", "there0000000"
TOKEN = 23456


@pytest.fixture
async def pair(kernel):
    """Two namespaces with a link between them: 10.5.0.1 and 10.5.0.2."""
    await do(
        kernel,
        AddNamespace(ns=HERE),
        AddNamespace(ns=THERE),
        veth(HERE, Link(name="eth0"), THERE, Link(name="eth0")),
        AddAddress(ns=HERE, address=Address("eth0", "10.5.0.1/24")),
        AddAddress(ns=THERE, address=Address("eth0", "10.5.0.2/24")),
    )
    return kernel


def probe(protocol, port=0, target="10.5.0.2", seconds=2.0):
    return Probe(
        namespace=HERE, protocol=protocol, target=target, port=port, token=TOKEN, seconds=seconds
    )


def server(kind, port):
    opened = socket.socket(socket.AF_INET, kind)
    opened.bind(("10.5.0.2", port))
    if kind == socket.SOCK_STREAM:
        opened.listen()
    return opened


async def listening(kernel, work, *, protocol="icmp", seconds=1.0, traced=()):
    """What is seen on both ends of the link while ``work`` is done."""
    taps = (Tap(namespace=HERE, link="eth0"), Tap(namespace=THERE, link="eth0"))
    talk = Talk()
    request = Listen(taps=taps, protocol=protocol, token=TOKEN, seconds=seconds, traced=traced)
    ears = asyncio.create_task(tapping.listen(kernel, request, talk))
    await asyncio.wait_for(talk.listening.wait(), 30)
    outcome = await work
    await talk.stop()
    return outcome, await ears


async def test_an_echo_is_answered_and_seen_at_both_ends(pair):
    echo, heard = await listening(pair, sending.send(pair, probe("icmp")))
    assert echo.answered and "10.5.0.2" in echo.words
    for namespace in (HERE, THERE):
        at = [each for each in heard.seen if each.tap.namespace == namespace]
        assert [(each.note, each.source, each.outgoing) for each in at] == [
            ("echo request", "10.5.0.1", namespace == HERE),
            ("echo reply", "10.5.0.2", namespace == THERE),
        ]


async def test_the_rules_that_a_probe_meets_are_told_and_nothing_stays(pair, host):
    chain = "chain i { type filter hook input priority 0; icmp type echo-request accept; };"
    host.nft(THERE, f"table ip f {{ {chain} }}")
    before = host.run(THERE, "nft -s list ruleset")
    echo, heard = await listening(
        pair, sending.send(pair, probe("icmp")), traced=(THERE, "nowhere")
    )
    assert echo.answered
    met = [(each.namespace, each.table, each.chain, each.verdict) for each in heard.rules]
    assert (THERE, "f", "i", "accept") in met
    assert heard.rules[0].asked and heard.rules[0].handle
    assert heard.watched == (THERE,)
    assert dict(heard.untraced).keys() == {"nowhere"}
    assert {(c.namespace, c.received >= 1, c.sent >= 1) for c in heard.counts} == {
        (HERE, True, True), (THERE, True, True),
    }  # fmt: skip
    assert host.run(THERE, "nft -s list ruleset") == before


async def test_a_probe_inside_a_tunnel_is_known_by_the_rules_outside(pair, host):
    """A frame as a tunnel would carry it, dropped by a rule that knows only the outer packet."""
    host.nft(
        THERE,
        "table inet f { chain i { type filter hook input priority 0; udp dport 4789 drop; }; }",
    )
    inner = bytes(12) + b"\x08\x00" + bytes([0x45]) + bytes(8) + b"\x06" + bytes(10)
    inner += TOKEN.to_bytes(2, "big") + bytes(18)
    frame = b"\x08\0\0\0\0\x10\x01\0" + inner
    sender = await pair.within(HERE, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    async def send():
        sender.sendto(frame, ("10.5.0.2", 4789))

    try:
        _, heard = await listening(pair, send(), protocol="tcp", traced=(THERE,))
    finally:
        sender.close()
    assert [(each.table, each.verdict) for each in heard.rules] == [("f", "drop")]


WATCHING = """
from skep.kernel.nftables import Library
from skep.kernel.nfttrace import Tracer
tracer = Tracer(Library(), "tcp", 23456, 4789)
print("watching", flush=True)
input()
"""


async def test_a_killed_process_leaves_no_rules(pair, host):
    before = host.run(THERE, "nft list ruleset")
    command = ["nsenter", f"--net={host.path(THERE)}", sys.executable, "-c", WATCHING]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as watching:
        assert watching.stdout.readline() == "watching\n"
        assert "trace_of_skep" in host.run(THERE, "nft list tables")
        watching.kill()
    assert host.run(THERE, "nft list ruleset") == before


async def test_a_connection_comes_from_the_port_that_was_agreed(pair):
    waiting = await pair.within(THERE, lambda: server(socket.SOCK_STREAM, 80))
    try:
        echo, heard = await listening(pair, sending.send(pair, probe("tcp", 80)), protocol="tcp")
    finally:
        waiting.close()
    assert echo.answered
    first = heard.seen[0]
    assert (first.source_port, first.target_port, first.note) == (TOKEN, 80, "SYN")


async def test_a_refusal_is_told_from_silence(pair, host):
    refused = await sending.send(pair, probe("tcp", 81))
    assert not refused.answered and refused.words.startswith("refused")
    unreachable = await sending.send(pair, probe("udp", 81))
    assert not unreachable.answered and unreachable.words.startswith("refused")
    host.nft(THERE, "table ip f { chain i { type filter hook input priority 0; policy drop; }; }")
    for protocol, port in (("tcp", 81), ("udp", 81), ("icmp", 0)):
        silent = await sending.send(pair, probe(protocol, port, seconds=0.3))
        assert not silent.answered and "within 0.3 s" in silent.words


async def test_what_cannot_be_sent_is_said(pair):
    assert "no probes of sctp" in (await sending.send(pair, probe("sctp", 5))).words
    away = await sending.send(pair, probe("tcp", 80, target="10.99.0.1"))
    assert "unreachable" in away.words
    nowhere = Probe(namespace="nix", protocol="tcp", target="1.1.1.1", port=1, token=1, seconds=1)
    assert "cannot be made" in (await sending.send(pair, nowhere)).words


async def test_a_datagram_that_is_answered(pair):
    waiting = await pair.within(THERE, lambda: server(socket.SOCK_DGRAM, 53))

    def echo_once():
        data, source = waiting.recvfrom(2000)
        waiting.sendto(data, source)

    thread = threading.Thread(target=echo_once)
    thread.start()
    try:
        found = await sending.send(pair, probe("udp", 53))
    finally:
        thread.join(5)
        waiting.close()
    assert found.answered and "bytes came back" in found.words


async def test_a_link_that_is_not_there_is_deaf_not_silent(pair):
    tap = Tap(namespace=HERE, link="eth9")
    request = Listen(taps=(tap,), protocol="icmp", token=1, seconds=0.1)
    heard = await tapping.listen(pair, request, Talk())
    assert heard.seen == ()
    assert heard.deaf == ((tap, "no such device"),)


async def test_a_link_that_is_never_silent_holds_nobody_up(pair):
    """All that came before it was enough has been read; what goes on coming is not waited for."""
    chatter = await pair.within(HERE, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    enough = threading.Event()

    def chat():
        while not enough.wait(0.01):
            chatter.sendto(b"x", ("10.5.0.2", 9))

    talker = threading.Thread(target=chat)
    talker.start()
    try:
        work = sending.send(pair, probe("icmp"))
        echo, heard = await asyncio.wait_for(listening(pair, work, seconds=600.0), 60)
    finally:
        enough.set()
        talker.join()
        chatter.close()
    assert echo.answered
    assert {each.note for each in heard.seen} == {"echo request", "echo reply"}


async def test_tunnels_are_tried_small_large_and_by_tcp(pair, host):
    peers = {"there": "10.5.0.2", "nobody": "10.5.0.9"}
    found = {each.node_id: each for each in await sending.check_tunnels(pair, HERE, peers, 1450)}
    assert found["there"].small > 0 and found["there"].large > 0 and found["there"].tcp == ""
    assert found["nobody"].small == found["nobody"].large == 0
    assert found["nobody"].tcp
    host.run(THERE, "ip link set eth0 mtu 1000")
    (narrow,) = await sending.check_tunnels(pair, HERE, {"there": "10.5.0.2"}, 1450)
    assert narrow.small > 0 and narrow.large == 0


def test_an_echo_request_fills_the_size_that_is_asked_for():
    for size in (64, 1449, 1450):
        packet = sending.echo_request(7, 1, size)
        assert len(packet) + 20 == size
        assert sending.checksum(packet) == 0


NETWORK = NetworkNames(id="n", name="net", addresses={"db": ("10.0.1.7",)})
TABLE = NameTable(
    networks={"n": NETWORK},
    sandboxes={HERE: SandboxNames(namespace=HERE, networks=("n",), forward=False)},
)


def test_what_should_be_answered_is_by_the_table():
    assert asking.expected(TABLE, HERE, asking.query("db", 1)) == ("10.0.1.7",)
    assert asking.expected(TABLE, HERE, asking.query("DB.net", 1)) == ("10.0.1.7",)
    assert asking.expected(TABLE, HERE, asking.query("other", 1)) is None
    assert asking.expected(TABLE, "elsewhere", asking.query("db", 1)) is None


async def test_an_answer_that_breaks_off_is_told(pair):
    """Somebody in the sandbox may have taken the name server's place."""

    def serve():
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.settimeout(60)
        opened.bind((RESOLVER, 53))
        return opened

    def cut_off(opened, rest):
        asked, sender = opened.recvfrom(512)
        opened.sendto(asked[:2] + b"\x80\0\0\1\0\1\0\0\0\0" + rest, sender)

    with await pair.within(HERE, serve) as opened:
        for rest in (b"", b"\3abc\0\0\1\0\1", b"\0\0\1\0\1\0\0\1"):
            answering = asyncio.create_task(asyncio.to_thread(cut_off, opened, rest))
            (found,) = await asking.ask(pair, TABLE, HERE, ["db"])
            await answering
            assert found.error == "an answer that breaks off"


async def test_a_dead_name_server_is_given_up_after_two_questions(pair, monkeypatch):
    monkeypatch.setattr(asking, "PATIENCE", 0.1)

    def mute():
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((RESOLVER, 53))
        return opened

    opened = await pair.within(HERE, mute)
    try:
        found = await asking.ask(pair, TABLE, HERE, ["db", "a", "b", "c"])
    finally:
        opened.close()
    assert [each.name for each in found] == ["db", "a"]
    assert "no answer within" in found[0].error
    assert found[0].expected == ("10.0.1.7",)


async def test_nobody_at_the_name_servers_port_is_refused(pair):
    (found,) = await asking.ask(pair, TABLE, HERE, ["db"])
    assert "refused" in found.error
    (gone,) = await asking.ask(pair, TABLE, "nix", ["db"])
    assert "cannot be asked" in gone.error


class Notes(Talk):
    """Keeps what was heard, and has heard enough after a while."""

    def __init__(self, enough_after):
        super().__init__()
        self.parts = []
        self.left = enough_after

    async def heard(self, seen):
        self.parts.append(seen)
        self.left -= 1
        if not self.left:
            await self.stop()


async def test_real_traffic_is_told_of_as_it_passes(pair, monkeypatch):
    monkeypatch.setattr(watching, "EVERY", 0.3)
    tap = Tap(namespace=THERE, link="eth0")
    end = End(source="10.5.0.1", target="10.5.0.2")
    request = Watch(taps=(tap,), protocol="icmp", ends=(end,), seconds=30.0)
    talk = Notes(enough_after=2)
    eyes = asyncio.create_task(watching.watch(pair, request, talk))
    await asyncio.wait_for(talk.listening.wait(), 30)
    assert (await sending.send(pair, probe("icmp"))).answered
    await asyncio.wait_for(eyes, 30)
    seen = [(each.note, each.packets) for part in talk.parts for each in part.seen]
    assert seen == [("echo request", 1), ("echo reply", 1)]


async def test_what_is_broken_off_is_closed(pair, host):
    request = Listen(taps=(), protocol="tcp", token=TOKEN, seconds=30.0, traced=(THERE,))
    talk = Talk()
    ears = asyncio.create_task(tapping.listen(pair, request, talk))
    await asyncio.wait_for(talk.listening.wait(), 30)
    assert "trace_of_skep" in host.run(THERE, "nft list tables")
    ears.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ears
    assert "trace_of_skep" not in host.run(THERE, "nft list tables")
