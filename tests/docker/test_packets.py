"""``docs/packets``: what a live host contains in each situation, and what became of a real packet.

The pages are written by this test with ``SKEP_PACKETS=write`` in its environment; without, it fails
where a host is not as its page says.
"""

import os
import re
import textwrap
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

PAGES = Path(__file__).resolve().parents[2] / "docs" / "packets"
HEAD = "<!-- Written by tests/docker/test_packets.py from a live host; do not edit. -->\n"
OPTION = "com.docker.network.bridge."
ASK = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=60)
connection.request("GET", "/")
print(connection.getresponse().status)
"""


WORDS = {
    "bridge": (
        "Two containers on a bridge network",
        "The frame goes from port to port of the bridge. The host's rules see only what "
        "leaves it: that is masqueraded, what goes to another bridge is dropped, and nobody "
        "from elsewhere begins anything.",
    ),
    "published-port": (
        "A published port of a container",
        "Whatever comes for port 8080 of any address of the host gets the container's address "
        "(map `published`), at one address alone by `published_at`. The client keeps its "
        "address, but for the host itself and neighbours on the bridge, whom the container "
        "would answer past the translation.",
    ),
    "internal": (
        "An internal network",
        "Nothing is forwarded to or from it, translated or not: the two first rules of chain "
        "`forward`. Its containers have no default route.",
    ),
    "without-icc": (
        "A bridge whose containers do not reach each other",
        "Frames within a bridge never meet the rules for IP, so this is said in the family "
        "`bridge`.",
    ),
    "routed": (
        "A network whose packets are routed",
        "Containers are reached at their own addresses, by whoever has a route there, and at "
        "published ports alone (set `routed`). Nothing is translated.",
    ),
    "macvlan": (
        "A container on a link of the host",
        "Its interface sits on the host's link and speaks past it: the host's rules never see "
        "a packet, and the host itself does not reach it.",
    ),
    "overlay": (
        "Two containers on an overlay network",
        "The network's namespace has a bridge and a tunnel. Where a container of another host "
        "is, two permanent entries say: the neighbour's MAC, and the host that the tunnel "
        "sends it to.",
    ),
    "mesh": (
        "A published port of a service",
        "The host sends the port to `ingress_sbox`, unchanged. There a number that goes up "
        "with each connection chooses the task, whichever host it is on; the client keeps its "
        "address.",
    ),
}


def plain(text):
    """Without what differs from host to host and from run to run."""
    for pattern, word in (
        (r"\bveth[0-9a-f]{7}\b", "vethPORT"),
        (r"@if\d+|\bindex \d+", ""),
        (r"\b1-[0-9a-z]{10}\b", "1-NETWORK"),
        (r"\bsport=\d{5}\b", "sport=CLIENT"),
        (r"\bdport=\d{5}\b", "dport=CLIENT"),
        (r"\bsrc=192\.168\.90\.1\d\b", "src=HOST"),
        # Its addresses go round.
        (r"(eth1 +UP +|link src )172\.18\.0\.\d+", r"\g<1>172.18.0.N"),
        (r"[ \t]+\n", "\n"),
    ):
        text = re.sub(pattern, word, text)
    return re.sub(r"elements = \{(.*?)\}", _sorted, text, flags=re.DOTALL).strip()


def _sorted(found):
    members = sorted(" ".join(each.split()) for each in found[1].split(",") if each.strip())
    return "elements = { " + ",\n\t\t\t     ".join(members) + " }"


class Situation:
    """One page: what was done, what there is, what a packet met."""

    def __init__(self, lab, name):
        self.lab = lab
        self.path = PAGES / f"{name}.md"
        self.commands, self.parts = [], []
        self.title, self.words = WORDS[name]

    def do(self, *arguments, host="h1"):
        self.commands.append("docker " + " ".join(arguments))
        return self.lab.docker(host, *arguments)

    def container(self, name, *options, image="busybox"):
        rest = () if image == "nginx" else ("sleep", "1d")
        return self.do("run", "-d", "--name", name, *options, image, *rest)

    def asks(self, container, address, port=80):
        """A request from a container, until it is answered."""
        command = ("exec", container, "wget", "-qO", "/dev/null", f"http://{address}:{port}/")
        until(lambda: self.lab.tried("h1", *command)[0] == 0, 60)

    def show(self, title, *command, host="h1"):
        self.parts.append((title, " ".join(command), plain(self.lab.run(host, *command))))

    def host(self):
        self.show("The host's rules", "nft", "-s", "list", "table", "ip", "skep")

    def sandbox(self, container):
        inside = self.lab.sandbox("h1", container)
        for words, command in (("interfaces", "addr"), ("routes", "route")):
            said = self.lab.run("h1", "ip", "-4", "-br", "-n", inside, command)
            shown = f"ip -4 -br -n SANDBOX {command}"
            self.parts.append((f"`{container}`: {words}", shown, re.sub(" +", " ", plain(said))))

    def flow(self, *wanted):
        """What connection tracking notes of the request, on the host."""
        lines = self.lab.run("h1", "cat", "/proc/net/nf_conntrack").splitlines()
        found = {
            plain(
                " ".join(
                    word for word in line.split() if word.startswith(("src=", "dst=", "dpo", "spo"))
                )
            )
            for line in lines
            if all(each in line for each in wanted)
        }
        assert found, f"no flow of {wanted} in {lines}"
        self.parts.append(
            (
                "The request, as connection tracking has it",
                "cat /proc/net/nf_conntrack",
                "\n".join(sorted(found)),
            )
        )

    def close(self, *leftovers):
        text = f"{HEAD}# {self.title}\n\n{textwrap.fill(self.words, 100)}\n\n"
        text += "```\n" + "\n".join(self.commands) + "\n```\n"
        for title, command, said in self.parts:
            text += f"\n## {title}\n```\n# {command}\n{said}\n```\n"
        for arguments in leftovers:
            until(lambda words=arguments: self.lab.tried("h1", *words)[0] == 0, 60)
        if os.environ.get("SKEP_PACKETS") == "write":
            self.path.write_text(text)
        assert self.path.read_text() == text, f"{self.path}: the host is not as it says"


@pytest.fixture(scope="module")
def alone():
    with SwarmLab(f"brgpack{os.getpid()}", 2) as lab:
        lab.up(swarm=False)
        yield lab


@pytest.fixture
def lab(alone):
    """What a test that failed has left is not in the way of the next."""
    yield alone
    for arguments in GONE:
        alone.tried("h1", *arguments)


def network(situation, *options):
    situation.do("network", "create", "--subnet", "10.90.0.0/24", "-o", f"{OPTION}name=web0",
                 *options, "web")  # fmt: skip


GONE = (("rm", "-f", "one", "two"), ("network", "rm", "web"))


def test_bridge(lab):
    page = Situation(lab, "bridge")
    network(page)
    page.container("one", "--network", "web", "--ip", "10.90.0.2", image="nginx")
    page.container("two", "--network", "web", "--ip", "10.90.0.3")
    page.asks("two", "10.90.0.2")
    page.host()
    page.sandbox("two")
    page.close(*GONE)


def test_published_port(lab):
    page = Situation(lab, "published-port")
    network(page)
    page.container("one", "--network", "web", "--ip", "10.90.0.2", "-p", "8080:80", "-p",
                   "127.0.0.1:8081:80", image="nginx")  # fmt: skip
    page.container("two", "--network", "web", "--ip", "10.90.0.3")
    page.asks("two", lab.address("h1"), 8080)
    lab.run("h2", "python3", "-c", ASK, lab.address("h1"), "8080")
    lab.run("h1", "python3", "-c", ASK, "127.0.0.1", "8081")
    page.host()
    page.flow("dst=10.90.0.1 ", "dport=8080")
    page.flow("dport=8080", f"dst={lab.address('h2')}")
    page.flow("dst=127.0.0.1", "dport=8081")
    page.close(*GONE)


def test_internal(lab):
    page = Situation(lab, "internal")
    network(page, "--internal")
    page.container("one", "--network", "web", "--ip", "10.90.0.2", image="nginx")
    page.container("two", "--network", "web", "--ip", "10.90.0.3")
    page.asks("two", "10.90.0.2")
    page.host()
    page.sandbox("two")
    page.close(*GONE)


def test_without_icc(lab):
    page = Situation(lab, "without-icc")
    network(page, "-o", f"{OPTION}enable_icc=false")
    page.container("one", "--network", "web", "--ip", "10.90.0.2")
    page.container("two", "--network", "web", "--ip", "10.90.0.3")
    page.show("The bridge's rules", "nft", "-s", "list", "table", "bridge", "skep")
    page.close(*GONE)


def test_routed(lab):
    page = Situation(lab, "routed")
    network(page, "-o", f"{OPTION}gateway_mode_ipv4=routed")
    page.container("one", "--network", "web", "--ip", "10.90.0.2", "-p", "80", image="nginx")
    lab.run("h2", "ip", "route", "add", "10.90.0.0/24", "via", lab.address("h1"))
    try:
        ask = ("python3", "-c", ASK, "10.90.0.2", "80")
        until(lambda: lab.run("h2", *ask, check=False) == "200\n", 60)
    finally:
        lab.run("h2", "ip", "route", "del", "10.90.0.0/24")
    page.host()
    page.flow(f"src={lab.address('h2')} dst=10.90.0.2")
    page.close(("rm", "-f", "one"), GONE[1])


def test_macvlan(lab):
    page = Situation(lab, "macvlan")
    found = lab.run("h1", "ip", "-o", "route", "get", lab.address("h2"))
    parent = found.split(" dev ")[1].split()[0]
    page.do("network", "create", "-d", "macvlan", "--subnet", "10.91.0.0/24", "-o",
            f"parent={parent}", "web")  # fmt: skip
    page.container("one", "--network", "web", "--ip", "10.91.0.2")
    page.sandbox("one")
    page.close(("rm", "-f", "one"), GONE[1])


@pytest.fixture(scope="module")
def swarm():
    with SwarmLab(f"brgpacs{os.getpid()}", 2) as lab:
        lab.up()
        yield lab


class TestInASwarm:
    def test_overlay(self, swarm):
        page = Situation(swarm, "overlay")
        page.do(
            "network", "create", "-d", "overlay", "--attachable", "--subnet", "10.92.0.0/24", "net"
        )
        swarm.docker(
            "h2", "run", "-d", "--name", "far", "--network", "net", "--ip", "10.92.0.20", "nginx"
        )
        page.container("near", "--network", "net", "--ip", "10.92.0.10")
        page.asks("near", "10.92.0.20")
        listed = swarm.run("h1", "ip", "netns").split()
        id = swarm.docker("h1", "network", "inspect", "-f", "{{.Id}}", "net").strip()
        space = next(each for each in listed if each == f"1-{id[:10]}")
        leads = ("bridge", "-n", space, "fdb", "show", "dev", "vxlan0")
        entries = ("ip", "-4", "-n", space, "neigh", "show", "nud", "permanent")
        for title, command, wanted in (
            ("Neighbours", entries, "10.92."), ("Where the tunnel leads", leads, " dst ")
        ):  # fmt: skip
            said = [line for line in swarm.run("h1", *command).splitlines() if wanted in line]
            shown = " ".join(command).replace(space, "1-NETWORK")
            page.parts.append((title, shown, plain("\n".join(sorted(said)))))
        page.sandbox("near")
        swarm.docker("h2", "rm", "-f", "far")
        page.close(("rm", "-f", "near"), ("network", "rm", "net"))

    def test_mesh(self, swarm):
        page = Situation(swarm, "mesh")
        page.do("service", "create", "--name", "site", "--replicas", "2", "-p", "8080:80", "nginx")
        until(lambda: swarm.running("site", 2), 60)
        rules = ("ip", "netns", "exec", "ingress_sbox", "nft", "-s", "list", "table", "ip", "skep")
        # A host hears of the tasks one after the other.
        until(lambda: "goto turn_2_0" in swarm.run("h1", *rules), 60)
        host = ("nft", "list", "map", "ip", "skep", "published")
        until(lambda: "tcp . 8080" in swarm.run("h1", *host), 60)
        page.host()
        page.show("The mesh's rules", *rules)
        page.close(("service", "rm", "site"))


def test_every_page_is_listed():
    listed = set(re.findall(r"\(([a-z-]+\.md)\)", (PAGES / "README.md").read_text()))
    assert listed == {each.name for each in PAGES.glob("*.md")} - {"README.md"}
