"""``kill -9`` of any skepd: containers and connections live on, its restart adopts all."""

import contextlib
import os
import subprocess
import time

import pytest
from mesh_lab import ask
from swarm_lab import SwarmLab, until

from skep.manager.sessions import LOST_AFTER

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"live{os.getpid()}", 3) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "net")
        lab.docker(
            "h1", "service", "create", "--detach", "--name", "web", "--replicas", "3",
            "--network", "net", "--publish", "80:80", "nginx",
        )  # fmt: skip
        lab.docker("h2", "run", "-d", "--name", "echo", "--network", "net", "busybox",
                   "nc", "-ll", "-p", "7000", "-e", "cat")  # fmt: skip
        lab.docker("h1", "run", "-d", "--name", "ask", "--network", "net", "busybox",
                   "sleep", "infinity")  # fmt: skip
        until(lambda: lab.running("web", 3), 60)
        yield lab


def begun(lab):
    """A conversation, or None: h1 may not have heard of h2's container yet."""
    trial = Conversation(lab)
    with contextlib.suppress(BrokenPipeError):
        if trial.say("before") == "before":
            return trial
    trial.end()
    return None


class Conversation:
    """A TCP connection from a sandbox on h1 to the container ``echo`` on h2."""

    def __init__(self, lab):
        box = lab.sandbox("h1", "ask")
        address = lab.docker(
            "h2", "inspect", "-f", "{{.NetworkSettings.Networks.net.IPAddress}}", "echo"
        ).strip()
        self._process = subprocess.Popen(
            lab.inside(
                "h1", "nsenter", f"--net=/run/netns/{box}", "busybox", "nc", address, "7000"
            ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def say(self, word):
        """Send a line; what comes back."""
        self._process.stdin.write(f"{word}\n")
        return self._process.stdout.readline().strip()

    def end(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def conversation(lab):
    conversation = until(lambda: begun(lab), 60)
    yield conversation
    conversation.end()


def kernel(lab, host):
    """What a host's kernel holds of Skep's, link indices included: it must not be made anew."""
    script = (
        "ip -o link | sed 's/ state [A-Z]*//'; for n in $(ls /run/netns); do echo \"== $n\"; "
        "ip netns exec $n ip -o link | sed 's/ state [A-Z]*//'; ip netns exec $n ip -o -4 addr; "
        "ip netns exec $n ip route; ip netns exec $n bridge fdb show | grep dst; done; "
        "nft -s list ruleset"
    )
    return lab.run(host, "sh", "-c", script)


def containers(lab, host):
    return sorted(lab.docker(host, "ps", "-q", "--no-trunc").split())


def placed(lab):
    """The tasks that there should be."""
    wanted = ("--filter", "desired-state=running")
    return sorted(lab.docker("h1", "service", "ps", "-q", *wanted, "web").split())


def spread(lab, entry):
    """Whether a host leads to all tasks."""
    found = ask(lab, "h3", "load", lab.address(entry), "80", "6", "1")
    return len(found["answered"]) == 3


def ready(lab):
    listed = lab.docker("h1", "node", "ls", "--format", "{{.Hostname}} {{.Status}}")
    return sorted(listed.splitlines()) == ["h1 Ready", "h2 Ready", "h3 Ready"]


@pytest.mark.parametrize("host", ["h1", "h2", "h3"])
def test_killed_daemon_is_missed_by_nobody(lab, conversation, host):
    for entry in lab.hosts:
        until(lambda entry=entry: spread(lab, entry), 60)
    before, tasks = (kernel(lab, host), containers(lab, host)), placed(lab)
    killed = time.monotonic()
    pid = lab.kill_daemon(host)
    for _ in range(10):
        for entry in lab.hosts:
            page = lab.run("h3", "curl", "-s", "-m", "60", f"http://{lab.address(entry)}/")
            assert "Welcome to nginx!" in page
    assert conversation.say("while away") == "while away"
    until(lambda: lab.answers(host), 60)
    assert lab.run(host, "pgrep", "-of", "skep.daemon --state").strip() != pid
    after = kernel(lab, host), containers(lab, host)
    assert conversation.say("after") == "after"
    until(lambda: ready(lab), 60)
    until(lambda: lab.running("web", 3), 60)
    # Tasks of a host that was away for longer are placed elsewhere.
    away = time.monotonic() - killed
    assert after == before or (away > LOST_AFTER and placed(lab) != tasks)


def test_names_are_answered_while_the_daemon_is_away(lab):
    box = lab.sandbox("h1", "ask")
    lab.kill_daemon("h1")
    try:
        answer = lab.run(
            "h1", "nsenter", f"--net=/run/netns/{box}", "busybox", "nslookup", "echo", "127.0.0.11"
        )
        assert "Address: 10.0." in answer
    finally:
        until(lambda: lab.answers("h1"), 60)


def test_what_happened_meanwhile_is_caught_up_with(lab):
    """A container that dies while nobody looks gives its address back; a service still scales."""
    lab.docker("h3", "run", "-d", "--name", "short", "--network", "net", "busybox", "sleep", "inf")
    pid = lab.docker("h3", "inspect", "-f", "{{.State.Pid}}", "short").strip()
    box = lab.sandbox("h3", "short")
    lab.kill_daemon("h3")
    lab.run("h3", "kill", "-9", pid)
    until(lambda: lab.answers("h3"), 60)
    until(lambda: "eth0" not in lab.run("h3", "ip", "-n", box, "-o", "link"), 60)
    lab.docker("h1", "service", "scale", "--detach", "web=2")
    until(lambda: lab.running("web", 2), 60)
    lab.docker("h1", "service", "scale", "--detach", "web=3")
    until(lambda: lab.running("web", 3), 60)
    lab.docker("h3", "rm", "short")
