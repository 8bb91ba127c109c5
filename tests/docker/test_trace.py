"""`skep trace` on a real swarm: of the walkthroughs' paths it shows every hop that one finds by
hand, with the same facts; a probe proves them; and nothing of it stays."""

import contextlib
import json
import os
import signal
import subprocess
import xml.etree.ElementTree as ET

import pytest
from by_hand import Hand
from swarm_lab import until
from trace_lab import SKEP_CLI, TraceLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

NOWHERE = "192.168.90.1"
"""An address beyond the cluster, on the hosts' own network."""
PATHS = {
    "container to container": ("client", "far/icmp"),
    "VIP": ("client", "web"),
    "DNSRR": ("client", "turns/tcp:80"),
    "published port": ("h1", "h3:8080"),
    "outside": ("client", f"{NOWHERE}/icmp"),
}


@pytest.fixture(scope="module")
def lab():
    with TraceLab(f"trace-{os.getpid()}", hosts=3) as made:
        made.up()
        made.furnish()
        made.docker("h2", "run", "-d", "--name", "far", "--network", "app", "busybox",
                    "sleep", "86400")  # fmt: skip
        made.far_box = made.sandbox("h2", "far")
        until(lambda: made.trace("client", "far/icmp")[0] == 0, 20)
        yield made


@pytest.fixture(scope="module")
def hand(lab):
    return Hand(lab)


@pytest.fixture(scope="module")
def traced(lab):
    """Each path, traced once."""
    found = {}
    for name, ends in PATHS.items():
        code, found[name] = lab.trace(*ends)
        assert code == 0, found[name]["trouble"]
    return found


class Steps:
    """The hops of a trace, taken in order: each must be the next of its kind at its place."""

    def __init__(self, hops):
        self._hops = list(hops)

    def take(self, host, namespace, kind, **facts):
        while self._hops:
            hop = self._hops.pop(0)
            if (hop["host"], hop["namespace"], hop["kind"]) == (host, namespace, kind):
                told = hop["facts"]
                assert {name: told.get(name) for name in facts} == facts, (host, namespace, kind)
                return told
        raise AssertionError(f"no hop {kind} at {host} {namespace}")


def over_tunnel(lab, hand, steps, ways):
    """The hops from a sandbox's link to another host's sandbox, beside what is found by hand."""
    here, box, bridge, there, far_box, address = ways
    route = hand.route(here, box, address)
    steps.take(here, box, "route", **route)
    steps.take(here, bridge, "link", **hand.other_end(here, bridge, route))
    entry = hand.entry(here, bridge, address)
    assert entry["vtep"] == lab.address(there)
    steps.take(here, bridge, "entry", **entry)
    tunnel = hand.tunnel(here, bridge)
    tunnel.pop("bridge")
    assert tunnel["local"] == lab.address(here)
    steps.take(here, bridge, "tunnel", **tunnel, remote=lab.address(there))
    steps.take(here, "", "underlay", **hand.underlay(here), remote=lab.address(there))
    steps.take(there, "", "underlay", **hand.underlay(there), remote=lab.address(here))
    out = hand.tunnel(there, bridge)
    assert out["vni"] == tunnel["vni"]
    steps.take(there, bridge, "tunnel", vni=out["vni"], ifindex=out["ifindex"], bridge="br0")
    end = hand.holder(there, far_box, entry["mac"])
    steps.take(there, bridge, "bridge", **hand.other_end(there, bridge, end))
    steps.take(there, far_box, "link", **end)
    return tunnel["vni"]


def test_container_to_container_across_hosts(lab, hand, traced):
    found, address = traced["container to container"], lab.ip("h2", "far")
    steps = Steps(found["there"])
    steps.take("h1", lab.client_box, "name", name="far", addresses=address, by="skep-dns")
    vni = over_tunnel(lab, hand, steps,
                      ("h1", lab.client_box, lab.bridge, "h2", lab.far_box, address))  # fmt: skip
    assert vni == 4097
    steps.take("h2", lab.far_box, "deliver", address=address)
    back, client = Steps(found["back"]), lab.ip("h1", "client")
    over_tunnel(lab, hand, back, ("h2", lab.far_box, lab.bridge, "h1", lab.client_box, client))
    back.take("h1", lab.client_box, "deliver", address=client)


