"""Ports of single containers, published on one host without a swarm: the real docker client."""

import json
import os
import re

import pytest
from mesh_lab import running
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

ASK = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=int(sys.argv[3]))
try:
    connection.request("GET", "/")
    print(connection.getresponse().status)
except OSError as error:
    print(error)
"""
ECHO = """
import socket, sys
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(int(sys.argv[3]))
client.connect((sys.argv[1], int(sys.argv[2])))
client.send(b"hello")
try:
    print(client.recv(99).decode())
except OSError as error:
    print(error)
"""
ANSWER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", int(sys.argv[1])))
print("ready", flush=True)
for _ in range(2):
    server.sendto(*server.recvfrom(99))
"""
WHO = """
import socket
server = socket.create_server(("", 9000))
print("ready", flush=True)
print(server.accept()[1][0], flush=True)
"""
LISTEN = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(os.getpid(), flush=True)
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"brgport{os.getpid()}", 2) as lab:
        lab.up(swarm=False)
        lab.docker("h1", "network", "create", "--ipv6", "--subnet", "fd00:90:1::/64", "web")
        lab.docker("h1", "run", "-d", "--name", "site", "--network", "web", "-p", "8080:80",
                   "-p", "127.0.0.1:8081:80", "nginx")  # fmt: skip
        serves(lab, "h1", "127.0.0.1", 8080)
        yield lab


def asked(lab, host, target, port, script=ASK, patience=60):
    return lab.run(host, "python3", "-c", script, target, str(port), str(patience)).strip()


def dropped(lab, host, target, port):
    return asked(lab, host, target, port, patience=5) == "timed out"


def serves(lab, host, target, port):
    until(lambda: asked(lab, host, target, port) == "200", 60)


def refused(lab, *arguments):
    code, _, words = lab.tried("h1", *arguments)
    assert code != 0, f"docker {' '.join(arguments)} was not refused"
    return words


def test_everywhere_it_should_and_nowhere_else(lab):
    for host, target in (
        ("h1", "127.0.0.1"), ("h1", "::1"), ("h1", lab.address("h1")), ("h2", lab.address("h1")),
        ("h1", lab.address6("h1")), ("h2", lab.address6("h1")),
    ):  # fmt: skip
        assert asked(lab, host, target, 8080) == "200", (host, target)
    assert asked(lab, "h1", "127.0.0.1", 8081) == "200"
    for host, target in (("h1", lab.address("h1")), ("h2", lab.address("h1")), ("h1", "::1")):
        assert "refused" in asked(lab, host, target, 8081), (host, target)


def test_containers_on_this_host_ask_as_well(lab):
    lab.docker("h1", "network", "create", "elsewhere")
    for network in ("web", "elsewhere", "bridge"):
        lab.docker("h1", "run", "--rm", "--network", network, "busybox",
                   "wget", "-qO", "/dev/null", f"http://{lab.address('h1')}:8080")  # fmt: skip
    lab.docker("h1", "exec", "site", "wget", "-qO", "/dev/null", f"http://{lab.address('h1')}:8080")


