from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from skep.kernel import netns
from skep.kernel.netns import NamespaceThread

pytestmark = pytest.mark.root


@pytest.fixture
def path(tmp_path):
    made = str(tmp_path / "dir" / "ns")
    try:
        yield made
    finally:
        netns.remove(made)


@pytest.fixture
def thread():
    made = NamespaceThread()
    yield made
    made.close()


def test_what_is_prepared_is_done_inside_and_before_it_is_pinned(path):
    seen = []
    home = netns.identity()
    netns.create(path, lambda: seen.append((netns.identity(), netns.is_namespace(path))))
    assert seen == [(netns.identity(path), False)]
    assert netns.identity() == home


def test_create_pins_a_new_namespace_and_leaves_the_caller_where_it_was(path):
    before = netns.identity()
    netns.create(path)
    assert netns.is_namespace(path)
    assert netns.identity(path) != before
    assert netns.identity() == before


def test_create_refuses_a_pinned_namespace_and_takes_over_a_plain_file(path):
    os.makedirs(os.path.dirname(path))
    with open(path, "w"):
        pass
    assert not netns.is_namespace(path)
    netns.create(path)
    first = netns.identity(path)
    with pytest.raises(FileExistsError):
        netns.create(path)
    assert netns.identity(path) == first


def test_a_failed_creation_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr(netns, "OWN", "/proc/thread-self/ns/net")
    monkeypatch.setattr(netns, "MS_BIND", 1 << 3)
    with pytest.raises(OSError):
        netns.create(path)
    assert not os.path.exists(path)


def test_remove_is_idempotent_and_undoes_double_pins(path):
    netns.create(path)
    subprocess.run(["mount", "--bind", path, path], check=True)
    netns.remove(path)
    netns.remove(path)
    assert not os.path.exists(path)


async def test_work_runs_inside_and_the_thread_comes_back(path, thread):
    netns.create(path)
    home = await thread.run(None, netns.identity)
    assert await thread.run(path, netns.identity) == netns.identity(path)
    assert await thread.run(None, netns.identity) == home == netns.identity()


async def test_a_failure_of_the_work_is_raised_and_the_thread_comes_back(path, thread):
    netns.create(path)

    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await thread.run(path, fails)
    assert await thread.run(None, netns.identity) == netns.identity()


async def test_a_missing_namespace_is_a_file_that_is_not_found(path, thread):
    with pytest.raises(FileNotFoundError):
        await thread.run(path, netns.identity)
    assert thread.call(None, lambda: 7) == 7


async def test_a_plain_file_is_refused(tmp_path, thread):
    (tmp_path / "plain").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        await thread.run(str(tmp_path / "plain"), netns.identity)
    assert await thread.run(None, netns.identity) == netns.identity()


async def test_sockets_stay_bound_to_the_namespace(path, thread):
    netns.create(path)
    subprocess.run(["nsenter", f"--net={path}", "ip", "link", "set", "lo", "up"], check=True)
    inner = await thread.run(path, lambda: socket.create_server(("127.0.0.1", 0)))
    port = inner.getsockname()[1]

    def connect() -> None:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()

    with inner:
        await thread.run(path, connect)
        with pytest.raises(ConnectionRefusedError):
            await thread.run(None, connect)


def test_a_thread_can_live_elsewhere(path):
    netns.create(path)
    thread = NamespaceThread(home=path)
    try:
        assert thread.call(None, netns.identity) == netns.identity(path)
    finally:
        thread.close()
    with pytest.raises(FileNotFoundError):
        NamespaceThread(home=path + "-absent")


def test_a_thread_that_cannot_return_takes_the_process_down(path):
    netns.create(path)
    script = f"""
from skep.kernel import netns
with netns.inside({path!r}):
    class Lost:
        def setns(self, *_):
            return -1
    netns._libc = Lost()
print("went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode < 0
    assert "cannot return to the home network namespace" in done.stderr
    assert "went on" not in done.stdout


def test_nothing_stays_open(path, thread):
    netns.create(path)
    thread.call(path, netns.identity)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        thread.call(path, netns.identity)
    assert len(os.listdir("/proc/self/fd")) == before
