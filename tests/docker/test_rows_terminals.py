"""Docker at a terminal, and what goes on: exec -it, attach, logs -f, wait, events."""

import json
import os
import re
import subprocess
import time

import pytest
from swarm_lab import SwarmLab, until
from terminal import Terminal

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

LEFT = "read escape sequence"
TICKS = "n=0; while :; do n=$((n+1)); echo tick$n; sleep 0.1; done"


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"conterm{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        lab.docker("h1", "run", "-dit", "--name", "shell", "busybox", "sh")
        lab.docker("h1", "run", "-d", "--name", "ticks", "busybox", "sh", "-c", TICKS)
        yield lab


@pytest.fixture
def terminal(lab):
    opened = []

    def at(*arguments, **options):
        opened.append(Terminal(lab, *arguments, **options))
        return opened[-1]

    yield at
    for each in opened:
        each.close()


@pytest.fixture
def going(lab):
    """A docker command that goes on, its output to be read line by line."""
    begun = []

    def start(*arguments):
        begun.append(subprocess.Popen(
            [lab.client, "-H", f"unix://{lab.socket('h1')}", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ))  # fmt: skip
        return begun[-1]

    yield start
    for each in begun:
        each.kill()
        each.wait()


@pytest.mark.parametrize(
    "command", [["exec", "-it", "shell", "sh"], ["run", "--rm", "-it", "busybox", "sh"]]
)
def test_a_shell_has_the_size_of_its_terminal(terminal, command):
    shell = terminal(*command, size=(31, 97))
    shell.until("31 97", again="stty size\n")
    shell.resize(43, 111)
    shell.until("43 111", again="stty size\n")
    shell.type("exit 3\n")
    assert shell.ended() == 3


def test_keys_leave_an_attached_container_running(lab, terminal):
    first = terminal("attach", "shell")
    first.until("2002", again="echo $((1001*2))\n")
    first.type("\x10\x11")
    first.ended()
    assert LEFT in first.shown
    other = terminal("attach", "--detach-keys", "ctrl-x,x", "shell")
    other.until("3003", again="echo $((1001*3))\n")
    other.type("\x18x")
    other.ended()
    assert LEFT in other.shown
    assert lab.docker("h1", "inspect", "-f", "{{.State.Running}}", "shell").strip() == "true"


def test_keys_leave_a_running_exec(lab, terminal):
    shell = terminal("exec", "-it", "--detach-keys", "ctrl-x,x", "shell", "sh", "-c",
                     "echo begun; exec sleep 4321")  # fmt: skip
    shell.until("begun")
    shell.type("\x18x")
    shell.ended()
    assert LEFT in shell.shown
    until(lambda: "sleep 4321" in lab.docker("h1", "top", "shell"), 60)


def test_a_run_is_left_by_its_own_keys(lab, terminal):
    run = terminal("run", "-it", "--name", "leave", "--detach-keys", "a", "busybox", "sh")
    run.until("4004", again="echo $((1001*4))\n")
    run.type("a")
    run.ended()
    assert lab.docker("h1", "inspect", "-f", "{{.State.Running}}", "leave").strip() == "true"
    lab.docker("h1", "rm", "-f", "leave")


def test_what_is_piped_into_an_exec_comes_to_its_end(lab):
    assert lab.docker("h1", "exec", "-i", "shell", "wc", "-c", stdin="x" * 100000) == "100000\n"


def test_logs_are_followed_until_the_end(lab, going):
    lab.docker("h1", "run", "-d", "--name", "talks", "busybox", "sh", "-c", TICKS)
    follower = going("logs", "-f", "--tail", "1", "talks")
    first = int(follower.stdout.readline().removeprefix("tick"))
    assert [follower.stdout.readline() for _ in range(3)] == [
        f"tick{first + n}\n" for n in (1, 2, 3)
    ]
    lab.docker("h1", "rm", "-f", "talks")
    follower.stdout.read()
    assert follower.wait(60) == 0


def test_one_without_a_terminal_is_looked_at(going):
    watcher = going("attach", "--no-stdin", "--sig-proxy=false", "ticks")
    first = int(watcher.stdout.readline().removeprefix("tick"))
    assert watcher.stdout.readline() == f"tick{first + 1}\n"


def test_several_are_waited_for(lab, going):
    for name, code in (("three", 3), ("four", 4)):
        lab.docker("h1", "run", "-d", "--name", name, "busybox", "sh", "-c",
                   f"trap 'exit {code}' TERM; echo ready; while :; do sleep 0.1; done")  # fmt: skip
        until(lambda name=name: "ready" in lab.docker("h1", "logs", name), 60)
    waiting = going("wait", "three", "four")
    lab.docker("h1", "stop", "-t", "100", "four")
    lab.docker("h1", "stop", "-t", "100", "three")
    assert waiting.communicate(timeout=60)[0] == "3\n4\n"
    lab.docker("h1", "rm", "three", "four")


def test_numbers_go_on(going):
    stats = going("stats", "--format", "{{.Name}} {{.PIDs}}", "ticks")
    counted = (found[1] for line in stats.stdout if (found := re.search(r"ticks (\d+)", line)))
    assert [int(next(counted)) > 0 for _ in range(2)] == [True, True]


def test_events_of_networks_come_as_they_happen(lab, going):
    since = f"--since={int(time.time()) - 1}"
    networks = ("--filter", "type=network", "--filter", "network=evn")
    watching = going("events", since, *networks, "--format", "{{json .}}")
    containers = ("--filter", "type=container", "--filter", "container=ev")
    either = ("--filter", "event=start", "--filter", "event=die")
    both = going("events", since, *containers, *either, "--format", "{{.Action}}")
    until(lambda: lab.tried("h1", "network", "create", "evn")[0] == 0 or None)
    made = lab.docker("h1", "run", "-d", "--name", "ev", "busybox", "sleep", "1d").strip()
    assert both.stdout.readline() == "start\n"
    lab.docker("h1", "network", "connect", "evn", "ev")
    lab.docker("h1", "network", "disconnect", "evn", "ev")
    lab.docker("h1", "network", "rm", "evn")
    told = [json.loads(watching.stdout.readline()) for _ in range(4)]
    assert [each["Action"] for each in told] == ["create", "connect", "disconnect", "destroy"]
    assert {each["Actor"]["Attributes"]["name"] for each in told} == {"evn"}
    assert told[1]["Actor"]["Attributes"]["container"] == made
    lab.docker("h1", "kill", "ev")
    assert both.stdout.readline() == "die\n"
    lab.docker("h1", "rm", "-f", "ev")


def test_a_connection_is_told_once(lab, going):
    """Whether it is made before the start is heard of, or after."""
    since = f"--since={int(time.time()) - 1}"
    lab.docker("h1", "network", "create", "once")
    try:
        watching = going("events", since, "--filter", "type=network", "--filter", "network=once",
                         "--format", "{{.Action}}")  # fmt: skip
        for _ in range(3):
            lab.docker("h1", "run", "-d", "--name", "quick", "busybox", "sleep", "1d")
            lab.docker("h1", "network", "connect", "once", "quick")
            lab.docker("h1", "network", "disconnect", "once", "quick")
            lab.docker("h1", "rm", "-f", "quick")
    finally:
        lab.docker("h1", "network", "rm", "once")
    told = [watching.stdout.readline().strip() for _ in range(8)]
    assert told == ["create", *["connect", "disconnect"] * 3, "destroy"]
