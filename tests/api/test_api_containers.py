"""Containers: the engine's answers with our networking, and what is passed on."""

import json

import aiohttp
import pytest
from test_api_networks import make as make_network
from test_api_networks import serve

from skep.api.filters import Filters
from skep.api.ports import Container
from skep.api.selection import Selection
from skep.api.shapes.endpoint import Networks, settings
from skep.model.errors import Invalid, Missing, Unavailable


async def make(client, name, image="busybox", *, start=False, **body):
    async with client.post(
        f"/containers/create?name={name}", json={"Image": image, **body}
    ) as reply:
        assert reply.status == 201, await reply.text()
        made = await reply.json()
    assert made["Warnings"] == []
    if start:
        async with client.post(f"/containers/{name}/start") as reply:
            assert reply.status == 204
    return made["Id"]


async def listed(client, query="all=1"):
    async with client.get(f"/containers/json?{query}") as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def inspected(client, name):
    async with client.get(f"/containers/{name}/json") as reply:
        assert reply.status == 200
        return await reply.json()


async def test_list(world, client):
    await make(client, "idle")
    await make(client, "web", "nginx", start=True)
    world.engine.create("f" * 64, "foreign", {"Image": "busybox"})
    running = await listed(client, "")
    assert [row["Names"] for row in running] == [["/web"]]
    (row,) = running
    assert row["Image"] == "nginx"
    assert row["ImageID"].startswith("sha256:")
    assert row["Ports"] == [{"PrivatePort": 80, "Type": "tcp"}]
    assert row["HostConfig"] == {"NetworkMode": "default"}
    bridge = row["NetworkSettings"]["Networks"]["bridge"]
    assert bridge["IPAddress"] == "172.17.0.3"
    assert [row["Names"][0] for row in await listed(client)] == ["/web", "/idle"]
    assert [row["Names"][0] for row in await listed(client, "limit=1")] == ["/web"]
    assert ("GET", "/containers/json", {"all": "1", "size": "1"}) not in world.engine.asked
    await listed(client, "size=1")
    assert ("GET", "/containers/json", {"all": "1", "size": "1"}) in world.engine.asked


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"name": ["we"]}, ["/web"]),
        ({"name": ["^/web$"]}, ["/web"]),
        ({"status": ["created"]}, ["/idle"]),
        ({"ancestor": ["nginx:latest"]}, ["/web"]),
        ({"ancestor": ["1111"]}, ["/web", "/idle"]),
        ({"network": ["bridge"]}, ["/web", "/idle"]),
        ({"network": ["b1" * 32]}, ["/web", "/idle"]),
        ({"network": ["other"]}, []),
        ({"before": ["web"]}, ["/idle"]),
        ({"since": ["idle"]}, ["/web"]),
        ({"is-task": ["true"]}, []),
        ({"is-task": ["false"]}, ["/web", "/idle"]),
        ({"label": ["k=v"]}, ["/idle"]),
        ({"expose": ["80/tcp"]}, ["/web"]),
        ({"publish": ["80"]}, []),
        ({"volume": ["/data"]}, []),
        ({"health": ["none"]}, ["/web", "/idle"]),
        ({"exited": ["0"]}, []),
    ],
)
async def test_filters(client, filters, names):
    await make(client, "idle", Labels={"k": "v"})
    await make(client, "web", "nginx", start=True)
    found = await listed(client, f"all=1&filters={json.dumps(filters)}")
    assert [row["Names"][0] for row in found] == names


def test_bad_filters():
    with pytest.raises(Invalid, match="invalid filter 'status=flying'"):
        Selection([], Filters({"status": ("flying",)}))
    with pytest.raises(Missing, match="No such container: x"):
        Selection([], Filters({"before": ("x",)}))


