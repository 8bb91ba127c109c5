"""What Skep relies on of real containers. Each test is a finding of docs/design/engine.md."""

import asyncio
import json
import time

import pytest

from skep.model.errors import Broken, Clash, Invalid, Missing

pytestmark = pytest.mark.root


async def read_all(stream):
    async def pieces():
        while data := await stream.read():
            yield data

    return b"".join([data async for data in pieces()])


def frames(data):
    """What went to standard output and error in a multiplexed stream."""
    said = {1: b"", 2: b""}
    while data:
        kind, length = data[0], int.from_bytes(data[4:8], "big")
        said[kind] += data[8 : 8 + length]
        data = data[8 + length :]
    return said[1], said[2]


async def run_exec(engine, container, *command, stdin=None, tty=False):
    """Output and exit code of a command inside a container."""
    asked = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "Tty": tty,
             "AttachStdin": stdin is not None}  # fmt: skip
    made = await engine.request("POST", f"/containers/{container}/exec", json=asked)
    session = (await made.json())["Id"]
    stream = await engine.hijack(f"/exec/{session}/start", json={"Detach": False, "Tty": tty})
    if stdin is not None:
        await stream.write(stdin)
    if not tty:
        await stream.write_eof()
    output = await asyncio.wait_for(read_all(stream), 60)
    await stream.close()
    found = await (await engine.request("GET", f"/exec/{session}/json")).json()
    return output, found["ExitCode"]


async def until_state(engine, container, status):
    deadline = time.monotonic() + 60
    while (await engine.inspect(container))["State"]["Status"] != status:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_container_lives_in_the_namespace_it_is_given(engine, box, netns, served):
    mode = netns()
    container = await box(host={"NetworkMode": mode})
    assert await engine.start(container) is True
    assert await engine.start(container) is False
    pid = (await engine.inspect(container))["State"]["Pid"]
    inside = served.run("stat", "-Lc", "%i", f"/proc/{pid}/ns/net")
    assert inside == served.run("stat", "-Lc", "%i", mode.removeprefix("ns:"))


async def test_the_namespace_must_exist_when_the_container_is_created(box):
    with pytest.raises(Broken, match="network namespace path"):
        await box(host={"NetworkMode": "ns:/run/netns/absent"})


async def test_an_image_that_is_not_there(engine, netns):
    body = {"Image": "nosuch", "HostConfig": {"NetworkMode": netns()}}
    with pytest.raises(Missing, match=r"^No such image: nosuch:latest$"):
        await engine.create("x", body)
    with pytest.raises(Missing, match=r"^No such image: a/b:3$"):
        await engine.create("x", body | {"Image": "docker.io/a/b:3"})
    assert await engine.image("nosuch") is None


