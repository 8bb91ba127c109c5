"""Having a server: found, started, and started again."""

import asyncio
import os
import signal
import socket
import sys

import pytest
from conftest import box, table, until

from skep.dns import frames, supervise
from skep.dns.client import DnsClient
from skep.dns.output import LIMIT
from skep.dns.supervise import ensure, last_line
from skep.model.errors import Unavailable

pytestmark = pytest.mark.root


@pytest.fixture
async def detached(rig):
    """`ensure` for this rig, and the end of what it started."""
    pids = set()

    async def work():
        await ensure(rig.control, rig.log, rig.netns)
        client = DnsClient(rig.control)
        pid = await client.ping()
        await client.close()
        pids.add(pid)
        return pid

    yield work
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_one_is_started_and_then_found(rig, detached):
    pid = await detached()
    assert os.getsid(pid) == pid
    assert await detached() == pid


async def test_a_killed_one_is_replaced_and_told_everything(rig, detached):
    rig.namespace("one")
    pid = await detached()
    client = DnsClient(rig.control)
    names = table(box("one"), web="10.0.1.2")
    await client.sync(names)
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    held = await rig.connect("one")
    assert client.connected
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(client.wait_lost(), 60)
    assert not client.connected
    # Reaped, and not just a zombie: until then its other thread may hold the listening socket.
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    with pytest.raises(Unavailable, match="not there"):
        await client.sync(names)
    assert rig.control.exists()
    assert await detached() != pid
    assert await client.sync(names) == {}
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    held.close()
    await client.close()


async def test_one_of_another_format_is_replaced(rig, detached, monkeypatch):
    pid = await detached()
    monkeypatch.setattr(supervise, "FORMAT", frames.FORMAT + 1)
    assert await detached() != pid
    await until(lambda: not alive(pid))
    assert rig.control.exists()


async def test_one_of_another_format_that_does_not_end_is_killed(rig, detached, monkeypatch):
    pid = await detached()
    monkeypatch.setattr(supervise, "FORMAT", frames.FORMAT + 1)
    monkeypatch.setattr(supervise, "STOP_TIMEOUT", 0.2)
    monkeypatch.setattr(supervise.signal, "SIGTERM", signal.SIGCONT)
    assert await detached() != pid
    await until(lambda: not alive(pid))


async def test_its_log_does_not_grow_without_end(rig, detached):
    rig.log.parent.mkdir()
    rig.log.write_text("something was said\n" * (LIMIT // 10))
    await detached()
    await until(lambda: rig.log.stat().st_size <= LIMIT)
    await until(lambda: rig.log.read_text().startswith("something was said\n"))


async def test_it_outlives_who_started_it(rig, detached):
    code = "import asyncio, sys; from skep.dns.supervise import ensure; "
    code += "asyncio.run(ensure(*sys.argv[1:]))"
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(rig.control), str(rig.log), str(rig.netns)
    )
    assert await starter.wait() == 0
    client = DnsClient(rig.control)
    pid = await client.ping()
    await client.close()
    assert await detached() == pid
    assert alive(pid)


async def test_why_it_does_not_come_up_is_said(rig, detached):
    rig.control.parent.parent.mkdir(exist_ok=True)
    rig.control.parent.write_text("in the way")
    with pytest.raises(
        Unavailable, match=r"skep-dns ended with 1: skep-dns: cannot use .*dns.sock"
    ):
        await detached()


async def test_a_stranger_on_the_socket_is_left_alone(rig, detached):
    rig.control.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(rig.control))
        stranger.listen()
        accepting = asyncio.create_task(hang_up(stranger))
        with pytest.raises(Unavailable, match="in use by another server"):
            await detached()
        accepting.cancel()
    assert rig.control.exists()


async def hang_up(listener):
    listener.setblocking(False)
    while True:
        client, _ = await asyncio.get_running_loop().sock_accept(listener)
        client.close()


def test_the_last_line_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert last_line(log) == "it left no log"
    log.write_text("\n")
    assert last_line(log) == "it said nothing"
    log.write_text("first\nlast\n\n")
    assert last_line(log) == "last"
