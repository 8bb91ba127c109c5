"""Hosts that cannot hear each other for a while: what runs goes on, and once they can everything
is right everywhere."""

import subprocess
import threading
import time

import pytest
from audit import right
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

WORDS = "nsenter --net=/run/netns/%box% busybox nslookup %name% 127.0.0.11"
TABLE = """
table bridge faults {{
  chain c {{
    type filter hook forward priority -10
    {}
  }}
}}
"""
TO_H3, FROM_H3 = 'meta oifname "h3"', 'meta iifname "h3"'
CUTS = {
    "both_ways": (f"{TO_H3} drop", f"{FROM_H3} drop"),
    "unheard": (f"{FROM_H3} drop",),
    "deaf": (f"{TO_H3} drop",),
    "sessions": (f"{TO_H3} tcp sport 2377 drop", f"{FROM_H3} tcp dport 2377 drop"),
    "tunnels": (f"{TO_H3} udp dport 4789 drop", f"{FROM_H3} udp dport 4789 drop"),
    "loss": (f"{TO_H3} numgen random mod 100 < 25 drop",
             f"{FROM_H3} numgen random mod 100 < 25 drop"),
}  # fmt: skip
"""What the underlay drops between h3 and the others: nothing from it is heard, or it hears nothing,
or only some protocol or some packets do not get through."""
SLOW = "root tbf rate 128kbit burst 16kb latency 800ms"


class Cuts:
    """Ways to part h3 from the others, and back. All is done to the underlay's bridge."""

    def __init__(self, lab):
        self._lab = lab

    def make(self, kind):
        if kind == "unplugged":
            self.switch("ip", "link", "set", "h3", "down")
        elif kind == "slow":
            self.switch("tc", "qdisc", "add", "dev", "h3", *SLOW.split())
            self._lab.shell("h3", f"tc qdisc add dev eth0 {SLOW}")
        else:
            self.switch("nft", TABLE.format("; ".join(CUTS[kind])))

    def heal(self):
        """Answers when it was done, at the earliest."""
        begun = time.monotonic()
        self.switch("sh", "-c", "nft delete table bridge faults; ip link set h3 up; "
                    "tc qdisc del dev h3 root; true")  # fmt: skip
        self._lab.shell("h3", "tc qdisc del dev eth0 root 2>/dev/null", check=False)
        return begun

    def switch(self, *command):
        subprocess.run(
            ["nsenter", f"--net=/run/skep-lab/{self._lab.name}/switch", *command],
            check=True, timeout=60, capture_output=True,
        )  # fmt: skip


@pytest.fixture
def cuts(faulty):
    lab = faulty
    right(lab)
    lab.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "spread",
               "--network", "net", "--replicas", "3", "busybox", "sleep", "86400")  # fmt: skip
    made = Cuts(lab)
    try:
        until(lambda: lab.running("spread", 3), 120)
        # Hosts hear of the last tasks one after the other.
        right(lab)
        until(lambda: agreed(lab), 60)
        yield made
    finally:
        made.heal()
        lab.docker("h1", "service", "rm", "spread")
        until(lambda: lab.running("web", 3), 120)
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


def agreed(lab):
    """Whether each slot is there once, and its names are the same on every host."""
    told = slots(lab)
    addresses = sorted(each[1].partition("/")[0] for each in told)
    once = len({each[0] for each in told}) == len(told) == 3
    return once and all(answers(lab, h, "tasks.spread") == addresses for h in lab.hosts)


def containers(lab):
    """How many containers of the service run, on all hosts."""
    listed = (lab.docker(host, "ps", "-q", "-f", "name=spread.") for host in lab.hosts)
    return sum(len(each.split()) for each in listed)


def whole_again(lab, healed):
    """Names are right everywhere, each slot runs once, nothing is left over, every host knows
    all."""
    until(lambda: agreed(lab), 120)
    print(f"names agree {time.monotonic() - healed:.2f} s after the cut, looked at slowly")
    until(lambda: lab.running("spread", 3), 120)
    until(lambda: containers(lab) == 3, 120)
    right(lab)
    until(lambda: agreed(lab), 60)


def peers(lab):
    """What h3 knows of others on the network: neighbours and forwarding entries."""
    space = lab.namespace_of("net")
    known = (f"{space}/neigh ", f"{space}/fdb ")
    return {line for line in lab.contents("h3") if line.startswith(known)}


def state_of(lab, node):
    """What the manager says of a host."""
    states = lab.docker("h1", "node", "ls", "--format", "{{.Hostname}} {{.Status}}").splitlines()
    return dict(line.split() for line in states)[node]


