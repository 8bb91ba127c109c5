"""macvlan across a swarm of three hosts on one segment: configuration networks on the hosts, one
network of the swarm made from them, services and containers on it. The real docker client."""

import ipaddress
import json
import os

import pytest
from mesh_lab import ask
from swarm_lab import SLOW, SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600 * SLOW)]
SUBNET = ("--subnet", "10.86.0.0/24", "--gateway", "10.86.0.1")
RANGES = {"h1": "10.86.0.32/28", "h2": "10.86.0.64/28", "h3": "10.86.0.96/28"}
OTHER = ("--subnet", "10.84.0.0/24", "--gateway", "10.84.0.1")
OTHER_RANGES = {host: span.replace("10.86.", "10.84.") for host, span in RANGES.items()}
FIXED = "10.86.0.200"
"""In no host's range: given to nobody who does not ask for it."""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"links{os.getpid()}", 3) as lab:
        lab.up()
        yield lab


@pytest.fixture(scope="module")
def parent(lab):
    """The link of a host that leads to the others."""
    return lab.run("h1", "ip", "-o", "route", "get", lab.address("h2")).split(" dev ")[1].split()[0]


def configure(lab, host, parent, name, *options):
    lab.docker(host, "network", "create", "--config-only", *options, "-o", f"parent={parent}", name)


def shared_lan(lab, name, config):
    """A macvlan network of the cluster as hosts are configured for it, until it is removed."""
    create = ("network", "create", "-d", "macvlan", "--scope", "swarm", "--attachable",
              "--config-from", config, name)  # fmt: skip
    # What hosts are configured for is known to the manager a moment later.
    until(lambda: lab.tried("h1", *create)[0] == 0, 60)
    yield name
    until(lambda: lab.tried("h1", "network", "rm", name)[0] == 0, 60)


@pytest.fixture(scope="module")
def lan(lab, parent):
    """h1 and h2 have the configuration, h3 has none."""
    for host in ("h1", "h2"):
        configure(lab, host, parent, "cfg", *SUBNET, "--ip-range", RANGES[host])
    yield from shared_lan(lab, "lan", "cfg")
    for host in lab.hosts:
        until(lambda host=host: not has_macvlan(lab, host), 60)


@pytest.fixture
def sparse(lab, parent):
    """Another network that only h1 and h2 have the configuration of; h3 may be given it."""
    for host in ("h1", "h2"):
        configure(lab, host, parent, "some", *OTHER, "--ip-range", OTHER_RANGES[host])
    yield from shared_lan(lab, "sparse", "some")
    for host in lab.hosts:
        until(lambda host=host: gone(lab, host, "some"), 60)


def gone(lab, host, config):
    lab.tried(host, "network", "rm", config)
    return config not in lab.docker(host, "network", "ls", "--format", "{{.Name}}").split()


def has_macvlan(lab, host):
    return "macvlan" in lab.run(host, "ip", "-d", "-o", "link")


@pytest.fixture
def service(lab):
    made = []

    def create(name, *options, runs=("nginx",)):
        made.append(name)
        lab.docker("h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", name,
                   "--restart-delay", "1s", *options, *runs)  # fmt: skip

    yield create
    for name in made:
        lab.tried("h1", "service", "rm", name)
    until(lambda: not any(lab.docker(host, "ps", "-q").split() for host in lab.hosts), 120)


def addresses(lab, host, network):
    """The addresses of a host's containers on a network, by container."""
    (shown,) = json.loads(lab.docker(host, "network", "inspect", network))
    return {key: each["IPv4Address"].partition("/")[0] for key, each in shown["Containers"].items()}


def pings(lab, host, container, target):
    words = ("exec", container, "ping", "-c", "1", "-W", "2", target)
    return lab.tried(host, *words)[0] == 0


def refused(lab, host, *words):
    code, _, why = lab.tried(host, *words)
    assert code != 0, f"docker {' '.join(words)} was not refused"
    return why


