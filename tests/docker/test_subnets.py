"""Addresses and tunnels as their users set them: a swarm with a port, pools and an ingress network
of its own."""

import json
import os
from pathlib import Path

import pytest
from mesh_lab import ask, tasks
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

PORT = "7789"


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"subn{os.getpid()}", 2) as lab:
        lab.up(swarm=False)
        lab.docker("h1", "swarm", "init", "--advertise-addr", lab.address("h1"),
                   "--data-path-addr", "eth0", "--data-path-port", PORT,
                   "--default-addr-pool", "10.50.0.0/16",
                   "--default-addr-pool-mask-length", "25")  # fmt: skip
        token = lab.docker("h1", "swarm", "join-token", "-q", "worker").strip()
        lab.docker("h2", "swarm", "join", "--token", token, f"{lab.address('h1')}:2377")
        yield lab


def network(lab, name, *options):
    lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", *options, name)
    until(lambda: all(lab.tried(host, "network", "inspect", name)[0] == 0 for host in lab.hosts))
    return json.loads(lab.docker("h1", "network", "inspect", name))[0]


def seen(lab, host, name, *command):
    return lab.docker(host, "run", "--rm", "--network", name, "busybox", *command)


def loses_nothing(lab, name, *words):
    """Wait for a ping from h1 to: h2 must have heard of who asks before it can answer."""
    command = ("run", "--rm", "--network", name, "busybox", "ping", "-c", "2", *words)
    until(lambda: " 0% packet loss" in lab.tried("h1", *command)[1], 60)


def test_tunnels_use_the_port_and_cross_hosts(lab):
    shown = network(lab, "plain")
    subnet = shown["IPAM"]["Config"][0]["Subnet"]
    assert subnet.startswith("10.50.") and subnet.endswith("/25"), subnet
    lab.docker("h2", "run", "-d", "--name", "far", "--network", "plain", "busybox",
               "sleep", "infinity")  # fmt: skip
    try:
        loses_nothing(lab, "plain", "far")
        listening = lab.run("h2", "ss", "-lunH")
        assert f":{PORT}" in listening
        assert ":4789" not in listening
    finally:
        lab.docker("h2", "rm", "-f", "far")


def test_ranges_gateways_and_auxiliary_addresses_are_kept(lab):
    network(lab, "kept", "--subnet", "10.60.0.0/24", "--ip-range", "10.60.0.8/30",
            "--gateway", "10.60.0.254", "--aux-address", "printer=10.60.0.9")  # fmt: skip
    found = [seen(lab, host, "kept", "hostname", "-i").split()[0] for host in ("h1", "h2", "h1")]
    assert found == ["10.60.0.8", "10.60.0.10", "10.60.0.11"]
    inside = lab.tried("h1", "run", "--rm", "--network", "kept", "--ip", "10.60.0.9", "busybox",
                       "true")  # fmt: skip
    assert (inside[0], "Address already in use: 10.60.0.9" in inside[2]) == (125, True)


def test_what_overlaps_is_named(lab):
    network(lab, "mine", "--subnet", "10.61.0.0/24")
    code, _, why = lab.tried("h1", "network", "create", "-d", "overlay",
                             "--subnet", "10.61.0.128/25", "other")  # fmt: skip
    assert code == 1
    assert "10.61.0.128/25 and 10.61.0.0/24 of network mine" in why


def test_the_mtu_and_the_vxlan_id_are_as_asked(lab):
    shown = network(lab, "small", "--opt", "com.docker.network.driver.mtu=1400",
                    "--opt", "com.docker.network.driver.overlay.vxlanid_list=5555")  # fmt: skip
    assert shown["Options"]["com.docker.network.driver.overlay.vxlanid_list"] == "5555"
    assert "mtu 1350" in seen(lab, "h2", "small", "ip", "link", "show", "eth0")


def test_several_subnets_have_a_vxlan_id_each(lab):
    option = "com.docker.network.driver.overlay.vxlanid_list"
    several = ("--subnet", "10.62.0.0/24", "--subnet", "10.62.1.0/24")
    shown = network(lab, "pair", *several, "--opt", f"{option}=6001,6002")
    assert shown["Options"][option] == "6001,6002"
    lab.docker("h2", "run", "-d", "--name", "upper", "--network", "pair", "--ip", "10.62.1.9",
               "busybox", "sleep", "infinity")  # fmt: skip
    try:
        loses_nothing(lab, "pair", "10.62.1.9")
        inside = f"1-{shown['Id'][:10]}"
        for number, vni in enumerate((6001, 6002)):
            link = lab.run("h2", "ip", "-n", inside, "-d", "link", "show", f"vxlan{number}")
            assert f"vxlan id {vni} " in link and f"master br{number} " in link
    finally:
        lab.docker("h2", "rm", "-f", "upper")
    for wanted, subnets, sentence in (
        ("6002", (), "VXLAN id 6002 is already in use by network pair"),
        ("6003,6003", (*several[:1], "10.63.0.0/24", "--subnet", "10.63.1.0/24"), "network itself"),
        ("6003,6004", (), "2 VXLAN ids for 1 subnets"),
        ("16777216", (), "must be between 4096 and 16777215"),
    ):
        code, _, why = lab.tried("h1", "network", "create", "-d", "overlay", *subnets, "--opt",
                                 f"{option}={wanted}", "other")  # fmt: skip
        assert (code, sentence in why) == (1, True), why


