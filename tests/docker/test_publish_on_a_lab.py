"""Published ports on a lab of three hosts, asked for with the real client: what is published where,
what is refused, and what stays as it is while ports come and go. h3 stands for a client outside."""

import contextlib
import itertools
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest
from mesh_lab import CLIENT, ask, running, services
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

FOLDER = Path(__file__).parent
BENCHMARKS = FOLDER.parent.parent / "benchmarks"
SCTP = [sys.executable, str(FOLDER / "sctp_peer.py")]
LISTEN = (
    "import socket,sys; s=socket.create_server(('',{port})); print('ready',flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"publish{os.getpid()}", 3) as lab:
        lab.up()
        yield lab


@pytest.fixture
def service(lab):
    """Makes services that are removed after the test."""
    with services(lab) as create:
        yield lambda name, *options, replicas=1, **what: create(name, replicas, *options, **what)


@contextlib.contextmanager
def listening(lab, host, port):
    """A program of a host that listens on a port."""
    with running(lab, host, sys.executable, "-c", LISTEN.format(port=port)) as process:
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        process.wait(60)


def asked(lab, host, address, port, count=1):
    return ask(lab, host, "load", address, str(port), str(count), "1")


def answered(lab, host, address, port, count=1):
    """Who answered, or what went wrong."""
    found = asked(lab, host, address, port, count)
    return set(found["answered"]) or {why.split()[1].partition("(")[0] for why in found["failed"]}


REFUSED = {"ConnectionRefusedError"}


def outside(lab, entry, port, count=1):
    return answered(lab, "h3", lab.address(entry), port, count)


def boxes(lab, name):
    """The short ids of a service's containers by host."""
    form = ("--filter", f"name=^{name}\\.", "--format", "{{.ID}}")
    found = {host: lab.docker(host, "ps", *form).split() for host in lab.hosts}
    return {host: ids for host, ids in found.items() if ids}


def endpoint_ports(lab, name):
    shown = json.loads(lab.docker("h1", "service", "inspect", "-f", "{{json .Endpoint}}", name))
    return {
        (p["Protocol"], p.get("PublishedPort", 0), p["TargetPort"], p["PublishMode"])
        for p in shown.get("Ports", ())
    }


def published(lab, host):
    """The TCP ports that a host's kernel publishes."""
    listed = lab.run(host, "nft", "list", "map", "ip", "skep", "published")
    return {int(number) for number in re.findall(r"tcp \. (\d+) :", listed)}


def refusal(lab, *words):
    code, _, why = lab.tried("h1", "service", *words)
    assert code == 1, "it was not refused"
    return why


class TestSyntax:
    def test_short_long_ranges_and_dynamic_ports(self, lab, service):
        service(
            "web", "-p", "8080:80", "-p", "9000-9002:90-92/udp", "-p", "80", "-p", "5000:5001/sctp",
            "--publish", "mode=host,target=80,published=8181",
            "--publish", "mode=host,target=80,protocol=tcp",
        )  # fmt: skip
        assert endpoint_ports(lab, "web") == {
            ("tcp", 8080, 80, "ingress"), ("tcp", 30000, 80, "ingress"),
            *(("udp", 9000 + n, 90 + n, "ingress") for n in range(3)),
            ("sctp", 5000, 5001, "ingress"),
            ("tcp", 8181, 80, "host"), ("tcp", 0, 80, "host"),
        }  # fmt: skip
        listed = lab.docker("h1", "service", "ls", "--format", "{{.Ports}}")
        assert "*:9000-9002->90-92/udp" in listed
        assert "*:30000->80/tcp" in listed
        (here,) = boxes(lab, "web")
        listed = ("service", "ps", "--format", "{{.Ports}}", "web")
        until(lambda: lab.docker("h1", *listed).count("->") == 2, 60)
        fixed, dynamic = sorted(lab.docker("h1", *listed).strip().split(","))[::-1]
        assert fixed == "*:8181->80/tcp"
        number = int(dynamic.partition("->")[0][2:])
        assert 32768 <= number < 61000
        for port in (8080, 30000, 8181, number):
            until(lambda p=port: outside(lab, here, p) == set(boxes(lab, "web")[here]), 60)

    def test_sctp_is_carried_and_shows_its_client(self, lab, service):
        service("phone", "-p", "5000:5001/sctp", "--constraint", "node.hostname==h2")
        (id,) = boxes(lab, "phone")["h2"]
        with running(lab, "h2", *SCTP, "serve", "5001", box=lab.sandbox("h2", id)) as server:
            assert server.stdout.readline() == "ready\n"
            # Another port each time: what became of an attempt is remembered by its ports.
            ports = itertools.count(40000)
            for entry in ("h1", "h2"):
                ask = (*SCTP, "ask", lab.address(entry), "5000")
                found = until(
                    lambda ask=ask: lab.run("h3", *ask, str(next(ports)), check=False).split(), 60
                )
                assert found == [lab.address(entry), "5000"]
                assert server.stdout.readline().strip() == lab.address("h3")


class TestChanges:
    def test_leave_other_connections_alone(self, lab, service):
        service("one", "-p", "8080:80", "-p", "8081:81", replicas=2)
        service("two", "-p", "8090:80")
        before = boxes(lab, "one")
        ones = {id for ids in before.values() for id in ids}
        ((_, twos),) = boxes(lab, "two").items()
        until(lambda: outside(lab, "h1", 8080, 2) == ones, 60)
        until(lambda: outside(lab, "h1", 8090) == set(twos), 60)
        with contextlib.ExitStack() as stack:
            held = []
            for port in (8080, 8090):
                words = (*CLIENT, "hold", lab.address("h1"), str(port))
                client = stack.enter_context(running(lab, "h3", *words))
                assert client.stdout.readline() == "open\n"
                held.append(client)

            def all_flow():
                for client in held:
                    client.stdin.write("\n")
                answers = [json.loads(client.stdout.readline()) for client in held]
                assert [seen for _, seen in answers] == [lab.address("h3")] * 2

            update = ("h1", "service", "update", "-d", "-q")
            lab.docker(*update, "--publish-add", "8082:82", "one")
            until(lambda: published(lab, "h1") == {8080, 8081, 8082, 8090}, 60)
            all_flow()
            lab.docker(*update, "--publish-rm", "81", "one")
            until(lambda: published(lab, "h1") == {8080, 8082, 8090}, 60)
            all_flow()
            until(lambda: outside(lab, "h1", 8080, 2) == ones, 60)
            assert boxes(lab, "one") == before, "no task was replaced"
            # Its own flows are not cut either, as Docker's are not.
            lab.docker(*update, "--publish-rm", "80", "one")
            until(lambda: published(lab, "h1") == {8082, 8090}, 60)
            all_flow()


class TestOptions:
    def test_on_some_hosts_and_one_port_for_two_services(self, lab, service):
        lab.docker("h1", "node", "update", "--label-add", "zone=a", "h1")
        lab.docker("h1", "node", "update", "--label-add", "zone=b", "h2")
        service("a", "-p", "8080:80", "--label", "skep.publish-on=node.labels.zone==a")
        service("b", "-p", "8080:80", "--label", "skep.publish-on=node.labels.zone==b")
        expected = {"h1": boxes(lab, "a"), "h2": boxes(lab, "b")}
        own = {host: {id for ids in each.values() for id in ids} for host, each in expected.items()}
        own["h3"] = REFUSED
        until(lambda: {host: outside(lab, host, 8080) for host in lab.hosts} == own, 60)
        why = refusal(lab, "create", "-d", "--name", "c", "-p", "8080:80", "nginx")
        assert "port '8080' is already in use by service 'a'" in why

    def test_at_one_address_and_another(self, lab, service):
        for name, host in (("one", "h1"), ("two", "h2")):
            service(name, "-p", "8080:80", "--label", f"skep.publish-address={lab.address(host)}")
        for name, host in (("one", "h1"), ("two", "h2")):
            ((_, ids),) = boxes(lab, name).items()
            until(lambda host=host, ids=ids: outside(lab, host, 8080) == set(ids), 60)
            until(lambda host=host: answered(lab, host, "127.0.0.1", 8080) == REFUSED, 60)
        until(lambda: outside(lab, "h3", 8080) == REFUSED, 60)

    def test_both_at_addresses_of_one_host(self, lab, service):
        second = "192.168.90.111"
        lab.run("h1", "ip", "address", "add", f"{second}/24", "dev", link_of(lab, "h1"))
        own = (lab.address("h1"), second)
        for name, address in zip(("one", "two"), own, strict=True):
            service(name, "-p", "8080:80", "--label", f"skep.publish-address={address}")
        for name, address in zip(("one", "two"), own, strict=True):
            ((_, ids),) = boxes(lab, name).items()

            def seen(address=address):
                found = asked(lab, "h3", address, 8080)
                return set(found["answered"]), set(found["seen"])

            until(lambda ids=ids, seen=seen: seen() == (set(ids), {lab.address("h3")}), 60)

    def test_who_may_ask(self, lab, service):
        service("web", "-p", "8080:80", "--label", f"skep.allow={lab.address('h2')}/32")
        ((_, ids),) = boxes(lab, "web").items()
        until(lambda: answered(lab, "h2", lab.address("h1"), 8080) == set(ids), 60)
        until(lambda: outside(lab, "h1", 8080) == REFUSED, 60)
        until(lambda: outside(lab, "h2", 8080) == REFUSED, 60)
        # The host itself may always.
        until(lambda: answered(lab, "h1", "127.0.0.1", 8080) == set(ids), 60)

    def test_local_tasks_alone(self, lab, service):
        service(
            "web", "-p", "8080:80", "--label", "skep.local-only=true", "--constraint",
            "node.hostname!=h3", "--replicas-max-per-node", "1", replicas=2,
        )  # fmt: skip
        own = {host: set(ids) for host, ids in boxes(lab, "web").items()}
        own["h3"] = REFUSED
        until(lambda: {host: outside(lab, host, 8080, 4) for host in lab.hosts} == own, 60)


def link_of(lab, host):
    """The link that carries a host's address."""
    found = json.loads(lab.run(host, "ip", "-j", "address", "show", "to", lab.address(host)))
    return found[0]["ifname"].partition("@")[0]


class TestPrograms:
    def test_a_port_that_a_host_listens_on_is_refused(self, lab, service):
        with listening(lab, "h2", 8080):
            create = ("create", "-d", "--name", "web", "-p", "8080:80", "nginx")
            until(
                lambda: "in use" in lab.tried("h1", "service", *create)[2] or remove(lab, "web"), 60
            )
            why = refusal(lab, *create)
            assert "port 8080/tcp is in use on node h2 by python3" in why.replace(
                "python ", "python3 "
            )
            service("web", "-p", "8081:80")
            why = refusal(lab, "update", "-d", "--publish-add", "8080:80", "web")
            assert "port 8080/tcp is in use on node h2 by " in why
        update = ("service", "update", "-d", "-q", "--publish-add", "8080:80", "web")
        until(lambda: lab.tried("h1", *update)[0] == 0, 60)

    def test_one_that_is_listened_on_later_is_told_of(self, lab, service):
        def errors():
            return lab.docker("h1", "service", "ps", "--no-trunc", "--format", "{{.Error}}", "web")

        service("web", "-p", "8080:80")
        assert errors().strip() == ""
        with listening(lab, "h2", 8080):
            until(lambda: "port 8080/tcp is in use on node h2 by " in errors(), 60)
            assert "which hears nothing: the service has the port" in errors()
            own = {i for ids in boxes(lab, "web").values() for i in ids}
            until(lambda: outside(lab, "h2", 8080) == own, 60)
        until(lambda: errors().strip() == "", 60)

    def test_a_task_in_mode_host_goes_elsewhere(self, lab, service):
        with listening(lab, "h2", 8080), listening(lab, "h3", 8080):
            options = ("--publish", "mode=host,target=80,published=8080")
            for host in ("h2", "h3"):
                until(lambda host=host: taken(lab, host, 8080), 60)
            service("web", *options, replicas=1)
            assert list(boxes(lab, "web")) == ["h1"]
            lab.docker("h1", "service", "scale", "-d", "web=2")
            form = ("--no-trunc", "--format", "{{.Error}}", "web")
            until(lambda: "port 8080/tcp in use by" in lab.docker("h1", "service", "ps", *form), 60)
        until(lambda: lab.running("web", 2), 60)


def remove(lab, name):
    """A service that was made before its host could say anything; to be tried again."""
    lab.tried("h1", "service", "rm", name)
    return False


def taken(lab, host, port):
    """Whether the manager knows that a program listens there: nothing global can be published."""
    create = ("create", "-d", "-q", "--mode", "global", "--name", "probe", "--constraint",
              f"node.hostname=={host}", "--publish", f"mode=host,target=80,published={port}",
              "nginx")  # fmt: skip
    return lab.tried("h1", "service", *create)[0] == 1 or remove(lab, "probe")


class TestWithoutTasks:
    def test_requests_are_refused_at_once(self, lab, service):
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "back")
        try:
            service(
                "web", "--network", "back", "-p", "8080:80", "-p", "5353:53/udp",
                "--publish", "mode=host,target=80,published=8181",
            )  # fmt: skip
            (host,) = boxes(lab, "web")
            lab.docker("h1", "run", "-d", "--name", "client", "--network", "back", "busybox",
                       "sleep", "999")  # fmt: skip
            form = "{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}"
            vip = lab.docker("h1", "service", "inspect", "-f", form, "web").split()[1]
            lab.docker("h1", "service", "scale", "-d", "web=0")
            until(lambda: not boxes(lab, "web"), 60)
            for port in (8080, 8181):
                until(lambda port=port: outside(lab, host, port) == REFUSED, 60)
            until(lambda: set(udp(lab, "h3", lab.address("h2"), 5353)) == REFUSED, 60)
            enter = ("nsenter", f"--net=/run/netns/{lab.sandbox('h1', 'client')}")
            words = (*enter, *CLIENT, "load", vip.partition("/")[0], "80", "1", "1")
            until(lambda: "ConnectionRefusedError" in lab.run("h1", *words), 60)
        finally:
            lab.tried("h1", "rm", "-f", "client")
            lab.tried("h1", "service", "rm", "web")
            until(lambda: lab.tried("h1", "network", "rm", "back")[0] == 0, 60)


