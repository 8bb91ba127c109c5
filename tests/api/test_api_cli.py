"""The real docker CLI against the API: what it prints and how it exits."""

import asyncio
import re
import shutil
import time

import msgspec
import pytest
from api_host import NODE1
from api_world import CA, INACTIVE, TOKENS, WORKER, happened, until, words

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI")

DAEMON = "Error response from daemon: "


async def test_before_a_swarm(world):
    out = await world.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")
    assert out == "bridge bridge local\nhost host local\nnone null local\n"
    assert words(await world.docker("ps")) == [
        "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES"
    ]
    for command in (["node", "ls"], ["service", "ls"]):
        assert await world.docker(*command, code=1) == f"{DAEMON}{INACTIVE}\n"
    refused = await world.docker("network", "create", "--driver", "overlay", "x", code=1)
    assert refused == f"{DAEMON}{INACTIVE}\n"
    refused = await world.docker("swarm", "leave", code=1)
    assert refused == f"{DAEMON}This node is not part of a swarm\n"
    refused = await world.docker("network", "inspect", "nosuch", code=1)
    assert refused == f"{DAEMON}network nosuch not found\n"


async def test_version_and_info(world):
    assert await world.docker("version", "--format", "{{.Server.APIVersion}}") == "1.50\n"
    out = await world.docker("version")
    assert "Podman Engine" in out
    out = await world.docker("info")
    assert " Server Version: 0.1.0\n" in out
    assert " Swarm: inactive\n" in out
    assert "  Network: bridge host null overlay ipvlan macvlan\n" in out
    await world.swarm()
    assert await world.docker("info", "-f", "{{.Swarm.NodeID}}") == f"{NODE1}\n"
    out = await world.docker("info")
    assert " Swarm: active\n" in out
    assert "  Is Manager: true\n" in out
    assert await world.docker("system", "df")


async def test_swarm_commands(world):
    out = await world.docker(
        "swarm", "init", "--advertise-addr=192.168.90.11", "--listen-addr=192.168.90.11:2377"
    )
    assert f"Swarm initialized: current node ({NODE1}) is now a manager" in out
    assert f"docker swarm join --token {TOKENS.worker} 192.168.90.11:2377" in out
    out = await world.docker("swarm", "join-token", "worker")
    assert f"docker swarm join --token {TOKENS.worker} 192.168.90.11:2377" in out
    assert await world.docker("swarm", "join-token", "-q", "manager") == f"{TOKENS.manager}\n"
    assert "This node is already part of a swarm" in await world.docker("swarm", "init", code=1)
    assert (await world.docker("swarm", "ca")).strip() == CA.strip()
    await world.docker("swarm", "update", "--task-history-limit", "3")
    await world.docker("swarm", "update", "--dispatcher-heartbeat", "7s", "--cert-expiry", "48h")
    cluster = world.cluster.state().cluster
    assert (cluster.task_history, cluster.heartbeat, cluster.certificate_days) == (3, 7.0, 2)
    await world.docker("swarm", "join-token", "--rotate", "worker")
    assert world.cluster.state().cluster.tokens.worker != "w"
    refused = await world.docker("swarm", "update", "--autolock=true", code=1)
    assert "--autolock" in refused
    assert "swarm is not locked" in await world.docker("swarm", "unlock", code=1)
    assert "no unlock key is set" in await world.docker("swarm", "unlock-key", code=1)
    assert "participating as a manager" in await world.docker("swarm", "leave", code=1)
    assert await world.docker("swarm", "leave", "--force") == "Node left the swarm.\n"
    refused = await world.docker("swarm", "join", "--token", "SWMTKN-1-bad", "1.2.3.4:2377", code=1)
    assert refused == f"{DAEMON}invalid join token\n"