def test_what_is_shown(lab):
    assert sorted(lab.docker("h1", "port", "site").splitlines()) == [
        "80/tcp -> 0.0.0.0:8080", "80/tcp -> 127.0.0.1:8081", "80/tcp -> [::]:8080"
    ]  # fmt: skip
    assert lab.docker("h1", "port", "site", "80/tcp").startswith("0.0.0.0:8080\n")
    shown = lab.docker("h1", "ps", "--filter", "name=site", "--format", "{{.Ports}}")
    assert "0.0.0.0:8080->80/tcp" in shown
    assert "127.0.0.1:8081->80/tcp" in shown
    (seen,) = json.loads(lab.docker("h1", "inspect", "site"))
    assert seen["HostConfig"]["PortBindings"] == {
        "80/tcp": [
            {"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}
        ]
    }  # fmt: skip


def test_a_port_that_is_taken_is_refused_with_its_holder(lab):
    words = refused(lab, "run", "--name", "late", "-p", "8080:80", "nginx")
    assert "port 8080/tcp is in use on this host by container site" in words
    lab.docker("h1", "rm", "late")
    with running(lab, "h1", "python3", "-c", LISTEN, "8099") as program:
        pid = program.stdout.readline().strip()
        assert pid.isdigit()
        try:
            words = refused(lab, "run", "--name", "late", "-p", "8099:80", "nginx")
            assert re.search(r"port 8099/tcp is in use on this host by python3[^ ]* \(pid", words)
            lab.docker("h1", "rm", "late")
            lab.docker("h1", "run", "-d", "--name", "beside", "-p", "127.0.0.2:8099:80", "nginx")
            lab.docker("h1", "rm", "-f", "beside")
        finally:
            lab.run("h1", "kill", pid)


def test_ranges_any_and_all(lab):
    lab.docker("h1", "run", "-d", "--name", "r1", "-p", "8200-8201:80", "nginx")
    lab.docker("h1", "run", "-d", "--name", "r2", "-p", "8200-8201:80", "nginx")
    assert "8200" in lab.docker("h1", "port", "r1")
    assert "8201" in lab.docker("h1", "port", "r2")
    assert "port 8200-8201/tcp" in refused(lab, "run", "--rm", "-p", "8200-8201:80", "nginx")
    lab.docker("h1", "run", "-d", "--name", "any", "-p", "80", "-p", "7000-7001:7000-7001", "nginx")
    lab.docker("h1", "run", "-d", "--name", "all", "-P", "nginx")
    numbers = [lab.docker("h1", "port", name, "80").rpartition(":")[2] for name in ("any", "all")]
    for number in numbers:
        assert int(number) >= 32768
        serves(lab, "h2", lab.address("h1"), int(number))
    lab.docker("h1", "rm", "-f", "r1", "r2", "any", "all")


def test_udp_keeps_to_its_container(lab):
    lab.docker("h1", "run", "-d", "--name", "dns", "-p", "5353:53/udp", "busybox", "sleep", "1d")
    box = lab.sandbox("h1", "dns")
    with running(lab, "h1", "python3", "-c", ANSWER, "53", box=box) as server:
        assert server.stdout.readline() == "ready\n"
        for host, target in (("h2", lab.address("h1")), ("h1", "127.0.0.1")):
            assert asked(lab, host, target, 5353, ECHO) == "hello"
        lab.docker("h1", "rm", "-f", "dns")


def test_ports_go_with_their_container(lab):
    lab.docker("h1", "run", "-d", "--name", "brief", "-p", "8300:80", "nginx")
    serves(lab, "h2", lab.address("h1"), 8300)
    lab.docker("h1", "stop", "-t", "0", "brief")
    assert "refused" in asked(lab, "h2", lab.address("h1"), 8300)
    lab.docker("h1", "start", "brief")
    serves(lab, "h2", lab.address("h1"), 8300)
    lab.docker("h1", "rm", "-f", "brief")
    sealed = ("--name", "sealed", "-p", "8301:80", "nginx")
    lab.docker("h1", "network", "create", "--internal", "inner")
    assert "no network of it leads out" in refused(lab, "run", "--network", "inner", *sealed)
    lab.docker("h1", "rm", "sealed")
    assert "has no IPv6" in refused(lab, "run", "--rm", "-p", "[::1]:8302:80", "nginx")


def test_an_unpublished_port_is_not_reached_by_who_knows_the_way(lab):
    form = '{{(index .NetworkSettings.Networks "web").IPAddress}}'
    inner = lab.docker("h1", "inspect", "-f", form, "site").strip()
    lab.run("h2", "ip", "route", "add", inner, "via", lab.address("h1"))
    assert dropped(lab, "h2", inner, 80)
    assert asked(lab, "h1", inner, 80) == "200"


def test_containers_speak_with_the_address_and_hear_by_the_links_that_were_asked_for(lab):
    lab.run("h1", "ip", "address", "add", "192.168.90.77/24", "dev", "eth0")
    options = (
        "--subnet=10.86.0.0/24", "--opt=com.docker.network.host_ipv4=192.168.90.77",
        "--opt=com.docker.network.bridge.trusted_host_interfaces=lo:eth0",
    )  # fmt: skip
    lab.docker("h1", "network", "create", *options, "known")
    lab.docker("h1", "run", "-d", "--name", "known", "--network", "known", "nginx")
    with running(lab, "h2", "python3", "-uc", WHO) as server:
        assert server.stdout.readline() == "ready\n"
        lab.tried("h1", "exec", "known", "nc", "-w", "60", lab.address("h2"), "9000")
        assert server.stdout.readline() == "192.168.90.77\n"
    lab.run("h2", "ip", "route", "add", "10.86.0.0/24", "via", lab.address("h1"))
    serves(lab, "h2", "10.86.0.2", 80)
    lab.docker("h1", "rm", "-f", "known")
    lab.docker("h1", "network", "rm", "known")


def test_an_administrators_own_table_is_left_alone_and_heard(lab):
    lab.run(
        "h1",
        "nft",
        """table inet own-rules {
        chain forward {
            type filter hook forward priority filter - 10; policy accept;
            meta l4proto tcp ct original proto-dst 8080 drop
        }
    }""",
    )
    own = lab.run("h1", "nft", "list", "table", "inet", "own-rules")
    try:
        assert dropped(lab, "h2", lab.address("h1"), 8080)
        lab.run("h1", "nft", "delete", "table", "ip", "skep")
        until(lambda: "published" in lab.run("h1", "nft", "list", "table", "ip", "skep",
                                             check=False), 60)  # fmt: skip
        assert lab.run("h1", "nft", "list", "table", "inet", "own-rules") == own
    finally:
        lab.run("h1", "nft", "delete", "table", "inet", "own-rules")
    serves(lab, "h2", lab.address("h1"), 8080)