def started(lab):
    return lab.docker("h3", "inspect", "-f", "{{.State.StartedAt}}", "box-h3")


rare = pytest.mark.fault


@pytest.mark.parametrize("kind", [
    "both_ways", *(pytest.param(each, marks=rare)
                   for each in ("unheard", "deaf", "sessions", "unplugged")),
])  # fmt: skip
def test_a_host_that_was_away_is_right_again(faulty, cuts, kind):
    """Its tasks run elsewhere meanwhile, its own containers live on and know the names and peers
    that they knew; afterwards no slot is there twice."""
    known = until(lambda: answers(faulty, "h3", "box-h1"), 60)
    knew, box = peers(faulty), started(faulty)
    assert knew
    cuts.make(kind)
    until(lambda: state_of(faulty, "h3") == "Down", 60)
    until(lambda: faulty.running("spread", 3), 120)
    # Cut off, it could not learn again what it had forgotten; its answer may be late.
    until(lambda: answers(faulty, "h3", "box-h1") == known, 60)
    assert peers(faulty) == knew
    whole_again(faulty, cuts.heal())
    assert started(faulty) == box


@rare
def test_thirty_seconds(faulty, cuts):
    """What changed on either side meanwhile is known on the other."""
    faulty.docker("h3", "run", "-d", "--name", "gone", "--network", "net", "busybox", "sleep", "1d")
    try:
        until(lambda: answers(faulty, "h1", "gone"), 60)
        cuts.make("both_ways")
        faulty.docker("h3", "rm", "-f", "gone")
        faulty.docker("h1", "run", "-d", "--name", "late", "--network", "net", "busybox",
                      "sleep", "1d")  # fmt: skip
        threading.Event().wait(30)
        healed = cuts.heal()
        until(lambda: answers(faulty, "h3", "late") == answers(faulty, "h1", "late") != [], 60)
        until(lambda: not answers(faulty, "h1", "gone"), 60)
        whole_again(faulty, healed)
    finally:
        faulty.docker("h1", "rm", "-f", "late")
        faulty.tried("h3", "rm", "-f", "gone")


@rare
@pytest.mark.parametrize("seconds", [0.3, 0.7, 2.5])
def test_flapping(faulty, cuts, seconds):
    """Shorter and longer than what a session bears."""
    for _ in range(6):
        cuts.make("both_ways")
        threading.Event().wait(seconds)
        healed = cuts.heal()
        threading.Event().wait(seconds)
    whole_again(faulty, healed)


@rare
def test_the_manager_cut_off_from_all(faulty, cuts):
    """Everybody serves on with what he knew."""
    known = {host: until(lambda host=host: answers(faulty, host, "tasks.spread"), 60)
             for host in ("h2", "h3")}  # fmt: skip
    cuts.switch("nft", TABLE.format('meta iifname "h1" drop; meta oifname "h1" drop'))
    until(lambda: state_of(faulty, "h2") == state_of(faulty, "h3") == "Down", 60)
    for host, told in known.items():
        until(lambda host=host, told=told: answers(faulty, host, "tasks.spread") == told, 60)
    whole_again(faulty, cuts.heal())


@rare
@pytest.mark.parametrize("kind", ["loss", "slow"])
def test_a_bad_link_holds_nothing_up_for_good(faulty, cuts, kind):
    """What changes meanwhile gets through, late perhaps; a task that was moved is there once."""
    cuts.make(kind)
    faulty.docker("h1", "run", "-d", "--name", "late", "--network", "net", "busybox", "sleep", "1d")
    try:
        until(lambda: answers(faulty, "h3", "late") == answers(faulty, "h1", "late") != [], 180)
        if kind == "slow":
            until(lambda: state_of(faulty, "h3") == "Ready", 60)
    finally:
        healed = cuts.heal()
        faulty.docker("h1", "rm", "-f", "late")
    whole_again(faulty, healed)


def test_without_tunnels_nothing_is_moved_and_nothing_forgotten(faulty, cuts):
    """4789 alone is cut: tasks stay where they are, and traffic is back with the tunnels."""
    before = slots(faulty)
    cuts.make("tunnels")
    reach = faulty.said("h1", "nsenter --net=/run/netns/%box% busybox ping -c 1 -W 1 ")
    there = faulty.ip("h3", "box-h3")
    until(lambda: ", 0 packets received" in faulty.shell("h1", reach + there, check=False), 60)
    assert slots(faulty) == before
    cuts.heal()
    until(lambda: ", 1 packets received" in faulty.shell("h1", reach + there, check=False), 60)
    assert slots(faulty) == before
    right(faulty)
