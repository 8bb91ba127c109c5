"""Faults that `skep trace --live` names by a probe, and those that `skep doctor` finds."""

import json
import sys
import time
from pathlib import Path

from fault import PORT, Fault, do, foreign_fault, host_space, overlay, text
from swarm_lab import until

from skep.wire.authority import Authority, make_key_and_csr, subject_of


def netdev(rule):
    """A drop that no walk can read, on h2's way in from the others."""
    chain = "add chain netdev hidden c { type filter hook ingress device eth0 priority 0; }"
    return {
        "host": "h2",
        "damage": lambda lab: lab.inside_of(
            "h2", "", f'nft "add table netdev hidden; {chain}; add rule netdev hidden c {rule}"'
        ),
        "mend": lambda lab: lab.inside_of("h2", "", "nft delete table netdev hidden"),
    }


def switched(verb):
    """Cut or heal the cable between h1 and h2."""
    return lambda lab: lab.skep(verb, "h1", "h2")


LIVE = {
    "4789 cut out of sight": Fault(
        **netdev("udp dport 4789 drop"),
        where=overlay("h2"), why=text("not seen at vxlan0, though it was at eth0 on h2 before"),
    ),
    "a rule that cannot be read": foreign_fault(
        "h2", "input", "udp dport 4789 meta length 60-9000 drop",
        where=host_space("h2"), why=text("dropped by nft table inet guard, chain c, handle"),
    ),
    "a rule on the way that cannot be read": foreign_fault(
        "h3", "forward", "meta length 40-9000 oifname docker_gwbridge drop", ask=PORT,
        where=host_space("h3"), why=text("dropped by nft table inet guard, chain c, handle"),
    ),
    "host cut off": Fault(
        host="h1", damage=switched("cut"), mend=switched("heal"),
        where=text("between h1 and h2"), why=text("nothing c"),
        lingers=True,
    ),
}  # fmt: skip


def refused_daemon(lab):
    """Stop h2's skepd as it is: alive, and mute."""
    lab.run("h2", "sh", "-c", "kill -STOP $(pgrep -of [s]kep.daemon.--state)")


def woken_daemon(lab):
    lab.run("h2", "sh", "-c", "kill -CONT $(pgrep -of [s]kep.daemon.--state)")


def full_network(lab):
    """A network of six addresses, and tasks that want more."""
    lab.docker("h1", "network", "create", "-d", "overlay", "--subnet", "10.77.0.0/29", "small")
    lab.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "many",
               "--network", "small", "--replicas", "6", "busybox", "sleep", "86400")  # fmt: skip
    until(lambda: any("10.77" in each["what"] for each in lab.doctor()["findings"]), 120)


def without_network(lab):
    lab.docker("h1", "service", "rm", "many")
    until(lambda: lab.tried("h1", "network", "rm", "small")[0] == 0, 120)


def identity(lab):
    return Path(f"/var/lib/skep-lab/{lab.name}/h2/skep/swarm/identity.json")


def expired(lab):
    """h2's credentials, in a form that ended yesterday: of a CA like the cluster's."""
    lab.kept = identity(lab).read_bytes()
    told = json.loads(lab.kept)
    old = told["credentials"]
    begin = time.time() - 2 * 86400
    authority = Authority.create(begin)
    key, csr = make_key_and_csr()
    signed = authority.sign(csr, subject_of(old["certificate"]), days=1, now=begin)
    old.update(certificate=signed, key=key, ca=authority.certificate_pem)
    identity(lab).write_text(json.dumps(told))


def damaged(lab):
    lab.kept = identity(lab).read_bytes()
    identity(lab).write_text("{}")


def restored(lab):
    identity(lab).write_bytes(lab.kept)


FILL = str(Path(__file__).with_name("fill_conntrack.py"))


def connections(lab):
    """Nearly as many connections as the kernel keeps, for longer than anybody looks. Whatever
    forgets them again before the doctor came (a repair that was under way), they are back."""

    def seen():
        lab.run("h3", sys.executable, FILL)
        findings = lab.doctor("--host", "h3")["findings"]
        return any("connection table" in each["what"] for each in findings)

    until(seen, 300)


def forgotten(lab):
    lab.run("h3", sys.executable, FILL, "forget")