def udp(lab, host, address, port):
    words = ("udp", address, str(port), "0.1")
    return json.loads(lab.run(host, *CLIENT, *words).splitlines()[-1])


class TestPromises:
    """What bin/bench mesh measures, in small."""

    @pytest.fixture
    def hosts(self, lab, monkeypatch):
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        from legs.hosts import Hosts  # noqa: PLC0415 - lies beside the benchmarks

        from skep.lab.layout import Lab  # noqa: PLC0415

        return Hosts(Lab(lab.name), 3)

    def test_turns_are_even(self, hosts):
        from legs import rolling  # noqa: PLC0415

        for counts in rolling.spread(hosts, 900).values():
            assert len(counts) == 3
            assert max(counts) - min(counts) <= 2, "a first connection tells that all is there"

    def test_tasks_see_their_clients(self, hosts):
        from legs import arrivals  # noqa: PLC0415

        found = arrivals.measure(hosts)
        assert len(found) == 12
        assert [each for each in found if each.seen != each.expected] == []

    def test_connections_live_for_hours(self, hosts):
        from legs import idle  # noqa: PLC0415

        found = idle.measure(hosts)
        assert [each.way for each in found if each.survived] == [
            "through the mesh", "to the service's address"
        ]  # fmt: skip

    @pytest.mark.long
    @pytest.mark.timeout(1500)
    def test_connections_live_for_twenty_real_minutes(self, hosts):
        """Longer than the 900 s after which others forget them."""
        from legs import idle  # noqa: PLC0415

        with idle.opened(hosts) as ways:
            before = {name: each.ask() for name, each in ways.items()}
            enough = time.monotonic() + 20 * 60
            until(lambda: time.monotonic() > enough, 21 * 60)
            assert {name: each.ask() for name, each in ways.items()} == before
        assert len(before) == 2