async def test_on_a_worker(world):
    out = await world.docker("swarm", "join", "--token", TOKENS.worker, "192.168.90.11:2377")
    assert out == "This node joined a swarm as a worker.\n"
    assert await world.docker("node", "ls", code=1) == f"{DAEMON}{WORKER}\n"
    assert await world.docker("swarm", "leave") == "Node left the swarm.\n"


async def test_nodes(world):
    await world.swarm()
    await world.cluster.add_worker()
    form = "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}"
    out = await world.docker("node", "ls", "--format", form)
    assert words(out) == ["node1 Ready Active Leader", "node2 Ready Active"]
    out = await world.docker("node", "ls", "--filter", "role=worker", "--format", "{{.Hostname}}")
    assert out == "node2\n"
    out = await world.docker("node", "inspect", "--pretty", "self")
    assert re.search(r"Hostname:\s+node1\n", out)
    assert "Leader:\t\tYes" in out
    await world.docker("node", "update", "--label-add", "zone=a", "node2")
    await world.docker("node", "update", "--availability", "drain", "node2")
    out = await world.docker("node", "inspect", "-f", "{{.Spec.Availability}} {{.Spec.Labels}}",
                             "node2")  # fmt: skip
    assert out == "drain map[zone:a]\n"
    assert words(await world.docker("node", "ps"))[0].startswith("ID NAME IMAGE NODE")
    refused = await world.docker("node", "promote", "node2", code=1)
    assert "a second manager needs a store that several managers share" in refused
    refused = await world.docker("node", "demote", "node1", code=1)
    assert "attempting to demote the last manager of the swarm" in refused
    refused = await world.docker("node", "rm", "node1", code=1)
    assert "is a cluster manager and is a member of the raft cluster. It must be demoted" in refused
    refused = await world.docker("node", "rm", "node2", code=1)
    assert refused.endswith("is not down and can't be removed\n")
    assert await world.docker("node", "rm", "--force", "node2") == "node2\n"
    assert "node nosuch not found" in await world.docker("node", "ps", "nosuch", code=1)


async def test_networks(world):
    await world.swarm()
    id = await world.docker(
        "network", "create", "-d", "overlay", "--subnet", "192.168.10.0/24", "my-network"
    )
    assert re.fullmatch(r"[0-9a-z]{25}\n", id)
    form = "{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}"
    out = await world.docker("network", "ls", "-f", "name=my-network", "--format", form)
    assert out == f"{id[:12]} my-network overlay swarm\n"
    out = await world.docker("network", "inspect", "-f", "{{.IPAM.Config}}", "my-network")
    assert re.fullmatch(r"\[\{192\.168\.10\.0/24 +192\.168\.10\.1 map\[\]\}\]\n", out)
    form = '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}'
    assert await world.docker("network", "inspect", "-f", form, "my-network") == "4097\n"
    refused = await world.docker("network", "create", "-d", "overlay", "my-network", code=1)
    assert refused == f"{DAEMON}network with name my-network already exists\n"
    refused = await world.docker("network", "rm", "bridge", code=1)
    assert f"{DAEMON}bridge is a pre-defined network and cannot be removed" in refused
    assert re.fullmatch(r"[0-9a-f]{64}\n", await world.docker("network", "create", "br1"))
    refused = await world.docker("network", "connect", "bridge", "c", code=1)
    assert "No such container: c" in refused
    await world.docker("network", "rm", "br1")
    await world.docker("network", "create", "-d", "overlay", "gone")
    assert "gone" in await world.docker("network", "prune", "-f", "--filter", "label!=x")
    assert "network nosuch not found" in await world.docker("network", "rm", "nosuch", code=1)


