"""The routing mesh and draining, on a lab of three hosts: what clients see, and that they lose
nothing. h3 stands for a client outside: it asks by other hosts' addresses."""

import contextlib
import itertools
import json
import os
import re
import subprocess

import pytest
from mesh_lab import CLIENT, ask, services, talking, tasks
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"mesh{os.getpid()}", 3) as lab:
        lab.up()
        yield lab


@pytest.fixture
def service(lab):
    """Makes services that are removed after the test."""
    with services(lab) as create:
        yield create


@contextlib.contextmanager
def under_load(lab, entry, port, count=4000):
    """Requests from h3 while the block runs; all must have been answered."""
    opened(lab, entry, port)
    with talking(lab, "h3", "load", lab.address(entry), str(port), str(count), "8", "0.01") as load:
        yield
        assert load.poll() is None, "the load ended before what it was to meet"
        result = json.loads(load.communicate(timeout=500)[0])
    assert result["failed"] == {}
    assert sum(result["answered"].values()) == count


def reached(lab, entry, port, count):
    """Whether a host knows all tasks of a service; it takes whole rounds of their turns."""
    found = ask(lab, "h3", "load", lab.address(entry), str(port), str(count), "1")
    return len(found["answered"]) == count


def opened(lab, entry, port):
    """Wait until a host lets h3 in, and somebody answers."""
    address = lab.address(entry)
    until(lambda: ask(lab, "h3", "load", address, str(port), "1", "1")["answered"], 60)


def only_running(lab, name, count):
    return lab.running(name, count) and len(tasks(lab, name)) == count


class TestTurns:
    @pytest.mark.parametrize("entry", ["h1", "h2"])
    def test_are_even_and_every_task_sees_its_client(self, lab, service, entry):
        service("web", 3, "--publish", "8080:80")
        until(lambda: reached(lab, entry, 8080, 3))
        found = ask(lab, "h3", "load", lab.address(entry), "8080", "600", "6")
        assert found["failed"] == {}
        assert sorted(found["answered"].values()) == [200, 200, 200]
        assert found["seen"] == {lab.address("h3"): 600}

    def test_from_the_host_itself(self, lab, service):
        service("web", 3, "--publish", "8080:80")
        until(lambda: reached(lab, "h1", 8080, 3))
        for address in ("127.0.0.1", lab.address("h1")):
            found = ask(lab, "h1", "load", address, "8080", "30", "2")
            assert (found["failed"], sorted(found["answered"].values())) == ({}, [10, 10, 10])

    def test_of_services_asked_alternately_do_not_meet(self, lab, service):
        places = []
        for number in range(4):
            service(f"web{number}", 2, "--publish", f"{8090 + number}:80")
            places.append(f"{lab.address('h1')}:{8090 + number}")
            until(lambda number=number: reached(lab, "h1", 8090 + number, 2))
        for count in (1, 2, 4):
            found = ask(lab, "h3", "turns", "20", *places[:count])
            assert {tuple(each.values()) for each in found.values()} == {(10, 10)}

    def test_by_options(self, lab, service):
        service("web", 3, "--publish", "8080:80", "--label", "skep.balance=source")
        opened(lab, "h1", 8080)
        opened(lab, "h2", 8080)

        def answered(entry):
            return set(ask(lab, "h3", "load", lab.address(entry), "8080", "40", "4")["answered"])

        # Hosts hear of the last task one after the other.
        until(lambda: len(answered("h1") | answered("h2")) == 1)
        relabel = ("h1", "service", "update", "--detach", "--label-add")
        lab.docker(*relabel, "skep.balance=random", "web")
        until(lambda: len(answered("h1")) == 3)
        code, _, why = lab.tried(*relabel, "skep.balance=best", "web")
        assert code == 1
        assert 'label skep.balance: "best" is none of rr, random, source, lc, sh, mh' in why

    def test_by_virtual_address_are_even(self, lab, service):
        lab.docker("h1", "network", "create", "-d", "overlay", "back")
        service("web", 3, "--network", "back")
        service(
            "client",
            1,
            "--network",
            "back",
            "--stop-signal",
            "SIGKILL",
            runs=("busybox", "sleep", "infinity"),
        )
        ((_, host, key),) = tasks(lab, "client")
        enter = ("nsenter", f"--net=/run/netns/{lab.sandbox(host, key)}")
        vip = "{{(index .Endpoint.VirtualIPs 0).Addr}}"
        address = lab.docker("h1", "service", "inspect", "-f", vip, "web").partition("/")[0]

        def asked(count, threads):
            words = ("load", address, "80", str(count), str(threads))
            return json.loads(lab.run(host, *enter, *CLIENT, *words))

        until(lambda: len(asked(3, 1)["answered"]) == 3)
        found = asked(600, 6)
        assert (found["failed"], sorted(found["answered"].values())) == ({}, [200, 200, 200])

    def test_by_the_weights_of_hosts(self, lab, service):
        lab.docker("h1", "node", "update", "--label-add", "skep.weight=4", "h1")
        try:
            service("web", 3, "--publish", "8080:80")
            entry = lab.address("h2")
            until(lambda: len(ask(lab, "h3", "load", entry, "8080", "6", "1")["answered"]) == 3)
            found = ask(lab, "h3", "load", entry, "8080", "600", "6")
            assert sorted(found["answered"].values()) == [100, 100, 400]
            code, _, why = lab.tried("h1", "node", "update", "--label-add", "skep.weight=x", "h2")
            assert (code, 'label skep.weight: "x" is no whole number from 0 to 100' in why) == (
                1,
                True,
            )
        finally:
            lab.docker("h1", "node", "update", "--label-rm", "skep.weight", "h1")

    def test_stay_with_one_task_for_a_while(self, lab, service):
        service("web", 3, "--publish", "8080:80", "--label", "skep.affinity=5m")
        opened(lab, "h1", 8080)
        home = set(ask(lab, "h3", "load", lab.address("h1"), "8080", "1", "1")["answered"])
        assert set(ask(lab, "h3", "load", lab.address("h1"), "8080", "40", "4")["answered"]) == home
        (gone,) = (key for _, _, key in tasks(lab, "web") if key[:12] in home)
        lab.docker("h1", "service", "update", "--detach", "--force", "web")
        until(lambda: gone not in {key for _, _, key in tasks(lab, "web")}, 60)
        found = ask(lab, "h3", "load", lab.address("h1"), "8080", "20", "1")
        assert found["failed"] == {}


