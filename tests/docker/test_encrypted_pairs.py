"""Three hosts whose underlay is IPv6, with an encrypted network and a clear one beside it: what is
said of each pair, what becomes of one that is cut off, and what is seen on the way."""

import json
import os

import pytest
from swarm_lab import until
from trace_lab import TraceLab
from underlay_capture import Capture

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

INSIDE, CLEAR = b"\xc3" * 40, b"\x5a" * 40
PORTS = "51830-51929"
NETWORKS = {"sealed": ("-o", "encrypted"), "plain": ("-o", "encrypted=false"), "open": ()}


@pytest.fixture(scope="module")
def lab():
    with TraceLab(f"sealed{os.getpid()}", 3) as lab:
        lab.up(swarm=False)
        lab.docker("h1", "swarm", "init", "--advertise-addr", lab.address6("h1"))
        token = lab.docker("h1", "swarm", "join-token", "-q", "worker").strip()
        for host in ("h2", "h3"):
            lab.docker(host, "swarm", "join", "--token", token, "--advertise-addr",
                       lab.address6(host), f"[{lab.address6('h1')}]:2377")  # fmt: skip
        yield lab


@pytest.fixture(scope="module")
def capture(lab):
    with Capture(lab, "h2") as begun:
        yield begun


@pytest.fixture(scope="module")
def talk(lab, capture):
    """A container of each network on each host; those of h1 talk to those of h2 all the time."""
    for network, options in NETWORKS.items():
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", *options, network)
    for host in lab.hosts:
        for network in NETWORKS:
            lab.docker(host, "run", "-d", "--name", f"{network}-{host}", "--network", network,
                       "busybox", "sleep", "infinity")  # fmt: skip
    for network, pattern in (("sealed", "c3"), ("plain", "5a")):
        lab.docker("h1", "exec", "-d", f"{network}-h1", "sh", "-c",
                   f"while :; do ping -p {pattern} -i 0.2 -w 3 {network}-h2; done")  # fmt: skip
    return lab


def answers(lab, here, there, network="sealed", size=56):
    code, _, _ = lab.tried(
        here, "exec", f"{network}-{here}", "ping", "-c", "1", "-W", "2", "-s", str(size),
        f"{network}-{there}",
    )  # fmt: skip
    return code == 0


def pairs(lab, host, network="sealed"):
    """What a host says of its peers on a network, by their names."""
    (found,) = json.loads(lab.docker(host, "network", "inspect", network))
    return {each["Name"]: each for each in found.get("Encryption", {}).get("Peers", ())}


def encrypted(lab, host):
    return {name for name, pair in pairs(lab, host).items() if pair["Encrypted"]}


