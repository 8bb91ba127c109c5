"""Strangers and containers that pretend: what they send is dropped and counted, and what honest
ones send the same way arrives."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import frame
import pytest
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
STRANGER = "192.168.90.250"
SEEN = (
    "nft add table ip seen; "
    "nft 'add chain ip seen c { type filter hook prerouting priority -400; }'; "
    "nft add rule ip seen c udp dport 9 counter"
)


class Attack:
    """Box-h1 attacks: ``local`` is a task on its host, ``remote`` a container on h2."""

    def __init__(self, lab):
        self.lab = lab
        self.words = lab.words["h1"]
        self.me = self.words["near"]
        self.remote = self.words["far"]
        task = lab.docker("h1", "ps", "-q", "--filter", "name=web.").split()[0]
        self.local = lab.ip("h1", task)
        self.boxes = {self.local: ("h1", self.words["task"]),
                      self.remote: ("h2", lab.words["h2"]["box"])}  # fmt: skip
        inspected = json.loads(lab.docker("h1", "network", "inspect", "net"))
        options = inspected[0]["Options"]
        self.vni = int(options["com.docker.network.driver.overlay.vxlanid_list"])

    def enter(self, host, namespace, command):
        return self.lab.shell(host, f'nsenter --net=/run/netns/{namespace} sh -c "{command}"')

    def send(self, *frames, host="h1", namespace=None, link="eth0"):
        """Send frames from the attacker's sandbox."""
        words = " ".join(each.hex() for each in frames)
        self.enter(host, namespace or self.words["box"],
                   f"{sys.executable} {frame.SENDER} {link} {words}")  # fmt: skip

    def watch(self, victim):
        """Count what arrives for port 9 at a victim."""
        host, namespace = self.boxes[victim]
        self.lab.shell(
            host, f"nsenter --net=/run/netns/{namespace} sh -c '{SEEN.replace(chr(39), chr(34))}'"
        )

    def unwatch(self, victim):
        host, namespace = self.boxes[victim]
        self.enter(host, namespace, "nft delete table ip seen")

    def arrived(self, victim):
        """How many datagrams have arrived there."""
        host, namespace = self.boxes[victim]
        listed = self.enter(host, namespace, "nft list table ip seen")
        return int(listed.partition("packets ")[2].split()[0])

    def refused(self, why, host="h1"):
        metrics = self.lab.metrics(host)
        return metrics.get(f'skep_refused_packets_total{{why="{why}"}}', 0)


@pytest.fixture(scope="module")
def attack(faulty):
    made = Attack(faulty)
    for victim in made.boxes:
        made.watch(victim)
    yield made
    for victim in made.boxes:
        made.unwatch(victim)


def to(attack, victim, *, source=None, mac=None):
    """A frame of the attacker's to a victim, as himself or as another."""
    packet = frame.datagram(source or attack.me, victim)
    return frame.ethernet(frame.mac_of(victim), mac or frame.mac_of(attack.me), 0x0800, packet)


@pytest.mark.parametrize("victim", ["local", "remote"])
class TestSpoofing:
    """From a container with CAP_NET_RAW, which all have."""

    def check(self, attack, victim, spoofed):
        """The spoofed frame is refused; an honest one sent after it arrives, and it alone."""
        target = getattr(attack, victim)
        arrived, refused = attack.arrived(target), attack.refused("spoofed")
        attack.send(spoofed(target), to(attack, target))
        until(lambda: attack.arrived(target) > arrived, 60)
        until(lambda: attack.refused("spoofed") == refused + 1, 60)
        assert attack.arrived(target) == arrived + 1

    def test_anothers_address(self, attack, victim):
        other = attack.remote if victim == "local" else attack.local
        self.check(attack, victim, lambda target: to(attack, target, source=other))

    def test_an_address_that_nobody_has(self, attack, victim):
        self.check(attack, victim, lambda target: to(attack, target, source="10.50.0.200"))

    def test_the_gateways_address(self, attack, victim):
        self.check(attack, victim, lambda target: to(attack, target, source="10.50.0.1"))

    def test_anothers_mac(self, attack, victim):
        other = frame.mac_of(attack.remote if victim == "local" else attack.local)
        self.check(attack, victim, lambda target: to(attack, target, mac=other))

    def test_anothers_address_in_arp(self, attack, victim):
        other = attack.remote if victim == "local" else attack.local

        def claim(target):
            lie = frame.arp(frame.mac_of(attack.me), other, target)
            return frame.ethernet(frame.mac_of(target), frame.mac_of(attack.me), 0x0806, lie)

        self.check(attack, victim, claim)

    def test_anothers_address_in_arp_behind_a_tag(self, attack, victim):
        """With the tag 0, which is no VLAN's, receivers take it for a frame without one."""
        other = attack.remote if victim == "local" else attack.local

        def claim(target):
            lie = b"\0\0\x08\x06" + frame.arp(frame.mac_of(attack.me), other, target)
            return frame.ethernet(frame.mac_of(target), frame.mac_of(attack.me), 0x8100, lie)

        self.check(attack, victim, claim)

    def test_a_router_may_carry_others_packets(self, attack, victim):
        target = getattr(attack, victim)
        before = attack.arrived(target)
        attack.send(to(attack, target, source="203.0.113.5"))
        until(lambda: attack.arrived(target) == before + 1, 60)


