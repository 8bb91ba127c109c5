"""A swarm whose hosts reach each other by IPv6: sessions, tunnels and the peer mesh."""

import json
import os

import pytest
from mesh_lab import ask, tasks
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"vsix{os.getpid()}", 3) as lab:
        lab.up(swarm=False)
        said = lab.docker("h1", "swarm", "init", "--advertise-addr", lab.address6("h1"))
        assert f"[{lab.address6('h1')}]:2377" in said
        yield lab


@pytest.fixture(scope="module")
def joined(lab):
    token = lab.docker("h1", "swarm", "join-token", "-q", "worker").strip()
    manager = f"[{lab.address6('h1')}]:2377"
    code, _, why = lab.tried("h2", "swarm", "join", "--token", token,
                             "--data-path-addr", lab.address("h2"), manager)  # fmt: skip
    assert code == 1
    assert f"tunnels to this host would end at {lab.address('h2')}" in why
    assert "no tunnel goes from IPv4 to IPv6: give this host an address of IPv6" in why
    # It has none: there is nothing to choose.
    lab.run("h2", "ip", "-6", "address", "del", f"{lab.address6('h2')}/64", "dev", "eth0")
    code, _, why = lab.tried("h2", "swarm", "join", "--token", token,
                             f"{lab.address('h1')}:2377")  # fmt: skip
    assert code == 1
    assert f"tunnels to this host would end at {lab.address('h2')}" in why
    lab.run("h2", "ip", "-6", "address", "add", f"{lab.address6('h2')}/64", "dev", "eth0", "nodad")
    # It has both: the one that fits is taken.
    lab.docker("h2", "swarm", "join", "--token", token, manager)
    # Sessions by IPv4, tunnels by IPv6.
    lab.docker("h3", "swarm", "join", "--token", token, "--advertise-addr", lab.address("h3"),
               "--data-path-addr", lab.address6("h3"), f"{lab.address('h1')}:2377")  # fmt: skip
    until(lambda: lab.docker("h1", "node", "ls").count("Ready") == 3, 60)
    return lab


@pytest.fixture(scope="module")
def web(joined):
    joined.docker("h1", "service", "create", "--detach", "--name", "web", "--replicas", "2",
                  "--publish", "8080:80", "nginx")  # fmt: skip
    until(lambda: joined.running("web", 2), 60)


def test_hosts_are_known_by_their_addresses(joined):
    shown = json.loads(joined.docker("h1", "node", "inspect", "h1", "h2", "h3"))
    assert [each["Status"]["Addr"] for each in shown] == [
        joined.address6("h1"), joined.address("h2"), joined.address("h3"),
    ]  # fmt: skip


def test_tunnels_carry_both_families(joined):
    joined.docker("h1", "network", "create", "-d", "overlay", "--attachable", "--ipv6", "net")
    inspect = ("network", "inspect", "net")
    until(lambda: all(joined.tried(host, *inspect)[0] == 0 for host in joined.hosts), 60)
    joined.docker("h3", "run", "-d", "--name", "far", "--network", "net", "busybox",
                  "sleep", "infinity")  # fmt: skip
    for host in ("h1", "h2"):
        run = (host, "run", "--rm", "--network", "net", "busybox")
        for option, size in (("-4", "1402"), ("-6", "1382")):
            # Packets of 1430 bytes: an IPv6 header is 20 more than one of IPv4.
            ping = (*run, "ping", option, "-c", "2", "-s", size, "far")
            # h3 must have heard of who asks before it can answer.
            until(lambda p=ping: " 0% packet loss" in joined.tried(*p)[1], 60)
        assert "mtu 1430" in joined.docker(*run, "ip", "link", "show", "eth0")
    space = joined.run("h1", "sh", "-c", "ip netns | grep ^1- | cut -d' ' -f1").split()
    shown = [joined.run("h1", "ip", "-n", each, "-d", "link", "show", "vxlan0") for each in space]
    assert all(f"local {joined.address6('h1')}" in each for each in shown)


def test_the_mesh_works_by_both_families(joined, web):
    for address, client in (
        (joined.address("h1"), joined.address("h3")),
        (joined.address6("h1"), joined.address6("h3")),
    ):
        few = ("load", address, "8080", "4", "1")
        until(lambda f=few: len(ask(joined, "h3", *f)["answered"]) == 2, 60)
        found = ask(joined, "h3", "load", address, "8080", "10", "2")
        assert (found["failed"], found["seen"]) == ({}, {client: 10})
        assert sorted(found["answered"].values()) == [5, 5]
    assert len(tasks(joined, "web")) == 2


def test_foreign_tunnels_are_dropped(joined):
    wanted = ["ip6 saddr != @vteps", *(joined.address6(host) for host in joined.hosts)]
    show = ("h1", "nft", "list", "table", "ip6", "skep")
    until(lambda: all(each in joined.run(*show) for each in wanted))


def test_it_survives_a_restart_of_every_daemon(joined, web):
    for host in joined.hosts:
        joined.kill_daemon(host)
    until(lambda: all(joined.answers(host) for host in joined.hosts), 60)
    until(lambda: joined.docker("h1", "node", "ls").count("Ready") == 3, 60)
    until(lambda: joined.running("web", 2), 60)
    found = ask(joined, "h3", "load", joined.address6("h2"), "8080", "4", "1")
    assert found["failed"] == {}
