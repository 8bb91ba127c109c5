"""IPv6 beside IPv4, on a lab of three hosts whose underlay has both: the mesh, with the client's
address, and networks of users. h3 stands for a client outside: it asks by other hosts' addresses.
"""

import functools
import ipaddress
import json
import os
import sys
from pathlib import Path

import frame
import mesh_lab
import pytest
from mesh_lab import ask, talking, tasks
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"dual{os.getpid()}", 3) as lab:
        lab.up()
        yield lab


@pytest.fixture(scope="module")
def create(lab):
    """Makes services that stay as long as the lab."""
    return functools.partial(mesh_lab.create, lab)


@pytest.fixture(scope="module")
def web(lab, create):
    create("web", 2, "--publish", "8080:80", "--constraint", "node.hostname!=h3")
    # Hosts hear of the tasks one after the other.
    for host in lab.hosts:
        for address in (lab.address(host), lab.address6(host)):
            until(lambda a=address: len(answered(lab, "h3", a, "8080", "4")) == 2, 60)


@pytest.fixture(scope="module")
def six(lab):
    """A network of both families."""
    lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "--ipv6",
               "--subnet", "10.66.0.0/24", "--subnet", "fd66::/64", "six")  # fmt: skip
    known(lab, "six")


@pytest.fixture(scope="module")
def back(create, six):
    create("back", 3, "--network", "six")


@pytest.fixture(scope="module")
def vips(lab, back):
    """The virtual addresses of `back`, with the lengths of their subnets' prefixes."""
    (service,) = json.loads(lab.docker("h1", "service", "inspect", "back"))
    found = [ipaddress.ip_interface(each["Addr"]) for each in service["Endpoint"]["VirtualIPs"]]
    return {each.version: each for each in found}


def known(lab, network):
    """Wait until all hosts know a network."""
    look = ("network", "inspect", network)
    until(lambda: all(lab.tried(host, *look)[0] == 0 for host in lab.hosts), 60)


def answered(lab, host, address, port, count="1"):
    return ask(lab, host, "load", address, port, count, "1")["answered"]


def counts(found):
    assert found["failed"] == {}
    return sorted(found["answered"].values())


class TestMesh:
    @pytest.mark.parametrize("entry", ["h1", "h2"])
    def test_every_host_answers_and_tasks_see_their_client(self, lab, web, entry):
        found = ask(lab, "h3", "load", lab.address6(entry), "8080", "20", "2")
        assert counts(found) == [10, 10]
        assert found["seen"] == {lab.address6("h3"): 20}

    def test_a_host_without_a_task_answers(self, lab, web):
        found = ask(lab, "h1", "load", lab.address6("h3"), "8080", "20", "2")
        assert counts(found) == [10, 10]
        assert found["seen"] == {lab.address6("h1"): 20}

    @pytest.mark.parametrize("address", ["::1", "localhost", "own"])
    @pytest.mark.parametrize("host", ["h1", "h3"])
    def test_from_the_host_itself(self, lab, web, host, address):
        target = lab.address6(host) if address == "own" else address
        assert counts(ask(lab, host, "load", target, "8080", "20", "2")) == [10, 10]

    def test_ipv4_is_as_it_was(self, lab, web):
        found = ask(lab, "h3", "load", lab.address("h1"), "8080", "20", "2")
        assert found["seen"] == {lab.address("h3"): 20}
        shown = json.loads(lab.docker("h1", "network", "inspect", "ingress"))[0]
        assert shown["EnableIPv6"] is False
        assert [each["Subnet"] for each in shown["IPAM"]["Config"]] == ["10.0.0.0/24"]

    def test_datagrams_through_any_host(self, lab, create):
        create("names", 1, "--publish", "5353:53/udp", "--publish", "5354:54",
               "--constraint", "node.hostname==h2",
               runs=("busybox", "sleep", "infinity"))  # fmt: skip
        ((_, host, key),) = tasks(lab, "names")
        box = lab.sandbox(host, key)
        with talking(lab, host, "serve-udp", "53", "one", "::", box=box) as server:
            assert server.stdout.readline() == "ready\n"

            def all_say(client, entry, words):
                answers = ask(lab, client, "udp", entry, "5353", "0.2")
                return {each.startswith(words) for each in answers} == {True}

            for entry in lab.hosts:
                place = lab.address6(entry)
                words = f"one {lab.address6('h3') if entry != 'h3' else ''}"
                until(lambda p=place, w=words: all_say("h3", p, w), 60)
            until(lambda: all_say("h1", "::1", "one "), 60)
        with talking(lab, host, "pour", "54", "3000000", "::", box=box) as server:
            assert server.stdout.readline() == "ready\n"
            # Answers that fill packets fit the way back through the tunnel.
            for entry in ("h1", "h2"):
                assert ask(lab, "h3", "drink", lab.address6(entry), "5354") == 3000000

    def test_who_has_no_task_refuses(self, lab, create):
        create("idle", 0, "--publish", "8082:80")
        for entry in ("h1", "h2"):
            found = ask(lab, "h3", "load", lab.address6(entry), "8082", "1", "1")
            assert any("ConnectionRefused" in each for each in found["failed"])

    def test_a_container_of_an_overlay_goes_out_in_both_families(self, lab, back):
        gateway = lab.run(
            "h1", "ip", "-6", "-o", "addr", "show", "docker_gwbridge", "scope", "global"
        )
        assert "inet6 fd" in gateway, "docker_gwbridge is of both"
        command = ("run", "--rm", "--network", "six", "busybox", "ping", "-c", "1", "-W", "60")
        for target in (lab.address("h3"), lab.address6("h3")):
            assert "1 packets received" in lab.docker("h1", *command, target)

    def test_in_mode_host_and_for_some_clients(self, lab, create):
        create("own", 1, "--publish", "mode=host,published=8083,target=80",
               "--constraint", "node.hostname==h2",
               "--label", f"skep.allow={lab.address6('h3')}")  # fmt: skip
        until(lambda: answered(lab, "h3", lab.address6("h2"), "8083"), 60)
        found = ask(lab, "h3", "load", lab.address6("h2"), "8083", "4", "1")
        assert (counts(found), found["seen"]) == ([4], {lab.address6("h3"): 4})
        assert ask(lab, "h1", "load", lab.address6("h2"), "8083", "1", "1")["answered"] == {}
        assert counts(ask(lab, "h2", "load", "::1", "8083", "2", "1")) == [2]


