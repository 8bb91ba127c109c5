"""Users' bridge networks on one host, without a swarm: the real docker client."""

import json
import os

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]
OPTION = "com.docker.network.bridge."


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"brgnet{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        yield lab


def docker(lab, *arguments):
    return lab.docker("h1", *arguments).strip()


def refused(lab, *arguments):
    code, _, words = lab.tried("h1", *arguments)
    assert code != 0, f"docker {' '.join(arguments)} was not refused"
    return words


def inspect(lab, network):
    (shown,) = json.loads(docker(lab, "network", "inspect", network))
    return shown


def run(lab, name, *options, command=("sleep", "1d")):
    return docker(lab, "run", "-d", "--name", name, *options, "busybox", *command)


def address(lab, container, network):
    form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return docker(lab, "inspect", "-f", form, container)


def pings(lab, container, target, within=30):
    wait = ("-c", "1", "-W", str(within))
    code, _, _ = lab.tried("h1", "exec", container, "ping", *wait, target)
    return code == 0


def test_a_network_is_made_used_and_removed(lab):
    before = lab.run("h1", "ip", "-o", "link")
    made = docker(lab, "network", "create", "--label", "a=b", "web")
    shown = inspect(lab, "web")
    assert (shown["Id"], shown["Driver"], shown["Scope"]) == (made, "bridge", "local")
    assert shown["IPAM"]["Config"] == [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]
    assert (shown["Labels"], shown["Internal"], shown["EnableIPv6"]) == ({"a": "b"}, False, False)
    assert f"br-{made[:12]}" in lab.run("h1", "ip", "-o", "link")
    run(lab, "one", "--network", "web")
    run(lab, "two", "--network", "web", "--network-alias", "zwei")
    assert address(lab, "one", "web") == "172.18.0.2"
    assert pings(lab, "one", address(lab, "two", "web"))
    assert "has active endpoints" in refused(lab, "network", "rm", "web")
    docker(lab, "rm", "-f", "one", "two")
    run(lab, "three", "--network", "web")
    assert address(lab, "three", "web") == "172.18.0.4", "what was given back rests"
    docker(lab, "rm", "-f", "three")
    docker(lab, "network", "rm", "web")
    assert "not found" in refused(lab, "network", "inspect", "web")
    assert lab.run("h1", "ip", "-o", "link") == before


def test_lists_and_pruning(lab):
    docker(lab, "network", "create", "--label", "keep=1", "kept")
    docker(lab, "network", "create", "loose")
    listed = docker(lab, "network", "ls", "--filter", "type=custom", "--format", "{{.Name}}")
    assert sorted(listed.split()) == ["kept", "loose"]
    assert docker(lab, "network", "ls", "-q", "--filter", "label=keep") != ""
    assert "already exists" in refused(lab, "network", "create", "kept")
    docker(lab, "network", "prune", "-f", "--filter", "until=1h")
    assert "loose" in docker(lab, "network", "ls")
    assert "loose" in docker(lab, "network", "prune", "-f", "--filter", "label!=keep")
    assert "kept" in docker(lab, "network", "ls")
    docker(lab, "network", "rm", "kept")


def test_asked_for_in_every_detail(lab):
    docker(
        lab, "network", "create", "--subnet", "10.80.0.0/24", "--gateway", "10.80.0.254",
        "--ip-range", "10.80.0.128/25", "--aux-address", "router=10.80.0.129", "--ipv6",
        "--subnet", "fd00:80::/64", "-o", f"{OPTION}name=fancy", "-o",
        "com.docker.network.driver.mtu=1400", "-o",
        "com.docker.network.container_iface_prefix=net", "fancy",
    )  # fmt: skip
    run(lab, "inner", "--network", "fancy")
    run(lab, "fixed", "--network", "name=fancy,ip=10.80.0.9,ip6=fd00:80::9,alias=nine,"
        "mac-address=02:42:aa:bb:cc:dd")  # fmt: skip
    assert address(lab, "inner", "fancy") == "10.80.0.128"
    seen = docker(lab, "exec", "fixed", "ip", "addr", "show", "net0")
    for fact in ("10.80.0.9/24", "fd00:80::9/64", "02:42:aa:bb:cc:dd", "mtu 1400"):
        assert fact in seen
    assert pings(lab, "inner", "fd00:80::9")
    assert "10.80.0.254" in lab.run("h1", "ip", "addr", "show", "fancy")
    assert "already in use" in refused(
        lab, "run", "--rm", "--network", "name=fancy,ip=10.80.0.9", "busybox", "true"
    )
    docker(lab, "rm", "-f", "inner", "fixed")
    docker(lab, "network", "rm", "fancy")


