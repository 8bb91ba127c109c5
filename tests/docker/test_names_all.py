"""Names by every kind of question that a resolver may put, and while everything moves: musl's and
busybox's resolvers, raw messages, and a poll that asks faster than an update can turn."""

import ipaddress
import json
import os
import re
import subprocess
import sys
import threading

import pytest
from name_lab import Asker
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

# Puts one question with EDNS0 of a size, or none, or a broken message; tells what comes back.
_RAW = """
import json, sys, socket, dns.message, dns.query, dns.flags
name, kind, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
query = dns.message.make_query(name, kind, use_edns=0 if size else False, payload=size or 512)
wire = query.to_wire()
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.settimeout(60)
sock.sendto(wire, ("127.0.0.11", 53))
reply = dns.message.from_wire(sock.recv(65535), ignore_trailing=True)
print(json.dumps([len(reply.to_wire()), dns.flags.to_text(reply.flags).split(), reply.edns,
                  reply.question[0].name.to_text(), sum(len(s) for s in reply.answer)]))
"""

# Asks for a name again and again and at once connects to every address it is told. Answers a line
# of input when it has asked once more. Ends with its input; prints how many questions there were,
# which addresses, and all that went wrong.
_POLL = """
import json, socket, sys, threading, time, dns.message, dns.query
name, port = sys.argv[1], int(sys.argv[2])
stop, lines, seen, wrong, asked, answered = [], [], set(), [], 0, 0
def heed():
    for line in sys.stdin:
        lines.append(line)
    stop.append(1)
threading.Thread(target=heed, daemon=True).start()
def ask():
    try:
        reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.11", timeout=30)
        return [r.to_text() for section in reply.answer for r in section]
    except Exception as error:
        wrong.append(f"question {asked}: {error!r}")
        return []
while not stop:
    asked += 1
    due = len(lines)
    for address in ask():
        seen.add(address)
        try:
            with socket.create_connection((address, port), timeout=30) as connection:
                connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                if not connection.recv(64).startswith(b"HTTP/1."):
                    wrong.append(f"question {asked}: {address} says nothing")
        except OSError as error:
            wrong.append(f"question {asked}: {address}: {error!r}")
    if answered < due:
        print("asked", flush=True)
        answered += 1
    time.sleep(0.01)
print(json.dumps([asked, sorted(seen), wrong[:9]]))
"""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"allnames{os.getpid()}", 3) as lab:
        lab.up()
        for network in ("net", "second"):
            lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", network)
        yield lab


@pytest.fixture(scope="module")
def box(lab):
    """A container on h1, and who asks from inside of it."""
    lab.docker("h1", "run", "-d", "--name", "box", "--network", "net", "busybox", "sleep", "6000")
    return Asker(lab, "h1", "box")


def service(lab, name, *options, command=("sleep", "600"), image="busybox"):
    lab.docker(
        "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", name,
        "--stop-grace-period", "1s", *options, image, *command,
    )  # fmt: skip


@pytest.fixture(scope="module")
def vip(lab, box):
    """A service with a VIP on two networks, with other aliases on each; its VIP on the first."""
    service(lab, "web", "--replicas", "3", "--replicas-max-per-node", "1", "--network",
            "name=net,alias=www,alias=site", "--network", "name=second,alias=back")  # fmt: skip
    until(lambda: lab.running("web", 3), 60)
    until(lambda: len(box.texts("tasks.web")) == 3, 60)
    return box.texts("web")[0]


@pytest.fixture(scope="module")
def robin(lab, box):
    """A service without VIP; its addresses."""
    service(lab, "robin", "--replicas", "3", "--endpoint-mode", "dnsrr", "--network",
            "name=net,alias=rr")  # fmt: skip
    until(lambda: lab.running("robin", 3), 60)
    until(lambda: len(box.texts("robin")) == 3, 60)
    return box.texts("robin")


def reverse(address):
    return ipaddress.ip_address(address).reverse_pointer


def raw(lab, name, kind, size):
    space = f"--net=/run/netns/{lab.sandbox('h1', 'box')}"
    said = lab.run("h1", "nsenter", space, sys.executable, "-c", _RAW, name, kind, str(size))
    return json.loads(said)


def looked_up(lab, *words):
    """The addresses, or names, that busybox's own resolver prints after the server's."""
    _, said, _ = lab.tried("h1", "exec", "box", "nslookup", *words)
    return sorted(re.findall(r"(?:Address(?: \d)?:|name =) (\S+)", said.partition("\n\n")[2]))