def test_what_is_shown(lab, lan):
    def ranges():
        (shown,) = json.loads(lab.docker("h1", "network", "inspect", lan))
        return [each["IPRange"] for each in shown["IPAM"]["Config"]]

    until(lambda: ranges() == [RANGES["h1"], RANGES["h2"]], 60)
    (shown,) = json.loads(lab.docker("h1", "network", "inspect", lan))
    assert (shown["Driver"], shown["Scope"], shown["Options"]) == ("macvlan", "swarm", {})
    assert shown["ConfigFrom"] == {"Network": "cfg"}
    assert [each["Subnet"] for each in shown["IPAM"]["Config"]] == ["10.86.0.0/24"] * 2
    assert f"{lan} macvlan swarm" in lab.docker(
        "h1", "network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"
    )


def test_a_service_has_addresses_of_one_pool(lab, lan, service):
    service("web", "--network", lan, "--replicas", "20")
    until(lambda: lab.running("web", 20), 120)
    found = {host: addresses(lab, host, lan) for host in lab.hosts}
    assert found["h3"] == {}, "it has no configuration"
    every = [each for here in found.values() for each in here.values()]
    assert (len(every), len(set(every))) == (20, 20)
    spans = [ipaddress.ip_network(RANGES[host]) for host in ("h1", "h2")]
    assert all(any(ipaddress.ip_address(each) in span for span in spans) for each in every)
    (here, one), (there, other) = (next(iter(found[host].items())) for host in ("h1", "h2"))
    until(lambda: pings(lab, "h1", here, other), 60)
    until(lambda: pings(lab, "h2", there, one), 60)

    def named(host, box):
        _, said, _ = lab.tried(host, "exec", box, "nslookup", "web")
        found = [line for line in said.splitlines() if line.startswith("Address")]
        return {line.split()[-1] for line in found if "10.86" in line}

    for host, box in (("h1", here), ("h2", there)):
        # A name is all tasks' addresses.
        until(lambda host=host, box=box: named(host, box) == set(every), 60)
        assert "via 10.86.0.1 dev eth0" in lab.docker(host, "exec", box, "ip", "route")
    (spec,) = json.loads(lab.docker("h1", "service", "inspect", "web"))
    assert "VirtualIPs" not in spec["Endpoint"]


def test_containers_by_hand(lab, lan):
    try:
        for host in ("h1", "h2"):
            lab.docker(host, "run", "-d", "--name", f"own{host}", "--network", lan, "busybox",
                       "sleep", "1d")  # fmt: skip
        lab.docker("h2", "run", "-d", "--name", "fixed", "--network", lan, "--ip", FIXED,
                   "busybox", "sleep", "1d")  # fmt: skip
        until(lambda: pings(lab, "h1", "ownh1", "ownh2"), 60)
        until(lambda: pings(lab, "h1", "ownh1", "fixed"), 60)
        until(lambda: pings(lab, "h2", "ownh2", FIXED), 60)
        words = refused(lab, "h1", "run", "--rm", "--network", lan, "--ip", FIXED, "busybox")
        assert f"Address already in use: {FIXED}" in words
        words = refused(lab, "h1", "run", "--rm", "--network", lan, "-p", "80:80", "nginx")
        assert "has an address of its own" in words
        words = refused(lab, "h1", "network", "rm", lan)
        assert "is in use by task" in words
        words = refused(lab, "h2", "network", "rm", "cfg")
        assert 'configuration network "cfg" is in use by "lan"' in words
    finally:
        lab.tried("h1", "rm", "-f", "ownh1")
        lab.tried("h2", "rm", "-f", "ownh2", "fixed")


def test_published_by_the_mesh_as_well(lab, lan, service):
    service("both", "--network", lan, "--publish", "8080:80", "--replicas", "2")
    until(lambda: lab.running("both", 2), 60)
    for host in ("h1", "h3"):
        until(lambda h=host: ask(lab, h, "load", "127.0.0.1", "8080", "1", "1")["answered"], 60)
        found = ask(lab, host, "load", "127.0.0.1", "8080", "4", "1")
        assert (found["failed"], sum(found["answered"].values())) == ({}, 4)