async def test_inspect(world, client):
    id = await make(client, "web", "nginx")
    created = await inspected(client, "web")
    assert created["State"]["Status"] == "created"
    assert created["NetworkSettings"]["SandboxKey"] == ""
    assert created["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""
    async with client.post("/containers/web/start") as reply:
        assert reply.status == 204
    shown = await inspected(client, id[:12])
    assert (shown["Id"], shown["Name"], shown["Config"]["Image"]) == (id, "/web", "nginx")
    assert shown["Image"] == "sha256:" + "11" * 32
    assert shown["HostConfig"]["NetworkMode"] == "default"
    assert shown["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert shown["HostConfig"]["Binds"] == ["/data:/data"]
    assert [mount["Destination"] for mount in shown["Mounts"]] == ["/data"]
    assert shown["HostsPath"] == "/var/lib/skep/hosts"
    assert "Health" not in shown["State"]
    assert shown["Config"]["StopSignal"] == "SIGTERM"
    assert shown["Config"]["ExposedPorts"] == {"80/tcp": {}}
    settings = shown["NetworkSettings"]
    sandbox = world.host.find(id).sandbox
    assert settings["SandboxID"] == sandbox.id
    assert settings["SandboxKey"] == f"/run/netns/{sandbox.id[:12]}"
    assert settings["Ports"] == {"80/tcp": None}
    assert settings["IPAddress"] == "172.17.0.2"
    assert settings["Networks"]["bridge"] == {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "02:42:ac:11:00:02",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": "b1" * 32,
        "EndpointID": "ee" * 32,
        "Gateway": "172.17.0.1",
        "IPAddress": "172.17.0.2",
        "IPPrefixLen": 16,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


async def test_a_task_shows_its_overlays_but_not_the_gateway(world, client):
    await world.swarm()
    await make_network(client, "n")
    await serve(client, "web", "n")
    world.host.enter_swarm(world.cluster.state())
    state = world.cluster.state()
    (task,) = state.tasks.values()
    id = world.host.run_task(task, state.networks)
    networks = (await inspected(client, id))["NetworkSettings"]["Networks"]
    assert list(networks) == ["n"]
    assert networks["n"]["IPAddress"] == task.attachments[0].address.partition("/")[0]
    assert networks["n"]["Gateway"] == ""
    assert networks["n"]["DNSNames"] == [task.name]
    assert networks["n"]["NetworkID"] == state.find_network("n").id
    (row,) = await listed(client, 'filters={"is-task":["true"]}')
    assert row["Names"] == [f"/{task.name}"]


def test_networks_asked_by_id_go_by_their_names():
    container = Container(
        id="c",
        name="c",
        image="i",
        network_mode="abc",
        networks=("abc",),
        aliases={"abc": ("al",)},
        addresses={"abc": "10.0.1.9"},
    )
    shown = settings(container, Networks((), {"abc": "back"}))["Networks"]
    assert list(shown) == ["back"]
    assert shown["back"]["Aliases"] == ["al"]
    assert shown["back"]["IPAMConfig"] == {"IPv4Address": "10.0.1.9"}
    assert shown["back"]["NetworkID"] == "abc"


@pytest.mark.parametrize(("mode", "names"), [("host", ["host"]), ("container:x", [])])
def test_networks_of_others(mode, names):
    container = Container(id="c", name="c", image="i", network_mode=mode)
    shown = settings(container, Networks((), {}))
    assert list(shown["Networks"]) == names
    assert (shown["SandboxID"], shown["SandboxKey"]) == ("", "")


async def test_life(world, client):
    await make(client, "c", start=True)
    for path, status in (
        ("start", 304),
        ("pause", 204),
        ("unpause", 204),
        ("stop?t=1", 204),
        ("stop", 304),
        ("restart?t=0", 204),
        ("kill?signal=HUP", 204),
    ):
        async with client.post(f"/containers/c/{path}") as reply:
            assert (path, reply.status) == (path, status)
    async with client.post("/containers/c/kill") as reply:
        assert reply.status == 409
    async with client.post("/containers/c/rename?name=d") as reply:
        assert reply.status == 204
    async with client.post("/containers/d/rename?name=c") as reply:
        assert reply.status == 204
    assert [told.action for told in world.events.told][-2:] == ["rename", "rename"]
    assert world.events.told[-1].attributes["oldName"] == "/d"
    async with client.post("/containers/c/update", json={"Memory": 1 << 30}) as reply:
        assert await reply.json() == {"Warnings": None}
    async with client.post("/containers/c/stop?t=soon") as reply:
        assert reply.status == 400
    async with client.delete("/containers/c?v=1") as reply:
        assert reply.status == 204
    assert await listed(client) == []


async def test_remove_by_force_only(client):
    await make(client, "c", start=True)
    async with client.delete("/containers/c") as reply:
        assert reply.status == 409
    async with client.delete("/containers/c?force=1") as reply:
        assert reply.status == 204


async def test_prune(world, client):
    old = await make(client, "old")
    await make(client, "kept", Labels={"keep": ""})
    await make(client, "up", start=True)
    async with client.post('/containers/prune?filters={"label!":["keep"]}') as reply:
        assert await reply.json() == {"ContainersDeleted": [old], "SpaceReclaimed": 5}
    assert [row["Names"][0] for row in await listed(client)] == ["/up", "/kept"]


async def test_passed_on(world, client):
    await make(client, "c", start=True)
    async with client.get("/containers/c/logs?stdout=1&tail=all") as reply:
        assert reply.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        assert (await reply.read())[8:] == b"a line\n"
    async with client.get("/v1.41/containers/c/logs?stdout=1") as reply:
        assert reply.headers["Content-Type"] == "application/vnd.docker.raw-stream"
    async with client.get("/containers/c/top") as reply:
        assert await reply.json() == {"Titles": ["PID"], "Processes": [["1"]]}
    async with client.get("/containers/c/stats?stream=0") as reply:
        assert await reply.json(content_type=None) == {
            "name": "/c",
            "read": "now",
            "networks": {"eth0": {"rx_bytes": 7, "tx_bytes": 9}},
        }
    async with client.head("/containers/c/archive?path=/etc") as reply:
        assert reply.headers["X-Docker-Container-Path-Stat"] == "e30="
    async with client.get("/containers/c/archive?path=/etc") as reply:
        assert reply.headers["Content-Type"] == "application/x-tar"
        assert await reply.read() == b"tar"
    async with client.put("/containers/c/archive?path=/", data=b"tar!") as reply:
        assert reply.status == 200
    assert world.engine.uploads == [b"tar!"]
    id = world.host.find("c").id
    assert ("GET", f"/containers/{id}/archive", {"path": "/etc"}) in world.engine.asked
    async with client.post("/containers/c/resize?h=24&w=80") as reply:
        assert reply.status == 200


async def test_an_exec_that_cannot_begin_says_so_on_its_stream_and_in_its_code(client):
    await make(client, "c", start=True)
    async with client.post("/containers/c/exec", json={"Cmd": ["unable"]}) as reply:
        made = (await reply.json())["Id"]
    async with client.post(f"/exec/{made}/start", json={}) as reply:
        said = await reply.read()
    assert (said[0], said[8:]) == (2, b"unable to find user nosuch\r\n")
    async with client.get(f"/exec/{made}/json") as reply:
        assert (await reply.json())["ExitCode"] == 126


async def test_processes_of_what_does_not_run_are_not_listed(client):
    id = await make(client, "c")
    async with client.get("/containers/c/top") as reply:
        assert (reply.status, (await reply.json())["message"]) == (
            409, f"Container {id} is not running")  # fmt: skip


async def test_exec_needs_a_command(client):
    await make(client, "c", start=True)
    async with client.post("/containers/c/exec", json={}) as reply:
        assert (await reply.json())["message"] == "No exec command specified"


async def test_the_engine_is_away(world, client):
    await make(client, "c")
    world.engine.broken = Unavailable("Cannot reach the container engine: gone")
    async with client.get("/containers/json") as reply:
        assert reply.status == 503
        assert await reply.json() == {"message": "Cannot reach the container engine: gone"}
    async with client.get("/info") as reply:
        info = await reply.json()
    assert info["Warnings"] == ["WARNING: Cannot reach the container engine: gone"]


async def test_an_answer_broken_off_is_not_taken_for_a_whole_one(world, client):
    await make(client, "c", start=True)

    async def broken(process):
        yield b'{"Status'
        raise Unavailable("the engine went away")

    world.engine._wait = broken
    reply = await client.post("/containers/c/wait")
    with pytest.raises(aiohttp.ClientPayloadError):
        await reply.read()