def test_a_virtual_ip(lab, hand, traced):
    found = traced["VIP"]
    vip = lab.docker(
        "h1", "service", "inspect", "-f", "{{(index .Endpoint.VirtualIPs 1).Addr}}", "web"
    ).partition("/")[0]  # fmt: skip
    task = lab.ip("h2", lab.container("h2", "web"))
    steps = Steps(found["there"])
    steps.take("h1", lab.client_box, "name", name="web", addresses=vip)
    mark = steps.take("h1", lab.client_box, "mark", target="meta")
    assert f"{vip} : {mark['mark']:#010x}" in hand.map("h1", lab.client_box, "vips")
    assert "map @vips" in hand.rule("h1", lab.client_box, mark)
    nat = steps.take("h1", lab.client_box, "nat", target=f"{task}:80", backends=task)
    assert f"{vip} . 0 : {task}" in hand.map("h1", lab.client_box, "backends")
    assert "dnat" in hand.rule("h1", lab.client_box, nat)
    over_tunnel(lab, hand, steps, ("h1", lab.client_box, lab.bridge, "h2", lab.web_box, task))
    steps.take("h2", lab.web_box, "deliver", address=task, port=80)
    assert any("0.0.0.0:80" in each for each in found["there"][-1]["details"])
    back, client = Steps(found["back"]), lab.ip("h1", "client")
    over_tunnel(lab, hand, back, ("h2", lab.web_box, lab.bridge, "h1", lab.client_box, client))
    back.take("h1", lab.client_box, "nat", source=f"{vip}:80")


def test_round_robin_by_name(lab, hand, traced):
    container = lab.container("h2", "turns")
    task, box = lab.ip("h2", container), lab.sandbox("h2", container)
    steps = Steps(traced["DNSRR"]["there"])
    asked = lab.docker("h1", "exec", "client", "nslookup", "turns")
    assert task in asked
    steps.take("h1", lab.client_box, "name", name="turns", addresses=task)
    over_tunnel(lab, hand, steps, ("h1", lab.client_box, lab.bridge, "h2", box, task))
    steps.take("h2", box, "deliver", address=task, port=80)


def test_a_published_port_on_a_host_without_a_task(lab, hand, traced):
    found, mesh = traced["published port"], lab.mesh_bridge
    steps = Steps(found["there"])
    steps.take("h1", "", "route", link="eth0", via="")
    nat = steps.take("h3", "", "nat", target="172.18.0.2:8080", chain="DOCKER-INGRESS")
    assert "tcp . 8080 : 172.18.0.2 . 8080" in hand.map("h3", "", "published")
    assert "map @published" in hand.rule("h3", "", nat)
    steps.take("h3", "", "route", **hand.route("h3", "", "172.18.0.2"))
    inner = hand.holder("h3", "ingress_sbox", "02:42:ac:12:00:02")
    steps.take("h3", "", "bridge", **hand.other_end("h3", "", inner))
    steps.take("h3", "ingress_sbox", "link", **inner)
    mark = steps.take("h3", "ingress_sbox", "mark", target="meta")
    assert f"tcp . 8080 : {mark['mark']:#010x}" in hand.map("h3", "ingress_sbox", "published")
    task = lab.ip("h2", lab.container("h2", "web"), "ingress")
    steps.take("h3", "ingress_sbox", "nat", target=f"{task}:80", backends=task)
    assert f"{mark['mark']:#010x} . 0 : {task}" in hand.map("h3", "ingress_sbox", "backends")
    vni = over_tunnel(lab, hand, steps, ("h3", "ingress_sbox", mesh, "h2", lab.web_box, task))
    assert vni == 4096
    entry = steps.take("h2", lab.web_box, "mark", target="ct")
    gateway = hand.source("h3", "ingress_sbox", task)
    mac = "02:42:" + ":".join(f"{int(part):02x}" for part in gateway.split("."))
    assert f"{mac} : {entry['mark']:#010x}" in hand.map("h2", lab.web_box, "entries")
    steps.take("h2", lab.web_box, "deliver", address=task, port=80)
    back = Steps(found["back"])
    way = hand.route("h2", lab.web_box, lab.address("h1"), entry["mark"])
    assert (way["via"], way["table"]) == (gateway, entry["mark"])
    back.take("h2", lab.web_box, "route", **way)
    back.take("h2", mesh, "entry", **hand.entry("h2", mesh, gateway))
    back.take("h3", "ingress_sbox", "nat", source="172.18.0.2:8080")
    back.take("h3", "", "nat", source=f"{lab.address('h3')}:8080")
    back.take("h1", "", "deliver", address=lab.address("h1"))