def measured(lab, host):
    """What the host's metrics say of its peers."""
    told = lab.run(host, "curl", "-s", "--unix-socket", "/run/docker.sock", "http://skep/metrics")
    lines = [each for each in told.splitlines() if each.startswith("skep_peer_encrypted{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def findings(lab):
    return [each for each in lab.doctor()["findings"] if each["check"] == "encryption"]


def test_every_pair_is_proven_and_said_so_everywhere(talk):
    for host in talk.hosts:
        others = {each for each in talk.hosts if each != host}
        until(lambda h=host, o=others: encrypted(talk, h) == o, 60)
        until(lambda h=host, o=others: measured(talk, h) == dict.fromkeys(o, 1.0), 60)
        until(lambda h=host, o=others: sound(talk, h) == o, 60)
    until(lambda: not findings(talk), 120)


def sound(lab, host):
    """The peers of which nothing is said against."""
    found = pairs(lab, host).items()
    return {name for name, pair in found if pair["Why"] == "" and pair["Generation"] > 0}


def test_packets_of_full_size_pass(talk):
    """1500 less 80 for WireGuard, 70 for VXLAN, 28 for IPv4 and ICMP."""
    for here, there in (("h1", "h2"), ("h2", "h3"), ("h3", "h1")):
        until(lambda h=here, t=there: answers(talk, h, t, size=1322), 60)
    assert "mtu 1350" in talk.docker("h1", "exec", "sealed-h1", "ip", "link", "show", "eth0")
    for network in ("plain", "open"):
        assert "mtu 1430" in talk.docker(
            "h1", "exec", f"{network}-h1", "ip", "link", "show", "eth0"
        )


def test_networks_that_do_not_ask_for_it_are_clear(talk, capture):
    for network in ("plain", "open"):
        until(lambda n=network: answers(talk, "h1", "h2", n), 60)
        assert pairs(talk, "h1", network) == {}
    until(lambda: CLEAR in capture.read(), 60)


def test_a_trace_says_which_is_which(talk):
    for network, words in (("sealed", "inside WireGuard"), ("plain", "not encrypted")):

        def told(network=network, words=words):
            said = json.dumps(talk.trace(f"{network}-h1", f"{network}-h2")[1])
            return words in said and said

        other = {"sealed": "not encrypted", "plain": "inside WireGuard"}[network]
        assert other not in until(told, 60)


def test_a_host_that_is_seen_elsewhere_is_followed(talk):
    """Something on the way begins to translate its address: its peers answer to where it is."""
    until(lambda: answers(talk, "h1", "h3"), 60)
    elsewhere = "fd00:90::33"
    rules = (
        "table ip6 moved { chain out { type filter hook postrouting priority 300; "
        f"udp sport {PORTS} ip6 saddr set {elsewhere}; }}; }}"
    )
    ends = ("ip", "netns", "exec", "skep-secure", "wg", "show", "all", "endpoints")
    try:
        talk.run("h3", "ip", "address", "add", f"{elsewhere}/64", "dev", "eth0", "nodad")
        talk.run("h3", "nft", rules)
        for host in ("h1", "h2"):
            until(lambda h=host: f"[{elsewhere}]" in talk.run(h, *ends), 60)
        until(lambda: answers(talk, "h1", "h3") and answers(talk, "h3", "h2"), 60)
        until(lambda: encrypted(talk, "h1") == {"h2", "h3"}, 60)
        assert f"[{elsewhere}]" in talk.run("h1", *ends)
    finally:
        talk.run("h3", "nft", "delete", "table", "ip6", "moved", check=False)
        talk.run("h3", "ip", "address", "del", f"{elsewhere}/64", "dev", "eth0", check=False)
    until(lambda: answers(talk, "h1", "h3") and answers(talk, "h3", "h2"), 60)


def test_a_pair_that_is_cut_off_is_named_and_nothing_gets_out(talk):
    until(lambda: encrypted(talk, "h1") == {"h2", "h3"}, 60)
    drop = (
        "table inet wall { "
        f"chain in {{ type filter hook input priority 0; udp dport {PORTS} drop; }}; "
        f"chain out {{ type filter hook output priority 0; udp dport {PORTS} drop; }}; }}"
    )
    talk.run("h3", "nft", drop)
    try:
        until(lambda: encrypted(talk, "h1") == {"h2"}, 60)
        why = "the other host does not answer through the tunnel"
        until(lambda: pairs(talk, "h1").get("h3", {}).get("Why") == why, 60)
        until(lambda: measured(talk, "h1") == {"h2": 1.0, "h3": 0.0}, 60)
        until(lambda: blamed(findings(talk)), 120)
        assert not answers(talk, "h1", "h3")
        until(lambda: answers(talk, "h1", "h3", "plain"), 60)
    finally:
        talk.run("h3", "nft", "delete", "table", "inet", "wall")
    until(lambda: answers(talk, "h1", "h3"), 60)
    until(lambda: not findings(talk), 120)


def blamed(found):
    """Whether h3 is, by errors, and nobody else."""
    return found and all(
        each["severity"] == "error" and "h3" in each["host"] + each["where"] for each in found
    )


def test_nothing_was_ever_seen_in_the_clear(talk, capture):
    until(lambda: encrypted(talk, "h1") == {"h2", "h3"}, 60)
    until(lambda: answers(talk, "h1", "h2") and CLEAR in capture.read(), 60)
    seen = capture.read()
    assert INSIDE not in seen
    assert header(talk, "plain") in seen
    assert header(talk, "sealed") not in seen


def header(lab, network):
    """What a VXLAN packet of a network has in the clear: flags and VNI."""
    space = f"1-{lab.network_id(network)[:10]}"
    (shown,) = json.loads(lab.run("h2", "ip", "-n", space, "-j", "-d", "link", "show", "vxlan0"))
    vni = shown["linkinfo"]["info_data"]["id"]
    return b"\x08\x00\x00\x00" + vni.to_bytes(3, "big") + b"\x00"
