"""A firewall of the host's administrator: what it drops stays dropped, doctor says what lets it
through in that firewall's own words, and that does; no reload of either side harms the other."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from swarm_lab import until
from trace_lab import TraceLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

BESIDE = [str(Path(__file__).with_name("beside.sh")), str(Path(sys.prefix, "firewalls"))]
CONTAINER, SERVICE = 8080, 8081
MANUALLY = "cp /usr/share/ufw/ufw.conf /usr/share/ufw/iptables/*.rules /etc/ufw"
"""What the package does when it is installed."""

BUS = """<busconfig>
<type>system</type><listen>unix:path=/run/bus.sock</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>"""
DAEMONS = """cat >/run/bus.conf
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile &
exec firewalld --nofork --nopid --log-file=/run/firewalld.log"""


class FirewallLab(TraceLab):
    """A container that publishes a port and a service on h1, a client on h2."""

    def furnish(self):
        self.docker("h1", "network", "create", "-d", "overlay", "--attachable", "app")
        self.docker("h1", "run", "-d", "--name", "site", "-p", f"{CONTAINER}:80", "nginx")
        self.service("web", "--publish", f"{SERVICE}:80", "--constraint", "node.hostname==h1",
                     "nginx")  # fmt: skip
        until(lambda: self.running("web", 1), 60)
        self.docker("h2", "run", "-d", "--name", "far", "--network", "app", "busybox",
                    "sleep", "86400")  # fmt: skip
        until(self.all_answers, 60)

    def beside(self, *command, check=True):
        """Something of the firewalls' packages, on h1."""
        bus = "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus.sock"
        return self.run("h1", "env", bus, *BESIDE, *command, check=check)

    def answer(self, port):
        """The status that h2 gets from a port of h1; 000 for none."""
        return self.run(
            "h2", "curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}",
            f"{self.address('h1')}:{port}", check=False,
        )  # fmt: skip

    def all_answers(self):
        """Both published ports, the way out of a container, and the overlay between the hosts."""
        return (
            self.answer(CONTAINER) == self.answer(SERVICE) == "200"
            and self.speaks("h1", "site", f"{self.address('h2')}:{SERVICE}")
            and self.speaks("h2", "far", "web")
        )

    def speaks(self, host, container, place):
        command = ("exec", container, "wget", "-q", "-T", "2", "-O", "/dev/null", f"http://{place}")
        return self.tried(host, *command)[0] == 0

    def blocked(self):
        """What doctor finds that a firewall drops on h1."""
        return [each for each in self.doctor()["findings"] if each["check"] == "firewalls"]

    def heed(self):
        """Do what doctor says, until it finds nothing that a firewall drops; all that it said."""
        done = []
        deadline = time.monotonic() + 180
        while found := self.blocked():
            assert time.monotonic() < deadline, found
            for each in found:
                host, _, command = each["fix"].partition(": ")
                assert host == "on h1"
                done.append(command)
                for one in command.split(" && "):
                    self.beside(*shlex.split(one))
        return done

    def tables(self):
        return self.run("h1", "nft", "-s", "list", "table", "ip", "skep")


@pytest.fixture(scope="module")
def lab():
    with FirewallLab(f"wall{os.getpid()}", 2) as made:
        made.up()
        made.furnish()
        yield made


@pytest.fixture
def ufw(lab):
    lab.beside("sh", "-c", MANUALLY)
    lab.beside("ufw", "--force", "enable")
    yield
    lab.beside("ufw", "--force", "reset")
    clear(lab)


@pytest.fixture
def firewalld(lab):
    command = lab.inside("h1", "env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus.sock", *BESIDE,
                         "sh", "-c", DAEMONS)  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as running:
        try:
            running.stdin.write(BUS)
            running.stdin.close()
            state = ("firewall-cmd", "--state")
            until(lambda: "running" in lab.beside(*state, check=False).split(), 120)
            yield
        finally:
            running.terminate()
    lab.run("h1", "pkill", "-f", "dbus-daemon --config-file=/run/bus.conf")
    clear(lab)


def clear(lab):
    """All of them leave chains behind."""
    for family, name in (("ip", "filter"), ("ip6", "filter"), ("inet", "firewalld")):
        lab.run("h1", "nft", "delete", "table", family, name, check=False)


def test_ufw_is_heard_and_told(lab, ufw):
    ours = lab.tables()
    assert lab.answer(CONTAINER) == lab.answer(SERVICE) == "000", "ports go by ufw"
    until(lambda: any("ufw route allow in on docker0" in each["fix"] for each in lab.blocked()), 60)
    said = lab.heed()
    assert all(each.startswith("ufw ") for each in said)
    assert "ufw allow 4789/udp" in said
    until(lab.all_answers, 60)
    lab.beside("ufw", "reload")
    until(lab.all_answers, 60)
    assert lab.tables() == ours


def test_firewalld_is_heard_and_told(lab, firewalld):
    ours = lab.tables()
    until(lambda: not lab.speaks("h1", "site", f"{lab.address('h2')}:{SERVICE}"), 60)
    until(lab.blocked, 60)
    said = lab.heed()
    assert all(each.startswith("firewall-cmd --permanent ") for each in said)
    until(lab.all_answers, 60)
    lab.beside("firewall-cmd", "--complete-reload")
    until(lab.all_answers, 60)
    assert lab.tables() == ours


def test_iptables_of_the_administrator_stay_as_they_are(lab):
    """Rules by iptables, as scripts of old make them, are heard and outlive Skep's repairs."""
    lab.run("h1", "iptables", "-I", "FORWARD", "-p", "tcp", "-m", "conntrack", "--ctorigdstport",
            str(CONTAINER), "-j", "DROP")  # fmt: skip
    try:
        own = lab.run("h1", "iptables-save", "-t", "filter")
        assert lab.answer(CONTAINER) == "000"
        lab.run("h1", "nft", "delete", "table", "ip", "skep")
        until(lambda: lab.answer(SERVICE) == "200", 60)
        assert lab.answer(CONTAINER) == "000"
        after = lab.run("h1", "iptables-save", "-t", "filter")
        assert rules(after) == rules(own)
    finally:
        clear(lab)
    until(lab.all_answers, 60)


def rules(saved):
    return [line for line in saved.splitlines() if line.startswith("-A")]
