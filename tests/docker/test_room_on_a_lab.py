"""A swarm with address pools of its own: networks that are full say so, and grow while in use; and
links of the host that somebody took out of our group are found again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

CLIENT = [sys.executable, str(Path(__file__).with_name("mesh_client.py"))]
FULL = "network web: 5 of 5 addresses in use"


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"room{os.getpid()}", 2) as lab:
        lab.up(swarm=False)
        lab.docker("h1", "swarm", "init", "--advertise-addr", lab.address("h1"),
                   "--default-addr-pool", "10.20.0.0/16",
                   "--default-addr-pool-mask-length", "26")  # fmt: skip
        token = lab.docker("h1", "swarm", "join-token", "-q", "worker").strip()
        lab.docker("h2", "swarm", "join", "--token", token, f"{lab.address('h1')}:2377")
        yield lab


def skep(lab, *words):
    done = subprocess.run(
        [sys.executable, "-m", "skep.cli.main", "-H", f"unix://{lab.socket('h1')}", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def subnets(lab, network):
    form = "{{json .IPAM.Config}}"
    found = json.loads(lab.docker("h1", "network", "inspect", "-f", form, network))
    return [each["Subnet"] for each in found]


def addresses(lab, service):
    """Each container's address on the network, with its host and sandbox."""
    found = {}
    for host in lab.hosts:
        for id in lab.docker(host, "ps", "-q", "--filter", f"name=^{service}\\.").split():
            form = '{{(index .NetworkSettings.Networks "web").IPAddress}}'
            address = lab.docker(host, "inspect", "-f", form, id).strip()
            found[address] = host, lab.sandbox(host, id)
    return found


def test_networks_are_made_from_the_swarms_pools(lab):
    lab.docker("h1", "network", "create", "-d", "overlay", "pooled")
    (subnet,) = subnets(lab, "pooled")
    assert subnet.startswith("10.20.")
    assert subnet.endswith("/26")
    assert "10.20.0.0/16" in lab.docker("h1", "info")
    lab.docker("h1", "network", "rm", "pooled")


def ask(lab, host, box, address):
    enter = ("nsenter", f"--net=/run/netns/{box}")
    found = lab.run(host, *enter, *CLIENT, "load", address, "80", "1", "1")
    return json.loads(found.splitlines()[-1])


def test_a_full_network_says_so_and_grows_while_in_use(lab):
    lab.docker("h1", "network", "create", "-d", "overlay", "--attachable",
               "--subnet", "10.9.0.0/29", "web")  # fmt: skip
    lab.docker("h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "s",
               "--network", "web", "--replicas", "6", "nginx")  # fmt: skip
    until(lambda: len(addresses(lab, "s")) == 4, 60)
    errors = ("service", "ps", "--no-trunc", "--format", "{{.Error}}", "s")
    until(lambda: lab.docker("h1", *errors).count(FULL) == 2)
    code, _, why = lab.tried("h1", "run", "--rm", "--network", "web", "busybox", "true")
    assert (code, FULL in why) == (125, True), why
    old = addresses(lab, "s")
    (source, (host, box)), (target, _) = ends(old)
    # Hosts hear of what is on others one after the other.
    until(lambda: ask(lab, host, box, target)["answered"], 60)
    enter = ("nsenter", f"--net=/run/netns/{box}")
    held = subprocess.Popen(
        lab.inside(host, *enter, *CLIENT, "hold", target, "80"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    try:
        assert held.stdout.readline() == "open\n"
        code, said = skep(lab, "network", "update", "--subnet-add", "10.9.0.0/24", "web")
        assert (code, "overlaps with other one" in said) == (1, True), said
        assert skep(lab, "network", "update", "--subnet-add", "10.9.1.0/24", "web") == (0, "web\n")
        until(lambda: lab.running("s", 6), 60)
        held.stdin.write("\n")
        assert json.loads(held.stdout.readline())[1] == source
    finally:
        held.kill()
        held.wait()
    now = addresses(lab, "s")
    assert old.items() <= now.items(), "what was there stays as it is"
    added = [each for each in now if each not in old]
    assert [each.rpartition(".")[0] for each in added] == ["10.9.1"] * 2
    assert subnets(lab, "web") == ["10.9.0.0/29", "10.9.1.0/24"]
    for new in added:
        for other, (place, namespace) in ends(old):
            for client, asker, server in (
                ((place, namespace), other, new),
                (now[new], new, other),
            ):
                until(lambda c=client, s=server: ask(lab, *c, s)["answered"], 60)
                assert ask(lab, *client, server)["seen"] == {asker: 1}, (asker, server)


def ends(found):
    """Two containers on different hosts."""
    first = next((a, p) for a, p in found.items() if p[0] == "h1")
    return first, next((a, p) for a, p in found.items() if p[0] == "h2")


def group(lab, link):
    (shown,) = json.loads(lab.run("h1", "ip", "-j", "link", "show", link))
    return shown["group"]


def test_a_link_that_left_our_group_is_found_again(lab):
    ports = json.loads(lab.run("h1", "ip", "-j", "link", "show", "master", "docker_gwbridge"))
    links = ("docker_gwbridge", ports[0]["ifname"])
    before = [group(lab, link) for link in links]
    for link in links:
        lab.run("h1", "ip", "link", "set", link, "group", "default")
    until(lambda: [group(lab, link) for link in links] == before)
    now = json.loads(lab.run("h1", "ip", "-j", "link", "show", "master", "docker_gwbridge"))
    assert [each["ifindex"] for each in now] == [each["ifindex"] for each in ports]