def test_a_daemon_that_starts_anew_keeps_them(lab, lan):
    try:
        for host, name in (("h2", "stays"), ("h1", "asks")):
            lab.docker(host, "run", "-d", "--name", name, "--network", lan, "busybox",
                       "sleep", "1d")  # fmt: skip
        link = lab.run("h2", "ip", "-n", lab.sandbox("h2", "stays"), "-o", "link", "show", "eth0")
        lab.kill_daemon("h2")
        until(lambda: lab.answers("h2"), 60)
        until(lambda: pings(lab, "h1", "asks", "stays"), 60)
        after = lab.run("h2", "ip", "-n", lab.sandbox("h2", "stays"), "-o", "link", "show", "eth0")
        assert after == link
    finally:
        lab.tried("h1", "rm", "-f", "asks")
        until(lambda: lab.tried("h2", "rm", "-f", "stays")[0] == 0, 60)


def test_a_host_without_the_configuration(lab, sparse, parent, service):
    words = refused(lab, "h3", "run", "--rm", "--network", sparse, "busybox")
    assert "configuration network some not found on this host: network sparse needs it" in words
    service("agents", "--network", sparse, "--mode", "global")
    listed = ("service", "ps", "agents", "--no-trunc", "--format",
              "{{.Node}} {{.CurrentState}} {{.Error}}")  # fmt: skip
    until(lambda: lab.docker("h1", *listed).count("Running") == 2, 60)
    until(lambda: "no configuration network some" in lab.docker("h1", *listed), 60)
    configure(lab, "h3", parent, "some", *OTHER, "--ip-range", OTHER_RANGES["h3"])
    until(lambda: lab.docker("h1", *listed).count("Running") == 3, 60)
    (shown,) = json.loads(lab.docker("h1", "network", "inspect", sparse))
    assert [each["IPRange"] for each in shown["IPAM"]["Config"]] == list(OTHER_RANGES.values())
    (box,) = addresses(lab, "h3", sparse)
    other = next(iter(addresses(lab, "h1", sparse).values()))
    until(lambda: pings(lab, "h3", box, other), 60)


def test_hosts_that_disagree(lab, parent):
    create = ("network", "create", "-d", "macvlan", "--scope", "swarm", "--config-from", "odd", "x")

    def refusal():
        code, _, why = lab.tried("h1", *create)
        if code == 0:
            # What a host has come to have is known to the manager a moment later.
            lab.docker("h1", "network", "rm", "x")
        return why

    assert "configuration network odd not found" in refusal()
    configure(lab, "h1", parent, "odd", "--subnet", "10.87.0.0/24")
    configure(lab, "h2", parent, "odd", "--subnet", "10.87.0.0/24", "--gateway", "10.87.0.254")
    refusing = "of host h2 does not go with that of h1: its gateway is 10.87.0.254 instead of"
    until(lambda: refusing in refusal(), 60)
    lab.docker("h2", "network", "rm", "odd")
    configure(lab, "h2", parent, "odd", "--subnet", "10.87.0.0/24", "--ip-range", "10.87.0.0/25")
    refusing = "its range 10.87.0.0/25 overlaps 10.87.0.0/24"
    until(lambda: refusing in refusal(), 60)
    for host in ("h1", "h2"):
        lab.docker(host, "network", "rm", "odd")


def test_without_a_configuration(lab, parent, service):
    """The network says itself where it is: on links of the same name on all hosts."""
    create = ("network", "create", "-d", "macvlan", "--scope", "swarm")
    assert "needs a link of each host" in refused(lab, "h1", *create, "x")
    lacking = refused(lab, "h1", *create, "-o", f"parent={parent}", "x")
    assert "say its --subnet" in lacking
    taken = refused(lab, "h1", *create, "-o", f"parent={parent}", "--subnet", "10.0.0.0/16", "x")
    assert "10.0.0.0/16 and 10.0.0.0/24 of network ingress" in taken
    assert "not a swarm manager" in refused(lab, "h2", *create, "-o", f"parent={parent}", "x")
    # The segment is the hosts' own here: what they have themselves is not given out.
    lab.docker("h1", *create, "-o", f"parent={parent}", "--subnet", "192.168.90.0/24",
               "--ip-range", "192.168.90.8/29", "--gateway", "192.168.90.254", "plain")  # fmt: skip
    try:
        service("few", "--network", "plain", "--replicas", "5")
        until(lambda: lab.running("few", 5), 60)
        found = {each for host in lab.hosts for each in addresses(lab, host, "plain").values()}
        left = {f"192.168.90.{last}" for last in (8, 9, 10, 14, 15)}
        assert found == left
        lab.docker("h1", "service", "scale", "-d", "few=6")
        words = ("service", "ps", "few", "--no-trunc", "--format", "{{.Error}}")
        until(lambda: "network plain: 8 of 8 addresses in use" in lab.docker("h1", *words), 60)
    finally:
        lab.tried("h1", "service", "rm", "few")
        until(lambda: lab.tried("h1", "network", "rm", "plain")[0] == 0, 60)


