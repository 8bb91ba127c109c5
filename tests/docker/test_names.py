"""Names as containers see them: asked for from inside of sandboxes of a lab of two hosts."""

import os
from pathlib import Path

import pytest
from name_lab import Asker, Upstream
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

STACK = "com.docker.stack.namespace"


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"names{os.getpid()}", 2) as lab:
        lab.up()
        for network, *options in (("shared",), ("other",), ("sealed", "--internal")):
            lab.docker(
                "h1", "network", "create", "-d", "overlay", "--attachable", *options, network
            )
        yield lab


@pytest.fixture(scope="module")
def upstreams(lab, tmp_path_factory):
    """Name servers: what h1 and h2 forward to is on h1, another one is on h2."""
    notes = tmp_path_factory.mktemp("asked")
    first = Upstream(lab, "h1", "203.0.113.1", notes / "h1")
    for host in lab.hosts:
        lab.run(host, "sh", "-c", f"echo nameserver {first.address} > /etc/resolv.conf")
    second = Upstream(lab, "h2", "203.0.113.2", notes / "h2")
    yield first, second
    second.end()
    first.end()


@pytest.fixture(scope="module")
def asker(lab, upstreams):
    """A container on h1 that is on two networks."""
    return container(lab, "h1", "asker", "shared")


@pytest.fixture(scope="module")
def web_service(lab):
    service(lab, "web", "--replicas", "2", "--network", "name=shared,alias=www")
    until(lambda: lab.running("web", 2), 60)


@pytest.fixture
def web(lab, asker, web_service):
    """Its tasks that there are now, once h1 has heard of them."""

    def heard():
        found = tasks(lab, "web")
        return len(found) == 2 and asker.texts("tasks.web") == sorted(found.values()) and found

    return until(heard, 60)


def container(lab, host, name, network, *options):
    lab.docker(
        host, "run", "-d", "--name", name, "--network", network, *options,
        "busybox", "sleep", "infinity",
    )  # fmt: skip
    return Asker(lab, host, name)


def service(lab, name, *options):
    lab.docker(
        "h1", "service", "create", "--detach", "--name", name, *options,
        "busybox", "sleep", "infinity",
    )  # fmt: skip


def tasks(lab, name):
    """The names of a service's running tasks and their addresses on their only network."""
    found = {}
    for host in lab.hosts:
        listed = lab.docker(
            host, "ps", "-q", "--filter", f"label=com.docker.swarm.service.name={name}"
        )
        for ident in listed.split():
            shown = lab.docker(
                host, "inspect", "-f",
                '{{index .Config.Labels "com.docker.swarm.task.name"}} '
                "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", ident,
            )  # fmt: skip
            task, *addresses = shown.split()
            found[task] = next(a for a in addresses if a.startswith("10."))
    return found


def reverse(address):
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def test_a_service_has_a_vip_under_its_name_and_alias(asker, web):
    vip = asker.ask("web")
    assert len(vip.answer) == 1
    assert vip.answer[0][1] == 5
    assert vip.texts[0] not in web.values()
    for name in ("WEB", "www", "web.shared", "www.shared"):
        assert asker.texts(name) == vip.texts
    assert asker.texts(reverse(vip.texts[0]), "PTR") == ["web.shared."]


def test_tasks_have_names(asker, web):
    for name in ("tasks.web", "tasks.www", "tasks.web.shared", "tasks-all.web"):
        assert asker.texts(name) == sorted(web.values())
    for task, address in web.items():
        assert asker.texts(task) == [address]
        assert asker.texts(f"{task}.shared") == [address]
        assert asker.texts(reverse(address), "PTR") == [f"{task}.shared."]


def test_types_that_a_known_name_lacks_are_empty_and_stay_here(asker, web, upstreams):
    for kind in ("AAAA", "MX", "TXT", "SRV"):
        reply = asker.ask("web", kind)
        assert (reply.rcode, reply.answer) == ("NOERROR", [])
    assert "web." not in upstreams[0].asked()


def test_a_service_without_vip_has_its_tasks_addresses(lab, asker):
    service(
        lab, "robin", "--replicas", "2", "--endpoint-mode", "dnsrr",
        "--network", "name=shared,alias=rr",
    )  # fmt: skip
    until(lambda: lab.running("robin", 2), 60)
    addresses = sorted(tasks(lab, "robin").values())
    for name in ("robin", "rr", "tasks.robin", "robin.shared"):
        asker.becomes(name, *addresses)