class TestTrace:
    def arrives(self, lab, *words):
        said = lab.run("h1", *TRACE, "--json", "--live", *words, check=False)
        found = json.loads(said or "{}")
        return found.get("reached") and (found["live"] or {}).get("answered")

    def test_of_a_published_port(self, lab, web):
        for entry in ("h1", "h3"):
            target = f"[{lab.address6(entry)}]:8080"
            until(lambda t=target: self.arrives(lab, "h3", t), 60)
        until(lambda: self.arrives(lab, "h1", "[::1]:8080"), 60)

    def test_of_a_vip(self, lab, vips):
        vip = vips[6].ip
        box, *_ = (f"back.{slot}" for slot, _, _ in tasks(lab, "back"))
        for target in (f"[{vip}]:80", f"{vip}/tcp:80"):
            until(lambda t=target: self.arrives(lab, box, t), 60)


def spoofed(lab):
    """How many packets of containers h1 has refused for what they say they are."""
    counts = lab.run("h1", "curl", "-s", "http://127.0.0.1:9323/metrics").splitlines()
    said = 'skep_refused_packets_total{why="spoofed"} '
    return sum(float(line.removeprefix(said)) for line in counts if line.startswith(said))


SOURCES = Path(__file__).parents[2] / "src"
TRACE = ("env", f"PYTHONPATH={SOURCES}", sys.executable, "-m",
         "skep.cli.main", "trace")  # fmt: skip


def run(lab, host, *words):
    return lab.docker(host, "run", "--rm", "--network", "six", "busybox", *words)


def loses_nothing(lab, host, *words):
    """Wait for a ping to: another host must have heard of who asks before it can answer."""
    command = ("run", "--rm", "--network", "six", "busybox", "ping", "-c", "2", *words)
    until(lambda: " 0% packet loss" in lab.tried(host, *command)[1], 60)


