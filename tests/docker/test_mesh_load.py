"""Constant load from outside and inside while services are updated, scaled and moved."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab]

LOAD = str(Path(__file__).parents[2] / "benchmarks" / "legs" / "load.py")
HALF, HALF_OF_ALL = 6_000, 50_000
MOST, RATE = "1000000", "250"
"""Requests of each kind, all in all and a second: all changes end before the requests do."""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"load{os.getpid()}", 3) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "back")
        lab.docker("h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "web",
                   "--network", "back", "--publish", "8080:80", "--replicas", "4",
                   "--update-parallelism", "2", "--update-delay", "1ms", "--update-monitor", "1ms",
                   "--stop-signal", "SIGKILL", "nginx")  # fmt: skip
        lab.docker("h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "client",
                   "--network", "back", "--constraint", "node.role==manager",
                   "--stop-grace-period", "0s", "busybox", "sleep", "9999")  # fmt: skip
        until(lambda: lab.running("web", 4) and lab.running("client", 1), 60)
        yield lab


def inner(lab):
    """How to enter the sandbox of the client on the network, and the service's address there."""
    name = ("--filter", "label=com.docker.swarm.service.name=client", "-q")
    box = lab.sandbox("h1", lab.docker("h1", "ps", *name).strip())
    form = "{{range .Endpoint.VirtualIPs}}{{.NetworkID}} {{.Addr}}\n{{end}}"
    shown = lab.docker("h1", "service", "inspect", "-f", form, "web")
    known = dict(line.split() for line in shown.splitlines() if line)
    network = lab.docker("h1", "network", "inspect", "-f", "{{.Id}}", "back").strip()
    return ("nsenter", f"--net=/run/netns/{box}"), known[network].partition("/")[0]


class Loads:
    """One load from outside, by hosts' addresses, and one from inside, by the virtual address."""

    def __init__(self, lab, stack):
        enter, vip = inner(lab)
        ways = {
            "outside": ("h3", (), lab.address("h2"), "8080"),
            "inside": ("h1", enter, vip, "80"),
        }
        self._processes = {}
        for name, (host, words, address, port) in ways.items():
            process = subprocess.Popen(
                lab.inside(host, *words, sys.executable, LOAD, address, port, "6", MOST, RATE),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            self._processes[name] = process

    def taken(self):
        """What each has asked and lost since the last time."""
        for process in self._processes.values():
            print(file=process.stdin, flush=True)
        return {n: json.loads(p.stdout.readline()) for n, p in self._processes.items()}


def containers(lab):
    label = ("--filter", "label=com.docker.swarm.service.name=web")
    return {box for host in lab.hosts for box in lab.docker(host, "ps", "-q", *label).split()}


def update(lab):
    before = containers(lab)
    lab.docker("h1", "service", "update", "-d", "-q", "--force", "web")
    until(lambda: not before & containers(lab) and lab.running("web", 4), 90)


def scale(lab):
    for count in (2, 4):
        lab.docker("h1", "service", "scale", "-d", f"web={count}")
        until(lambda count=count: lab.running("web", count) and len(containers(lab)) == count, 60)


def drain(lab):
    label = ("-q", "--filter", "label=com.docker.swarm.service.name=web")
    lab.docker("h1", "node", "update", "--availability", "drain", "h2")
    try:
        until(lambda: not lab.docker("h2", "ps", *label) and lab.running("web", 4), 60)
    finally:
        lab.docker("h1", "node", "update", "--availability", "active", "h2")


def more(loads, total):
    for name, counts in loads.taken().items():
        assert counts["lost"] == {}, name
        total[name] += counts["asked"]
    return min(total.values())


def through_all_changes(lab, enough):
    """Every change under load, then more load until it was enough of each; nothing is lost."""
    total = {"outside": 0, "inside": 0}
    with contextlib.ExitStack() as stack:
        loads = Loads(lab, stack)
        # Hosts hear one after the other whom to send clients to.
        until(lambda: all(n["asked"] and not n["lost"] for n in loads.taken().values()), 60)
        for change in (update, scale, drain, update):
            change(lab)
            found = loads.taken()
            for name, counts in found.items():
                assert counts["lost"] == {}, f"{name}, during {change.__name__}"
                assert counts["asked"], f"{change.__name__} was under load from {name}"
                total[name] += counts["asked"]
        until(lambda: more(loads, total) >= enough, 600)


@pytest.mark.timeout(1200)
def test_no_change_loses_a_request(lab):
    through_all_changes(lab, HALF)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_change_loses_one_of_a_hundred_thousand_requests(lab):
    through_all_changes(lab, HALF_OF_ALL)