def test_networks_follow_the_underlays_mtu(lab):
    """Those that run, too; only those whose user said what it is stay."""
    network(lab, "wide")
    network(lab, "said", "--opt", "com.docker.network.driver.mtu=1200")
    for name in ("wide", "said"):
        lab.docker("h2", "run", "-d", "--name", name, "--network", name, "busybox",
                   "sleep", "infinity")  # fmt: skip

    def mtus():
        shown = (lab.docker("h2", "exec", name, "cat", "/sys/class/net/eth0/mtu")
                 for name in ("wide", "said"))  # fmt: skip
        return [int(each) for each in shown]

    try:
        assert mtus() == [1450, 1150]
        lab.run("h2", "ip", "link", "set", "eth0", "mtu", "1400")
        until(lambda: mtus() == [1350, 1150], 60)
        loses_nothing(lab, "wide", "-s", "1322", "wide")
        # Too narrow for IPv6, which the mesh has: it does without it, and IPv4 goes on.
        lab.run("h2", "ip", "link", "set", "eth0", "mtu", "1300")
        until(lambda: mtus() == [1250, 1150], 60)
        until(lambda: "inet6 fd" not in lab.run("h2", *MESH6), 60)
        loses_nothing(lab, "wide", "-s", "1222", "wide")
        log = Path(f"/var/lib/skep-lab/{lab.name}/h2/skepd.log").read_text()
        assert "kernel refused" not in log
    finally:
        lab.run("h2", "ip", "link", "set", "eth0", "mtu", "1500")
        until(lambda: mtus() == [1450, 1150], 60)
        lab.docker("h2", "rm", "-f", "wide", "said")
        until(lambda: "inet6 fd" in lab.run("h2", *MESH6), 60)


def test_the_ingress_network_is_made_anew(lab):
    until(lambda: "10.50.0.2/25" in lab.run("h1", *ENTRY, check=False))
    lab.docker("h1", "network", "rm", "ingress", stdin="y\n")
    until(lambda: "ingress_sbox" not in lab.run("h2", "ip", "netns"))
    code, _, why = lab.tried("h1", "service", "create", "--publish", "80:80", "nginx")
    assert (code, "no ingress network is present" in why) == (1, True)
    lab.docker("h1", "network", "create", "-d", "overlay", "--ingress",
               "--subnet", "10.255.0.0/16", "--gateway", "10.255.0.1", "entry")  # fmt: skip
    lab.docker("h1", "service", "create", "--detach", "--replicas", "2", "--name", "ngx",
               "--publish", "80:80", "nginx")  # fmt: skip
    until(lambda: lab.running("ngx", 2), 60)
    vips = lab.docker("h1", "service", "inspect", "-f", "{{.Endpoint.VirtualIPs}}", "ngx")
    assert vips.strip().endswith("/16}]") and " 10.255.0." in vips
    for host in lab.hosts:
        until(lambda host=host: " 10.255.0." in lab.run(host, *ENTRY, check=False))
    assert {host for _, host, _ in tasks(lab, "ngx")} == {"h1", "h2"}
    for address in (lab.address("h2"), lab.address6("h2")):
        few = ("load", address, "80", "4", "1")
        until(lambda few=few: len(ask(lab, "h1", *few)["answered"]) == 2, 60)
        found = ask(lab, "h1", "load", address, "80", "10", "2")
        assert (found["failed"], sorted(found["answered"].values())) == ({}, [5, 5])
        expected = lab.address("h1") if address == lab.address("h2") else lab.address6("h1")
        assert found["seen"] == {expected: 10}


MESH6 = ("ip", "netns", "exec", "ingress_sbox", "ip", "-6", "addr", "show", "eth0")
ENTRY = ("ip", "netns", "exec", "ingress_sbox", "ip", "-4", "-o", "addr", "show", "eth0")


def test_what_is_made_on_one_host_is_used_on_another_at_once(lab):
    """Nobody waits between two commands of a script."""
    for turn in range(5):
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "hasty")
        lab.docker("h2", "run", "-d", "--name", "haste", "--network", "hasty", "busybox",
                   "sleep", "600")  # fmt: skip
        if turn % 2:
            lab.docker("h2", "network", "disconnect", "hasty", "haste")
            lab.docker("h1", "network", "rm", "hasty")
            lab.docker("h2", "rm", "-f", "haste")
        else:
            lab.docker("h2", "rm", "-f", "haste")
            lab.docker("h1", "network", "rm", "hasty")