async def test_services(world):
    await world.swarm()
    await world.cluster.add_worker()
    await world.docker("network", "create", "-d", "overlay", "my-network")
    id, warning, code = await world.try_docker(
        "service", "create", "--detach", "--replicas", "2", "--name", "web", "--network",
        "my-network", "--publish", "80:80", "nginx",
    )  # fmt: skip
    assert code == 0, warning
    assert re.fullmatch(r"[0-9a-z]{25}\n", id)
    assert "could not be accessed on a registry" in warning
    header, line = words(await world.docker("service", "ls"))
    assert header == "ID NAME MODE REPLICAS IMAGE PORTS"
    assert line == f"{id[:12]} web replicated 2/2 nginx:latest *:80->80/tcp"
    form = "{{.Name}} {{.Image}} {{.Node}} {{.DesiredState}} {{.CurrentState}}"
    lines = words(await world.docker("service", "ps", "web", "--format", form))
    assert {re.sub(r" less than.*| \d+ .*", "", line) for line in lines} == {
        "web.1 nginx:latest node1 Running Running",
        "web.2 nginx:latest node2 Running Running",
    }
    out = await world.docker("service", "inspect", "-f", "{{.Endpoint.VirtualIPs}}", "web")
    assert re.fullmatch(r"\[\{\w{25} 10\.0\.0\.\d+/24\} \{\w{25} 10\.0\.1\.\d+/24\}\]\n", out)
    out = await world.docker("service", "inspect", "--pretty", "web")
    assert re.search(r"Networks:\s+my-network", out)
    assert "PublishedPort = 80" in out
    refused = await world.docker("service", "create", "--detach", "--name", "web", "nginx", code=1)
    assert "name conflicts with an existing object: service web already exists" in refused
    refused = await world.docker("service", "inspect", "nosuch", code=1)
    assert "no such service: nosuch" in refused
    assert await world.docker("service", "ps", "nosuch", code=1) == "no such service: nosuch\n"
    assert await world.docker("service", "rm", "web") == "web\n"


async def test_services_that_wait_for_convergence(world):
    await world.swarm()
    out = await world.docker("service", "create", "--name", "web", "--replicas", "2", "nginx")
    assert "verify: Service" in out
    assert "converged" in out
    out = await world.docker("service", "scale", "web=3")
    assert "web scaled to 3" in out
    assert "converged" in out
    await world.docker("service", "update", "--detach", "--publish-add", "8090:80", "web")
    assert await world.docker("service", "ls", "--format", "{{.Ports}}") == "*:8090->80/tcp\n"
    await world.docker("service", "rollback", "--detach", "web")
    assert await world.docker("service", "ls", "--format", "{{.Ports}}") == "\n"


async def test_stacks(world, tmp_path):
    await world.swarm()
    (tmp_path / "stack.yml").write_text(
        'version: "3.8"\nservices:\n  app:\n    image: nginx\n    networks: [back]\n'
        "    ports: ['8000:80']\nnetworks:\n  back: {}\n"
    )
    await world.docker("stack", "deploy", "-c", str(tmp_path / "stack.yml"), "--detach", "st")
    assert words(await world.docker("stack", "ls"))[1] == "st 1"
    assert words(await world.docker("stack", "services", "st", "--format", "{{.Name}}")) == [
        "st_app"
    ]
    assert "st_app.1" in await world.docker("stack", "ps", "st")
    await world.docker("stack", "rm", "st")
    assert words(await world.docker("stack", "ls")) == ["NAME SERVICES"]


