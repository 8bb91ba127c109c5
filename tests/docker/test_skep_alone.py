"""``skep`` instead of ``docker``: the same words, tables, exit codes and complaints, side by side
against the same daemon."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from swarm_lab import QUIET, SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

AGE = re.compile(r"(About an?|Less than a|\d+) (second|minute|hour)s?( ago)?", re.IGNORECASE)
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?")

SHOWN = (
    "node ls", "node ls -q", "node ls --filter role=worker --format '{{.Hostname}} {{.Status}}'",
    "node ls --format '{{json .}}'", "node ps h2", "node ps -q h1", "node ps --no-trunc h1",
    "node inspect h1", "node inspect --pretty h2", "node inspect -f '{{.Spec.Role}}' h1 h2",
    "network ls", "network ls --no-trunc --filter driver=overlay",
    "network ls --format 'table {{.Name}}\t{{.Driver}}'", "network inspect net",
    "network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' net ingress",
    "network inspect --verbose net",
    "service ls", "service ls --filter mode=global", "service ls --format '{{json .}}'",
    "service ps web", "service ps --no-trunc web all", "service ps -q web",
    "service ps --format '{{.Name}} {{.Image}} {{.DesiredState}} {{.Ports}}' web",
    "service inspect web", "service inspect --pretty web all",
    "service inspect -f '{{json .Spec.TaskTemplate.Placement}}' web",
    "service logs --raw talk", "service logs --no-trunc --tail 1 talk",
    "stack ls", "stack ps shop", "stack ps -q shop", "stack services shop",
    "stack services -q shop",
    "stack config -c {compose}",
    "secret ls", "secret inspect pass", "secret inspect --pretty pass",
    "config ls", "config inspect conf", "config inspect --pretty conf",
    "swarm join-token worker", "swarm join-token -q manager",
    "ps", "ps -a --no-trunc", "ps -q", "ps --format '{{.Names}} {{.Ports}}'",
    "logs box", "exec box echo hello", "exec -e A=b box sh -c 'echo $A; exit 3'",
    "inspect -f '{{.Config.Image}}' box", "container ls",
    "volume ls", "images", "version --format '{{.Server.APIVersion}}'",
)  # fmt: skip
"""What shows something."""

REFUSED = (
    "node inspect nobody", "node promote h2", "node rm h1", "node update --availability lazy h2",
    "network rm net", "network inspect nothing", "network create -d overlay net",
    "network create -d overlay --subnet 10.0.0.0/33 bad",
    "service inspect nothing", "service ps nothing", "service create",
    "service create --mode odd busybox", "service create --name web busybox",
    "service create --replicas two busybox", "service scale web=-1", "service scale all=3",
    "service rollback talk", "service update --image",
    "stack rm", "stack ps nothing", "secret rm pass", "secret inspect nothing",
    "config create", "swarm init", "swarm join --token nonsense 192.0.2.1:2377",
    "run --network nothing busybox true", "exec nobody true", "logs nobody", "ps --filter a=b",
    "node colour", "service ls --colour",
)  # fmt: skip
"""What is refused, in words and by exit code."""

COMPOSE = """
services:
  front:
    image: nginx
    deploy: {replicas: 1, resources: {limits: {memory: 64M}}}
    networks: [inner]
  back:
    image: busybox
    command: sleep 86400
    environment: {A: "1"}
networks:
  inner: {driver: overlay}