ABRUPT = ("--stop-signal", "SIGKILL")
"""A server that ends what it is at when it is told to stop."""


class TestDraining:
    def test_scaling_loses_no_request(self, lab, service):
        service("web", 3, "--publish", "8080:80", *ABRUPT)
        with under_load(lab, "h2", 8080):
            for count in (1, 3, 2):
                lab.docker("h1", "service", "scale", "--detach", f"web={count}")
                until(lambda count=count: only_running(lab, "web", count))

    def test_an_update_loses_no_request(self, lab, service):
        service("web", 3, "--publish", "8080:80", *ABRUPT)
        before = {key for _, _, key in tasks(lab, "web")}
        with under_load(lab, "h1", 8080, 8000):
            lab.docker("h1", "service", "update", "--detach", "--force", "web")
            until(lambda: not before & {key for _, _, key in tasks(lab, "web")}, 60)
            until(lambda: only_running(lab, "web", 3))

    def test_draining_a_node_loses_no_request(self, lab, service):
        service("web", 3, "--publish", "8080:80", *ABRUPT)
        try:
            with under_load(lab, "h2", 8080):
                lab.docker("h1", "node", "update", "--availability", "drain", "h2")
                until(lambda: not [t for t in tasks(lab, "web") if t[1] == "h2"])
        finally:
            lab.docker("h1", "node", "update", "--availability", "active", "h2")

    def test_an_open_connection_is_waited_for(self, lab, service):
        service("web", 1, "--publish", "8080:80", "--label", "skep.drain=3m")
        opened(lab, "h1", 8080)
        with talking(lab, "h3", "hold", lab.address("h1"), "8080") as client:
            assert client.stdout.readline() == "open\n"
            lab.docker("h1", "service", "scale", "--detach", "web=0")
            until(lambda: lab.tried("h3", "version")[0] == 0 and refused(lab, "h2", 8080))
            for _ in range(3):
                client.stdin.write("\n")
                assert json.loads(client.stdout.readline())[1] == lab.address("h3")
            assert len(tasks(lab, "web")) == 1
            client.stdin.close()
            until(lambda: tasks(lab, "web") == [], 60)

    def test_an_open_connection_is_not_waited_for_longer_than_it_may(self, lab, service):
        service("web", 1, "--publish", "8080:80", "--stop-grace-period", "1s")
        opened(lab, "h1", 8080)
        with talking(lab, "h3", "hold", lab.address("h1"), "8080") as client:
            assert client.stdout.readline() == "open\n"
            lab.docker("h1", "service", "rm", "web")
            until(lambda: tasks(lab, "web") == [], 60)

    def test_a_host_that_is_cut_off_holds_nobody_up(self, lab, service):
        service("web", 1, "--publish", "8080:80", "--constraint", "node.hostname==h1")
        lab.skep("cut", "h1", "h3")
        try:
            lab.docker("h1", "service", "scale", "--detach", "web=0")
            until(lambda: tasks(lab, "web") == [], 30)
        finally:
            lab.skep("heal", "h1", "h3")
            until(lambda: lab.docker("h1", "node", "ls").count("Ready") == 3)