async def test_run_and_look(world):
    id = await world.docker("run", "-itd", "--name", "bbox1", "busybox")
    assert re.fullmatch(r"[0-9a-f]{64}\n", id)
    form = "{{.Image}} {{.Names}} {{.Status}}"
    assert await world.docker("ps", "--format", form) == "busybox bbox1 Up 3 seconds\n"
    await world.docker("run", "-d", "--name", "web", "nginx")
    out = await world.docker("ps", "--filter", "name=web", "--format", "{{.Ports}}")
    assert out == "80/tcp\n"
    form = "{{.NetworkSettings.SandboxKey}}"
    assert re.fullmatch(
        r"/run/netns/[0-9a-f]{12}\n", await world.docker("inspect", "-f", form, "bbox1")
    )
    form = "{{.NetworkSettings.Networks.bridge.IPAddress}}"
    assert await world.docker("inspect", "-f", form, "bbox1") == "172.17.0.2\n"
    assert await world.docker("port", "web") == ""
    assert "PID" in await world.docker("top", "bbox1")
    refused = await world.docker("run", "-d", "--name", "bbox1", "busybox", code=125)
    assert 'Conflict. The container name "/bbox1" is already in use' in refused
    refused = await world.docker("run", "--rm", "nosuchimage:1", code=125)
    assert "no registry access" in refused
    assert "No such container: nosuch" in await world.docker("exec", "nosuch", "ls", code=1)
    assert "No such object: nosuch" in await world.docker("inspect", "nosuch", code=1)
    for command in (["stop", "-t", "1", "web"], ["start", "web"], ["restart", "-t", "0", "web"],
                    ["kill", "web"], ["rm", "web"], ["rm", "-f", "bbox1"]):  # fmt: skip
        assert await world.docker(*command) == f"{command[-1]}\n"
    assert "No such container: nosuch" in await world.docker("rm", "nosuch", code=1)


async def test_run_in_the_foreground(world):
    assert await world.docker("run", "--name", "a", "busybox", "echo", "hello") == "hello\n"
    out, err, code = await world.try_docker("run", "--name", "b", "busybox", "fail", "7")
    assert (out, err, code) == ("out\n", "err\n", 7)
    out = await world.docker("run", "-i", "--name", "c", "busybox", "cat", stdin=b"some input\n")
    assert out == "some input\nend of input\n"
    assert await world.docker("wait", "b") == "7\n"
    assert await world.docker("logs", "b") == "a line\n"
    assert "Total reclaimed space: 15B" in await world.docker("container", "prune", "-f")


async def test_exec(world):
    await world.docker("run", "-d", "--name", "c", "busybox")
    assert await world.docker("exec", "c", "echo", "hi") == "hi\n"
    assert (await world.try_docker("exec", "c", "fail", "3"))[2] == 3
    out = await world.docker("exec", "-i", "c", "cat", stdin=b"x" * 200_000)
    assert out == "x" * 200_000 + "end of input\n"
    await world.docker("exec", "-d", "c", "sleep", "1")


async def test_images_and_volumes(world, tmp_path):
    form = "{{.Repository}}:{{.Tag}}"
    out = await world.docker("images", "--format", form)
    assert sorted(words(out)) == ["busybox:latest", "nginx:latest"]
    (tmp_path / "image.tar").write_bytes(b"tar")
    out = await world.docker("load", "-i", str(tmp_path / "image.tar"))
    assert out == "Loaded image: busybox:latest\n"
    assert "no registry access" in await world.docker("pull", "busybox", code=1)
    refused = await world.docker("image", "inspect", "nosuch", code=1)
    assert "No such image: nosuch:latest" in refused
    assert words(await world.docker("volume", "ls")) == ["DRIVER VOLUME NAME"]
    assert await world.docker("volume", "create", "v9") == "v9\n"
    assert words(await world.docker("plugin", "ls")) == ["ID NAME DESCRIPTION ENABLED"]


async def test_events(world):
    world.events.kept = [
        happened("create", kind="network", id="n" * 25, at=time.time() - 9, name="n")
    ]
    out = await world.docker("events", "--since", "1h", "--until", "0s", "--filter", "type=network")
    assert " network create " + "n" * 25 + " (name=n)\n" in out