def test_a_link_that_is_missing(lab, service):
    lab.docker("h1", "network", "create", "-d", "macvlan", "--scope", "swarm", "--subnet",
               "10.88.0.0/24", "-o", "parent=wan9", "nowhere")  # fmt: skip
    try:
        service("lost", "--network", "nowhere")
        words = ("service", "ps", "lost", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}")
        until(lambda: "Rejected" in lab.docker("h1", *words), 60)
        until(lambda: "this host has no link wan9" in lab.docker("h1", *words), 60)
    finally:
        lab.tried("h1", "service", "rm", "lost")
        until(lambda: lab.tried("h1", "network", "rm", "nowhere")[0] == 0, 60)


def test_a_vlan_of_a_link_where_a_kernel_has_it(lab, parent):
    """Each host makes the VLAN when its first container comes, and removes it with the network."""
    for host in ("h1", "h2"):
        configure(lab, host, f"{parent}.50", "tagged", "--subnet", "10.85.0.0/24")
    create = ("network", "create", "-d", "macvlan", "--scope", "swarm", "--attachable",
              "--config-from", "tagged", "office")  # fmt: skip
    until(lambda: lab.tried("h1", *create)[0] == 0, 60)
    boxes = {"h1": "near", "h2": "far"}
    try:
        for host, name in boxes.items():
            code, _, words = lab.tried(host, "run", "-d", "--name", name, "--network", "office",
                                       "busybox", "sleep", "1d")  # fmt: skip
            if code:
                assert f"link {parent}.50" in words, "the kernel's own sentence"
                return
        until(lambda: pings(lab, "h1", "near", "far"), 60)
        assert f"{parent}.50@" in lab.run("h2", "ip", "-o", "link")
    finally:
        for host, name in boxes.items():
            until(lambda host=host, name=name: lab.tried(host, "rm", "-f", name)[0] == 0, 60)
        until(lambda: lab.tried("h1", "network", "rm", "office")[0] == 0, 60)
        for host in boxes:
            until(lambda host=host: f"{parent}.50" not in lab.run(host, "ip", "-o", "link"), 60)
            until(lambda host=host: lab.tried(host, "network", "rm", "tagged")[0] == 0, 60)


def test_ipvlan_where_a_kernel_has_it(lab, parent, service):
    create = ("network", "create", "-d", "ipvlan", "--scope", "swarm", "--subnet", "10.89.0.0/24",
              "-o", f"parent={parent}")  # fmt: skip
    code, _, words = lab.tried("h1", *create, "thin")
    if code:
        assert "no host of this swarm has a kernel with ipvlan links: use --driver overlay" in words
        return
    try:
        # One on each host: others do not know of the network.
        service("slim", "--network", "thin", "--mode", "global")
        until(lambda: lab.running("slim", 3), 60)
        boxes = [(host, key) for host in lab.hosts for key in addresses(lab, host, "thin")]
        every = [each for host in lab.hosts for each in addresses(lab, host, "thin").values()]
        assert len(set(every)) == 3
        for host, box in boxes:
            for each in every:
                until(lambda h=host, b=box, e=each: pings(lab, h, b, e), 60)
    finally:
        lab.tried("h1", "service", "rm", "slim")
        until(lambda: lab.tried("h1", "network", "rm", "thin")[0] == 0, 60)
