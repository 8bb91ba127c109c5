"""Compose files of every version: what ``skep stack config`` prints and ``skep stack deploy`` asks
is what docker's client prints and asks."""

import json
import shutil
from pathlib import Path

import pytest
from fake_api import Answer, FakeApi, differences, essence, refuse

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI")

FILES = Path(__file__).with_name("compose")
VERSIONS = sorted(path.name for path in FILES.glob("v3*.yml") if "-over" not in path.name)
ENVIRONMENT = {"FROMENV": "from the environment", "TAG": "1.36"}

WRONG = {
    "unknown member": "services: {a: {image: busybox, frob: 1}}",
    "version 2": "version: '2.4'\nservices: {a: {image: busybox}}",
    "version 3.14": "version: '3.14'\nservices: {a: {image: busybox}}",
    "network": "version: '3.8'\nservices: {a: {image: busybox, networks: [none]}}",
    "volume": "version: '3.8'\nservices: {a: {image: busybox, volumes: ['none:/x']}}",
    "port": "version: '3.8'\nservices: {a: {image: busybox, ports: ['x:y']}}",
    "number": "version: '3.8'\nservices: {a: {image: busybox, deploy: {replicas: many}}}",
    "image": "version: '3.8'\nservices: {a: {image: 'UPPER:x y'}}",
    "no image": "version: '3.8'\nservices: {a: {deploy: {replicas: 1}}}",
    "required": "services: {a: {image: '${REQUIRED:?must be set}'}}",
    "privileged by version": "version: '3.0'\nservices: {a: {image: b, configs: [x]}}",
    "env file": "version: '3.8'\nservices: {a: {image: busybox, env_file: none.env}}",
}


@pytest.fixture
def api(tmp_path):
    server = FakeApi(tmp_path / "api")
    server.answers = {
        "GET /info": {"Swarm": {"ControlAvailable": True, "LocalNodeState": "active"}},
        "GET /networks": [],
        "GET /networks/*": {"Id": "n" * 25, "Name": "net", "Scope": "swarm", "Driver": "overlay"},
        "GET /services": [],
        "GET /secrets": named,
        "GET /configs": named,
        "GET /secrets/*": refuse(404, "not found"),
        "GET /configs/*": refuse(404, "not found"),
        "GET /distribution/*": refuse(404, "no registry"),
        **{f"POST /{noun}s/create": Answer(201, {"ID": noun[0] * 25, "Id": noun[0] * 25})
           for noun in ("network", "secret", "config", "service")},
    }  # fmt: skip
    yield server
    server.close()


def named(handler, asked):
    """A list of just what was asked for by name."""
    names = json.loads(asked.query.get("filters", "{}")).get("name", {})
    found = [{"ID": f"{name}-id", "Spec": {"Name": name}} for name in names]
    handler._send(Answer(body=found))


def alike(api, *words):
    docker, skep = api.docker(*words, **ENVIRONMENT), api.skep(*words, **ENVIRONMENT)
    assert (skep.code, skep.output) == (docker.code, docker.output.replace("docker ", "skep "))
    return docker, skep


@pytest.mark.parametrize("name", VERSIONS)
def test_a_file_means_the_same(api, name):
    docker, _ = alike(api, "stack", "config", "-c", str(FILES / name))
    assert docker.code == 0
    assert "services:" in docker.output


@pytest.mark.parametrize("name", VERSIONS)
def test_deploying_it_asks_for_the_same(api, name):
    words = ("stack", "deploy", "--detach=true", "-c", str(FILES / name), "st")
    asked = []
    for done in (api.docker(*words, **ENVIRONMENT), api.skep(*words, **ENVIRONMENT)):
        assert done.code == 0, done.complaints
        # Go's client takes networks and services as its maps give them.
        asked.append(sorted(map(list, done.bodies()), key=str))
    docker, skep = ([[essence(part) for part in each] for each in bodies] for bodies in asked)
    assert docker
    # docker's client reads this member and then forgets it.
    [body["TaskTemplate"]["ContainerSpec"].pop("OomScoreAdj", 0)
     for path, _, body in skep if "services" in path]  # fmt: skip
    assert differences(docker, skep) == []


def test_several_files_are_one(api):
    both = [word for name in ("v3.4.yml", "v3.4-over.yml") for word in ("-c", str(FILES / name))]
    docker, _ = alike(api, "stack", "config", *both)
    for words in ("replicas: 4", "three:", 'C: "9"'):
        assert words in docker.output


def test_variables_may_be_left(api):
    path = str(FILES / "v3.5.yml")
    docker, _ = alike(api, "stack", "config", "--skip-interpolation", "-c", path)
    assert "${TAG:-latest}" in docker.output


def test_a_file_may_come_from_the_standard_input(api):
    text = (FILES / "v3.4.yml").read_text()
    docker, skep = (client("stack", "config", "-c", "-", stdin=text)
                    for client in (api.docker, api.skep))  # fmt: skip
    assert docker.code == 0
    assert skep.output == docker.output


@pytest.mark.parametrize("why", WRONG)
def test_what_makes_no_sense_is_refused_alike(api, tmp_path, why):
    path = tmp_path / "wrong.yml"
    path.write_text(WRONG[why])
    words = ("stack", "deploy", "--detach=true", "-c", str(path), "st")
    docker, skep = api.docker(*words), api.skep(*words)
    assert docker.code == 1
    assert (skep.code, skep.output, skep.complaints) == (1, docker.output, docker.complaints)


def test_what_is_ignored_is_said(api):
    words = ("stack", "deploy", "--detach=true", "-c", str(FILES / "v3.9.yml"), "st")
    docker, skep = api.docker(*words), api.skep(*words)
    assert "Ignoring unsupported options" in docker.complaints
    assert skep.complaints == docker.complaints