def refused(lab, entry, port):
    found = ask(lab, "h3", "load", lab.address(entry), str(port), "1", "1")
    return any("ConnectionRefused" in each for each in found["failed"])


def datagrams(lab, entry):
    """What becomes of a few. The kernel answers a stranger with an error not more than so often."""
    return ask(lab, "h3", "udp", lab.address(entry), "5353", "0.1")


class TestFlows:
    def test_datagrams_move_at_once_when_their_task_goes(self, lab, service):
        service("names", 2, "--publish", "5353:53/udp", runs=("busybox", "sleep", "infinity"))
        with contextlib.ExitStack() as servers:
            for slot, host, key in tasks(lab, "names"):
                box = lab.sandbox(host, key)
                server = servers.enter_context(talking(lab, host, "serve-udp", "53", slot, box=box))
                assert server.stdout.readline() == "ready\n"
            asking = ("udp", lab.address("h1"), "5353", "8")
            clients = [servers.enter_context(talking(lab, "h3", *asking)) for _ in range(2)]
            assert [client.stdout.readline() for client in clients] == ["asking\n"] * 2
            lab.docker("h1", "service", "scale", "--detach", "names=1")
            until(lambda: only_running(lab, "names", 1), 30)
            answers = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
        words = [[answer.split(" ") for answer in each] for each in answers]
        assert {client for each in words for _, client in each} == {lab.address("h3")}
        orders = [[slot for slot, _ in each] for each in words]
        moves = [sum(one != other for one, other in itertools.pairwise(each)) for each in orders]
        assert sorted(moves) == [0, 1], "one of them had to move"
        assert {each[-1] for each in orders} == {tasks(lab, "names")[0][0]}

    def test_who_has_no_task_refuses(self, lab, service):
        service("web", 1, "--publish", "8080:80", "--publish", "5353:53/udp")
        lab.docker("h1", "service", "scale", "--detach", "web=0")
        until(lambda: tasks(lab, "web") == [], 30)
        for entry in ("h1", "h2"):
            until(lambda entry=entry: refused(lab, entry, 8080))
            until(lambda entry=entry: "ConnectionRefusedError" in datagrams(lab, entry))