def test_containers_have_names_on_other_hosts_too(lab, asker):
    box = container(
        lab, "h2", "box", "shared", "--hostname", "boxhost", "--network-alias", "alias.of.box"
    )
    shown = lab.docker(
        "h2", "inspect", "-f", "{{.Id}} {{.NetworkSettings.Networks.shared.IPAddress}}", "box"
    )
    ident, address = shown.split()
    for name in ("box", "box.shared", "boxhost", "alias.of.box", "alias.of.box.shared", ident[:12]):
        asker.becomes(name, address)
        assert box.texts(name) == [address]
    assert asker.texts(reverse(address), "PTR") == ["box.shared."]
    lab.docker("h2", "rm", "-f", "box")
    until(lambda: asker.ask("box").texts == ["203.0.113.1"])


def test_ports_have_places(asker, web):
    for name in ("_80._tcp.web", "_80._tcp.www.shared"):
        reply = asker.ask(name, "SRV")
        assert reply.texts == sorted(f"0 1 80 {task}.shared." for task in web)
        further = {owner: text for owner, _, text in reply.additional}
        assert further == {f"{task}.shared.": address for task, address in web.items()}
    assert asker.ask("_nothing._tcp.web", "SRV").rcode == "NXDOMAIN"


def test_long_answers_are_cut_over_udp_and_whole_over_tcp(lab, asker):
    service(lab, "many", "--replicas", "10", "--network", "shared")
    until(lambda: lab.running("many", 10), 120)
    until(lambda: len(asker.ask("tasks.many").answer) == 10, 60)
    short = asker.ask("_80._tcp.many", "SRV")
    assert "TC" in short.flags
    assert 0 < len(short.answer) < 10
    whole = asker.ask("_80._tcp.many", "SRV", "tcp")
    assert "TC" not in whole.flags
    assert (len(whole.answer), len(whole.additional)) == (10, 10)
    lab.docker("h1", "service", "rm", "many")
    until(lambda: asker.ask("many").texts == ["203.0.113.1"])


def test_a_name_comes_with_health(lab, asker):
    service(
        lab, "gated", "--endpoint-mode", "dnsrr", "--network", "shared", "--health-interval", "1s",
        "--health-cmd", "until test -e /healthy; do sleep 0.1; done", "--health-timeout", "10m",
    )  # fmt: skip
    until(lambda: tasks(lab, "gated"), 60)
    [(task, address)] = tasks(lab, "gated").items()
    asker.becomes("tasks-all.gated", address)
    for name in ("gated", "tasks.gated"):
        reply = asker.ask(name)
        assert (reply.rcode, reply.answer) == ("NOERROR", [])
    assert asker.texts(task) == ["203.0.113.1"]
    host = next(h for h in lab.hosts if task in lab.docker(h, "ps", "--format", "{{.Names}}"))
    lab.docker(host, "exec", task, "touch", "/healthy")
    asker.becomes("gated", address)
    assert asker.texts("tasks.gated") == asker.texts(task) == [address]


def test_a_name_goes_before_the_container_does(lab, asker):
    """``sleep`` as process 1 does not hear SIGTERM: the container takes its grace to end."""
    service(
        lab, "slow", "--endpoint-mode", "dnsrr", "--network", "shared", "--stop-grace-period", "10m"
    )
    until(lambda: lab.running("slow", 1), 60)
    before = tasks(lab, "slow")
    asker.becomes("slow", *before.values())
    lab.docker("h1", "service", "scale", "--detach", "slow=0")
    asker.becomes("slow")
    assert tasks(lab, "slow") == before
    assert asker.texts("tasks-all.slow") == sorted(before.values())
    for host in lab.hosts:
        for ident in lab.docker(host, "ps", "-q", "--filter", "name=slow").split():
            lab.docker(host, "kill", ident)
    lab.docker("h1", "service", "rm", "slow")


def member(lab, stack, name, *options):
    """A service of a stack, as ``docker stack deploy`` makes it."""
    label = f"{STACK}={stack}"
    service(lab, f"{stack}_{name}", "--label", label, "--container-label", label, *options)


@pytest.fixture(scope="module")
def stacks(lab, asker):
    """Two stacks that both call something ``db`` on the networks they share; the VIPs."""
    for stack in ("blue", "green"):
        member(lab, stack, "db", "--network", "name=shared,alias=db")
        until(lambda stack=stack: lab.running(f"{stack}_db", 1), 60)
    for stack in ("blue", "green"):
        member(lab, stack, "web", "--network", "name=shared,alias=web")
        until(lambda stack=stack: lab.running(f"{stack}_web", 1), 60)
    found = {}
    for stack in ("blue", "green"):
        # What h1 has not heard of is forwarded.
        until(lambda name=f"tasks.{stack}_db": asker.texts(name) not in ([], ["203.0.113.1"]))
        [found[stack]] = asker.texts(f"{stack}_db")
    assert found["blue"] != found["green"]
    return found


def web_of(lab, stack):
    """Someone who asks from within a stack."""
    for host in lab.hosts:
        listed = lab.docker(host, "ps", "-q", "--filter", f"name={stack}_web.")
        for ident in listed.split():
            return Asker(lab, host, ident)
    raise AssertionError(f"{stack}_web does not run")


