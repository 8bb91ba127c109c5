"""A host's own networks beside a swarm's: mixed, joined and left while containers run."""

import os

import pytest
from name_lab import Asker
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"brgswarm{os.getpid()}", 2) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "over")
        lab.docker("h1", "network", "create", "--subnet", "10.87.0.0/24", "own")
        until(lambda: lab.tried("h2", "network", "inspect", "over")[0] == 0)
        yield lab


def run(lab, host, name, *options):
    lab.docker(host, "run", "-d", "--name", name, *options, "busybox", "sleep", "1d")


def address(lab, host, container, network):
    form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return lab.docker(host, "inspect", "-f", form, container).strip()


def pings(lab, host, container, target):
    code, _, _ = lab.tried(host, "exec", container, "ping", "-c", "1", "-W", "1", target)
    return code == 0


@pytest.fixture(scope="module")
def far(lab):
    """A container of the overlay on the other host."""
    run(lab, "h2", "far", "--network", "over")
    return "far"


def links(lab, container):
    return lab.docker("h1", "exec", container, "ip", "-o", "addr")


def test_on_both_from_the_start(lab, far):
    run(lab, "h1", "both", "--network", "over", "--network", "own")
    assert "via 10.87.0.1" in lab.docker("h1", "exec", "both", "ip", "route")
    assert "172.18." not in links(lab, "both"), "no leg on docker_gwbridge"
    until(lambda: pings(lab, "h1", "both", address(lab, "h2", far, "over")), 60)
    assert Asker(lab, "h1", "both").texts(far) == [address(lab, "h2", far, "over")]
    lab.docker("h1", "rm", "-f", "both")


def test_joining_and_leaving_an_overlay_while_it_runs(lab, far):
    run(lab, "h1", "guest", "--network", "own")
    lab.docker("h1", "network", "connect", "--alias", "visitor", "over", "guest")
    asker = Asker(lab, "h2", far)
    asker.becomes("visitor", address(lab, "h1", "guest", "over"))
    until(lambda: pings(lab, "h2", far, "visitor"), 60)
    lab.docker("h1", "network", "disconnect", "own", "guest")
    assert "default via 172." in lab.docker("h1", "exec", "guest", "ip", "route"), "docker_gwbridge"
    lab.docker("h1", "network", "connect", "own", "guest")
    assert "via 10.87.0.1" in lab.docker("h1", "exec", "guest", "ip", "route")
    lab.docker("h1", "network", "disconnect", "over", "guest")
    asker.becomes("visitor")
    assert "10.87.0." in links(lab, "guest")
    assert "10.0." not in links(lab, "guest")
    lab.docker("h1", "rm", "-f", "guest")


def test_ports_are_one_stock(lab):
    lab.docker("h1", "service", "create", "--name", "site", "-p", "8085:80", "nginx")

    def run_refusal():
        code, _, words = lab.tried("h1", "run", "-d", "--name", "late", "-p", "8085:80", "nginx")
        lab.docker("h1", "rm", "-f", "late")
        return words if code else ""

    in_use = "port 8085/tcp is in use on this host by service site"
    until(lambda: in_use in run_refusal(), 60)
    lab.docker("h1", "run", "-d", "--name", "first", "-p", "8086:80", "nginx")

    def refusal():
        code, _, words = lab.tried("h1", "service", "create", "-d", "--name", "second", "-p",
                                   "8086:80", "nginx")  # fmt: skip
        if not code:
            lab.docker("h1", "service", "rm", "second")
        return words

    until(lambda: "container first" in refusal(), 60)
    lab.docker("h1", "rm", "-f", "first")
    lab.docker("h1", "service", "rm", "site")