class TestResolvers:
    def test_busybox_finds_a_vip(self, lab, box, vip):
        for name in ("web", "WEB", "www", "site", "web.net"):
            assert looked_up(lab, "-type=a", name) == [vip]

    def test_busybox_finds_tasks(self, lab, box, vip, robin):
        for name in ("robin", "tasks.robin", "rr", "tasks.rr"):
            assert looked_up(lab, "-type=a", name) == sorted(robin)

    def test_busybox_finds_names(self, lab, box, vip):
        assert looked_up(lab, vip) == ["web.net"]

    def test_getaddrinfo_asks_for_both_families_and_is_content(self, lab, box, vip, robin):
        """A missing AAAA must not look like a missing name: ping asks for both."""
        for name in ("web", "tasks.web", "rr", "box"):
            words = ("exec", "box", "ping", "-c", "1", "-W", "2", name)
            until(lambda words=words: lab.tried("h1", *words)[0] == 0, 60)

    def test_the_host_part_of_resolv_conf(self, lab, box):
        text = lab.docker("h1", "exec", "box", "cat", "/etc/resolv.conf").split()
        assert text[:2] == ["nameserver", "127.0.0.11"]
        assert "ndots:0" in text


class TestAnswers:
    def test_every_record_holds_for_seconds(self, box, vip, robin):
        for name, kind in (("web", "A"), ("robin", "A"), ("tasks.web", "A"), ("box", "A"),
                           (reverse(vip), "PTR"), ("_80._tcp.web", "SRV")):  # fmt: skip
            reply = box.ask(name, kind)
            assert reply.answer, name
            assert {ttl for _, ttl, _ in (*reply.answer, *reply.additional)} <= {1, 2, 3, 4, 5}

    @pytest.mark.parametrize("name", ["web", "www", "tasks.web", "robin", "tasks.rr", "box"])
    @pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "HTTPS"])
    def test_what_a_name_lacks_is_empty_and_no_nxdomain(self, box, vip, robin, name, kind):
        reply = box.ask(name, kind)
        assert (reply.rcode, reply.answer) == ("NOERROR", [])

    def test_case_is_kept_in_the_question_and_does_not_matter(self, lab, box, vip, robin):
        for name in ("wEb", "tAsKs.RoBiN", "BOX", "Web.Net"):
            assert box.texts(name) == box.texts(name.lower()) != []
            assert raw(lab, name, "A", 0)[3] == f"{name}."

    def test_without_a_vip_the_order_turns(self, box, robin):
        orders = {tuple(text for _, _, text in box.ask("robin").answer) for _ in range(8)}
        assert len(orders) > 1
        assert all(sorted(order) == sorted(robin) for order in orders)

    def test_each_network_has_its_own_aliases_and_vip(self, lab, box, vip):
        lab.docker("h2", "run", "-d", "--name", "peer", "--network", "second", "busybox", "sleep",
                   "6000")  # fmt: skip
        peer = Asker(lab, "h2", "peer")
        until(lambda: len(peer.texts("tasks.back")) == 3, 60)
        assert peer.texts("web") == peer.texts("back") == peer.texts("web.second") != [vip]
        assert box.texts("www") == box.texts("site") == [vip]
        assert not {*peer.texts("tasks.web")} & {*box.texts("tasks.web")}
        assert peer.texts(reverse(peer.texts("web")[0]), "PTR") == ["web.second."]

    def test_a_task_s_container_has_its_names(self, lab, box, vip):
        listed = lab.docker("h2", "ps", "--format", "{{.ID}} {{.Names}}", "--filter", "name=web.")
        short, task = listed.split()
        assert re.fullmatch(r"web\.[123]\.[0-9a-z]{25}", task)
        [address] = until(lambda: box.texts(task), 60)
        assert address in box.texts("tasks.web")
        until(lambda: box.texts(short) == box.texts(f"{task}.net") == [address], 60)
        assert box.texts(reverse(address), "PTR") == [f"{task}.net."]

    def test_an_address_of_nobody_here_is_not_ours(self, lab, box, vip):
        first = ipaddress.ip_network(f"{vip}/24", strict=False)[1]
        unused = str(first + 200)
        assert box.ask(reverse(unused), "PTR").answer == []


