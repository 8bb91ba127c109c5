"""Logs across hosts, secrets and configs, and a whole stack, on a lab of a manager and a worker."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

VALUE = "a-secret-that-nobody-may-find-on-a-disk"
ON_WORKER = ("--constraint", "node.role==worker")
TALKING = "i=0; while true; do i=$((i+1)); echo tick $i; echo tock $i >&2; sleep 0.2; done"


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"logs{os.getpid()}", 2) as lab:
        lab.up()
        yield lab


def service(lab, name, *options):
    quick = ("--detach", "--stop-grace-period", "1s")
    lab.docker("h1", "service", "create", *quick, "--name", name, *options)


def tasks(lab, name):
    """The prefixes of a global service's running tasks in its log, by host."""
    form = "{{.ID}} {{.Node}}"
    listed = lab.docker(
        "h1", "service", "ps", name, "--filter", "desired-state=running", "--format", form
    )
    return {node: f"{name}.0.{task}@{node}" for task, node in map(str.split, listed.splitlines())}


class Follower:
    """``docker service logs -f`` on h1: the lines that it has printed so far."""

    def __init__(self, lab, path, *options):
        self._out = path.open("w+")
        self._process = subprocess.Popen(
            [lab.client, "-H", f"unix://{lab.socket('h1')}", "service", "logs", "-f", *options],
            stdout=self._out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._path = path

    def lines(self):
        return self._path.read_text().splitlines()

    def says(self, prefix, text):
        """Whether a task's line begins like this."""
        return any(
            line.startswith(prefix) and line.partition(" | ")[2].startswith(text)
            for line in self.lines()
        )

    def ended(self):
        return self._process.poll() is not None

    def end(self):
        self._process.kill()
        self._process.wait()
        self._out.close()


@pytest.fixture
def follow(lab, tmp_path):
    with contextlib.ExitStack() as stack:

        def begin(*options):
            follower = Follower(lab, tmp_path / "followed", *options)
            stack.callback(follower.end)
            return follower

        yield begin


# --- logs


@pytest.fixture(scope="module")
def talk(lab):
    """A service that talks on both streams, on both hosts."""
    service(lab, "talk", "--mode", "global", "busybox", "sh", "-c", TALKING)
    until(lambda: lab.running("talk", 2), 60)
    yield
    lab.docker("h1", "service", "rm", "talk")


def test_a_log_has_both_streams_of_both_hosts(lab, talk):
    until(lambda: lab.docker("h1", "service", "logs", "talk").count("tick 3\n") == 2, 60)
    _, out, err = lab.tried("h1", "service", "logs", "--timestamps", "talk")
    for prefix in tasks(lab, "talk").values():
        for text, word in ((out, "tick"), (err, "tock")):
            mine = [line for line in text.splitlines() if f" {prefix} " in f" {line} "]
            numbers = [int(line.rpartition(" ")[2]) for line in mine]
            assert numbers == list(range(1, len(numbers) + 1))
            assert all(line.startswith("20") and f"| {word} " in line for line in mine)
            assert len(mine) > 1
    assert len(lab.docker("h1", "service", "logs", "--tail", "1", "talk").splitlines()) <= 2
    task = lab.docker("h1", "service", "ps", "-q", "--filter", "node=h2", "talk").strip()
    assert "@h2" in lab.docker("h1", "service", "logs", "--tail", "2", task)


def test_following_survives_the_loss_of_a_daemon(lab, talk, follow):
    here, there = (tasks(lab, "talk")[host] for host in ("h1", "h2"))
    follower = follow("--tail", "0", "talk")
    until(lambda: follower.says(here, "tick") and follower.says(there, "tock"), 60)
    lab.kill_daemon("h2")
    until(lambda: follower.says(there, "node h2 is not available"), 60)
    before = len(follower.lines())
    until(lambda: lab.answers("h2"), 60)
    until(lambda: any(there in line for line in follower.lines()[before:]), 60)
    assert not follower.ended()
    numbers = [
        int(line.rpartition(" ")[2])
        for line in follower.lines()
        if line.startswith(there) and "| tick" in line
    ]
    assert numbers == sorted(numbers)
    assert sum("not available" in line for line in follower.lines()) == 1


def test_new_tasks_are_joined_and_the_end_ends_it(lab, follow):
    service(lab, "grow", "--replicas", "1", "busybox", "sh", "-c", f"echo born; {TALKING}")
    until(lambda: lab.running("grow", 1), 60)
    follower = follow("--tail", "0", "grow")
    until(follower.lines, 60)
    lab.docker("h1", "service", "scale", "--detach", "grow=2")
    until(lambda: lab.running("grow", 2), 60)
    until(lambda: any("grow.2." in line and "| born" in line for line in follower.lines()), 60)
    lab.docker("h1", "service", "rm", "grow")
    until(follower.ended, 60)


def test_a_large_log_does_not_cost_the_host_its_session(lab):
    line, count = "x" * 99, 200_000
    service(lab, "large", *ON_WORKER, "busybox", "sh", "-c",
            f"yes {line} | head -n {count}; echo the end; sleep infinity")  # fmt: skip
    until(lambda: lab.running("large", 1), 60)
    last = ("service", "logs", "--raw", "--tail", "1", "large")
    until(lambda: "the end" in lab.docker("h1", *last), 120)
    since = str(time.time())
    whole = lab.docker("h1", "service", "logs", "--raw", "large")
    assert whole == f"{line}\n" * count + "the end\n"
    lost = lab.docker("h1", "events", "--since", since, "--until", "0s", "--filter", "type=node")
    assert "state.new" not in lost
    lab.docker("h1", "service", "rm", "large")


# --- secrets and configs


@pytest.fixture(scope="module")
def kept(lab):
    """A service on the worker with the secret sec and the config cfg; its container's id."""
    return keeping(lab, "kept", "sec", "cfg")


def keeping(lab, name, secret, config):
    lab.docker("h1", "secret", "create", secret, "-", stdin=VALUE)
    lab.docker("h1", "config", "create", config, "-", stdin="a = 1\n")
    service(
        lab, name, *ON_WORKER,
        "--secret", f"source={secret},target=key,uid=7,gid=8,mode=0440",
        "--secret", f"source={secret},target=/srv/other",
        "--config", f"source={config},target=/etc/app.cfg",
        "busybox", "sleep", "infinity",
    )  # fmt: skip
    until(lambda: lab.running(name, 1), 60)
    return container(lab, name)


def container(lab, name):
    return lab.docker("h2", "ps", "-q", "--filter", f"name={name}").strip()


def inside(lab, name, *command):
    return lab.docker("h2", "exec", container(lab, name), *command)


def test_they_are_files_with_owner_and_mode(lab, kept):
    shown = inside(lab, "kept", "stat", "-c", "%n %u %g %a", "/run/secrets/key", "/srv/other",
                   "/etc/app.cfg")  # fmt: skip
    assert shown.splitlines() == [
        "/run/secrets/key 7 8 440",
        "/srv/other 0 0 444",
        "/etc/app.cfg 0 0 444",
    ]
    assert inside(lab, "kept", "cat", "/run/secrets/key", "/srv/other") == VALUE * 2
    assert inside(lab, "kept", "cat", "/etc/app.cfg") == "a = 1\n"
    code, _, complaint = lab.tried("h2", "exec", kept, "sh", "-c", "echo x > /run/secrets/key")
    assert code != 0
    assert "Read-only file system" in complaint


def test_a_secret_is_on_no_disk_of_the_worker(lab, kept):
    tree = Path("/var/lib/skep-lab") / lab.name / "h2"
    assert (tree / "skep").is_dir()
    assert held(tree, "com.docker.swarm.task"), "whatever else is known of the task is found"
    assert not held(tree, VALUE)
    assert VALUE not in lab.docker("h2", "inspect", kept)
    assert VALUE not in lab.docker("h1", "secret", "inspect", "sec")
    assert "a = 1" in lab.docker("h1", "config", "inspect", "--pretty", "cfg")


def held(tree, text):
    """The files below a directory that hold a text; those that vanish meanwhile hold nothing."""
    found = subprocess.run(
        ["grep", "-rslF", text, str(tree)], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def test_a_restarted_daemon_keeps_them(lab, kept):
    lab.kill_daemon("h2")
    until(lambda: lab.answers("h2"), 60)
    assert inside(lab, "kept", "cat", "/run/secrets/key") == VALUE
    assert container(lab, "kept") == kept


def test_what_is_used_stays_and_what_is_updated_is_replaced(lab):
    before = keeping(lab, "user", "used", "shown")
    for kind, name in (("secret", "used"), ("config", "shown")):
        code, _, complaint = lab.tried("h1", kind, "rm", name)
        assert code == 1
        assert f"{kind} '{name}' is in use by the following service: user" in complaint
    lab.docker("h1", "secret", "create", "next", "-", stdin="another")
    lab.docker(
        "h1", "service", "update", "--detach", "--secret-rm", "used",
        "--secret-add", "source=next,target=key", "--config-rm", "shown", "user",
    )  # fmt: skip
    until(lambda: container(lab, "user") not in ("", before) and lab.running("user", 1), 60)
    assert inside(lab, "user", "cat", "/run/secrets/key") == "another"
    assert inside(lab, "user", "ls", "/run/secrets") == "key\n"
    there = ("grep", "-rlF", "another", "/run/skep/payloads")
    assert lab.run("h2", *there).split(), "looking finds what is there"
    lab.docker("h1", "secret", "rm", "used")
    lab.docker("h1", "config", "rm", "shown")
    lab.docker("h1", "service", "rm", "user")
    until(lambda: not container(lab, "user"), 60)
    until(lambda: not lab.run("h2", *there, check=False).split(), 60)
    lab.docker("h1", "secret", "rm", "next")


# --- a stack

COMPOSE = """
version: "3.8"
services:
  web:
    image: {image}
    networks: [back]
    ports: ["8123:80"]
    configs: [{{source: page, target: /etc/page}}]
    deploy:
      replicas: 2
      update_config: {{parallelism: 2, monitor: 500ms}}
  ask:
    image: busybox
    command: sleep infinity
    stop_grace_period: 1s
    networks: {{back: {{aliases: [asker]}}}}
    secrets: [{{source: key, target: key, mode: 0400}}]
    deploy: {{placement: {{constraints: ["node.role == worker"]}}}}
networks:
  back: {{attachable: true}}
secrets:
  key: {{file: ./key.txt}}
configs:
  page: {{file: ./page.txt}}
"""


@pytest.fixture
def compose(tmp_path):
    (tmp_path / "key.txt").write_text("k3y\n")
    (tmp_path / "page.txt").write_text("page\n")
    file = tmp_path / "stack.yml"
    file.write_text(COMPOSE.format(image="nginx"))
    return file


def test_a_stack_s_whole_life(lab, compose):
    deploy = ("stack", "deploy", "-c", str(compose), "--detach=false", "st")
    out = lab.docker("h1", *deploy)
    assert out.count("converged") == 2
    assert inside(lab, "st_ask", "cat", "/run/secrets/key") == "k3y\n"
    asking = ("exec", container(lab, "st_ask"), "wget", "-T", "5", "-qO-", "http://web/")
    until(lambda: "nginx" in lab.tried("h2", *asking)[1], 60)
    curl = ("curl", "-s", "-m", "5", f"http://{lab.address('h2')}:8123/")
    until(lambda: "nginx" in lab.run("h1", *curl, check=False), 60)
    assert lab.docker("h1", "stack", "ls", "--format", "{{.Name}} {{.Services}}") == "st 2\n"
    before = ids(lab)

    lab.docker("h1", "tag", "nginx", "nginx:next")
    lab.docker("h2", "tag", "nginx", "nginx:next")
    compose.write_text(COMPOSE.format(image="nginx:next"))
    lab.docker("h1", *deploy)
    after = ids(lab)
    assert after["st_ask.1"] == before["st_ask.1"], "what did not change goes on"
    assert after["st_web.1"] != before["st_web.1"]
    # The client leaves when all has run for a moment: the update may be just about to end.
    state = ("service", "inspect", "-f", "{{.UpdateStatus.State}}", "st_web")
    until(lambda: lab.docker("h1", *state) == "completed\n", 60)

    lab.docker("h1", "stack", "rm", "--detach=false", "st")
    assert lab.docker("h1", "stack", "ls", "--format", "{{.Name}}") == ""
    for kind in ("secret", "config"):
        assert "st_" not in lab.docker("h1", kind, "ls", "--format", "{{.Name}}")
    assert "st_back" not in lab.docker("h1", "network", "ls", "--format", "{{.Name}}")
    for host in lab.hosts:
        names = (host, "ps", "-a", "--format", "{{.Names}}")
        until(lambda names=names: "st_" not in lab.docker(*names), 60)


def ids(lab):
    """The ids of a stack's running tasks by name."""
    listed = lab.docker(
        "h1", "stack", "ps", "st", "--filter", "desired-state=running", "--format",
        "{{.Name}} {{.ID}}",
    )  # fmt: skip
    return dict(map(str.split, listed.splitlines()))