def test_container_to_outside(lab, hand, traced):
    found = traced["outside"]
    steps = Steps(found["there"])
    route = hand.route("h1", lab.client_box, NOWHERE)
    assert route["via"] == "172.18.0.1"
    steps.take("h1", lab.client_box, "route", **route)
    steps.take("h1", "", "link", **hand.other_end("h1", "", route))
    steps.take("h1", "", "link", **hand.link("h1", "", "docker_gwbridge"))
    nat = steps.take("h1", "", "nat", source=lab.address("h1"))
    assert "masquerade" in hand.rule("h1", "", nat)
    steps.take("h1", "", "route")
    steps.take("h1", "", "depart", source=lab.address("h1"), target=NOWHERE)


@pytest.mark.parametrize("name", [name for name in PATHS if name != "outside"])
def test_a_probe_proves_every_link_and_rule(lab, hand, name):
    before = hand.rulesets()
    code, found = lab.trace(*PATHS[name], "--live")
    assert code == 0, found["trouble"]
    assert found["live"]["answered"] and not found["live"]["notes"]
    hops = [*found["there"], *found["back"]]
    for hop in hops:
        if hop["link"]:
            assert hop["seen"]["packets"] and hop["seen"]["by"] == "capture", hop
            assert hop["seen"]["counted"] > 0, hop
        elif hop["kind"] in ("mark", "nat") and "handle" in hop["facts"]:
            assert hop["seen"]["packets"] and hop["seen"]["by"] == "nft trace", hop
    tunnelled = [hop for hop in hops if hop["kind"] == "underlay"]
    assert all("in VNI 409" in hop["seen"]["words"] for hop in tunnelled)
    assert hand.rulesets() == before


def test_when_nobody_traces_packets_meet_nothing_of_it(lab, hand):
    """After the plan was read, a probe, and a watch on real traffic, hosts are as before: no socket
    reads along, no rule or queue or program was left or altered."""
    before = hand.burdens()
    assert lab.trace(*PATHS["VIP"])[0] == 0
    assert hand.burdens() == before, "to read the kernel alters nothing"
    assert lab.trace(*PATHS["VIP"], "--live")[0] == 0
    with following(lab, *PATHS["VIP"]) as lines:
        assert next(lines)["there"]
        next(lines)
        assert hand.burdens() != before, "one that watches is seen"
    until(lambda: hand.burdens() == before, 30)


def test_datagrams_and_questions_are_probed_too(lab):
    code, found = lab.trace("client", "127.0.0.11/udp:53", "--live")
    assert code == 0, found["trouble"]
    assert "bytes came back" in found["live"]["words"]
    code, found = lab.trace("client", "far/udp:9", "--live")
    assert code == 3
    assert "nobody listens on udp 9 in far" in found["trouble"]["why"]
    assert found["live"]["words"].startswith("refused")


SEEN = """
for n in $(seq 500); do
    nsenter --net=/run/netns/{} nft list tables | grep -q trace_of_skep && exit 0; sleep 0.02
done; exit 1
"""


@pytest.fixture
def probing(lab):
    """A probe that is under way, its rules in place on both hosts; ``far`` answers nothing."""
    lab.inside_of("h2", lab.far_box, f'nft "{MUTE}"')
    waiting = [
        subprocess.Popen(lab.inside(host, "sh", "-c", SEEN.format(box)))
        for host, box in (("h1", lab.client_box), ("h2", lab.far_box))
    ]
    started = subprocess.Popen(
        [*SKEP_CLI, "trace", "--live", *PATHS["container to container"]],
        env=os.environ | {"DOCKER_HOST": f"unix://{lab.socket('h1')}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with started:
        try:
            assert [each.wait(60) for each in waiting] == [0, 0]
            yield started
        finally:
            lab.inside_of("h2", lab.far_box, "nft delete table ip mute")


MUTE = "add table ip mute; add chain ip mute c { type filter hook input priority 0; policy drop; }"


def leftovers(hand):
    return [host for host, rules in hand.rulesets().items() if "trace_of_skep" in rules]


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGKILL])
def test_a_probe_that_is_broken_off_leaves_nothing(hand, probing, word):
    probing.send_signal(word)
    probing.wait(60)
    until(lambda: not leftovers(hand), 60)


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_a_daemon_that_is_killed_while_it_watches_leaves_nothing(lab, hand, probing, host):
    try:
        lab.kill_daemon(host)
        # The kernel takes a table away with its owner, who is killed but perhaps not gone yet.
        until(lambda: host not in leftovers(hand))
        probing.wait(60)
    finally:
        until(lambda: lab.answers(host), 120)
    until(lambda: not leftovers(hand), 60)


