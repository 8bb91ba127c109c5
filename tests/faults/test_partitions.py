"""Hosts that cannot hear each other for a while: what runs goes on, and once they can everything
is right everywhere."""

import subprocess
import threading

import pytest
from audit import right
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(400)]

GUARD = (
    "nft add table inet cut; nft 'add chain inet cut c { type filter hook input priority -500; }'"
)
WORDS = "nsenter --net=/run/netns/%box% busybox nslookup %name% 127.0.0.11"


class Cuts:
    """Ways to part h3 from the others, or to make them deaf to one port, and back."""

    def __init__(self, lab):
        self._lab = lab

    def both_ways(self):
        for other in ("h1", "h2"):
            self._lab.skep("cut", "h3", other)

    def one_way(self):
        """Nothing of h3's reaches the others, but it hears them."""
        self._switch("add")

    def tunnels(self):
        self._lab.shell("h3", f"{GUARD}; nft add rule inet cut c udp dport 4789 drop")

    def sessions(self):
        self._lab.shell("h1", f"{GUARD}; nft add rule inet cut c tcp dport 2377 drop")

    def heal(self):
        for other in ("h1", "h2"):
            self._lab.skep("heal", "h3", other)
        for host in ("h1", "h3"):
            self._lab.shell(host, "nft delete table inet cut 2>/dev/null", check=False)

    def _switch(self, verb):
        pairs = '{ "h3" . "h1", "h3" . "h2" }'
        subprocess.run(
            ["nsenter", f"--net=/run/skep-lab/{self._lab.name}/switch", "nft", f"{verb} element "
             f"bridge skep_lab cuts {pairs}"], check=True, timeout=60,
        )  # fmt: skip


@pytest.fixture
def cuts(faulty):
    lab = faulty
    right(lab)
    lab.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "spread",
               "--network", "net", "--replicas", "3", "busybox", "sleep", "86400")  # fmt: skip
    made = Cuts(lab)
    try:
        until(lambda: lab.running("spread", 3), 60)
        yield made
    finally:
        made.heal()
        lab.docker("h1", "service", "rm", "spread")
        until(lambda: lab.running("web", 3), 90)
        right(lab)


def answers(lab, host, name):
    """What a name means in a container of a host: a sorted list of addresses."""
    known = {"box": lab.sandbox(host, f"box-{host}"), "name": name}
    said = WORDS.replace("%box%", known["box"]).replace("%name%", name)
    told = lab.shell(host, said, check=False).partition("Name:")[2]
    return sorted(line.split()[1] for line in told.splitlines() if "Address" in line)


def slots(lab):
    """The slots of the tasks of ``spread`` that are to run, and their addresses."""
    ids = lab.docker("h1", "service", "ps", "-q", "-f", "desired-state=running", "spread").split()
    form = (
        '{{.Slot}} {{range .NetworksAttachments}}{{join .Addresses ","}}{{end}} {{.Status.State}}'
    )
    listed = lab.docker("h1", "inspect", "--type", "task", "-f", form, *ids).splitlines()
    return [line.split() for line in listed]


def whole_again(lab):
    """Each slot runs once, its names are the same everywhere, and every host knows all."""
    until(lambda: lab.running("spread", 3), 120)
    right(lab)

    def agreed():
        told = slots(lab)
        addresses = sorted(each[1].partition("/")[0] for each in told)
        once = len({each[0] for each in told}) == len(told) == 3
        return once and all(answers(lab, h, "tasks.spread") == addresses for h in lab.hosts)

    until(agreed, 60)


def away(lab):
    """Whether the manager has given h3 up."""
    states = lab.docker("h1", "node", "ls", "--format", "{{.Hostname}} {{.Status}}").splitlines()
    return "h3 Down" in states


@pytest.mark.parametrize("kind", [
    "both_ways",
    pytest.param("one_way", marks=pytest.mark.fault),
    pytest.param("sessions", marks=pytest.mark.fault),
])  # fmt: skip
def test_a_host_that_was_away_is_right_again(faulty, cuts, kind):
    """Its tasks run elsewhere meanwhile, its own containers live on and know the names that they
    knew; afterwards no slot is there twice."""
    known = answers(faulty, "h3", "box-h1")
    assert known
    box = faulty.docker("h3", "inspect", "-f", "{{.State.StartedAt}}", "box-h3")
    getattr(cuts, kind)()
    if kind != "sessions":
        until(lambda: away(faulty), 60)
        until(lambda: faulty.running("spread", 3), 90)
    assert answers(faulty, "h3", "box-h1") == known
    cuts.heal()
    whole_again(faulty)
    assert faulty.docker("h3", "inspect", "-f", "{{.State.StartedAt}}", "box-h3") == box


@pytest.mark.fault
def test_thirty_seconds(faulty, cuts):
    cuts.both_ways()
    threading.Event().wait(30)
    cuts.heal()
    whole_again(faulty)


@pytest.mark.fault
def test_flapping(faulty, cuts):
    for _ in range(8):
        cuts.both_ways()
        threading.Event().wait(0.7)
        cuts.heal()
        threading.Event().wait(0.7)
    whole_again(faulty)


def test_without_tunnels_nothing_is_moved_and_nothing_forgotten(faulty, cuts):
    """4789 alone is cut: tasks stay where they are, and traffic is back with the tunnels."""
    before = slots(faulty)
    cuts.tunnels()
    reach = faulty.said("h1", "nsenter --net=/run/netns/%box% busybox ping -c 1 -W 1 ")
    there = faulty.ip("h3", "box-h3")
    until(lambda: ", 0 packets received" in faulty.shell("h1", reach + there, check=False))
    assert slots(faulty) == before
    cuts.heal()
    until(lambda: ", 1 packets received" in faulty.shell("h1", reach + there, check=False))
    assert slots(faulty) == before
    right(faulty)