def test_bridges_are_apart_and_an_internal_one_is_sealed(lab):
    docker(lab, "network", "create", "left")
    docker(lab, "network", "create", "--internal", "sealed")
    docker(lab, "network", "create", "-o", f"{OPTION}enable_icc=false", "lonely")
    for name, network in (("l", "left"), ("s1", "sealed"), ("s2", "sealed"), ("a", "lonely"),
                          ("b", "lonely")):  # fmt: skip
        run(lab, name, "--network", network)
    assert pings(lab, "s1", address(lab, "s2", "sealed"))
    assert not pings(lab, "l", address(lab, "s1", "sealed"), 1)
    assert not pings(lab, "l", address(lab, "a", "lonely"), 1)
    assert not pings(lab, "a", address(lab, "b", "lonely"), 1)
    assert pings(lab, "l", lab.address("h1"))
    assert "default" not in docker(lab, "exec", "s1", "ip", "route")
    docker(lab, "rm", "-f", "l", "s1", "s2", "a", "b")
    docker(lab, "network", "rm", "left", "sealed", "lonely")


def test_connecting_and_leaving_while_it_runs(lab):
    docker(lab, "network", "create", "first")
    docker(lab, "network", "create", "--subnet", "10.81.0.0/24", "second")
    run(lab, "box", "--network", "first")
    run(lab, "peer", "--network", "second")
    docker(lab, "network", "connect", "--ip", "10.81.0.77", "--alias", "other", "second", "box")
    assert "10.81.0.77/24" in docker(lab, "exec", "box", "ip", "addr", "show", "eth1")
    assert pings(lab, "peer", "10.81.0.77")
    assert "already exists in network" in refused(lab, "network", "connect", "second", "box")
    docker(lab, "network", "disconnect", "first", "box")
    assert "eth0" not in docker(lab, "exec", "box", "ip", "link")
    assert "via 10.81.0.1" in docker(lab, "exec", "box", "ip", "route")
    assert "is not connected" in refused(lab, "network", "disconnect", "first", "box")
    docker(lab, "restart", "-t", "0", "box")
    assert address(lab, "box", "second") == "10.81.0.77"
    docker(lab, "rm", "-f", "box", "peer")
    docker(lab, "network", "rm", "first", "second")


def test_the_default_route_is_the_one_with_priority_then_the_first_by_name(lab):
    docker(lab, "network", "create", "--subnet", "10.82.0.0/24", "beta")
    docker(lab, "network", "create", "--subnet", "10.83.0.0/24", "alpha")
    run(lab, "byname", "--network", "beta", "--network", "alpha")
    run(lab, "asked", "--network", "name=beta,gw-priority=1", "--network", "alpha")
    assert "via 10.83.0.1" in docker(lab, "exec", "byname", "ip", "route")
    assert "via 10.82.0.1" in docker(lab, "exec", "asked", "ip", "route")
    docker(lab, "rm", "-f", "byname", "asked")
    docker(lab, "network", "rm", "alpha", "beta")


def test_what_is_gone_is_repaired_and_what_was_killed_is_adopted(lab):
    docker(lab, "network", "create", "-o", f"{OPTION}name=steady", "steady")
    run(lab, "still", "--network", "steady")
    gateway = inspect(lab, "steady")["IPAM"]["Config"][0]["Gateway"]
    lab.run("h1", "nft", "delete", "table", "ip", "skep")
    lab.run("h1", "ip", "link", "del", "steady")
    until(lambda: pings(lab, "still", gateway, 1), 60)
    until(lambda: "steady" in lab.run("h1", "nft", "list", "table", "ip", "skep", check=False), 60)
    lab.kill_daemon("h1")
    until(lambda: lab.answers("h1"), 60)
    assert pings(lab, "still", gateway)
    docker(lab, "rm", "-f", "still")
    docker(lab, "network", "rm", "steady")