@contextlib.contextmanager
def following(lab, *ends):
    """What ``--follow`` prints, as JSON, a line at a time."""
    started = subprocess.Popen(
        [*SKEP_CLI, "trace", "--follow", "--json", *ends],
        env=os.environ | {"DOCKER_HOST": f"unix://{lab.socket('h1')}"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with started:
        yield map(json.loads, started.stdout)
        started.send_signal(signal.SIGINT)


def test_real_traffic_is_followed_over_all_hosts(lab):
    with following(lab, *PATHS["VIP"]) as lines:
        assert next(lines)["there"]
        lab.docker("h1", "exec", "client", "wget", "-qO-", "http://web/")
        talk = next(each for line in lines for each in line["talks"])
        assert talk["target"].endswith(":80") and talk["backend"] == "web.1 on h2"
        while not (talk["there"] >= 4 and talk["back"] >= 3):
            talk = next(each for line in lines for each in line["talks"])
        assert talk["lost"] == ""


def test_real_traffic_that_is_lost_is_named_where(lab):
    chain = "add chain netdev hidden c { type filter hook ingress device eth0 priority 0; }"
    drop = "add rule netdev hidden c udp dport 4789 drop"
    with following(lab, *PATHS["container to container"]) as lines:
        next(lines)
        lab.inside_of("h2", "", f'nft "add table netdev hidden; {chain}; {drop}"')
        try:
            lab.docker("h1", "exec", "-d", "client", "ping", "-c", "5", lab.ip("h2", "far"))
            lost = next(t["lost"] for line in lines for t in line["talks"] if t["lost"])
        finally:
            lab.inside_of("h2", "", "nft delete table netdev hidden")
    assert "not seen at vxlan0 of network app on h2, though at eth0 of host on h2" in lost


@pytest.fixture
def calm(lab):
    """The way to the service is whole again, whatever was killed and cut before."""
    until(lambda: lab.trace(*PATHS["VIP"])[0] == 0, 60)


def test_it_is_short_by_default_and_tells_all_when_asked(lab, calm):
    code, short, complaint = lab.skep_cli("h1", "trace", *PATHS["VIP"])
    _, long, _ = lab.skep_cli("h1", "trace", "-v", *PATHS["VIP"])
    assert code == 0, short + complaint
    assert len(short.splitlines()) < 26 < len(long.splitlines())
    assert "and back" in short and "handle" not in short
    assert "handle" in long and "fdb: 02:42:" in long


def test_a_picture_of_it(lab, calm, tmp_path):
    picture = tmp_path / "t.svg"
    code, said, complaint = lab.skep_cli("h1", "trace", "--svg", str(picture), *PATHS["VIP"])
    assert code == 0, said + complaint
    words = "".join(ET.parse(picture).getroot().itertext())
    assert "client on h1 → web" in words and "VNI 4097" in words


def test_what_cannot_be_traced_is_no_lost_packet(lab):
    code, _, complaint = lab.skep_cli("h1", "trace", "nobody", "web")
    assert code == 1 and "no container, task, service or host nobody" in complaint
    code, _, complaint = lab.skep_cli("h1", "trace", "client")
    assert code == 2


def test_a_worker_looks_into_itself_alone(lab):
    code, found = lab.trace("far", "web", host="h2")
    assert code == 0, found["trouble"]
    code, found = lab.trace("far", "client/icmp", host="h2")
    assert code == 5
    assert "is no manager" in found["trouble"]["why"]