class TestNetworks:
    def test_what_is_shown(self, lab, vips):
        shown = json.loads(lab.docker("h1", "network", "inspect", "six"))[0]
        assert shown["EnableIPv6"] is True
        assert {"Subnet": "fd66::/64", "Gateway": "fd66::1"} in shown["IPAM"]["Config"]
        networks = {family: str(vip.network) for family, vip in vips.items()}
        assert networks == {4: "10.66.0.0/24", 6: "fd66::/64"}
        _, host, key = tasks(lab, "back")[0]
        box = json.loads(lab.docker(host, "inspect", key))[0]["NetworkSettings"]["Networks"]["six"]
        address = ipaddress.ip_address(box["GlobalIPv6Address"])
        assert address in ipaddress.ip_network("fd66::/64")
        assert box["GlobalIPv6PrefixLen"] == 64

    def test_a_vip_of_ipv6_balances_and_shows_the_client(self, lab, vips):
        asked = f"for n in 1 2 3 4 5 6; do wget -T 60 -qO- 'http://[{vips[6].ip}]/'; done"
        lines = run(lab, "h1", "sh", "-c", asked).splitlines()
        servers = [line for line in lines if "Welcome" in line]
        assert [servers.count(each) for each in set(servers)] == [2, 2, 2]
        clients = {line for line in lines if "client" in line}
        assert len(clients) == 1
        assert "<p>client fd66::" in clients.pop()

    def test_names(self, lab, vips):
        vip = vips[6].ip
        said = run(lab, "h2", "nslookup", "-type=AAAA", "back")
        assert f"Address: {vip}\n" in said
        said = run(lab, "h2", "nslookup", "-type=AAAA", "tasks.back")
        assert said.count("Address: fd66::") == 3
        assert "back.six" in run(lab, "h2", "nslookup", "-type=ptr", vip.reverse_pointer)

    def test_a_wanted_address_and_a_ping_across_hosts(self, lab, six):
        lab.docker("h3", "run", "-d", "--name", "fixed", "--network", "six", "--ip6", "fd66::77",
                   "busybox", "sleep", "infinity")  # fmt: skip
        try:
            loses_nothing(lab, "h1", "-6", "fixed")
            loses_nothing(lab, "h2", "fd66::77")
            code, _, why = lab.tried("h2", "run", "--rm", "--network", "six", "--ip6", "fd66::77",
                                     "busybox", "true")  # fmt: skip
            assert code == 125
            assert "Address already in use: fd66::77" in why
        finally:
            lab.docker("h3", "rm", "-f", "fixed")

    def test_round_robin(self, lab, create, six):
        create("robin", 2, "--network", "six", "--endpoint-mode", "dnsrr")
        assert run(lab, "h1", "nslookup", "-type=AAAA", "robin").count("Address: fd66::") == 2

    def test_nobody_claims_anothers_address_to_neighbours(self, lab, six):
        """By an advertisement whose own source is right: h1's liar tells h1's dupe where to find
        the container `far` of another host."""
        for host, name in (("h1", "liar"), ("h1", "dupe"), ("h3", "far")):
            lab.docker(host, "run", "-d", "--name", name, "--network", "six", "busybox",
                       "sleep", "infinity")  # fmt: skip
        try:
            form = (
                "{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}} {{.MacAddress}}{{end}}"
            )
            (liar, mac), (dupe, dupes), (far, fars) = (
                lab.docker(host, "inspect", "-f", form, name).split()
                for host, name in (("h1", "liar"), ("h1", "dupe"), ("h3", "far"))
            )
            ping = ("exec", "dupe", "ping", "-6", "-c", "1", far)
            until(lambda: lab.tried("h1", *ping)[0] == 0, 60)
            space = f"--net=/run/netns/{lab.sandbox('h1', 'dupe')}"

            def found(address):
                return lab.run("h1", "nsenter", space, "ip", "-6", "neigh", "show", "to", address)

            assert fars in found(far)
            refused = spoofed(lab)
            told = [frame.advertisement(topic, mac) for topic in (far, liar)]
            lies = [
                frame.ethernet(dupes, mac, 0x86DD, frame.icmp6(liar, dupe, each)).hex()
                for each in told
            ]
            lab.run("h1", "nsenter", f"--net=/run/netns/{lab.sandbox('h1', 'liar')}",
                    sys.executable, frame.SENDER, "eth0", *lies)  # fmt: skip
            until(lambda: spoofed(lab) == refused + 1, 60)
            assert fars in found(far) and mac not in found(far)
        finally:
            lab.docker("h1", "rm", "-f", "liar", "dupe")
            lab.docker("h3", "rm", "-f", "far")

    def test_packets_fill_the_tunnel_and_no_more(self, lab, six):
        lab.docker("h3", "run", "-d", "--name", "large", "--network", "six", "busybox",
                   "sleep", "infinity")  # fmt: skip
        try:
            loses_nothing(lab, "h1", "-6", "-s", "1402", "large")
        finally:
            lab.docker("h3", "rm", "-f", "large")

    def test_several_subnets_have_routes_between_them(self, lab, create):
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "--ipv6",
                   "--subnet", "10.67.0.0/29", "--subnet", "10.67.1.0/24",
                   "--subnet", "fd67::/64", "--subnet", "fd67:0:0:1::/64", "two")  # fmt: skip
        known(lab, "two")
        create("many", 5, "--network", "two")
        for address in ("10.67.1.200", "fd67:0:0:1::200"):
            option = "--ip6" if ":" in address else "--ip"
            lab.docker("h3", "run", "-d", "--name", "far", "--network", "two", option, address,
                       "busybox", "sleep", "infinity")  # fmt: skip
            try:
                for _, host, key in tasks(lab, "many")[:2]:
                    ping = (host, "nsenter", f"--net=/run/netns/{lab.sandbox(host, key)}",
                            "busybox", "ping", "-c", "2", address)  # fmt: skip
                    until(lambda p=ping: " 0% packet loss" in lab.run(*p, check=False), 60)
            finally:
                lab.docker("h3", "rm", "-f", "far")
