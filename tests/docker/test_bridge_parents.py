"""macvlan and ipvlan on hosts without a swarm: the real docker client."""

import os

import pytest
from swarm_lab import SLOW, SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600 * SLOW)]
SUBNET = ("--subnet", "10.86.0.0/24")


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"brgmac{os.getpid()}", 2) as lab:
        lab.up(swarm=False)
        yield lab


@pytest.fixture(scope="module")
def parent(lab):
    """The link of a host that leads to the others."""
    return lab.run("h1", "ip", "-o", "route", "get", lab.address("h2")).split(" dev ")[1].split()[0]


@pytest.fixture(autouse=True)
def _tidy(lab):
    """A test that fails leaves nothing to those after it."""
    yield
    for host in lab.hosts:
        lab.tried(host, "rm", "-f", "one", "two", "far")
        lab.tried(host, "network", "rm", "lan", "alone")


def run(lab, host, name, *options):
    lab.docker(host, "run", "-d", "--name", name, *options, "busybox", "sleep", "1d")


def pings(lab, host, container, target):
    code, _, _ = lab.tried(host, "exec", container, "ping", "-c", "1", "-W", "2", target)
    return code == 0


def refused(lab, *arguments):
    code, _, words = lab.tried("h1", *arguments)
    assert code != 0, f"docker {' '.join(arguments)} was not refused"
    return words


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_containers_are_on_the_hosts_own_link(lab, parent, mode):
    before = lab.run("h1", "ip", "-o", "link")
    for number, host in enumerate(lab.hosts):
        lab.docker(host, "network", "create", "-d", "macvlan", *SUBNET, "-o", f"parent={parent}",
                   "-o", f"macvlan_mode={mode}", "lan")  # fmt: skip
        run(lab, host, "one", "--network", "lan", "--ip", f"10.86.0.{10 + number}")
    run(lab, "h1", "two", "--network", "lan", "--ip", "10.86.0.20")
    until(lambda: pings(lab, "h1", "one", "10.86.0.11"), 60)
    if mode == "bridge":
        until(lambda: pings(lab, "h1", "one", "10.86.0.20"), 60)
    else:
        assert not pings(lab, "h1", "one", "10.86.0.20")
    assert f"macvlan mode {mode}" in lab.run(
        "h1", "ip", "-n", lab.sandbox("h1", "one"), "-d", "link", "show", "eth0"
    )
    assert "via 10.86.0.1" in lab.docker("h1", "exec", "one", "ip", "route")
    seen = lab.docker("h1", "exec", "one", "nslookup", "two")
    assert "10.86.0.20" in seen
    for host in lab.hosts:
        lab.docker(host, "rm", "-f", "one", *(("two",) if host == "h1" else ()))
        lab.docker(host, "network", "rm", "lan")
    assert lab.run("h1", "ip", "-o", "link") == before


def test_what_is_refused(lab, parent):
    create = ("network", "create", "-d", "macvlan")
    assert "needs a link of the host" in refused(lab, *create, "x")
    assert "no link wan0" in refused(lab, *create, "-o", "parent=wan0", "x")
    assert "not valid" in refused(lab, *create, "-o", f"parent={parent}", "-o",
                                  "macvlan_mode=fast", "x")  # fmt: skip
    assert "vlan id" in refused(lab, *create, "-o", f"parent={parent}.5000", "x")
    lab.docker("h1", *create, *SUBNET, "-o", f"parent={parent}", "lan")
    assert "already using parent" in refused(lab, *create, "-o", f"parent={parent}", "x")
    words = refused(lab, "run", "--rm", "--network", "lan", "-p", "80:80", "nginx")
    assert "has an address of its own" in words
    lab.docker("h1", "network", "rm", "lan")


def test_a_link_that_is_lost_is_made_again(lab, parent):
    lab.docker("h1", "network", "create", "-d", "macvlan", *SUBNET, "-o", f"parent={parent}", "lan")
    run(lab, "h1", "one", "--network", "lan")
    sandbox = lab.sandbox("h1", "one")
    lab.run("h1", "ip", "-n", sandbox, "link", "del", "eth0")
    until(lambda: "10.86.0" in lab.run("h1", "ip", "-n", sandbox, "addr", check=False), 60)
    lab.docker("h1", "rm", "-f", "one")
    lab.docker("h1", "network", "rm", "lan")