async def test_events_of_a_swarm(world):
    await world.swarm()
    await world.cluster.add_worker()
    async with world.begin_docker(
        "events", "--filter", "type=node", "--filter", "type=service",
        "--format", "{{.Type}} {{.Action}} {{json .Actor.Attributes}}",
    ) as docker:  # fmt: skip
        await until(lambda: world.events.listening == 1)
        await world.docker("service", "create", "--detach", "--name", "web", "nginx")
        await world.docker("network", "create", "-d", "overlay", "net")
        await world.docker("service", "scale", "--detach", "web=2")
        await world.docker("node", "update", "--availability", "drain", "node2")
        await world.docker("service", "rm", "web")
        lines, wanted = [], [
            'service create {"name":"web"}',
            'service update {"name":"web","replicas.new":"2","replicas.old":"1"}',
            'node update {"availability.new":"drain","availability.old":"active","name":"node2"}',
            'service remove {"name":"web"}',
        ]  # fmt: skip
        while lines[-1:] != wanted[-1:]:
            line = await asyncio.wait_for(docker.stdout.readline(), 60)
            lines.append(line.decode().strip())
    assert [line for line in lines if line in wanted] == wanted
    assert not [line for line in lines if line.startswith("network")]


async def test_events_of_one_object(world):
    now = time.time()
    world.events.kept = [
        happened("create", kind=kind, id=f"{kind}-id", at=now - 5, name=f"{kind}1")
        for kind in ("service", "node", "secret", "config", "network")
    ]
    for kind in ("service", "node", "secret", "config", "network"):
        for wanted in (f"{kind}1", f"{kind}-i"):
            only = ("--filter", f"{kind}={wanted}", "--format", "{{.Type}} {{.Actor.ID}}")
            out = await world.docker("events", "--since", "1h", "--until", "0s", *only)
            assert out == f"{kind} {kind}-id\n"


async def test_interfaces_and_what_a_swarm_has_not(world):
    await world.docker("swarm", "init", "--advertise-addr", "eth0", "--data-path-addr", "eth1",
                       "--listen-addr", "eth0:2400")  # fmt: skip
    (request,) = world.cluster.requests
    assert (request.advertise_address, request.data_path_address) == ("eth0", "eth1")
    assert request.listen_address == "eth0:2400"
    for command, sentence in (
        (("swarm", "ca", "--rotate"), "rotating the CA is not supported"),
        (("swarm", "update", "--autolock"), "locking managers (--autolock) is not supported"),
        (("swarm", "update", "--snapshot-interval", "5"), "a swarm of Skep has no Raft"),
        (("swarm", "update", "--max-snapshots", "5"), "a swarm of Skep has no Raft"),
        (("swarm", "update", "--external-ca", "protocol=cfssl,url=https://x"), "external CAs"),
        (("swarm", "unlock-key", "--rotate"), "cannot rotate because autolock is not turned on"),
    ):
        assert sentence in await world.docker(*command, code=1), command
    await world.docker("swarm", "update", "--task-history-limit", "7")


async def test_health(world):
    for name, health in (("a", ""), ("b", "starting"), ("c", "healthy"), ("d", "unhealthy")):
        id = (await world.docker("run", "-d", "--name", name, "busybox")).strip()
        record = world.host.records[id]
        world.host.records[id] = msgspec.structs.replace(record, health=health)
    out = await world.docker("ps", "--format", "{{.Names}} {{.Status}}")
    assert sorted(words(out)) == [
        "a Up 3 seconds",
        "b Up 3 seconds (health: starting)",
        "c Up 3 seconds (healthy)",
        "d Up 3 seconds (unhealthy)",
    ]
    for wanted, name in (("none", "a"), ("starting", "b"), ("healthy", "c"), ("unhealthy", "d")):
        out = await world.docker("ps", "--filter", f"health={wanted}", "--format", "{{.Names}}")
        assert out == f"{name}\n"
    assert await world.docker("inspect", "-f", "{{.State.Health.Status}}", "d") == "unhealthy\n"
    assert await world.docker("inspect", "-f", "{{.State.Health}}", "a") == "<nil>\n"


async def test_many_at_once(world):
    await world.docker("run", "-d", "--name", "c", "busybox")
    found = await asyncio.gather(*(world.docker("exec", "c", "echo", str(n)) for n in range(4)))
    assert found == [f"{n}\n" for n in range(4)]
