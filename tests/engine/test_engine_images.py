"""The lab's images, as containers."""

import asyncio

import pytest

from skep.lab import images

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    return images.build(["nginx"], tmp_path_factory.mktemp("nginx"))["nginx"]


async def shell(engine, container, script):
    """Output (both streams) and exit code of a script."""
    asked = {"Cmd": ["sh", "-c", script], "AttachStdout": True, "AttachStderr": True, "Tty": True}
    made = await (await engine.request("POST", f"/containers/{container}/exec", json=asked)).json()
    stream = await engine.hijack(f"/exec/{made['Id']}/start", json={"Tty": True})
    said = b""
    while data := await asyncio.wait_for(stream.read(), 120):
        said += data
    await stream.close()
    found = await (await engine.request("GET", f"/exec/{made['Id']}/json")).json()
    return said.decode().replace("\r\n", "\n"), found["ExitCode"]


@pytest.fixture
async def web(engine, netns, nginx):
    if await engine.image("nginx") is None:
        await engine.load(nginx)
    host = {"NetworkMode": netns()}
    container = await engine.create("web", {"Image": "nginx", "HostConfig": host, "Hostname": "h7"})
    await engine.start(container)
    _, code = await shell(
        engine, container, "for i in $(seq 1000); do "
        "wget -q -O /dev/null http://127.0.0.1/ && exit 0; usleep 50000; done; exit 1",
    )  # fmt: skip
    assert code == 0, "nginx answers"
    return container


async def test_nginx_says_who_it_is_and_who_asks(engine, web):
    said = await shell(engine, web, "wget -qO- http://127.0.0.1/")
    assert said == ("<h1>Welcome to nginx!</h1> h7\n<p>client 127.0.0.1</p>\n", 0)
    said, code = await shell(engine, web, "wget -qO- http://127.0.0.1/absent")
    assert (code, "404" in said) == (1, True)
    found = await engine.image("nginx")
    assert found["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert found["Config"]["Cmd"] == ["nginx", "-g", "daemon off;"]


async def logs(engine, container, asked):
    return await (await engine.request("GET", f"/containers/{container}/logs", params=asked)).read()


async def test_nginx_logs_to_the_container_and_stops_gracefully(engine, web):
    await shell(engine, web, "wget -qO- http://127.0.0.1/")
    asked = {"stdout": "1", "stderr": "1", "tail": "1"}
    end = asyncio.get_running_loop().time() + 60
    # What a container says takes its way through conmon.
    while b'"GET / HTTP/1.1" 200' not in (said := await logs(engine, web, asked)):
        assert asyncio.get_running_loop().time() < end, said
        await asyncio.sleep(0.1)
    assert await engine.stop(web) is True
    assert await engine.wait(web) == 0


async def test_wget_takes_a_time_limit(engine, web):
    page = "http://127.0.0.1/"
    for limit in ("-T 60", "-T60", "--timeout=60", "--timeout 60"):
        said, code = await shell(engine, web, f"wget {limit} -q -O - {page}")
        assert (code, "</h1> h7" in said) == (0, True)
    said, code = await shell(
        engine, web, "sleep 60 2>/dev/null | nc -l -p 82 >/dev/null 2>&1 & "
        "until grep -q ':0052 .* 0A ' /proc/net/tcp /proc/net/tcp6; do usleep 50000; done; "
        "wget -q -T 1 -O- http://127.0.0.1:82/; code=$?; kill %1; exit $code",
    )  # fmt: skip
    assert (code, "download timed out" in said) == (1, True)


async def test_the_tools_people_look_around_with(engine, box):
    container = await box()
    await engine.start(container)
    for tool in ("ip", "nslookup", "ping", "wget", "nc", "traceroute", "telnet", "/usr/bin/env"):
        said, code = await shell(engine, container, f"type {tool}")
        assert code == 0, said
    assert (await shell(engine, container, "id -un; ls -d /tmp; whoami"))[1] == 0
