"""What docker's commands about images, volumes, the system and its events do and say, one row each.

A row is a command line, its exit code and a regular expression that its whole output (both streams)
must have in it. The host has no way out: registries are asked, and that nobody answers is said.
"""

import json
import os

import pytest
from said import check, each_of
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

DOCKERFILE = """\
FROM busybox
ARG WORD=none
LABEL built=yes
RUN echo $WORD > /word
COPY extra /extra
CMD ["cat", "/word", "/extra"]
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with SwarmLab(f"conimg{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        lab.files = tmp_path_factory.mktemp("rows")
        (lab.files / "build").mkdir()
        (lab.files / "build" / "Dockerfile").write_text(DOCKERFILE)
        (lab.files / "build" / "extra").write_text("an extra file\n")
        (lab.files / "bad").mkdir()
        (lab.files / "bad" / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
        lab.docker("h1", "run", "-d", "--name", "up", "-v", "used:/data", "busybox", "sleep", "1d")
        yield lab


NO_IMAGE = "No such image: nosuch:latest"
NO_WAY = "connection refused|unreachable"

IMAGES = [
    ("images", 0, "^busybox +latest"),
    ("images --digests busybox", 0, "sha256:[0-9a-f]{{64}}"),
    ("images --filter reference=busy* -q", 0, "^[0-9a-f]{{12}}\n$"),
    ("images --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("image inspect busybox", 0, '"busybox:latest"'),
    ("image inspect nosuch", 1, NO_IMAGE),
    ("history busybox", 0, "CREATED BY"),
    ("history nosuch", 1, NO_IMAGE),
    ("rmi busybox", 1, "conflict: unable to remove repository reference"),
    ("tag busybox own:1", 0, "^$"),
    ("tag busybox localhost:5000/own:1", 0, "^$"),
    ("tag nosuch own:1", 1, NO_IMAGE),
    ("tag busybox 'OWN:1'", 1, "must be lowercase"),
    ("rmi own:1", 0, "^Untagged: own:1\n$"),
    ("rmi nosuch", 1, NO_IMAGE),
    ("pull nosuch", 1, NO_WAY),
    ("pull localhost:5000/nosuch", 1, NO_WAY),
    ("push localhost:5000/own:1", 1, NO_WAY),
    ("push localhost:5000/nosuch:1", 1, "does not exist locally with the tag"),
    ("rmi localhost:5000/own:1", 0, "Untagged: localhost:5000/own:1"),
    ("search busybox", 1, NO_WAY),
    ("login -u me -p word localhost:5000", 1, NO_WAY),
    ("save -o {files}/tar busybox", 0, "^$"),
    ("save -o {files}/none nosuch", 1, "nosuch"),
    ("load -i {files}/tar", 0, "Loaded image: busybox:latest"),
    ("export -o {files}/root up", 0, "^$"),
    ("import {files}/root imported:1", 0, "^sha256:[0-9a-f]{{64}}\n$"),
    ("run --rm imported:1 echo hello", 0, "^hello$"),
    ("rmi imported:1", 0, "Deleted: sha256:"),
    ("build -q --build-arg WORD=said -t built:1 -t built:2 {files}/build", 0, "[0-9a-f]{{64}}"),
    ("run --rm built:2", 0, "^said\nan extra file$"),
    ("image inspect -f {{{{.Config.Labels.built}}}} built:1", 0, "^yes$"),
    ("build --network none {files}/build", 0, "Successfully built"),
    ("build --network nosuch {files}/build", 1, "building on network nosuch"),
    ("build {files}/bad", 1, "exit status 3|non-zero code: 3"),
    ("builder prune -f", 0, "Total reclaimed space: 0B"),
    ("rmi built:1 built:2", 0, "Untagged: built:2"),
    ("image prune -f", 0, "Total reclaimed space"),
    ("plugin ls", 0, "^ID +NAME"),
    ("plugin inspect nosuch", 1, "not found"),
]  # fmt: skip

VOLUMES = [
    ("volume create --label a=b named", 0, "^named$"),
    ("volume create named", 0, "^named$"),
    ("volume create --driver nosuch other", 1, "nosuch"),
    ("volume create 'a b'", 1, "[Ii]nvalid|match|names must"),
    ("volume ls -q", 0, "^named\nused\n$"),
    ("volume ls -q --filter label=a=b", 0, "^named\n$"),
    ("volume ls -q --filter name=use", 0, "^used\n$"),
    ("volume ls -q --filter dangling=true", 0, "^named\n$"),
    ("volume ls -q --filter dangling=false", 0, "^used\n$"),
    ("volume ls -q --filter driver=local", 0, "named"),
    ("volume ls --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("volume inspect named", 0, '"Labels": {{\n +"a": "b"'),
    ("volume inspect nosuch", 1, "volume nosuch not found"),
    ("run --rm -v named:/d busybox sh -c 'echo kept > /d/file'", 0, ""),
    ("run --rm -v named:/d:ro busybox cat /d/file", 0, "^kept$"),
    ("run --rm -v named:/d:ro busybox touch /d/file", 1, "Read-only"),
    ("run --rm --mount type=volume,src=named,dst=/d busybox cat /d/file", 0, "^kept$"),
    ("run --rm --tmpfs /t:size=64k busybox df /t", 0, "64 "),
    ("volume rm used", 1, r"remove used: volume is in use - \["),
    ("volume rm nosuch", 1, "volume nosuch not found"),
    ("volume prune -f", 0, "^Total reclaimed space: 0B$"),
    ("volume ls -q", 0, "^named\nused\n$"),
    ("volume prune -f --all --filter label!=a", 0, "^Total reclaimed space: 0B$"),
    ("volume prune -f --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("volume prune -f --all", 0, "^Deleted Volumes:\nnamed$"),
    ("run -v /anon --name anon busybox true", 0, ""),
    ("rm anon", 0, ""),
    ("volume prune -f", 0, "^Deleted Volumes:\n[0-9a-f]{{64}}$"),
    ("volume create doomed", 0, ""),
    ("volume rm doomed", 0, "^doomed$"),
]  # fmt: skip

SYSTEM = [
    ("version --format {{{{.Server.APIVersion}}}}", 0, r"^1\.50$"),
    ("info --format {{{{.ServerVersion}}}}", 0, r"^\d"),
    ("info --format {{{{.Swarm.LocalNodeState}}}}", 0, "^inactive$"),
    ("info", 0, "Server Version"),
    ("system df", 0, "^Local Volumes +1 +1"),
    ("system df -v", 0, "^used +1 "),
    ("system df --format {{{{.Type}}}}", 0, "^Images\nContainers\nLocal Volumes\nBuild Cache$"),
    ("events --since 1h --until 0s --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("events --since rubbish", 1, "rubbish"),
    ("events --since 1h --until 1m", 0, ""),
    ("inspect nosuch", 1, "No such object: nosuch"),
    ("inspect -f {{{{.Name}}}} up", 0, "^/up$"),
    ("inspect --type volume -f {{{{.Name}}}} used", 0, "^used$"),
    ("system prune -f", 0, "Total reclaimed space"),
]  # fmt: skip

ROWS = IMAGES + VOLUMES + SYSTEM


@each_of(ROWS)
def test_row(lab, row):
    check(lab, row)


def told(lab, *filters):
    options = [word for each in filters for word in ("--filter", each)]
    lines = lab.docker("h1", "events", "--since", "1h", "--until", "0s", "--format", "json",
                       *options).splitlines()  # fmt: skip
    return [json.loads(line) for line in lines]


def test_events_of_all_kinds_are_in_one_stream(lab):
    lab.docker("h1", "volume", "create", "--label", "ev=1", "evvol")
    lab.docker("h1", "network", "create", "evnet")
    lab.docker("h1", "run", "--rm", "--name", "evrun", "-l", "ev=2", "--network", "evnet",
               "busybox", "true")  # fmt: skip
    lab.docker("h1", "tag", "busybox", "evimg:1")
    lab.docker("h1", "network", "rm", "evnet")
    lab.docker("h1", "volume", "rm", "evvol")
    lab.docker("h1", "rmi", "evimg:1")
    until(lambda: told(lab, "type=image", "event=untag", "image=evimg:1"), 60)

    def actions(which):
        return [each["Action"] for each in told(lab, which)]

    until(lambda: "destroy" in actions("container=evrun"), 60)
    assert actions("container=evrun") == ["create", "attach", "start", "die", "destroy"]
    assert actions("network=evnet") == ["create", "connect", "disconnect", "destroy"]
    assert actions("volume=evvol") == ["create", "destroy"]
    assert {each["Type"] for each in told(lab)} >= {"container", "image", "network", "volume"}
    assert {each["Actor"]["Attributes"]["name"] for each in told(lab, "label=ev=2")} == {"evrun"}
    assert told(lab, "scope=swarm") == []
