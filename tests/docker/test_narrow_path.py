"""A path between two hosts that carries less than their links and says nothing of it: measured, and
everything gets through."""

import json
import os
import re
import subprocess
import sys

import pytest
from swarm_lab import until
from trace_lab import TraceLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

WIDTH = 1400
SIZE = 300_000


@pytest.fixture(scope="module")
def lab():
    with TraceLab(f"narrow{os.getpid()}", 3) as lab:
        lab.up()
        for name, options in (("clear", ()), ("sealed", ("-o", "encrypted"))):
            lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", *options, name)
        for host in lab.hosts:
            for name in ("clear", "sealed"):
                lab.docker(host, "run", "-d", "--name", f"{name}-{host}", "--network", name,
                           "busybox", "sh", "-c", SERVING)  # fmt: skip
        yield lab


SERVING = f"mkdir /w; head -c {SIZE} /dev/zero > /w/f; httpd -f -p 80 -h /w"


def narrow(lab, host, mtu):
    """Let the switch's port to a host carry only so much; its own link knows nothing of it."""
    switch = f"/run/skep-lab/{lab.name}/switch"
    # What is too large is lost in a switch; a bridge that looks into packets would cut it up.
    script = f"""for each in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 > $each; done
        ip link set {host} mtu {mtu}"""
    subprocess.run(["nsenter", f"--net={switch}", "sh", "-ec", script], check=True, timeout=60)


def got(lab, host, network, there, within=5):
    """How many bytes of a large answer arrive."""
    code, output, _ = lab.tried(
        host, "exec", f"{network}-{host}", "sh", "-c",
        f"wget -T {within} -q -O- http://{network}-{there}/f | wc -c",
    )  # fmt: skip
    return int(output) if code == 0 else 0


def paths(lab, host):
    """What a host has measured, by peer."""
    file = f"/var/lib/skep-lab/{lab.name}/{host}/skep/paths"
    names = dict(
        line.split() for line in
        lab.docker("h1", "node", "ls", "--format", "{{.ID}} {{.Hostname}}").splitlines()
    )  # fmt: skip
    if not os.path.exists(file):
        return {}, {}
    with open(file) as opened:
        known = json.load(opened)
    return tuple({names[n]: mtu for n, mtu in known[kind].items()} for kind in ("clear", "sealed"))


def measured(lab, host, there):
    clear, _ = paths(lab, host)
    # The kernel leaves room for a VLAN's tag, four bytes, on one of the two ways.
    return WIDTH - 4 <= clear.get(there, 0) <= WIDTH + 4


def doctor(lab):
    found = lab.doctor()["findings"]
    return [each for each in found if each["check"] in ("underlay", "tunnels")]


KNOCK = """import socket, sys
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
here.settimeout(5)
here.connect((sys.argv[1], 9))
here.send(bytes(1472))
try:
    here.recv(1)
except ConnectionRefusedError:
    print("there")
except TimeoutError:
    print("lost")
"""