class TestHostMode:
    def test_a_port_is_open_where_its_task_is(self, lab, service):
        service("web", 1, "--publish", "mode=host,published=8081,target=80",
                "--constraint", "node.hostname==h2")  # fmt: skip
        opened(lab, "h2", 8081)
        found = ask(lab, "h3", "load", lab.address("h2"), "8081", "10", "2")
        assert (found["failed"], found["seen"]) == ({}, {lab.address("h3"): 10})
        assert ask(lab, "h2", "load", "127.0.0.1", "8081", "3", "1")["failed"] == {}
        assert refused(lab, "h1", 8081)
        listed = lab.docker("h1", "service", "ps", "--format", "{{.Ports}}", "web")
        assert listed.strip() == "*:8081->80/tcp"

    def test_a_port_is_chosen_and_shown(self, lab, service):
        service("web", 2, "--publish", "mode=host,target=80")
        listed = lab.docker("h1", "service", "ps", "--format", "{{.Node}} {{.Ports}}", "web")
        for line in listed.splitlines():
            host, _, port = line.partition(" *:")
            number = port.partition("->")[0]
            assert 32768 <= int(number) <= 60999
            opened(lab, host, number)
            assert ask(lab, "h3", "load", lab.address(host), number, "2", "1")["failed"] == {}

    def test_a_listener_in_the_way_is_named(self, lab):
        listener = subprocess.Popen(lab.inside("h2", "busybox", "nc", "-ll", "-p", "8082"))
        try:
            until(lambda: ":8082" in lab.run("h2", "ss", "-tln"))
            lab.docker("h1", "service", "create", "--detach", "--name", "late",
                       "--restart-condition", "none", "--constraint", "node.hostname==h2",
                       "--publish", "mode=host,published=8082,target=80", "nginx")  # fmt: skip
            error = until(
                lambda: lab.docker(
                    "h1", "service", "ps", "--no-trunc", "--format", "{{.Error}}", "late"
                ).strip()
            )
            # The host that was to run it says so, or the manager knew before.
            assert re.search(r"port 8082/tcp (is )?in use (on this host )?by busybox \(pid ", error)
        finally:
            lab.docker("h1", "service", "rm", "late")
            listener.kill()
            listener.wait()


class TestPublishing:
    def test_local_only(self, lab, service):
        service("web", 1, "--publish", "8080:80", "--constraint", "node.hostname==h2",
                "--label", "skep.local-only=true")  # fmt: skip
        opened(lab, "h2", 8080)
        assert ask(lab, "h3", "load", lab.address("h2"), "8080", "5", "1")["failed"] == {}
        until(lambda: refused(lab, "h1", 8080))

    def test_on_some_hosts(self, lab, service):
        lab.docker("h1", "node", "update", "--label-add", "zone=edge", "h1")
        edge = "skep.publish-on=node.labels.zone==edge"
        service("web", 1, "--publish", "8080:80", "--label", edge)
        opened(lab, "h1", 8080)
        assert ask(lab, "h3", "load", lab.address("h1"), "8080", "5", "1")["failed"] == {}
        until(lambda: refused(lab, "h2", 8080))
        lab.docker("h1", "node", "update", "--label-add", "zone=edge", "h2")
        opened(lab, "h2", 8080)

    def test_at_one_address(self, lab, service):
        service("web", 1, "--publish", "8080:80",
                "--label", f"skep.publish-address={lab.address('h2')}")  # fmt: skip
        opened(lab, "h2", 8080)
        assert ask(lab, "h3", "load", lab.address("h2"), "8080", "5", "1")["failed"] == {}
        until(lambda: refused(lab, "h1", 8080))
        assert ask(lab, "h2", "load", "127.0.0.1", "8080", "1", "1")["answered"] == {}

    @pytest.mark.parametrize("mode", ["ingress", "host"])
    def test_for_some_clients(self, lab, service, mode):
        service("web", 1, "--constraint", "node.hostname==h1",
                "--publish", f"mode={mode},published=8080,target=80", "--publish", "5353:53/udp",
                "--label", f"skep.allow=10.9.0.0/16,{lab.address('h2')}")  # fmt: skip
        until(lambda: ask(lab, "h2", "load", lab.address("h1"), "8080", "1", "1")["answered"])
        assert ask(lab, "h2", "load", lab.address("h1"), "8080", "5", "1")["failed"] == {}
        assert ask(lab, "h1", "load", "127.0.0.1", "8080", "1", "1")["failed"] == {}
        until(lambda: refused(lab, "h1", 8080))
        until(lambda: "ConnectionRefusedError" in datagrams(lab, "h1"))
        counted = lab.run("h1", "nft", "list", "chain", "ip", "skep", "refuse")
        assert "counter packets 0" not in counted
        lab.docker("h1", "service", "update", "--detach", "--label-rm", "skep.allow", "web")
        opened(lab, "h1", 8080)
