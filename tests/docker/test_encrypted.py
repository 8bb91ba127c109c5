"""Encrypted networks beside clear ones, on a lab: nothing of them is ever seen on the underlay."""

import json
import os
import re
import subprocess
import sys

import pytest
from swarm_lab import SLOW, SwarmLab, until
from underlay_capture import Capture

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600 * SLOW)]

INSIDE, CLEAR = b"\xc3" * 40, b"\x5a" * 40
"""What containers send all the time, on the encrypted network and on the clear one."""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"secret{os.getpid()}", 2) as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def capture(lab):
    with Capture(lab, "h2") as begun:
        yield begun


@pytest.fixture(scope="module")
def pair(lab, capture):
    """A container on each host, on an encrypted and a clear network, that never stops talking."""
    lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "-o", "encrypted", "enc")
    lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "-o",
               "encrypted=false", "clear")  # fmt: skip
    for host, name in (("h1", "a"), ("h2", "b")):
        lab.docker(host, "run", "-d", "--name", name, "--network", "enc", "busybox",
                   "sleep", "infinity")  # fmt: skip
        lab.docker(host, "run", "-d", "--name", f"{name}-clear", "--network", "clear", "busybox",
                   "sleep", "infinity")  # fmt: skip
    talk = "while :; do ping -p c3 -i 0.2 -w 3 b; done"
    lab.docker("h1", "exec", "-d", "a", "sh", "-c", talk)
    until(lambda: answers(lab, "a", "b"), 60)


def answers(lab, one, other, size=56):
    code, _, _ = lab.tried(
        "h1", "exec", one, "ping", "-c", "1", "-W", "2", "-s", str(size), other
    )  # fmt: skip
    return code == 0


def generation(lab):
    found = json.loads(lab.docker("h1", "network", "inspect", "enc"))[0]["Encryption"]
    return found["Peers"][0]["Generation"] if found["Peers"] else 0


def proven(lab, host):
    found = json.loads(lab.docker(host, "network", "inspect", "enc"))[0]["Encryption"]
    return found["Peers"] and all(peer["Encrypted"] for peer in found["Peers"])


def test_packets_of_full_size_pass_and_no_more(lab, pair):
    # 1500 less 60 for WireGuard, 50 for VXLAN, 28 for IPv4 and ICMP.
    mtu = lab.docker("h1", "exec", "a", "cat", "/sys/class/net/eth0/mtu").strip()
    assert mtu == "1390"
    assert until(lambda: answers(lab, "a", "b", 1362), 60)


def test_inspect_says_per_host_whether_it_is_proven(lab, pair):
    for host in ("h1", "h2"):
        until(lambda host=host: proven(lab, host), 60)
    found = json.loads(lab.docker("h1", "network", "inspect", "clear"))[0]
    assert "Encryption" not in found


def test_the_clear_network_beside_it_is_clear(lab, pair, capture):
    until(lambda: clear_is_seen(lab, capture), 60)


def clear_is_seen(lab, capture):
    lab.docker("h1", "exec", "a-clear", "ping", "-c", "1", "-p", "5a", "b-clear")
    return CLEAR in capture.read()


def test_private_keys_are_for_root_alone_and_stay(lab, pair, capture):
    path = f"/var/lib/skep-lab/{lab.name}/h1/skep/tunnel-keys"
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path) as file:
        private = json.load(file)[0]["private"]
    told = lab.run("h2", "ip", "netns", "exec", "skep-secure", "wg", "show", "all", "dump")
    assert private not in told


def test_new_keys_lose_nothing(lab, pair):
    until(lambda: proven(lab, "h1"), 60)
    before = generation(lab)
    asked = "ping -i 0.1 -c 250 b > /tmp/told; echo done >> /tmp/told"
    lab.docker("h1", "exec", "-d", "a", "sh", "-c", asked)
    until(lambda: rotated(lab), 60)
    until(lambda: generation(lab) > before, 60)
    told = until(lambda: finished(lab), 90)
    assert re.search(r"250 packets transmitted, 250 packets received", told), told[-300:]


def finished(lab):
    told = lab.docker("h1", "exec", "a", "cat", "/tmp/told")
    return told if told.endswith("done\n") else ""


def rotated(lab):
    done = subprocess.run(
        [sys.executable, "-m", "skep.cli.main", "rotate-keys"],
        env=os.environ | {"DOCKER_HOST": f"unix://{lab.socket('h1')}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def by_the_kernel(lab, host):
    """The kernel's own WireGuard links of a host."""
    enter = ("ip", "netns", "exec", "skep-secure")
    return lab.run(host, *enter, "ip", "-o", "link", "show", "type", "wireguard")


def test_the_kernel_encrypts_where_it_can_and_wireguard_go_elsewhere(lab, pair):
    until(lambda: proven(lab, "h1"), 60)
    for host in lab.hosts:
        kernel = bool(by_the_kernel(lab, host))
        assert kernel != bool(programs(lab, host))
        # Debian's kernel, in the emulated machine, has the module.
        assert kernel or not os.environ.get("SKEP_GUEST")


def test_a_killed_wireguard_is_replaced_and_nothing_gets_out(lab, pair):
    killed = programs(lab, "h1")
    if by_the_kernel(lab, "h1"):
        assert not killed
        pytest.skip("this kernel encrypts by itself: there is no program to kill")
    assert killed
    lab.run("h1", "kill", "-9", *killed)
    until(lambda: programs(lab, "h1") - killed, 60)
    until(lambda: answers(lab, "a", "b"), 60)
    until(lambda: proven(lab, "h1"), 60)


def programs(lab, host):
    """The process ids of a host's wireguard-go, in there."""
    return set(lab.run(host, "pgrep", "-x", "wireguard-go", check=False).split())


def test_a_restart_of_the_daemon_keeps_the_tunnel(lab, pair):
    before = programs(lab, "h1")
    log = f"/var/lib/skep-lab/{lab.name}/h1/skepd.log"
    with open(log) as file:
        starts = file.read().count("event='started'")
    lab.kill_daemon("h1")
    until(lambda: open(log).read().count("event='started'") > starts, 90)  # noqa: SIM115
    until(lambda: answers(lab, "a", "b"), 60)
    assert programs(lab, "h1") == before


def test_nothing_was_ever_seen_in_the_clear(lab, pair, capture):
    # It did talk, and the capture does see what is clear.
    until(lambda: clear_is_seen(lab, capture), 60)
    until(lambda: carried(lab) > 1000, 60)
    assert INSIDE not in capture.read()


def carried(lab):
    """The most bytes that h2 had of one peer."""
    told = lab.run("h2", "ip", "netns", "exec", "skep-secure", "wg", "show", "all", "transfer")
    return max((int(line.split()[2]) for line in told.splitlines()), default=0)
