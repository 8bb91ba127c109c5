"""The service's life: refusals, crashes, what an earlier daemon left."""

import asyncio
import time

import pytest
from enginehost import EngineHost, until

from skep.engine import podman
from skep.engine.client import Engine
from skep.model.errors import Broken, Unavailable

pytestmark = pytest.mark.root


@pytest.fixture
def host():
    with EngineHost() as made:
        yield made


@pytest.fixture
async def engine(host):
    engine = Engine(host.socket)
    yield engine
    await engine.close()


async def until_answers(engine):
    deadline = time.monotonic() + 60
    while True:
        try:
            return await engine.version()
        except Unavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


def podman_pids(host):
    return host.run("sh", "-c", "pgrep -x podman || true").split()


@pytest.fixture
async def sleeper(host, engine, busybox):
    """A running container of a running service; answers the daemon and the container's id."""
    said, daemon = host.serve()
    assert said.startswith("ready ")
    await engine.load(busybox)
    mode = f"ns:{host.namespace('box')}"
    body = {"Image": "busybox", "Cmd": ["sleep", "600"], "HostConfig": {"NetworkMode": mode}}
    container = await engine.create("sleeper", body)
    await engine.start(container)
    return daemon, container


async def test_a_killed_service_comes_back_and_containers_never_notice(host, engine, sleeper):
    _, container = sleeper
    before = (await engine.inspect(container))["State"]["Pid"]
    events = engine.events()
    assert (await anext(events)).action == "connected"
    (killed,) = podman_pids(host)
    host.run("kill", "-KILL", killed)
    while (await asyncio.wait_for(anext(events), 60)).action != "connected":
        pass  # events from before may be told again
    until(lambda: killed not in podman_pids(host))
    state = (await engine.inspect(container))["State"]
    assert (state["Running"], state["Pid"]) == (True, before)
    await engine.remove(container, force=True)
    seen = []
    while len(seen) < 2:
        event = await asyncio.wait_for(anext(events), 60)
        # Connections may be lost and made again meanwhile.
        seen += [event.id] if event.id else []
    assert set(seen) == {container}
    await events.aclose()


async def test_what_ended_while_no_service_ran_is_known_afterwards(host, engine, sleeper):
    daemon, container = sleeper
    pid = (await engine.inspect(container))["State"]["Pid"]
    host.run("kill", "-TERM", str(host.daemon_pid()))
    assert daemon.wait(60) == 0
    with pytest.raises(Unavailable):
        await engine.version()
    host.run("kill", "-KILL", str(pid))
    until(lambda: host.run("sh", "-c", "pgrep -x conmon || true") == "")
    said, _ = host.serve()
    assert said.startswith("ready ")
    state = (await engine.inspect(container))["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)


async def test_the_service_ends_with_a_killed_daemon(host, engine, sleeper):
    _, container = sleeper
    host.run("kill", "-KILL", str(host.daemon_pid()))
    until(lambda: podman_pids(host) == [])
    said, _ = host.serve()
    assert said.startswith("ready ")
    assert (await engine.inspect(container))["State"]["Running"] is True


async def test_a_service_that_was_left_on_the_socket_is_replaced(host, engine):
    host.spawn(
        "podman", "--root", str(host.root), "--runroot", "/run/skep/engine", "--tmpdir",
        "/run/skep/engine/libpod", "system", "service", "-t", "0", f"unix://{host.socket}",
    )  # fmt: skip
    await until_answers(engine)
    (left,) = podman_pids(host)
    said, _ = host.serve()
    assert said.startswith("ready ")
    await engine.version()
    until(lambda: left not in podman_pids(host))
    assert len(podman_pids(host)) == 1


async def test_the_socket_of_a_stranger_is_left_alone(host):
    listen = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.bind({host.socket!r}); s.listen(); print('up', flush=True); s.accept(); s.accept()"
    )
    stranger = host.spawn("python3", "-c", listen)
    assert stranger.stdout.readline() == "up\n"
    said, daemon = host.serve()
    assert said.startswith(f"refused {host.socket} is in use by python3")
    assert daemon.wait(60) == 1
    assert stranger.poll() is None


async def test_a_stale_socket_is_no_obstacle(host, engine):
    host.run("python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({host.socket!r})")
    said, daemon = host.serve()
    assert said.startswith("ready ")
    host.run("kill", "-TERM", str(host.daemon_pid()))
    assert daemon.wait(60) == 0
    assert not host.directory.joinpath("engine.sock").exists()


async def test_storage_that_cannot_hold_overlays_is_named(host):
    # An overlay cannot be the upper part of another.
    host.run(
        "sh", "-c", "mkdir -p /run/o/l /run/o/u /run/o/w /run/o/m && "
        "mount -t overlay o -o lowerdir=/run/o/l,upperdir=/run/o/u,workdir=/run/o/w /run/o/m",
    )  # fmt: skip
    said, daemon = host.serve(root="/run/o/m/storage")
    assert said.startswith("refused podman cannot mount overlay file systems in /run/o/m/storage")
    assert daemon.wait(60) == 1
    assert podman_pids(host) == []


async def test_a_reboot_keeps_images_and_forgets_processes(host, engine, sleeper):
    daemon, container = sleeper
    pid = (await engine.inspect(container))["State"]["Pid"]
    host.run("kill", "-TERM", str(host.daemon_pid()))
    assert daemon.wait(60) == 0
    host.run("sh", "-c", f"kill -KILL $(pgrep -x conmon) {pid}")
    until(lambda: host.run("sh", "-c", "pgrep -x conmon || true") == "")
    # What a reboot does to a tmpfs.
    host.run("sh", "-c", "rm -rf /run/skep/engine /run/runc")
    said, _ = host.serve()
    assert said.startswith("ready ")
    assert (await engine.inspect(container))["State"]["Running"] is False
    assert await engine.image("busybox") is not None
    assert await engine.start(container) is True


def test_what_is_missing_is_named_with_the_command_that_helps(monkeypatch, tmp_path):
    podman.probe()
    for name in ("podman", "conmon"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(podman, "PLACES", str(tmp_path))
    with pytest.raises(Broken) as refused:
        podman.probe()
    assert str(refused.value) == "runc is not installed; apt-get install podman runc conmon"
    (tmp_path / "podman").unlink()
    with pytest.raises(Broken, match="podman and runc are not installed"):
        podman.probe()


async def test_nobody_listens(tmp_path):
    engine = Engine(str(tmp_path / "absent.sock"))
    for attempt in (engine.version(), engine.hijack("/exec/x/start"), engine.containers()):
        with pytest.raises(Unavailable, match="Cannot reach the container engine"):
            await attempt
    await engine.close()


async def test_a_service_that_cannot_be_started_just_now_is_tried_again(tmp_path, monkeypatch):
    """A host that is out of memory, or of descriptors, may have some again."""

    class Ended:
        pid, returncode = 1, 0

        async def wait(self):
            return 0

    monkeypatch.setattr(podman, "FIRST_DELAY", 0.0)
    service = podman.PodmanService(
        str(tmp_path), str(tmp_path), str(tmp_path / "sock"), str(tmp_path)
    )
    service._process = Ended()
    tries = []
    enough = asyncio.Event()

    async def launch():
        tries.append(1)
        if len(tries) == 3:
            enough.set()
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(service, "_launch", launch)
    keeping = asyncio.create_task(service._keep())
    async with asyncio.timeout(60):
        await enough.wait()
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