def test_one_container_has_the_link_for_itself(lab, parent):
    """Mode passthru: the container has the link's own MAC, and nobody else gets on it."""
    create = ("network", "create", "-d", "macvlan", *SUBNET, "-o", f"parent={parent}")
    lab.docker("h1", *create, "-o", "macvlan_mode=passthru", "alone")
    lab.docker("h2", *create, "lan")
    run(lab, "h1", "one", "--network", "alone", "--ip", "10.86.0.10")
    run(lab, "h2", "far", "--network", "lan", "--ip", "10.86.0.11")
    until(lambda: pings(lab, "h1", "one", "10.86.0.11"), 60)
    links = (lab.run("h1", "cat", f"/sys/class/net/{parent}/address"),
             lab.docker("h1", "exec", "one", "cat", "/sys/class/net/eth0/address"))  # fmt: skip
    assert links[0] == links[1]
    before = lab.run("h1", "ip", "netns")
    assert "eth0" in refused(lab, "run", "--rm", "--name", "two", "--network", "alone", "busybox")
    until(lambda: lab.run("h1", "ip", "netns") == before, 60)
    lab.docker("h1", "rm", "-f", "one")
    lab.docker("h2", "rm", "-f", "far")
    lab.docker("h1", "network", "rm", "alone")
    lab.docker("h2", "network", "rm", "lan")


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_ipvlan_where_the_kernel_has_it(lab, parent, mode):
    create = ("network", "create", "-d", "ipvlan", *SUBNET, "-o", f"parent={parent}",
              "-o", f"ipvlan_mode={mode}", "lan")  # fmt: skip
    code, _, words = lab.tried("h1", *create)
    if code:
        assert "this host's kernel has no ipvlan links: use --driver bridge" in words
        return
    lab.docker("h2", *create)
    run(lab, "h1", "one", "--network", "lan", "--ip", "10.86.0.10")
    run(lab, "h1", "two", "--network", "lan", "--ip", "10.86.0.20")
    run(lab, "h2", "far", "--network", "lan", "--ip", "10.86.0.11")
    until(lambda: pings(lab, "h1", "one", "10.86.0.20"), 60)
    if mode == "l2":
        until(lambda: pings(lab, "h1", "one", "10.86.0.11"), 60)
    else:
        # Where addresses are routed, hosts need routes to each other's containers.
        assert not pings(lab, "h1", "one", "10.86.0.11")
    shown = lab.run("h1", "ip", "-n", lab.sandbox("h1", "one"), "-d", "link", "show", "eth0")
    assert f"ipvlan  mode {mode} " in shown
    way = "via 10.86.0.1 dev eth0" if mode == "l2" else "default dev eth0"
    assert way in lab.docker("h1", "exec", "one", "ip", "route")
    lab.docker("h1", "rm", "-f", "one", "two")
    lab.docker("h2", "rm", "-f", "far")
    for host in lab.hosts:
        lab.docker(host, "network", "rm", "lan")


def test_a_vlan_is_made_and_removed_with_its_network(lab, parent):
    before = lab.run("h1", "ip", "-o", "link")
    create = ("network", "create", "-d", "macvlan", *SUBNET, "-o", f"parent={parent}.10", "lan")
    code, _, words = lab.tried("h1", *create)
    if code:
        assert f"link {parent}.10" in words, "the kernel's own sentence"
        assert lab.run("h1", "ip", "-o", "link") == before
        return
    assert f"{parent}.10@" in lab.run("h1", "ip", "-o", "link")
    assert "vlan protocol 802.1Q id 10" in lab.run("h1", "ip", "-d", "link", "show", f"{parent}.10")
    lab.docker("h2", *create)
    run(lab, "h1", "one", "--network", "lan", "--ip", "10.86.0.10")
    run(lab, "h2", "far", "--network", "lan", "--ip", "10.86.0.11")
    until(lambda: pings(lab, "h1", "one", "10.86.0.11"), 60)
    lab.docker("h1", "rm", "-f", "one")
    lab.docker("h2", "rm", "-f", "far")
    for host in lab.hosts:
        lab.docker(host, "network", "rm", "lan")
    assert lab.run("h1", "ip", "-o", "link") == before
