"""Stacks: ``docker stack`` with a compose file, the errors on its way included."""

import asyncio
import json
import re
import shutil

import pytest
from api_world import words

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI")

COMPOSE = """
version: "3.8"
services:
  app:
    image: nginx
    networks: [front, back]
    ports: ["8000:80"]
    secrets:
      - source: app_sec
        target: key
        mode: 0400
        uid: "7"
    configs:
      - source: app_cfg
        target: /etc/app.cfg
    deploy:
      replicas: 2
      labels: {tier: web}
      update_config: {parallelism: 2, order: start-first, monitor: 200ms}
  worker:
    image: busybox
    command: sleep infinity
    networks:
      back:
        aliases: [bee]
    volumes: ["data:/data"]
    deploy:
      mode: global
      endpoint_mode: dnsrr
      placement:
        constraints: ["node.platform.os == linux"]
networks:
  front: {}
  back:
    driver: overlay
    attachable: true
    ipam: {config: [{subnet: 10.44.0.0/24}]}
volumes: {data: {}}
secrets:
  app_sec: {file: ./secret.txt}
configs:
  app_cfg: {file: ./config.txt}
"""


@pytest.fixture
async def compose(world, tmp_path):
    await world.swarm()
    await world.cluster.add_worker()
    (tmp_path / "secret.txt").write_text("s3cret\n")
    (tmp_path / "config.txt").write_text("hello\n")
    file = tmp_path / "stack.yml"
    file.write_text(COMPOSE)
    return file


async def inspect(world, kind, name):
    return json.loads(await world.docker(kind, "inspect", name))[0]


async def test_deploy(world, compose):
    out = await world.docker("stack", "deploy", "-c", str(compose), "--detach", "st")
    assert sorted(words(out)) == [
        "Creating config st_app_cfg",
        "Creating network st_back",
        "Creating network st_front",
        "Creating secret st_app_sec",
        "Creating service st_app",
        "Creating service st_worker",
    ]
    assert words(await world.docker("stack", "ls")) == ["NAME SERVICES", "st 2"]
    form = "{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}} {{.Ports}}"
    out = await world.docker("stack", "services", "st", "--format", form)
    assert sorted(words(out)) == [
        "st_app replicated 2/2 nginx:latest *:8000->80/tcp",
        "st_worker global 2/2 busybox:latest",
    ]
    out = await world.docker("stack", "ps", "st", "--format", "{{.Name}} {{.CurrentState}}")
    names = sorted(re.sub(r"\.\w{25}", "", line).split(" ")[0] for line in words(out))
    assert names == ["st_app.1", "st_app.2", "st_worker", "st_worker"]
    container = (await inspect(world, "service", "st_app"))["Spec"]["TaskTemplate"]["ContainerSpec"]
    (secret,), (config,) = container["Secrets"], container["Configs"]
    assert secret["File"] == {"Name": "key", "UID": "7", "GID": "0", "Mode": 0o400}
    assert config["File"] == {"Name": "/etc/app.cfg", "UID": "0", "GID": "0", "Mode": 0o444}
    assert world.cluster.state().find_secret("st_app_sec").spec.data == b"s3cret\n"
    network = await inspect(world, "network", "st_back")
    assert network["IPAM"]["Config"][0]["Subnet"] == "10.44.0.0/24"
    assert network["Attachable"] is True
    assert network["Labels"] == {"com.docker.stack.namespace": "st"}


async def test_deploying_again_changes_what_changed(world, compose):
    deploy = ("stack", "deploy", "-c", str(compose), "--detach", "st")
    await world.docker(*deploy)
    before = {task.id for task in world.cluster.running("st_app")}
    out = await world.docker(*deploy)
    assert "Updating service st_app (id: " in out
    assert {task.id for task in world.cluster.running("st_app")} == before, "nothing changed"
    compose.write_text(COMPOSE.replace("image: nginx", "image: nginx:2"))
    await world.docker(*deploy)
    form = "{{.Name}} {{.Image}}"
    out = await world.docker("stack", "services", "st", "--format", form)
    assert sorted(words(out)) == ["st_app nginx:2", "st_worker busybox:latest"]
    assert not before & {task.id for task in world.cluster.running("st_app")}
    compose.write_text(COMPOSE.replace("  worker:\n", "  other:\n"))
    out = await world.docker("stack", "deploy", "-c", str(compose), "--prune", "--detach", "st")
    assert "Removing service st_worker" in out
    out = await world.docker("stack", "services", "-q", "st")
    assert len(words(out)) == 2


async def test_a_secret_s_value_cannot_be_changed(world, compose):
    deploy = ("stack", "deploy", "-c", str(compose), "--detach", "st")
    await world.docker(*deploy)
    (compose.parent / "secret.txt").write_text("other\n")
    refused = await world.docker(*deploy, code=1)
    assert "failed to update secret st_app_sec" in refused
    assert "only updates to Labels are allowed" in refused


async def test_waiting_for_it(world, compose):
    out = await world.docker("stack", "deploy", "-c", str(compose), "--detach=false", "st")
    assert out.count("converged") == 2


async def test_remove(world, compose):
    await world.docker("stack", "deploy", "-c", str(compose), "--detach", "st")
    out = await world.docker("stack", "rm", "--detach=false", "st")
    assert sorted(words(out)) == [
        "Removing config st_app_cfg",
        "Removing network st_back",
        "Removing network st_front",
        "Removing secret st_app_sec",
        "Removing service st_app",
        "Removing service st_worker",
    ]
    state = world.cluster.state()
    assert not (state.services or state.secrets or state.configs or state.tasks)
    assert [network.spec.name for network in state.networks.values()] == ["ingress"]
    assert words(await world.docker("stack", "ls")) == ["NAME SERVICES"]
    _, complaint, code = await world.try_docker("stack", "rm", "nosuch")
    assert (complaint.strip(), code) == ("Nothing found in stack: nosuch", 0)
    refused = await world.docker("stack", "ps", "nosuch", code=1)
    assert refused == "nothing found in stack: nosuch\n"


async def test_config(world, compose):
    out = await world.docker("stack", "config", "-c", str(compose))
    assert "image: nginx" in out


async def test_what_compose_asks_for_and_is_not_there(world, compose):
    compose.write_text(COMPOSE.replace("  front: {}", "  front: {external: true}"))
    refused = await world.docker("stack", "deploy", "-c", str(compose), "--detach", "st", code=1)
    assert 'network "front" is declared as external, but could not be found' in refused
    compose.write_text(COMPOSE.replace("  front: {}", "  front: {driver: weave}"))
    refused = await world.docker("stack", "deploy", "-c", str(compose), "--detach", "st", code=1)
    assert "failed to create network st_front" in refused
    assert "weave" in refused


async def test_events(world, compose):
    events = []

    async def listen():
        async for event in world.events.subscribe(None):
            events.append((event.kind, event.action, event.attributes["name"]))

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await world.docker("stack", "deploy", "-c", str(compose), "--detach", "st")
    await world.docker("stack", "rm", "st")
    listening.cancel()
    for kind, name in (("network", "st_back"), ("secret", "st_app_sec"), ("config", "st_app_cfg"),
                       ("service", "st_app")):  # fmt: skip
        for action in ("create", "remove"):
            assert (kind, action, name) in events
