"""A network and IPAM plugin (examples/plugin) on a host: the real docker client."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
WIRE = ROOT / "examples" / "plugin" / "wire.py"
FAULTY = Path(__file__).with_name("faulty_wire.py")
SOCKET = "/run/docker/plugins/wire.sock"
STATE = "/run/wire.json"
DEADLINE = 10
"""Seconds that it may take to answer."""


class Plugin:
    """The example, as a process inside a host."""

    def __init__(self, lab):
        self.lab = lab
        self.process = None

    def start(self, program=WIRE, *options):
        command = (sys.executable, str(program), "--state", STATE, *options)
        self.process = subprocess.Popen(self.lab.inside("h1", *command))
        until(self.path(SOCKET).is_socket, 60)

    def path(self, path):
        """Where a file of the host's /run is."""
        return Path(f"/run/skep-lab/{self.lab.name}/h1{path}")

    def end(self):
        """As ``kill -9`` ends it."""
        if self.process is not None:
            self.lab.run("h1", "kill", "-9", *self.pids(), check=False)
            until(lambda: not self.pids(), 60)
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.path(SOCKET).unlink(missing_ok=True)

    def pids(self):
        listed = self.lab.run("h1", "pgrep", "-f", f"wire.py --state {STATE}", check=False)
        return listed.split()

    def pools(self):
        """The addresses in use, by pool."""
        return json.loads(self.path(STATE).read_text())


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"remote{os.getpid()}", 1, f"--plugin-deadline={DEADLINE}") as lab:
        lab.up(swarm=False)
        yield lab


@pytest.fixture
def wire(lab):
    """The plugin, on a host that is afterwards as it was before."""
    before = links(lab)
    plugin = Plugin(lab)
    try:
        plugin.start()
        yield plugin
        names = lab.docker("h1", "ps", "-aq").split()
        if names:
            lab.docker("h1", "rm", "-f", *names)
        until(lambda: without_networks(lab), 60)
        until(lambda: owed(lab) == [], 60)
        assert plugin.pools() == {}
        until(lambda: links(lab) == before, 60)
        until(lambda: lab.run("h1", "ip", "netns") == "", 60)
    finally:
        plugin.end()


def links(lab):
    return sorted(line.split()[0].partition("@")[0]
                  for line in lab.run("h1", "ip", "-br", "link").splitlines())  # fmt: skip


def without_networks(lab):
    """Remove those that nothing uses: a container that removes itself may be at it still."""
    lab.docker("h1", "network", "prune", "-f")
    return lab.docker("h1", "network", "ls", "-q", "--filter", "type=custom") == ""


def owed(lab):
    return json.loads(Path(f"/var/lib/skep-lab/{lab.name}/h1/skep/plugins.json").read_text())


def run(lab, name, *options):
    lab.docker("h1", "run", "-d", "--name", name, *options, "busybox", "sleep", "1d")


def address(lab, name):
    networks = lab.docker("h1", "inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
    return {name: each["IPAddress"] for name, each in json.loads(networks).items()}


def test_its_networks_are_like_others(lab, wire):
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "-o", "a=b",
               "--ipam-opt", "c=d", "w")  # fmt: skip
    (shown,) = json.loads(lab.docker("h1", "network", "inspect", "w"))
    assert (shown["Driver"], shown["Scope"], shown["Options"]) == ("wire", "local", {"a": "b"})
    assert shown["IPAM"] == {
        "Driver": "wire", "Options": {"c": "d"},
        "Config": [{"Subnet": "10.200.0.0/24", "Gateway": "10.200.0.1"}],
    }  # fmt: skip
    assert "wire" in lab.docker("h1", "info", "-f", "{{.Plugins.Network}}")
    assert lab.docker("h1", "network", "ls", "--filter", "driver=wire", "-q").split()
    assert lab.docker("h1", "plugin", "ls", "-q") == ""
    run(lab, "one", "--network", "w")
    run(lab, "two", "--network", "w", "--ip", "10.200.0.77", "--network-alias", "zwei")
    assert address(lab, "two") == {"w": "10.200.0.77"}
    assert "via 10.200.0.1" in lab.docker("h1", "exec", "one", "ip", "route")
    lab.docker("h1", "exec", "one", "ping", "-c", "1", "-W", "30", "zwei")
    lab.docker("h1", "exec", "one", "ping", "-c", "1", "-W", "30", "10.200.0.1")
    code, _, words = lab.tried("h1", "network", "rm", "w")
    assert code != 0
    assert "active endpoints" in words