class TestStrangers:
    """Tunnel packets from who is no host of the cluster."""

    @pytest.fixture
    def stranger(self, attack):
        """A machine on the underlay that is none of the hosts."""
        switch = f"/run/skep-lab/{attack.lab.name}/switch"

        def run(*command):
            subprocess.run(
                [shutil.which("nsenter"), f"--net={switch}", *command], check=True, timeout=60
            )

        run("ip", "addr", "add", f"{STRANGER}/24", "dev", "br0")
        yield lambda address, payload: run(
            sys.executable, HERE / "send_datagrams.py", address, "4789", payload.hex()
        )
        run("ip", "addr", "del", f"{STRANGER}/24", "dev", "br0")

    def test_their_tunnel_packets_are_dropped_and_counted(self, attack, stranger):
        inner = frame.ethernet(frame.mac_of(attack.local), frame.mac_of(attack.remote), 0x0800,
                               frame.datagram(attack.remote, attack.local))  # fmt: skip
        payload = frame.vxlan(attack.vni, inner)
        arrived, refused = attack.arrived(attack.local), attack.refused("stranger")
        stranger(attack.lab.address("h1"), payload)
        until(lambda: attack.refused("stranger") == refused + 1, 60)
        assert attack.arrived(attack.local) == arrived
        # The same from a host of the cluster arrives.
        attack.lab.shell("h2", f"{sys.executable} {HERE / 'send_datagrams.py'} "
                               f"{attack.lab.address('h1')} 4789 {payload.hex()}")  # fmt: skip
        until(lambda: attack.arrived(attack.local) == arrived + 1, 60)

    def test_broken_tunnel_packets_harm_nobody(self, attack):
        """From a host of the cluster itself, so that they are read."""
        seeded = random.Random(6)
        broken = [seeded.randbytes(seeded.randrange(0, 120)) for _ in range(200)]
        broken += [frame.vxlan(attack.vni, seeded.randbytes(seeded.randrange(0, 60)))
                   for _ in range(200)]  # fmt: skip
        words = " ".join(each.hex() or "00" for each in broken)
        attack.lab.shell("h2", f"{sys.executable} {HERE / 'send_datagrams.py'} "
                               f"{attack.lab.address('h1')} 4789 {words}")  # fmt: skip
        before = attack.arrived(attack.remote)
        attack.send(to(attack, attack.remote))
        until(lambda: attack.arrived(attack.remote) == before + 1, 60)

    def test_broken_arp_harms_nobody(self, attack):
        seeded = random.Random(7)
        me = frame.mac_of(attack.me)
        noise = [seeded.randbytes(seeded.randrange(64)) for _ in range(300)]
        broken = [frame.ethernet(frame.EVERYBODY, me, 0x0806, each) for each in noise]
        attack.send(*broken)
        before = attack.arrived(attack.local)
        attack.send(to(attack, attack.local))
        until(lambda: attack.arrived(attack.local) == before + 1, 60)


class TestReach:
    """What a container gets to see."""

    def test_names_of_other_networks_are_no_names(self, attack):
        lab = attack.lab
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "other")
        try:
            lab.docker("h1", "run", "-d", "--name", "hidden", "--network", "other", "busybox",
                       "sleep", "86400")  # fmt: skip
            ask = "nsenter --net=/run/netns/{} busybox nslookup {} 127.0.0.11"
            assert lab.shell("h1", ask.format(lab.sandbox("h1", "hidden"), "hidden"))
            answer = lab.shell("h1", ask.format(attack.words["box"], "hidden"), check=False)
            # Without a name server to ask further, it may say that nobody answers.
            assert "can't find hidden" in answer and "Address: 10." not in answer
            assert "Address: 10.50." in lab.shell("h1", ask.format(attack.words["box"], "box-h2"))
        finally:
            lab.docker("h1", "rm", "-f", "hidden")
            lab.docker("h1", "network", "rm", "other")

    @pytest.mark.parametrize("port", [9323, 2378, 1011])
    def test_what_listens_for_the_host_alone_is_out_of_reach(self, attack, port):
        """The metrics, the page, and the name server of another's sandbox."""
        connect = f"busybox nc -w 2 {{}} {port} </dev/null && echo open"
        for address in ("172.18.0.1", attack.lab.address("h1"), attack.local):
            code = attack.enter("h1", attack.words["box"], connect.format(address) + " || true")
            assert "open" not in code

    def test_containers_do_not_see_the_hosts_sockets_and_namespaces(self, attack):
        look = "ls /run /var/run /run/netns /run/skep /var/lib /var/lib/skep 2>/dev/null; true"
        seen = attack.lab.docker("h1", "exec", "box-h1", "sh", "-c", look)
        assert "docker.sock" not in seen and "ingress_sbox" not in seen and "skep" not in seen

    @pytest.mark.parametrize("command", [
        "unshare -n true", "nsenter -t 1 -n true", "ip link set eth0 down",
        "ip addr add 10.50.0.99/24 dev eth0",
        "ip neigh add 10.50.0.99 lladdr 02:42:0a:32:00:63 dev eth0", "mount -t proc none /mnt",
        "sysctl -w net.ipv4.ip_forward=0",
    ])  # fmt: skip
    def test_containers_change_nothing_of_the_network(self, attack, command):
        code, _, complaint = attack.lab.tried("h1", "exec", "box-h1", *command.split())
        assert code != 0, complaint
        assert ",UP," in attack.lab.docker("h1", "exec", "box-h1", "ip", "addr", "show", "eth0")

    def test_a_worker_does_only_what_workers_may(self, attack):
        code, _, complaint = attack.lab.tried("h2", "service", "rm", "web")
        assert code != 0 and "not a swarm manager" in complaint
        until(lambda: attack.lab.running("web", 3), 60)
