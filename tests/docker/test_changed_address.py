"""Hosts whose own address changes: their tunnels, encrypted ones too, and their sessions follow,
where the address was not asked for by itself; else the doctor says that it is gone."""

import json
import os
import re

import pytest
from swarm_lab import until
from trace_lab import TraceLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

NETWORKS = (("clear", ()), ("sealed", ("-o", "encrypted")))


@pytest.fixture(scope="module")
def lab():
    lab = TraceLab(f"moves{os.getpid()}", 3)
    try:
        lab.up(swarm=False)
        lab.docker("h1", "swarm", "init", "--advertise-addr", "eth0")
        token = lab.docker("h1", "swarm", "join-token", "-q", "worker").strip()
        manager = f"{lab.address('h1')}:2377"
        lab.docker("h2", "swarm", "join", "--token", token, manager)
        lab.docker("h3", "swarm", "join", "--token", token,
                   "--advertise-addr", lab.address("h3"), manager)  # fmt: skip
        for name, options in NETWORKS:
            lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", *options, name)
            for host in lab.hosts:
                lab.docker(host, "run", "-d", "--name", f"{name}-{host}", "--network", name,
                           "busybox", "sleep", "infinity")  # fmt: skip
        yield lab
    finally:
        if not os.environ.get("SKEP_KEEP_LAB"):
            lab.down()


def readdress(lab, host, old, new, then=""):
    """What DHCP does when a host is given another address: the old one goes first."""
    lab.run(host, "sh", "-c", f"ip address del {old}/24 dev eth0; sleep 0.3; "
            f"ip address add {new}/24 dev eth0 brd +; {then}")  # fmt: skip


def known_at(lab, host):
    """Where a host is said to be, if it is ready."""
    code, output, _ = lab.tried("h1", "node", "inspect", host)
    if code:
        return ""
    shown = json.loads(output)[0]
    return shown["Status"]["Addr"] if shown["Status"]["State"] == "ready" else ""


def all_talk(lab, hosts=("h1", "h2", "h3")):
    """Who cannot be reached by whom: nobody, if all is well."""
    return [
        (name, here, there)
        for name, _ in NETWORKS for here in hosts for there in hosts
        if here < there and lab.tried(
            here, "exec", f"{name}-{here}", "ping", "-c", "1", "-W", "1", f"{name}-{there}"
        )[0]
    ]  # fmt: skip


def errors(lab):
    return [each["what"] for each in lab.doctor()["findings"] if each["severity"] == "error"]


def ends(lab, host):
    """Where the tunnels of a host's networks go to and come from."""
    script = "for n in $(ip netns | cut -d' ' -f1); do ip netns exec $n bridge fdb show; "
    script += "ip -d -n $n link show type vxlan; done"
    shown = lab.run(host, "sh", "-c", script)
    return set(re.findall(r"dst (\S+)", shown)), set(re.findall(r"local (\S+)", shown))


@pytest.fixture(scope="module")
def talking(lab):
    until(lambda: not all_talk(lab), 120)
    return lab


def test_a_worker_with_another_address(talking):
    lab = talking
    old, new = until(lambda: known_at(lab, "h2"), 120), "192.168.90.112"
    readdress(lab, "h2", old, new)
    until(lambda: known_at(lab, "h2") == new, 120)
    until(lambda: not all_talk(lab), 120)
    for host in ("h1", "h3"):
        until(lambda h=host: new in ends(lab, h)[0] and old not in ends(lab, h)[0], 120)
    until(lambda: ends(lab, "h2")[1] == {new}, 120)
    form = "{{.Swarm.NodeAddr}}"
    until(lambda: lab.docker("h2", "info", "-f", form).strip() == new, 120)
    until(lambda: not errors(lab), 120)


def test_a_worker_that_begins_anew_with_another_address(talking):
    lab = talking
    old, new = until(lambda: known_at(lab, "h2"), 120), "192.168.90.122"
    readdress(lab, "h2", old, new, "kill -9 $(pgrep -of 'skep.daemon --state')")
    until(lambda: known_at(lab, "h2") == new, 120)
    until(lambda: not all_talk(lab), 120)
    until(lambda: ends(lab, "h2")[1] == {new}, 120)


def test_a_manager_with_another_address(talking):
    lab = talking
    old, new = until(lambda: known_at(lab, "h1"), 120), "192.168.90.111"
    readdress(lab, "h1", old, new)
    until(lambda: known_at(lab, "h1") == new, 120)
    until(lambda: all(known_at(lab, host) for host in lab.hosts), 120)
    until(lambda: not all_talk(lab), 120)
    until(lambda: f"{new}:2377" in lab.docker("h1", "swarm", "join-token", "worker"), 120)
    until(lambda: f"{new}:2377" in lab.docker("h3", "info"), 120)
    until(lambda: not errors(lab), 120)
    # Addresses are asked of the manager, wherever it is.
    attached = ("run", "--rm", "--network", "clear", "busybox", "true")
    for host in ("h2", "h3"):
        lab.kill_daemon(host)
        until(lambda h=host: lab.tried(h, *attached)[0] == 0, 120)
    until(lambda: all(known_at(lab, host) for host in lab.hosts), 120)


def test_a_manager_that_begins_anew_with_another_address(talking):
    lab = talking
    old, new = until(lambda: known_at(lab, "h1"), 120), "192.168.90.121"
    readdress(lab, "h1", old, new, "kill -9 $(pgrep -of 'skep.daemon --state')")
    until(lambda: lab.answers("h1") and known_at(lab, "h1") == new, 120)
    until(lambda: f"{new}:2377" in lab.docker("h2", "info"), 120)
    until(lambda: all(known_at(lab, host) for host in lab.hosts), 120)
    until(lambda: not all_talk(lab), 120)


def test_an_address_that_was_asked_for_stays(talking):
    lab = talking
    old = until(lambda: known_at(lab, "h3"), 120)
    lab.run("h3", "ip", "address", "add", "192.168.90.113/24", "dev", "eth0")
    lab.run("h3", "ip", "address", "del", f"{old}/24", "dev", "eth0")
    lab.run("h3", "ip", "address", "replace", "192.168.90.113/24", "dev", "eth0")
    until(lambda: any(f"{old} is on no link of h3" in each for each in errors(lab)), 120)
    until(lambda: not all_talk(lab, ("h1", "h2")), 120)
    lab.run("h3", "ip", "address", "del", "192.168.90.113/24", "dev", "eth0")
    lab.run("h3", "ip", "address", "add", f"{old}/24", "dev", "eth0")
    until(lambda: known_at(lab, "h3") == old and not all_talk(lab), 120)
    until(lambda: not errors(lab), 120)