"""


@pytest.fixture(scope="module")
def compose(tmp_path_factory):
    path = tmp_path_factory.mktemp("stack") / "compose.yml"
    path.write_text(COMPOSE)
    return str(path)


@pytest.fixture(scope="module")
def lab(compose):
    quick = ("-d", "-q", "--no-resolve-image", "--stop-grace-period", "0s")
    with SwarmLab(f"alone{os.getpid()}", 2) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "net")
        lab.docker("h1", "secret", "create", "-l", "a=b", "pass", "-", stdin="sesame")
        lab.docker("h1", "config", "create", "conf", "-", stdin="setting")
        lab.docker("h1", "service", "create", *quick, "--name", "web", "--network", "net",
                   "--replicas", "2", "--publish", "8080:80", "--secret", "pass",
                   "nginx")  # fmt: skip
        lab.docker("h1", "service", "create", *quick, "--name", "all", "--mode", "global",
                   "--publish", "mode=host,target=90", "busybox", "sleep", "86400")  # fmt: skip
        lab.docker("h1", "service", "create", *quick, "--name", "talk", "busybox",
                   "sh", "-c", "echo one; echo two; sleep 86400")  # fmt: skip
        lab.docker("h1", "stack", "deploy", "-c", compose, "--resolve-image", "never", "shop")
        lab.docker("h1", "run", "-d", "--name", "box", "--network", "net", "busybox",
                   "sh", "-c", "echo said; sleep 86400")  # fmt: skip
        for name, count in (("web", 2), ("all", 2), ("talk", 1), ("shop_front", 1),
                            ("shop_back", 1)):  # fmt: skip
            until(lambda name=name, count=count: lab.running(name, count), 120)
        until(lambda: "two" in lab.docker("h1", "service", "logs", "--raw", "talk"), 60)
        until(lambda: "said" in lab.docker("h1", "logs", "box"), 60)
        yield lab


def said_by(lab, client, command):
    """Exit code, output and complaints of a command, without what differs from second to second."""
    done = subprocess.run(
        [*client, "-H", f"unix://{lab.socket('h1')}", *command],
        capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | QUIET,
    )  # fmt: skip
    return done.returncode, steady(done.stdout), steady(done.stderr)


def steady(text):
    """Ages and times of day blotted out, and the padding that goes with them."""
    return re.sub(r" {2,}", "  ", STAMP.sub("TIME", AGE.sub("AGE", text))).replace("docker", "skep")


@pytest.mark.parametrize("command", SHOWN)
def test_it_shows_the_same(lab, compose, command):
    words = shlex.split(command.replace("{compose}", compose))
    docker = said_by(lab, [lab.client], words)
    assert said_by(lab, [sys.executable, "-m", "skep.cli.main"], words) == docker
    assert docker[1], "it shows something at all"


@pytest.mark.parametrize("command", REFUSED)
def test_it_refuses_the_same(lab, command):
    words = shlex.split(command)
    docker = said_by(lab, [lab.client], words)
    skep = said_by(lab, [sys.executable, "-m", "skep.cli.main"], words)
    assert docker[0] != 0
    assert skep == docker


def completed(lab, typed):
    """What bash offers after some words, with the script that ``skep completion bash`` prints."""
    script = f"""
        skep() {{ "{sys.executable}" -m skep.cli.main "$@"; }}
        eval "$(skep completion bash)"
        COMP_LINE={shlex.quote(typed)} COMP_POINT={len(typed)} COMPREPLY=()
        _skep
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"DOCKER_HOST": f"unix://{lab.socket('h1')}"},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("skep serv", ["service"]),
        ("skep service up", ["update"]),
        ("skep service update w", ["web"]),
        ("skep service create --replicas-", ["--replicas-max-per-node"]),
        ("skep node inspect ", ["h1", "h2"]),
        ("skep secret rm p", ["pass"]),
        ("skep stack ps ", ["shop"]),
        ("skep network inspect n", ["net", "none"]),
        ("skep exec b", ["box"]),
        ("skep lab ", ["cut", "down", "exec", "heal", "reboot", "sock", "status", "up"]),
    ],
)
def test_bash_completes(lab, typed, offered):
    # Names are offered if the API answers at once.
    until(lambda: completed(lab, typed) == offered, 60)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell):
    done = subprocess.run(
        [sys.executable, "-m", "skep.cli.main", "completion", shell],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "skep completion words" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_runs_without_docker(tmp_path):
    """With a search path that has everything else."""
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*"):
            link = tmp_path / program.name
            if program.name != "docker" and not link.is_symlink():
                link.symlink_to(program)
    name = f"bare{os.getpid()}"
    environment = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    try:
        done = subprocess.run(
            [Path(__file__).parents[2] / "bin" / "demo"],
            capture_output=True, text=True, timeout=1000, check=False,
            env=environment | {"PATH": str(tmp_path), "SKEP_DEMO_LAB": name},
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        assert "h1 $ skep swarm init" in done.stdout
        assert "h1 $ skep exec alpha ping -c 2 beta" in done.stdout
        assert " 0% packet loss" in done.stdout
        assert "(there is no docker client here, so skep was its own)" in done.stdout
        assert "docker " not in done.stdout.replace("no docker client ", "")
    finally:
        down = [sys.executable, "-m", "skep.cli.main", "lab", "down", "--name", name]
        subprocess.run(down, capture_output=True, check=True)