@pytest.fixture(scope="class")
def many(lab, box):
    """Forty addresses: more than 512 bytes hold."""
    service(lab, "many", "--replicas", "40", "--endpoint-mode", "dnsrr", "--network", "net")
    until(lambda: len(box.ask("many", "A", "tcp").answer) == 40, 240)
    yield
    lab.docker("h1", "service", "rm", "many")
    left = ("ps", "-q", "--filter", "name=many.")
    until(lambda: not any(lab.docker(host, *left) for host in lab.hosts), 240)


class TestSizes:
    def test_512_bytes_are_the_limit_unless_more_is_asked_for(self, lab, many):
        size, flags, edns, _, found = raw(lab, "many", "A", 0)
        assert size <= 512
        assert "TC" in flags
        assert (edns, 0 < found < 40) == (-1, True)
        size, flags, edns, _, found = raw(lab, "many", "A", 4096)
        assert size > 512
        assert ("TC" in flags, edns, found) == (False, 0, 40)
        size, flags, _, _, _ = raw(lab, "many", "A", 600)
        assert 512 < size <= 600
        assert "TC" in flags

    def test_tcp_has_it_all_and_so_has_a_resolver(self, lab, box, many):
        assert len(box.ask("many", "A", "tcp").answer) == 40
        assert len(looked_up(lab, "-type=a", "many")) > 0


@pytest.fixture(scope="class")
def roll(lab, box):
    """A service that serves, healthy a second after its start."""
    service(
        lab, "roll", "--replicas", "2", "--endpoint-mode", "dnsrr", "--network", "net",
        "--health-cmd", "test -e /tmp/ready || { sleep 1; touch /tmp/ready; }",
        "--health-interval", "1s", "--update-monitor", "100ms",
        image="nginx", command=(),
    )  # fmt: skip
    until(lambda: lab.running("roll", 2), 60)
    until(lambda: len(box.texts("roll")) == 2, 60)
    return box.texts("roll")


class TestMoving:
    """Nobody who asks is ever sent to somebody dead."""

    def poll(self, lab, name, act):
        """What a poll of a name saw while something was done, which may wait for its next turn."""
        space = f"--net=/run/netns/{lab.sandbox('h1', 'box')}"
        command = lab.inside("h1", "nsenter", space, sys.executable, "-c", _POLL, name, "80")
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        watchdog = threading.Timer(400, process.kill)
        watchdog.start()

        def turn():
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "asked\n"

        try:
            turn()
            act(turn)
            turn()
        finally:
            said, _ = process.communicate("")
            watchdog.cancel()
        asked, seen, wrong = json.loads(said)
        assert asked > 20
        assert wrong == []
        return seen

    @pytest.mark.parametrize("order", ["stop-first", "start-first"])
    def test_an_update(self, lab, box, roll, order):
        def act(_):
            lab.docker("h1", "service", "update", "-q", "--force", "--no-resolve-image",
                       "--update-order", order, "roll")  # fmt: skip
            until(renewed, 60)

        def renewed():
            now = set(box.texts("roll"))
            return len(now) == 2 and not before & now

        until(lambda: lab.running("roll", 2) and len(box.texts("roll")) == 2, 60)
        before = set(box.texts("roll"))
        seen = set(self.poll(lab, "roll", act))
        after = set(box.texts("roll"))
        assert not before & after, "both were renewed"
        assert before | after <= seen

    def test_scaling_and_draining(self, lab, box, roll):
        def act(turn):
            lab.docker("h1", "service", "scale", "roll=5")
            until(lambda: len(box.texts("tasks.roll")) == 5, 60)
            before = set(box.texts("tasks.roll"))
            turn()
            lab.docker("h1", "node", "update", "--availability", "drain", "h2")
            until(lambda: not lab.docker("h2", "ps", "-q", "--filter", "name=roll"), 60)
            # This host may hear of it later.
            until(lambda: len(now := box.texts("tasks.roll")) == 5 and set(now) - before, 60)
            turn()
            lab.docker("h1", "service", "scale", "roll=1")
            until(lambda: len(box.texts("tasks.roll")) == 1, 60)

        try:
            assert len(self.poll(lab, "tasks.roll", act)) > 5
        finally:
            lab.docker("h1", "node", "update", "--availability", "active", "h2")
            lab.docker("h1", "service", "scale", "-d", "roll=2")
            until(lambda: lab.running("roll", 2) and len(box.texts("roll")) == 2, 60)
