"""WireGuard's links, by whatever this kernel has: made, told, read, and what is said if not."""

import asyncio
import errno
import os
import shutil
import signal
import subprocess

import pytest
from fresh_host import do, fail, until

from skep.agent.secure import make_key
from skep.kernel import wireguard
from skep.kernel.kernel import Kernel
from skep.kernel.wireguard import WireGuard, parsed, spelled
from skep.model.errors import Broken
from skep.model.netstate import GROUP, HOST, Link
from skep.model.ops import AddLink, AddNamespace, DelLink, DelNamespace
from skep.model.secure import OwnKey, SeenPeer, SeenTunnel, Tunnel, TunnelPeer

SECRET = "skep-sealed"
NAME = f"wgt{os.getpid()}"
"""A link of this test's own: wireguard-go's sockets have the links' names, machine-wide."""

DUMP = (
    "private\tpublic\t51830\toff\n"
    "one\t(none)\t192.0.2.2:51831\t10.0.0.2/32\t1700000000\t10\t20\t25\n"
    "two\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
)


def test_a_dump_is_read():
    assert parsed(DUMP) == SeenTunnel(
        "public", 51830,
        (SeenPeer("one", "192.0.2.2:51831", "10.0.0.2/32", 1700000000.0, 10, 20),
         SeenPeer("two", "", "")),
    )  # fmt: skip


def test_a_tunnel_is_spelled_for_wg():
    peers = (TunnelPeer("theirs", "[fd00::2]:51831", "fd00::2/128"),)
    assert spelled(Tunnel("skep-wg0", OwnKey(2, "mine", "told", 51830), peers)).split("\n") == [
        "[Interface]", "PrivateKey = mine", "ListenPort = 51830",
        "[Peer]", "PublicKey = theirs", "Endpoint = [fd00::2]:51831",
        "AllowedIPs = fd00::2/128", "PersistentKeepalive = 25", "",
    ]  # fmt: skip


async def test_a_host_without_memory_is_told_of(monkeypatch, tmp_path):
    def full(_):
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(os, "memfd_create", full)
    with pytest.raises(Broken, match="cannot be set up: wg cannot be told: Too many open files"):
        await WireGuard(tmp_path / "ns").write(Tunnel("skep-wg0", make_key(2), ()))


@pytest.fixture
async def sealed(kernel: Kernel):
    """A namespace for the link; what runs for it ends with it."""
    if not await kernel.wireguard():
        pytest.skip("there is no WireGuard here")
    await do(kernel, AddNamespace(ns=SECRET))
    yield WireGuard(kernel.path(SECRET))
    await kernel.apply([DelLink(ns=SECRET, name=NAME), DelNamespace(ns=SECRET)])


def link(**more) -> AddLink:
    return AddLink(ns=SECRET, link=Link(name=NAME, kind="wireguard", **more))


@pytest.mark.root
async def test_a_link_is_made_told_and_read(host, kernel, sealed):
    assert await sealed.read(NAME) is None
    await do(kernel, link(mtu=1380))
    (shown,) = host.json(SECRET, f"ip -j link show {NAME}")
    assert (shown["mtu"], shown["group"]) == (1380, str(GROUP))
    own, other = make_key(2), make_key(3)
    peers = (TunnelPeer(other.public, "192.0.2.2:51831", "10.0.0.2/32"),)
    await sealed.write(Tunnel(NAME, own, peers))
    seen = await sealed.read(NAME)
    assert (seen.public, seen.port) == (own.public, own.port)
    assert [(each.public, each.endpoint, each.address) for each in seen.peers] == [
        (other.public, "192.0.2.2:51831", "10.0.0.2/32")
    ]
    assert not any(each.handshake for each in seen.peers)
    # Its socket is the host's; in there nobody listens.
    assert f":{own.port}" in host.run(HOST, "ss -ulnH")
    assert host.run(SECRET, "ss -ulnH") == ""


@pytest.mark.root
async def test_what_wg_refuses_is_said(kernel, sealed):
    never = f"{NAME}n"  # another test's might be on its way out
    with pytest.raises(Broken, match=rf"{never} cannot be set up: .*Unable to modify interface"):
        await sealed.write(Tunnel(never, make_key(2)))
    with pytest.raises(Broken, match=r"cannot be set up: .*nsenter"):
        await WireGuard("/nowhere").write(Tunnel(NAME, make_key(2)))


@pytest.mark.root
async def test_a_wg_that_does_not_end_is_given_up(kernel, sealed, monkeypatch, tmp_path):
    slow = tmp_path / "wg"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(wireguard, "ANSWER_WITHIN", 0.2)
    assert await sealed.read(NAME) is None
    with pytest.raises(Broken, match="wg does not end"):
        await sealed.write(Tunnel(NAME, make_key(2)))


class Program:
    """Stands in for a wireguard-go, on a kernel that has no WireGuard."""

    def __init__(self, folder, monkeypatch, text):
        path = folder / "wireguard-go"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
async def by_program(kernel, sealed):
    if await kernel.wireguard() == "kernel":
        pytest.skip("this kernel encrypts by itself")


async def started(file):
    """The process id that a stand-in wrote down, once it has."""
    async with asyncio.timeout(60):
        while not (file.exists() and file.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
    return int(file.read_text())


@pytest.mark.root
async def test_others_do_not_wait_for_a_wireguard_go(
    kernel, sealed, by_program, monkeypatch, tmp_path
):
    Program(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(wireguard, "START_WITHIN", 600.0)
    making = asyncio.ensure_future(kernel.apply([link()]))
    pid = await started(tmp_path / "pid")
    assert SECRET in await kernel.observe([SECRET])
    assert not making.done()
    os.kill(pid, signal.SIGKILL)
    (failure,) = await making
    assert "wireguard-go does not answer" in failure.message


@pytest.mark.root
async def test_why_a_wireguard_go_does_not_run(kernel, sealed, by_program, monkeypatch, tmp_path):
    Program(tmp_path, monkeypatch, "echo 'no tun device' >&2; exit 3")
    failure = await fail(kernel, link())
    assert "wireguard-go does not answer: no tun device" in failure.message


@pytest.mark.root
async def test_one_that_never_answers_is_killed(kernel, sealed, by_program, monkeypatch, tmp_path):
    Program(tmp_path, monkeypatch, "exec sleep 600")
    monkeypatch.setattr(wireguard, "START_WITHIN", 1.0)
    begin, begun = subprocess.Popen, []

    def noted(*arguments, **options):
        begun.append(begin(*arguments, **options))
        return begun[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    failure = await fail(kernel, link())
    assert "wireguard-go does not answer" in failure.message
    pids = [each.pid for each in begun if each.args[0] == wireguard.PROGRAM]
    assert pids
    await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


@pytest.mark.root
async def test_a_link_that_was_left_half_way_is_taken_up(host, kernel, sealed, by_program):
    """A crash between making a link and moving it leaves it in the host's namespace."""
    go = shutil.which("wireguard-go")
    with subprocess.Popen(
        ["nsenter", f"--net={host.home}", go, "-f", NAME], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            async with asyncio.timeout(60):
                while not wireguard.answers(NAME):
                    await asyncio.sleep(0.05)
            await do(kernel, link())
            assert await sealed.read(NAME) is not None
            assert process.poll() is None
        finally:
            process.kill()