@pytest.mark.parametrize("stack", ["blue", "green"])
def test_within_a_stack_its_own_short_names_win(lab, asker, stacks, stack):
    inside = web_of(lab, stack)
    own = stacks[stack]
    for each in stacks:
        until(lambda each=each: inside.texts(f"tasks.{each}_db") == asker.texts(f"tasks.{each}_db"))
    for name in ("db", "db.shared", f"db.{stack}", f"{stack}_db"):
        assert inside.texts(name) == [own]
    assert inside.texts("tasks.db") == inside.texts(f"tasks.{stack}_db")
    other = {"blue": "green", "green": "blue"}[stack]
    assert inside.texts(f"db.{other}") == [stacks[other]]
    assert inside.texts(f"db.{other}.shared") == [stacks[other]]


def test_outside_of_stacks_the_oldest_has_the_name_and_all_can_be_named(lab, asker, stacks, web):
    for name in ("db", "db.blue", "db.blue.shared"):
        assert asker.texts(name) == [stacks["blue"]]
    assert asker.texts("db.green") == [stacks["green"]]
    # A service that is called web is older than both stacks' alias, and has the name anyway.
    assert asker.texts("tasks.web") == sorted(web.values())
    log = Path(f"/var/lib/skep-lab/{lab.name}/h1/skepd.log")
    until(lambda: "claimed by several services" in log.read_text())


def test_a_container_may_look_from_within_a_stack(lab, asker, stacks):
    guest = container(lab, "h2", "guest", "shared", "--label", f"{STACK}=green")
    guest.becomes("db", stacks["green"])
    own = guest.texts("guest")
    assert own != ["203.0.113.1"]
    asker.becomes("guest", *own)


def test_other_names_are_forwarded_to_the_hosts_servers(asker, upstreams):
    first, second = upstreams
    answer = until(lambda: asker.ask("forwarded.example.org").answer)
    assert answer == [["forwarded.example.org.", 30, "203.0.113.1"]]
    assert "forwarded.example.org." in first.asked()
    assert "forwarded.example.org." not in second.asked()


def test_a_containers_own_servers_search_and_options(lab, upstreams):
    _, second = upstreams
    own = container(
        lab, "h1", "own", "shared", "--dns", second.address,
        "--dns-search", "example.org", "--dns-option", "ndots:1",
    )  # fmt: skip
    text = lab.docker("h1", "exec", "own", "cat", "/etc/resolv.conf")
    assert text.splitlines() == [
        "nameserver 127.0.0.11",
        "search example.org",
        "options ndots:1",
    ]
    assert until(lambda: own.texts("own.example.net")) == ["203.0.113.2"]
    reply = own.ask("single")
    assert (reply.rcode, reply.answer) == ("NOERROR", [])
    assert "single." not in second.asked()
    looked_up = ("exec", "own", "nslookup", "single")
    until(lambda: "203.0.113.2" in lab.tried("h1", *looked_up)[1])
    assert "single.example.org." in second.asked()


def test_an_internal_network_forwards_nothing(lab, upstreams):
    first, _ = upstreams
    sealed = container(lab, "h1", "sealed", "sealed")
    container(lab, "h2", "neighbour", "sealed")
    until(lambda: sealed.ask("neighbour").answer)
    for name in ("out.example.org", "asker", "web"):
        assert sealed.ask(name).rcode == "NXDOMAIN"
    assert "out.example.org." not in first.asked()


def test_a_container_on_two_networks_sees_both_and_no_third(lab, asker, web):
    container(lab, "h2", "far", "other")
    both = container(lab, "h1", "both", "shared")
    assert both.texts("www")
    assert asker.ask("far").texts == ["203.0.113.1"]
    service(lab, "two", "--network", "name=shared,alias=near", "--network", "name=other,alias=off")
    until(lambda: lab.running("two", 1), 60)
    until(lambda: asker.texts("tasks.two") not in ([], ["203.0.113.1"]))
    assert asker.texts("near") == asker.texts("two")
    assert asker.texts("off") == ["203.0.113.1"]
    inside = Asker(lab, *where(lab, "two"))
    until(lambda: [text for text in inside.texts("far") if text.startswith("10.")])
    assert inside.texts("far") == inside.texts("far.other")
    until(lambda: inside.texts("www") == asker.texts("www"))
    until(lambda: inside.texts("two.shared") != inside.texts("two.other"))


def where(lab, name):
    """The host and container of a service's only task."""
    for host in lab.hosts:
        listed = lab.docker(host, "ps", "-q", "--filter", f"name={name}.").split()
        if listed:
            return host, listed[0]
    raise AssertionError(f"{name} does not run")