DOCTORED = {
    "7946 blocked": foreign_fault(
        "h2", "input", "udp dport 7946 drop",
        where=text("nft table inet guard, chain c"), why=text("UDP 7946 (mesh) is dropped by"),
        hop="h2",
    ),
    "2377 blocked": foreign_fault(
        "h1", "input", "ct state new tcp dport 2377 drop",
        where=text("TCP 192.168.90.11:2377"),
        why=text("h2 cannot connect to manager h1: no answer"), hop="h2",
    ),
    "2377 blocked by a rule": foreign_fault(
        "h1", "input", "ct state new tcp dport 2377 drop",
        where=text("nft table inet guard, chain c"), why=text("TCP 2377 (cluster) is dropped by"),
        hop="h1",
    ),
    "4789 cut out of sight": Fault(
        **netdev("udp dport 4789 drop"),
        where=text("h2, UDP 4789"), why=text("nothing comes back through the tunnel"), hop="h1",
    ),
    "tunnels that carry small packets only": Fault(
        **netdev("udp dport 4789 meta length > 1000 drop"),
        where=text("h2, UDP 4789"), why=text("carries small packets, not such of 1450 bytes"),
        hop="h1",
    ),
    "tunnels that carry ICMP only": Fault(
        **netdev("udp dport 4789 @th,312,8 6 drop"),
        where=text("h2, UDP 4789"), why=text("carries ICMP, not TCP"), hop="h1",
    ),
    "underlay's MTU": Fault(
        host="h2", damage=do("h2", "", "ip link set eth0 mtu 1400"),
        mend=do("h2", "", "ip link set eth0 mtu 1500"),
        where=text("eth0"), why=text("eth0 takes 1400 bytes"), hop="h2",
    ),
    "dead name server": Fault(
        host="h1", damage=do("h1", "", "kill -STOP $(pgrep -f [s]kep.dns.server)"),
        mend=do("h1", "", "kill -CONT $(pgrep -f [s]kep.dns.server)"),
        where=text("skep-dns"), why=text("skep-dns cannot be reached"), hop="h1",
    ),
    "subnet that overlaps a route": Fault(
        host="h3", damage=do("h3", "", "ip route add 10.0.0.128/25 via 192.168.90.1"),
        mend=do("h3", "", "ip route del 10.0.0.128/25"),
        where=text("network ingress"),
        why=text("10.0.0.0/24 overlaps the host\'s route to 10.0.0.128/25"), hop="h3",
    ),
    "certificate expired": Fault(
        host="h2", damage=expired, mend=restored,
        where=text("this host"), why=text("ended 1.0 days ago"), hop="h2",
    ),
    "credentials damaged": Fault(
        host="h2", damage=damaged, mend=restored,
        where=text("this host"), why=text("identity.json is damaged"), hop="h2",
    ),
    "network full": Fault(
        host="h1", damage=full_network, mend=without_network,
        where=text("network small"), why=text("addresses of 10.77.0.0/29 are taken"),
    ),
    "sysctl altered": Fault(
        host="h3", damage=do("h3", "ingress_sbox", "sysctl -qw net.ipv4.ip_forward=0"),
        where=text("ingress_sbox on h3"), why=text("net.ipv4.ip_forward is 0"), hop="h3",
    ),
    "link of a stranger": Fault(
        host="h1", damage=do("h1", "bridge", "ip link add odd type veth peer name odd2"),
        mend=do("h1", "bridge", "ip link del odd"),
        where=overlay("h1"), why=text("link odd is not Skep\'s"), hop="h1",
    ),
    "table of a stranger": Fault(
        host="h1", damage=do("h1", "bridge", "nft add table ip odd"),
        mend=do("h1", "bridge", "nft delete table ip odd"),
        where=overlay("h1"), why=text("nft table ip odd is not Skep\'s"), hop="h1",
    ),
    "namespace left over": Fault(
        host="h3",
        damage=do("h3", "",
                  "ip netns add 1-leftover00; ip -n 1-leftover00 link set lo group 23534"),
        where=text("1-leftover00 on h3"), why=text("belongs to nothing"), hop="h3",
    ),
    "connection table full": Fault(
        host="h3", damage=connections, mend=forgotten, where=text("nf_conntrack_max"),
        why=text("the connection table is"), hop="h3",
    ),
    "skepd mute": Fault(
        host="h1", damage=refused_daemon, mend=woken_daemon,
        where=text("192.168.90.12"), why=text("h2 did not answer"), hop="h2",
        lingers=True,
    ),
}  # fmt: skip