def test_containers_come_and_go(lab, wire):
    lab.docker("h1", "network", "create", "plain")
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "w")
    run(lab, "one", "--network", "plain")
    lab.docker("h1", "network", "connect", "--ip", "10.200.0.9", "w", "one")
    assert "10.200.0.9/24" in lab.docker("h1", "exec", "one", "ip", "addr", "show", "eth1")
    lab.docker("h1", "network", "disconnect", "w", "one")
    assert lab.tried("h1", "exec", "one", "ip", "link", "show", "eth1")[0] != 0
    until(lambda: wire.pools() == {"10.200.0.0/24": ["10.200.0.1"]}, 60)
    lab.docker("h1", "network", "connect", "w", "one")
    lab.docker("h1", "stop", "-t", "0", "one")
    until(lambda: len(wire.pools()["10.200.0.0/24"]) == 1, 60)
    lab.docker("h1", "start", "one")
    assert len(wire.pools()["10.200.0.0/24"]) == 2


def test_drivers_are_mixed(lab, wire):
    lab.docker("h1", "network", "create", "-d", "wire", "--subnet", "10.99.0.0/24", "own")
    lab.docker("h1", "network", "create", "--ipam-driver", "wire", "--subnet", "10.98.0.0/24",
               "theirs")  # fmt: skip
    run(lab, "one", "--network", "own", "--network", "theirs")
    assert address(lab, "one") == {"own": "10.99.0.2", "theirs": "10.98.0.2"}
    assert wire.pools() == {"10.98.0.0/24": ["10.98.0.1", "10.98.0.2"]}
    lab.docker("h1", "exec", "one", "ping", "-c", "1", "-W", "30", "10.99.0.1")
    lab.docker("h1", "exec", "one", "ping", "-c", "1", "-W", "30", "10.98.0.1")
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "--ipv6", "six")
    run(lab, "two", "--network", "six")
    assert "fd77:6972:65::2/64" in lab.docker("h1", "exec", "two", "ip", "addr", "show", "eth0")
    lab.docker("h1", "exec", "two", "ping", "-6", "-c", "1", "-W", "30", "fd77:6972:65::1")


def test_a_restart_of_skepd_goes_unnoticed_and_forgets_nothing(lab, wire):
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "w")
    run(lab, "one", "--network", "w")
    run(lab, "two", "--network", "w")
    before = lab.docker("h1", "exec", "one", "ip", "-o", "addr")
    lab.kill_daemon("h1")
    until(lambda: lab.answers("h1"), 60)
    assert lab.docker("h1", "exec", "one", "ip", "-o", "addr") == before
    lab.docker("h1", "exec", "one", "ping", "-c", "1", "-W", "30", "two")


def test_a_plugin_that_died_gets_back_what_it_gave(lab, wire):
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "w")
    run(lab, "one", "--network", "w")
    wire.end()
    code, _, words = lab.tried("h1", "run", "--name", "two", "--network", "w", "busybox", "true")
    assert code != 0
    assert 'could not find plugin wire in v1 plugin registry: plugin "wire" not found' in words
    lab.docker("h1", "rm", "-f", "one", "two")
    lab.docker("h1", "network", "rm", "w")
    assert len(owed(lab)) == 6
    wire.start()


def test_an_interface_that_is_gone_is_made_again(lab, wire):
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "w")
    run(lab, "one", "--network", "w")
    before = lab.docker("h1", "exec", "one", "ip", "-o", "-4", "addr", "show", "eth0").split()[3]
    (port,) = [name for name in links(lab) if name.startswith("wirep")]
    lab.run("h1", "ip", "link", "del", port)
    until(lambda: lab.tried("h1", "exec", "one", "ping", "-c", "1", "-W", "1", "10.200.0.1")[0]
          == 0, 60)  # fmt: skip
    after = lab.docker("h1", "exec", "one", "ip", "-o", "-4", "addr", "show", "eth0").split()[3]
    assert before == after


FAULTS = {
    "NetworkDriver.Join=hang": f"NetworkDriver.Join: no answer within {DEADLINE} s",
    "NetworkDriver.CreateEndpoint=die": "NetworkDriver.CreateEndpoint: it ended the connection",
    "NetworkDriver.Join=docker0": "it named the interface docker0, which belongs to something",
}
"""Others are played in tests/agent."""


def test_one_that_does_not_do_its_work_leaves_nothing(lab, wire):
    lab.docker("h1", "network", "create", "-d", "wire", "--ipam-driver", "wire", "w")
    settled, seen = owed(lab), links(lab)
    for fault, words in FAULTS.items():
        wire.end()
        wire.start(FAULTY, "--fault", fault)
        code, _, said = lab.tried("h1", "run", "--rm", "--network", "w", "busybox", "true")
        assert code != 0, fault
        assert 'plugin "wire": ' in said, fault
        assert words in said, fault
        wire.end()
        wire.start()
        until(lambda: owed(lab) == settled, 60)
        until(lambda: links(lab) == seen, 60)
        until(lambda: lab.run("h1", "ip", "netns") == "", 60)
    lab.docker("h1", "run", "--rm", "--network", "w", "busybox", "true")
