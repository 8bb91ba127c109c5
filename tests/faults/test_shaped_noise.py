"""Frames, ARP, neighbours' messages and tunnel packets that are right but for one field, from a
container and from a host of the cluster: nothing ends or is altered, honest packets arrive."""

import re

import frame
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from shaped import ARP, IPV4, IPV6, arps, frames, neighbours, packets, tunnelled
from swarm_lab import until
from test_attacks import HERE, Attack, sys, to
from vitals import DAEMON, NAMES, Vitals

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

BOUNDED = settings(
    max_examples=15, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
MANY = 25
"""Messages in one example."""
KEPT = re.compile(r"/(neigh|fdb|addr|route|rule) ")
TENTATIVE = re.compile(r"fe80::")
"""Addresses that a link has by itself come and go in IPv6's own time."""


def mac6(address):
    """The MAC that an IPv6 address of the ingress network goes with."""
    last = address.replace("::", ":").split(":")[-2:]
    number = int(last[0] or "0", 16) << 16 | int(last[1], 16)
    return frame.mac_of(".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0)))


class Scene:
    """Who is there, on the container's network and on the ingress network."""

    def __init__(self, lab):
        self.lab = lab
        self.attack = Attack(lab)
        self.me = self.attack.me
        self.others = [self.attack.local, self.attack.remote, "10.50.0.1"]
        self.task = lab.words["h1"]["task"]
        self.mine6 = self.address6("h1", self.task)
        self.others6 = [self.address6("h2", lab.words["h2"]["task"]),
                        self.address6("h3", lab.words["h3"]["task"]),
                        self.address6("h1", "ingress_sbox")]  # fmt: skip

    def address6(self, host, namespace):
        """Its own one on the ingress network, not a virtual one."""
        said = self.lab.shell(host, f"ip -n {namespace} -6 -o addr show dev eth0 scope global")
        return re.search(r"inet6 (\S+)/64", said)[1]

    def boxes(self):
        """All namespaces that somebody may be deceived in."""
        for host in self.lab.hosts:
            for name in ("box", "task"):
                yield host, self.lab.words[host][name]
            yield host, "ingress_sbox"

    def lasting(self):
        """What hosts contain of addresses, routes, neighbours and forwarding entries."""
        return {
            host: {line for line in self.lab.contents(host)
                   if KEPT.search(line) and not TENTATIVE.search(line)}
            for host in self.lab.hosts
        }  # fmt: skip

    def honest(self):
        """A packet gets through, to both."""
        for victim in (self.attack.local, self.attack.remote):
            before = self.attack.arrived(victim)

            def arrived(victim=victim, before=before):
                self.attack.send(to(self.attack, victim))
                return self.attack.arrived(victim) > before

            until(arrived, 60)


@pytest.fixture(scope="module")
def scene(faulty):
    found = Scene(faulty)
    for victim in found.attack.boxes:
        found.attack.watch(victim)
    # So that there is something that could be altered.
    for host, box in found.boxes():
        for each in (*found.others, *found.others6):
            ask = f"nsenter --net=/run/netns/{box} busybox ping -c1 -W1 {each}"
            faulty.shell(host, ask, check=False)
    yield found
    for victim in found.attack.boxes:
        found.attack.unwatch(victim)


@pytest.fixture
def unharmed(faulty, scene):
    """All is as it was, after the test."""
    until(lambda: all(faulty.settled(host) for host in faulty.hosts), 60)
    before = [Vitals(faulty, "h1", process) for process in (DAEMON, NAMES)]
    contents = scene.lasting()
    repairs = faulty.repairs("h1")
    yield
    for each in before:
        each.check()
    assert scene.lasting() == contents
    assert faulty.repairs("h1") == repairs
    scene.honest()


def check(scene, messages, send):
    """Send many of them. What neighbours believed of it is forgotten afterwards."""

    @seed(6)
    @BOUNDED
    @given(st.lists(messages, min_size=MANY, max_size=MANY))
    def some(found):
        send(*(each or b"\0" for each in found))

    some()
    for host, namespace in scene.boxes():
        scene.lab.shell(host, f"ip -n {namespace} neigh flush dev eth0")


def from_a_container(scene):
    """Sends frames from the container's interface; those that no interface takes are left out."""
    return lambda *found: scene.attack.send(*(each for each in found if 14 < len(each) < 1400))


def from_a_task(scene):
    return lambda *found: scene.attack.send(
        *(each for each in found if 14 < len(each) < 1400), namespace=scene.task
    )


def from_a_host(scene):
    """Sends tunnel packets from a host of the cluster to another, which takes them."""

    def send(*found):
        words = " ".join(each.hex() for each in found)
        target = scene.lab.address("h1")
        scene.lab.shell(
            "h2", f"{sys.executable} {HERE / 'send_datagrams.py'} {target} 4789 {words}"
        )

    return send


def of_arp(scene):
    targets = [frame.EVERYBODY, *map(frame.mac_of, scene.others)]
    payloads = arps(scene.me, scene.others, frame.mac_of)
    return frames(ARP, payloads, targets, frame.mac_of(scene.me))


def of_ip(scene):
    targets = [frame.EVERYBODY, *map(frame.mac_of, scene.others)]
    return frames(IPV4, packets(scene.me, scene.others), targets, frame.mac_of(scene.me))


def of_neighbours(scene):
    targets = ["33:33:00:00:00:01", *map(mac6, scene.others6)]
    payloads = neighbours(scene.mine6, scene.others6, mac6(scene.mine6))
    return frames(IPV6, payloads, targets, mac6(scene.mine6))


def test_arp_of_a_container(scene, unharmed):
    check(scene, of_arp(scene), from_a_container(scene))


def test_packets_of_a_container(scene, unharmed):
    check(scene, of_ip(scene), from_a_container(scene))


def test_neighbours_messages_of_a_task(scene, unharmed):
    """On the ingress network, which has IPv6."""
    check(scene, of_neighbours(scene), from_a_task(scene))


@pytest.mark.parametrize("kind", [of_arp, of_ip, of_neighbours])
def test_tunnel_packets_of_a_host(scene, unharmed, kind):
    """Right frames in wrong tunnel packets."""
    check(scene, tunnelled(scene.attack.vni, kind(scene)), from_a_host(scene))