def whole_packet_passes(lab, here, there):
    """Whether one as large as the links take, which nobody may cut up, gets to a closed port."""
    knock = lab.inside(here, sys.executable, "-c", KNOCK, lab.address(there))
    done = subprocess.run(knock, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout == "there\n"


@pytest.fixture(scope="module")
def narrowable(lab):
    """A lab that was narrowed once, for good. How long TCP hangs, before the path is measured, is
    no question here."""
    for network in ("clear", "sealed"):
        until(lambda n=network: got(lab, "h1", n, "h2") == SIZE, 60)
    until(lambda: whole_packet_passes(lab, "h1", "h2"), 60)
    narrow(lab, "h2", WIDTH)
    assert not whole_packet_passes(lab, "h1", "h2"), "the path is as wide as ever"
    return lab


@pytest.fixture
def narrowed(narrowable):
    """A lab whose path is narrow and known to be, from both ends."""
    lab = narrowable
    narrow(lab, "h2", WIDTH)
    until(lambda: measured(lab, "h1", "h2") and measured(lab, "h2", "h1"), 120)
    return lab


def test_a_third_host_is_not_concerned(narrowed):
    assert "h3" not in paths(narrowed, "h1")[0]


@pytest.mark.parametrize("network", ["clear", "sealed"])
def test_what_is_sent_by_tcp_gets_there(narrowed, network):
    for here, there in (("h1", "h2"), ("h2", "h1"), ("h3", "h2"), ("h1", "h3")):
        until(lambda h=here, t=there: got(narrowed, h, network, t) == SIZE, 120)


def clamps(lab, host, network):
    """The packets that TCP is told of on a network, where paths are narrow."""
    id = lab.docker("h1", "network", "inspect", "-f", "{{.ID}}", network)[:10]
    listed = lab.run(host, "ip", "netns", "exec", f"1-{id}", "nft", "list", "sets", "bridge")
    return {int(size) for size in re.findall(r"narrow_(\d+)", listed)}


def test_tcp_is_told_of_smaller_segments(narrowed):
    """Whatever the kernel could cut up. Outside 50 bytes are the tunnel's; inside WireGuard there
    are 60 less, filled up to multiples of 16."""
    for host in ("h1", "h2"):
        until(lambda h=host: clamps(narrowed, h, "clear") & {1346, 1350, 1354}, 60)
        until(lambda h=host: clamps(narrowed, h, "sealed") <= {1278, 1294} != set(), 60)
        assert clamps(narrowed, host, "sealed")


ECHO = """import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("", 9000))
while True:
    here.sendto(*here.recvfrom(9000))
"""
ASK = """import socket, sys
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.settimeout(2)
try:
    # One that is too large tells how large it may be, with an error on the next.
    here.sendto(bytes(int(sys.argv[2])), (sys.argv[1], 9000))
    print(len(here.recv(9000)))
except OSError:
    print(0)
"""


def within(lab, host, name, script, *arguments):
    """The command line of a script that runs where a container's programs do."""
    enter = ("ip", "netns", "exec", lab.sandbox(host, name))
    return lab.inside(host, *enter, sys.executable, "-c", script, *arguments)


@pytest.mark.parametrize(("network", "size"), [("clear", 1420), ("sealed", 1360), ("clear", 4000)])
def test_datagrams_get_there(narrowed, network, size):
    name = f"{network}-h2"
    serving = subprocess.Popen(within(narrowed, "h2", name, ECHO))
    asking = within(narrowed, "h1", f"{network}-h1", ASK, narrowed.ip("h2", name, network),
                    str(size))  # fmt: skip

    def echoed():
        return subprocess.run(asking, capture_output=True, text=True, check=True, timeout=60).stdout

    try:
        until(lambda: echoed() == f"{size}\n", 120)
    finally:
        serving.terminate()
        serving.wait(60)


@pytest.mark.parametrize(("network", "size"), [("clear", 1420), ("sealed", 1360)])
def test_pings_of_any_size_get_there(narrowed, network, size):
    ping = ("exec", f"{network}-h1", "ping", "-c", "1", "-W", "2", "-s", str(size))
    until(lambda: narrowed.tried("h1", *ping, f"{network}-h2")[0] == 0, 120)


def test_the_doctor_says_what_passes(narrowed):
    def told():
        all_found = doctor(narrowed)
        found = [each for each in all_found if each["where"] == "h1 and h2"]
        if not found:
            return None
        what = f"those of up to {paths(narrowed, 'h1')[0]['h2']} do"
        return what in found[0]["what"] and all_found

    assert {each["severity"] for each in until(told, 60)} == {"warning"}


def test_a_restart_forgets_nothing(narrowed):
    before, _ = paths(narrowed, "h1")
    narrowed.kill_daemon("h1")
    until(lambda: narrowed.answers("h1"), 60)
    assert got(narrowed, "h1", "clear", "h2", 30) == SIZE
    assert paths(narrowed, "h1")[0] == before


def test_a_path_that_is_wide_again_is_used_so(narrowed):
    narrow(narrowed, "h2", 1500)
    until(lambda: paths(narrowed, "h1") == ({}, {}) == paths(narrowed, "h2"), 120)
    spaces = narrowed.run("h1", "sh", "-c", "ip netns | grep ^1- | cut -d' ' -f1").split()

    def clamped():
        shown = [narrowed.run("h1", "ip", "netns", "exec", each, "nft", "list", "ruleset")
                 for each in spaces]  # fmt: skip
        return any("maxseg" in each for each in shown)

    until(lambda: not clamped(), 60)
    assert got(narrowed, "h1", "clear", "h2", 30) == SIZE