async def test_a_name_that_is_taken(box):
    first = await box(name="bbox1")
    with pytest.raises(Clash) as clash:
        await box(name="bbox1")
    assert str(clash.value) == (
        f'Conflict. The container name "/bbox1" is already in use by container "{first}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


async def test_containers_that_do_not_exist(engine):
    sentence = r"^No such container: nosuch$"
    for attempt in (engine.start, engine.stop, engine.kill, engine.inspect, engine.wait):
        with pytest.raises(Missing, match=sentence):
            await attempt("nosuch")
    with pytest.raises(Missing, match=sentence):
        await engine.remove("nosuch", force=True)


async def test_what_needs_a_running_container_and_what_a_stopped_one(engine, box):
    container = await box(name="idle")
    with pytest.raises(Clash, match="is not running"):
        await engine.kill("idle")
    made = await engine.request("POST", "/containers/idle/exec", json={"Cmd": ["true"]})
    assert (made.status, await made.json()) == (409, {"message": "container idle is not running"})
    assert await engine.stop(container) is False
    await engine.start(container)
    with pytest.raises(Clash, match='cannot remove container "idle": container is running'):
        await engine.remove("idle")
    await engine.remove("idle", force=True)
    assert await engine.containers() == []


async def test_a_command_that_does_not_exist(engine, box):
    container = await box("nosuchcmd")
    # The docker CLI makes exit code 127 from these words.
    with pytest.raises(Invalid, match="executable file not found"):
        await engine.start(container)


async def test_attach_before_start_gets_all_output_and_wait_the_code(engine, box):
    container = await box("sh", "-c", "echo out; echo err >&2; exit 7")
    asked = {"stream": "1", "stdout": "1", "stderr": "1"}
    waiting = await asyncio.wait_for(
        engine.request("POST", f"/containers/{container}/wait", params={"condition": "next-exit"}),
        60,
    )
    assert waiting.status == 200, "its head must come before the container has started"
    stream = await engine.hijack(f"/containers/{container}/attach", params=asked)
    await engine.start(container)
    output = await asyncio.wait_for(read_all(stream), 60)
    assert frames(output) == (b"out\n", b"err\n")
    assert (await waiting.json())["StatusCode"] == 7
    assert await engine.wait(container) == 7
    await stream.close()


async def test_attach_with_input_and_half_close(engine, box):
    container = await box("cat", AttachStdin=True, OpenStdin=True, StdinOnce=True)
    asked = {"stream": "1", "stdout": "1", "stdin": "1"}
    stream = await engine.hijack(f"/containers/{container}/attach", params=asked)
    await engine.start(container)
    await stream.write(b"one\n")
    await stream.write(b"two\n")
    await stream.write_eof()
    assert frames(await asyncio.wait_for(read_all(stream), 60))[0] == b"one\ntwo\n"
    assert await engine.wait(container) == 0
    await stream.close()


async def test_a_terminal_has_the_size_it_was_given(engine, box):
    container = await box("sh", Tty=True, AttachStdin=True, OpenStdin=True, StdinOnce=True)
    asked = {"stream": "1", "stdout": "1", "stdin": "1"}
    stream = await engine.hijack(f"/containers/{container}/attach", params=asked)
    await engine.start(container)
    size = {"h": "40", "w": "123"}
    await engine.request("POST", f"/containers/{container}/resize", params=size)
    await stream.write(b"stty size; exit 4\n")
    assert b"40 123" in await asyncio.wait_for(read_all(stream), 60)
    assert await engine.wait(container) == 4
    await stream.close()


async def test_execs(engine, box):
    container = await box()
    await engine.start(container)
    output, code = await run_exec(engine, container, "sh", "-c", "echo o; echo e >&2; exit 9")
    assert (frames(output), code) == ((b"o\n", b"e\n"), 9)
    much = b"skep" * 50_000
    output, code = await run_exec(engine, container, "cat", stdin=much)
    assert (frames(output)[0], code) == (much, 0)
    # Output goes on after our side has ended.
    output, code = await run_exec(engine, container, "sh", "-c", "sleep 0.3; echo late")
    assert (frames(output)[0], code) == (b"late\n", 0)
    output, code = await run_exec(engine, container, "nosuchcmd")
    assert b"executable file not found" in output
    assert code == 127
    output, code = await run_exec(engine, container, "sh", stdin=b"tty; exit 3\n", tty=True)
    assert b"/dev/pts/0" in output
    assert code == 3


async def test_files_that_are_bound_are_the_only_content(engine, box, served):
    directory = served.directory / "files"
    directory.mkdir(exist_ok=True)
    texts = {"hosts": "127.0.0.1 localhost\n10.0.0.5 me\n", "hostname": "me\n",
             "resolv.conf": "nameserver 127.0.0.11\noptions ndots:0\n"}  # fmt: skip
    for name, text in texts.items():
        (directory / name).write_text(text)
    binds = [f"{directory}/{name}:/etc/{name}" for name in texts]
    container = await box(host={"Binds": binds}, Hostname="me")
    await engine.start(container)
    for name, text in texts.items():
        output, _ = await run_exec(engine, container, "cat", f"/etc/{name}")
        assert frames(output)[0].decode() == text
    with (directory / "hosts").open("a") as hosts:
        hosts.write("10.0.0.6 late\n")
    output, _ = await run_exec(engine, container, "tail", "-n", "1", "/etc/hosts")
    assert frames(output)[0] == b"10.0.0.6 late\n"


async def test_what_passes_through(engine, box, served):
    container = await box(
        host={
            "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "7"},
            "CapAdd": ["NET_ADMIN"],
            "Mounts": [
                {"Type": "volume", "Source": "vol", "Target": "/v"},
                {"Type": "tmpfs", "Target": "/t"},
            ],
            "Memory": 64 << 20,
            "MemorySwappiness": -1,
            "ConsoleSize": [0, 0],
            "RestartPolicy": {"Name": "no"},
        },
        Labels={"a": "b", "empty": ""},
        Env=["X=1"],
        StopSignal="SIGINT",
        ExposedPorts={"80/tcp": {}},
    )
    await engine.start(container)
    shown = await engine.inspect(container)
    assert shown["Config"]["Labels"] == {"a": "b", "empty": ""}
    assert "X=1" in shown["Config"]["Env"]
    assert shown["Config"]["StopSignal"] == "2"
    assert shown["HostConfig"]["Memory"] == 64 << 20
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ip link set lo up && mount"
    output, code = await run_exec(engine, container, "sh", "-c", script)
    said = frames(output)[0].decode()
    assert code == 0, "NET_ADMIN was granted"
    assert said.startswith("7\n")
    assert " /v " in said
    assert "tmpfs on /t " in said


async def test_stopping_takes_the_time_it_was_created_with(engine, box):
    slow = "trap 'sleep 0.3; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    container = await box("sh", "-c", slow, StopTimeout=90)
    assert (await engine.inspect(container))["Config"]["StopTimeout"] == 90
    stream = await engine.hijack(
        f"/containers/{container}/attach", params={"stream": "1", "stdout": "1"}
    )
    await engine.start(container)
    assert b"ready" in await stream.read()
    assert await engine.stop(container) is True
    assert await engine.wait(container) == 3, "it was not killed before it had finished"
    await stream.close()


async def test_stopping_kills_after_the_timeout(engine, box):
    container = await box()
    await engine.start(container)
    assert await engine.stop(container, 0) is True
    assert await engine.wait(container) == 137


async def test_the_code_of_a_container_that_removes_itself(engine, box):
    container = await box("sh", "-c", "exit 3", host={"AutoRemove": True})
    path, asked = f"/containers/{container}/wait", {"condition": "removed"}
    waiting = await asyncio.wait_for(engine.request("POST", path, params=asked), 30)
    await engine.start(container)
    assert (await waiting.json())["StatusCode"] == 3
    with pytest.raises(Missing):
        await engine.inspect(container)
    late = await engine.request("POST", path, params=asked)
    assert (late.status, await late.json()) == (
        404, {"message": f"No such container: {container}"})  # fmt: skip


async def test_waiting_for_removal_of_one_that_has_ended(engine, box):
    container = await box("sh", "-c", "exit 5")
    await engine.start(container)
    await until_state(engine, container, "exited")
    path, asked = f"/containers/{container}/wait", {"condition": "removed"}
    waiting = await engine.request("POST", path, params=asked)
    await engine.remove(container)
    assert (await asyncio.wait_for(waiting.json(), 30))["StatusCode"] == 5


async def test_waiting_for_removal_of_one_that_never_began(engine, box):
    container = await box("true")
    path, asked = f"/containers/{container}/wait", {"condition": "removed"}
    waiting = await engine.request("POST", path, params=asked)
    reading = asyncio.ensure_future(waiting.json())
    await engine.remove(container)
    assert (await asyncio.wait_for(reading, 60))["StatusCode"] == 0


async def test_waiting_for_removal_of_one_that_could_not_begin(engine, box, monkeypatch):
    monkeypatch.setattr("skep.engine.waiting.LATE", 600)
    container = await box("nosuchcommand")
    path, asked = f"/containers/{container}/wait", {"condition": "removed"}
    reply = await engine.request("POST", path, params=asked)
    reading = asyncio.ensure_future(reply.json())
    with pytest.raises(Invalid, match="executable file not found"):
        await engine.start(container)
    await engine.remove(container)
    assert (await asyncio.wait_for(reading, 60))["StatusCode"] == 0


async def test_logs_are_followed_with_and_without_a_terminal(engine, box):
    for tty, expected in ((False, (b"a\nc\n", b"b\n")), (True, b"a\r\nb\r\nc\r\n")):
        container = await box("sh", "-c", "echo a; echo b >&2; sleep 0.3; echo c", Tty=tty)
        await engine.start(container)
        asked = {"stdout": "1", "stderr": "1", "follow": "1"}
        logs = await engine.request("GET", f"/containers/{container}/logs", params=asked)
        said = await asyncio.wait_for(logs.read(), 60)
        assert (said if tty else frames(said)) == expected


async def test_events_tell_a_life_and_its_code(engine, box):
    stream = engine.events()
    first = await asyncio.wait_for(anext(stream), 30)
    assert (first.action, first.id) == ("connected", "")
    container = await box("sh", "-c", "exit 6", name="mortal", Labels={"l": "1"})
    await engine.start(container)
    await engine.wait(container)
    await until_state(engine, container, "exited")
    await engine.remove(container)
    own = []
    while not own or own[-1].action != "remove":
        event = await asyncio.wait_for(anext(stream), 60)
        own += [event] if event.id == container else []
    await stream.aclose()
    assert [event.action for event in own] == [
        "create", "init", "start", "die", "cleanup", "remove"]  # fmt: skip
    died = own[3]
    assert died.exit_code == 6
    assert abs(died.time - time.time()) < 300
    assert died.attributes["name"] == "mortal"


async def test_health_is_probed_by_hand(engine, box):
    container = await box(Healthcheck={"Test": ["CMD-SHELL", "true"]})
    await engine.start(container)
    assert (await engine.inspect(container))["State"]["Health"]["Status"] == "starting"
    assert await engine.probe_health(container) == "healthy"


async def test_init_without_its_program_says_what_to_install(box, served):
    if served.run("sh", "-c", "ls /usr/libexec/podman/catatonit 2>/dev/null || true"):
        pytest.skip("catatonit is installed")
    with pytest.raises(Broken, match="apt-get install catatonit"):
        await box(host={"Init": True})


async def test_images_keep_their_full_names(engine):
    found = await engine.image("busybox:latest")
    assert found["RepoTags"] == ["docker.io/library/busybox:latest"]
    tagged = await engine.request("POST", "/images/busybox/tag", params={"repo": "own", "tag": "1"})
    assert tagged.status == 201
    listed = await (await engine.request("GET", "/images/json")).json()
    assert "docker.io/library/own:1" in [tag for image in listed for tag in image["RepoTags"]]
    gone = await engine.request("DELETE", "/images/own:1")
    assert await gone.json() == [{"Untagged": "docker.io/library/own:1"}]


async def test_pulling_is_refused_at_once(engine):
    began = time.monotonic()
    asked = {"fromImage": "docker.io/library/nosuch", "tag": "1"}
    reply = await engine.request("POST", "/images/create", params=asked)
    assert reply.status == 500
    assert "registry-1.docker.io" in (await reply.json())["message"]
    assert time.monotonic() - began < 20, "without a way out it is said at once"


async def test_a_broken_archive_is_refused(engine, tmp_path):
    archive = tmp_path / "broken.tar"
    archive.write_bytes(b"not a tar")
    with pytest.raises(Invalid, match="no archive of images"):
        await engine.load(archive)


async def test_lists_and_versions(engine, box):
    container = await box(name="listed")
    (listed,) = await engine.containers()
    assert (listed["Id"], listed["Names"], listed["State"]) == (container, ["/listed"], "created")
    assert json.dumps(await engine.version()).strip('"').startswith(("4.", "5."))
