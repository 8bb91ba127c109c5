import asyncio
import socket
import time

import pytest
import uvloop

from skep.agent.mesh import PER_ROUND, Mesh
from skep.agent.probes import Packet, probe, read, write
from skep.model.errors import Unavailable

KEY = b"k" * 32
HERE, THERE = "127.0.0.1", "127.0.0.2"
NODES = {"nodea": HERE, "nodeb": THERE}


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe_socket:
        probe_socket.bind((HERE, 0))
        return probe_socket.getsockname()[1]


@pytest.fixture
async def mesh(port):
    opened = Mesh(HERE, port)
    await opened.start()
    opened.set_peers("nodea", KEY, NODES)
    yield opened
    await opened.close()


@pytest.fixture
def stranger(port):
    """A plain socket at the other host's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind((THERE, port))
        plain.setblocking(False)
        yield plain


async def heard(plain: socket.socket) -> bytes:
    async with asyncio.timeout(30):
        return await asyncio.get_running_loop().sock_recv(plain, 2000)


async def test_two_hosts_find_each_other_healthy(mesh, port):
    other = Mesh(THERE, port)
    await other.start()
    try:
        before = time.time()
        other.set_peers("nodeb", KEY, NODES)
        mesh.probe_some()
        await until(lambda: mesh.snapshot()["nodeb"].seen_at >= before)
        # An answer that a stalled machine gives too late is lost, until others have followed it.
        await until(lambda: mesh.snapshot()["nodeb"].loss == 0.0)
        health = mesh.snapshot()["nodeb"]
        assert health.address == THERE
        assert 0 < health.rtt < 60
        # Of itself: without anyone asking, once a second.
        await until(lambda: other.snapshot()["nodea"].probes >= 2)
        assert list(mesh.snapshot()) == ["nodeb"]
    finally:
        await other.close()


async def test_a_peer_that_sends_from_elsewhere_is_told_of(mesh, stranger, port):
    seen = []
    mesh.on_elsewhere = lambda *each: seen.append(each)
    genuine = write(probe("nodeb", 3, 4), "nodea", KEY)
    stranger.sendto(genuine, (HERE, port))
    await heard(stranger)
    assert seen == []
    mesh.set_peers("nodea", KEY, {"nodeb": "127.0.0.3"}, {"nodeb": "127.0.0.4"})
    stranger.sendto(write(probe("nodeb", 3, 4), "nodea", b"x" * 32), (HERE, port))
    stranger.sendto(genuine, (HERE, port))
    await until(lambda: seen)
    assert seen == [("nodeb", THERE)]
    mesh.set_peers("nodea", KEY, {"nodeb": "127.0.0.3"}, {"nodeb": THERE})
    stranger.sendto(genuine, (HERE, port))
    await heard(stranger)
    await heard(stranger)
    assert seen == [("nodeb", THERE)]


async def test_a_silent_peer_is_lost(mesh, stranger):
    mesh.probe_some()
    await until(lambda: mesh.snapshot()["nodeb"].probes >= 2)
    health = mesh.snapshot()["nodeb"]
    assert (health.loss, health.seen_at, health.rtt) == (1.0, 0.0, 0.0)


async def test_only_genuine_probes_are_answered(mesh, stranger, port):
    mesh.set_peers("nodea", KEY, {"nodeb": "127.0.0.3"})  # it probes elsewhere, not us
    genuine = write(probe("nodeb", 3, 4), "nodea", KEY)
    forged = [
        bytes(16) + genuine[16:],
        write(probe("nodeb", 3, 4), "nodea", b"x" * 32),
        write(probe("nodeb", 3, 4), "nodec", KEY),
        write(probe("nodez", 3, 4), "nodea", KEY),
        write(Packet(9, "nodeb", 3, 4), "nodea", KEY),
        genuine[:-1],
        b"",
    ]
    for datagram in [*forged, genuine]:
        stranger.sendto(datagram, (HERE, port))
    answer = read(await heard(stranger), "nodeb", KEY)
    assert (answer.sender, answer.sequence, answer.sent_at) == ("nodea", 3, 4)
    with pytest.raises(BlockingIOError):
        stranger.recv(2000)


async def test_forged_echoes_change_nothing(mesh, stranger, port):
    mesh.probe_some()
    asked = read(await heard(stranger), "nodeb", KEY)
    good = Packet(1, "nodeb", asked.sequence, asked.sent_at)
    stranger.sendto(write(good, "nodea", b"x" * 32), (HERE, port))
    stranger.sendto(write(Packet(1, "nodeb", 10**6, asked.sent_at), "nodea", KEY), (HERE, port))
    # An answered probe proves that what was sent before it has been looked at.
    stranger.sendto(write(probe("nodeb", 3, 4), "nodea", KEY), (HERE, port))
    while read(await heard(stranger), "nodeb", KEY).sequence != 3:
        pass
    assert mesh.snapshot()["nodeb"].seen_at == 0.0
    stranger.sendto(write(good, "nodea", KEY), (HERE, port))
    await until(lambda: mesh.snapshot()["nodeb"].seen_at > 0)


async def test_all_peers_get_their_turn(mesh):
    mesh.set_peers("nodea", KEY, {f"n{number:02}": f"127.1.0.{number + 1}" for number in range(12)})
    for _ in range(2):
        mesh.probe_some()
    await until(lambda: sum(health.probes > 0 for health in mesh.snapshot().values()) >= 10)
    await until(lambda: all(health.probes for health in mesh.snapshot().values()))
    assert PER_ROUND < 12


async def test_changed_peers_keep_what_is_known_of_those_that_stay(mesh):
    mesh.probe_some()
    await until(lambda: mesh.snapshot()["nodeb"].probes)
    mesh.set_peers("nodea", KEY, {**NODES, "nodec": "127.0.0.3"})
    assert mesh.snapshot()["nodeb"].probes >= 1
    mesh.set_peers("nodea", KEY, {"nodeb": "127.0.0.4", "nodec": "127.0.0.3"})
    assert mesh.snapshot()["nodeb"].probes == 0
    mesh.set_peers("nodea", KEY, {})
    mesh.probe_some()
    assert mesh.snapshot() == {}


async def test_without_a_key_it_keeps_silent(mesh, stranger, port):
    mesh.set_peers("nodea", b"", NODES)
    stranger.sendto(b"x" * 100, (HERE, port))
    mesh.probe_some()
    mesh.set_peers("nodea", KEY, {"nodeb": "127.0.0.3"})
    stranger.sendto(write(probe("nodeb", 3, 4), "nodea", KEY), (HERE, port))
    assert read(await heard(stranger), "nodeb", KEY).sequence == 3


async def test_a_taken_port_is_a_sentence(mesh, port):
    with pytest.raises(Unavailable, match=rf"cannot use UDP {HERE}:{port}"):
        await Mesh(HERE, port).start()


async def test_one_socket_probes_both_families(port):
    """What fills the MTU is smaller by what an IPv6 header is more."""
    one, four, six = Mesh("::", port), Mesh(THERE, port + 1), Mesh("::1", port + 1)
    one._port, four._port, six._port = port + 1, port, port
    nodes = {"nodea": HERE, "nodeb": THERE, "nodec": "::1"}
    meshes = {"nodea": one, "nodeb": four, "nodec": six}
    for name, mesh in meshes.items():
        await mesh.start()
        mesh.set_peers(name, KEY, nodes | {"nodea": "::1"} if name == "nodec" else nodes)
    try:
        one.mtu = 1500
        one.probe_some()
        for name in ("nodeb", "nodec"):
            await until(lambda name=name: one.snapshot()[name].seen_at)
            await until(lambda name=name: one.snapshot()[name].large_probes)
            await until(lambda name=name: one.snapshot()[name].large_loss == 0.0)
    finally:
        for mesh in meshes.values():
            await mesh.close()


@pytest.mark.parametrize("policy", [asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy])
def test_an_address_that_cannot_be_sent_to_keeps_nobody_from_probing_others(policy, port):
    """A host may say anything of where it is."""

    async def probing():
        mesh = Mesh(HERE, port)
        await mesh.start()
        mesh.set_peers("nodea", KEY, {"nodeb": THERE, "nodec": "fd00::7", "noded": "nowhere"})
        mesh.probe_some()
        try:
            return await heard_by_both(mesh)
        finally:
            await mesh.close()

    async def heard_by_both(mesh):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.bind((THERE, port))
            plain.setblocking(False)
            mesh.probe_some()
            return await heard(plain)

    with asyncio.Runner(loop_factory=policy().new_event_loop) as runner:
        assert read(runner.run(probing()), "nodeb", KEY).sender == "nodea"
