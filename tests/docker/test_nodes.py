"""A swarm's nodes, with the docker client: listed, changed, lost, back again, removed."""

import json
import os
import re
import time

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"nodes{os.getpid()}", 3) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "net")
        yield lab


@pytest.fixture(autouse=True)
def _tidy(lab):
    """A test that fails leaves no service to those after it."""
    yield
    left = lab.docker("h1", "service", "ls", "-q").split()
    if left:
        lab.docker("h1", "service", "rm", *left)


def node(lab, name):
    return json.loads(lab.docker("h1", "node", "inspect", name))[0]


def listed(lab, *filters):
    flags = [f"--filter={each}" for each in filters]
    form = "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}"
    found = lab.docker("h1", "node", "ls", *flags, "--format", form)
    return [line.rstrip() for line in found.splitlines()]


def on(lab, host, service):
    """The service's tasks that are wanted and run on a host."""
    form = "{{.Name}} {{.CurrentState}}"
    wanted = ("--filter", "desired-state=running", "--filter", f"name={service}")
    found = lab.docker("h1", "node", "ps", host, *wanted, "--format", form)
    return [line for line in found.splitlines() if " Running" in line]


def sleeping(lab, name, replicas, *options):
    lab.docker(
        "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", name,
        "--stop-grace-period", "0s", "--replicas", str(replicas), *options,
        "busybox", "sleep", "600",
    )  # fmt: skip
    until(lambda: lab.running(name, replicas), 60)


DEAD = """
add table inet dead
add chain inet dead in { type filter hook input priority -300; policy drop; }
add chain inet dead out { type filter hook output priority -300; policy drop; }
"""


def seconds_until(condition, limit):
    begun = time.monotonic()
    until(condition, limit)
    return time.monotonic() - begun


class TestListing:
    def test_ls_and_its_filters(self, lab):
        nodes = ["h1 Ready Active Leader", "h2 Ready Active", "h3 Ready Active"]
        until(lambda: listed(lab) == nodes)
        assert listed(lab, "role=manager") == ["h1 Ready Active Leader"]
        assert listed(lab, "name=h2", "role=worker") == ["h2 Ready Active"]
        assert listed(lab, "membership=pending") == []
        assert listed(lab, f"id={node(lab, 'h3')['ID']}") == ["h3 Ready Active"]
        code, _, said = lab.tried("h1", "node", "ls", "--filter", "colour=red")
        assert code == 1
        assert "invalid filter" in said

    def test_inspect(self, lab):
        found = node(lab, "self")
        assert found["Description"]["Hostname"] == "h1"
        assert found["Status"] == {"State": "ready", "Addr": lab.address("h1")}
        assert found["ManagerStatus"]["Leader"] is True
        assert found["Description"]["Resources"]["NanoCPUs"] > 0
        pretty = lab.docker("h1", "node", "inspect", "--pretty", "h2")
        for words in ("Hostname:", "h2", "State:", "Ready", "Availability:", "Active", "CPUs:"):
            assert words in pretty

    def test_formats(self, lab):
        ids = lab.docker("h1", "node", "ls", "-q").split()
        assert sorted(ids) == sorted(node(lab, host)["ID"] for host in lab.hosts)
        table = lab.docker("h1", "node", "ls").splitlines()
        assert table[0].split()[:4] == ["ID", "HOSTNAME", "STATUS", "AVAILABILITY"]
        assert [line.split()[1] for line in table if " * " in line] == ["*"], "h1 is asked"
        rows = map(json.loads, lab.docker("h1", "node", "ls", "--format", "json").splitlines())
        assert [(row["Hostname"], row["TLSStatus"], row["Self"]) for row in rows] == [
            ("h1", "Ready", True), ("h2", "Ready", False), ("h3", "Ready", False)]  # fmt: skip
        form = "{{.Description.Hostname}} {{.Spec.Role}} {{.ManagerStatus}}"
        shown = lab.docker("h1", "node", "inspect", "--format", form, "self", "h2").splitlines()
        assert shown[0].startswith("h1 manager ")
        assert shown[1] == "h2 worker <nil>"
        pretty = lab.docker("h1", "node", "inspect", "--pretty", "self")
        for words in ("Manager Status:", "Raft Status:", "Leader:", "TLS Info:", "Plugins:"):
            assert words in pretty

    def test_ps(self, lab):
        sleeping(lab, "one", 1, "--constraint", "node.hostname==h2", "--label", "of=one")
        sleeping(lab, "two", 2, "--constraint", "node.hostname==h2")
        form = ("--format", "{{.Name}} {{.Node}} {{.DesiredState}}")

        def ps(host, *filters):
            flags = [f"--filter={each}" for each in (*filters, "desired-state=running")]
            return lab.docker("h1", "node", "ps", host, *flags, *form).splitlines()

        assert ps("h2") == ["one.1 h2 Running", "two.1 h2 Running", "two.2 h2 Running"]
        assert ps("h3") == ps("self") == []
        assert ps("h2", "name=two.2") == ["two.2 h2 Running"]
        full = lab.docker("h1", "node", "ps", "--no-trunc", "-q", "h2").split()
        assert ps("h2", f"id={full[0]}") == ["one.1 h2 Running"]
        assert [each[:12] for each in full] == lab.docker("h1", "node", "ps", "-q", "h2").split()
        code, said, complaint = lab.tried("h1", "node", "ps", "h2", "nobody")
        assert code == 1
        assert "one.1" in said
        assert "node nobody not found" in complaint
        lab.docker("h1", "service", "rm", "one", "two")

    def test_what_is_asked_of_a_worker_is_refused(self, lab):
        code, _, said = lab.tried("h2", "node", "ls")
        assert code == 1
        assert "This node is not a swarm manager" in said


class TestUpdating:
    def test_labels(self, lab):
        lab.docker("h1", "node", "update", "--label-add", "disk=ssd", "--label-add", "x", "h2")
        assert node(lab, "h2")["Spec"]["Labels"] == {"disk": "ssd", "x": ""}
        assert listed(lab, "node.label=disk=ssd") == ["h2 Ready Active"]
        sleeping(lab, "here", 2, "--constraint", "node.labels.disk==ssd")
        assert len(on(lab, "h2", "here")) == 2
        lab.docker("h1", "node", "update", "--label-rm", "x", "h2")
        assert node(lab, "h2")["Spec"]["Labels"] == {"disk": "ssd"}
        lab.docker("h1", "service", "rm", "here")
        code, _, said = lab.tried("h1", "node", "update", "--label-rm", "x", "h2")
        assert code == 1
        assert "key x doesn't exist in node's labels" in said

    def test_several_at_once_and_what_makes_no_sense(self, lab):
        for flags, sentence in (
            (("--availability", "lazy"), "invalid Availability"),
            (("--role", "chief"), "invalid Role"),
        ):
            code, _, said = lab.tried("h1", "node", "update", *flags, "h2")
            assert code == 1
            assert sentence.lower() in said.lower()
        stale = json.dumps(node(lab, "h2")["Spec"])
        version = node(lab, "h2")["Version"]["Index"] - 1
        path = f"http://d/v1.50/nodes/{node(lab, 'h2')['ID']}/update?version={version}"
        said = lab.run("h1", "curl", "-s", "--unix-socket", "/run/docker.sock", "-H",
                       "Content-Type: application/json", "-d", stale, path)  # fmt: skip
        assert "update out of sequence" in said

    def test_pause_keeps_what_runs_and_takes_nothing_new(self, lab):
        sleeping(lab, "paused", 3, "--replicas-max-per-node", "1")
        lab.docker("h1", "node", "update", "--availability", "pause", "h3")
        try:
            assert len(on(lab, "h3", "paused")) == 1
            lab.docker(
                "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "late",
                "--stop-grace-period", "0s", "--constraint", "node.hostname==h3",
                "busybox", "sleep", "600",
            )  # fmt: skip
            errors = ("service", "ps", "--no-trunc", "--format", "{{.Error}}", "late")
            why = until(lambda: lab.docker("h1", *errors).strip())
            assert "no suitable node" in why
            assert "1 node: " in why
        finally:
            lab.docker("h1", "node", "update", "--availability", "active", "h3")
        until(lambda: lab.running("late", 1), 60)
        lab.docker("h1", "service", "rm", "late", "paused")

    def test_drain_moves_everything_away(self, lab):
        sleeping(lab, "moved", 3)
        lab.docker("h1", "node", "update", "--availability", "drain", "h2")
        try:
            assert listed(lab, "name=h2") == ["h2 Ready Drain"]
            until(lambda: not on(lab, "h2", "moved") and lab.running("moved", 3), 60)
            until(lambda: not lab.docker("h2", "ps", "-q"), 60)
        finally:
            lab.docker("h1", "node", "update", "--availability", "active", "h2")
        lab.docker("h1", "service", "rm", "moved")

    @pytest.mark.parametrize(
        "command",
        [("promote", "h2"), ("update", "--role", "manager", "h2"), ("demote", "h1")],
    )
    def test_roles_cannot_change_yet_and_why(self, lab, command):
        code, _, said = lab.tried("h1", "node", *command)
        assert code == 1
        assert "manager" in said
        assert len(said) > 60, "it says what to do instead"
        assert node(lab, "h2")["Spec"]["Role"] == "worker"


class TestLosing:
    """Hosts that fall silent, or whose daemon is gone, and what becomes of their tasks."""

    @pytest.fixture
    def spread(self, lab):
        until(lambda: not any(lab.docker(host, "ps", "-q") for host in lab.hosts), 60)
        sleeping(lab, "spread", 3, "--network", "net")
        yield
        lab.docker("h1", "service", "rm", "spread")
        until(lambda: not any(lab.docker(host, "ps", "-q") for host in lab.hosts), 60)

    def test_a_host_that_is_cut_off_is_seen_within_five_seconds(self, lab, spread):
        kept = lab.docker("h3", "ps", "-q").split()
        lab.skep("cut", "h1", "h3")
        try:
            took = seconds_until(lambda: listed(lab, "name=h3") == ["h3 Down Active"], 8)
            assert took <= 5
            until(lambda: len(on(lab, "h1", "spread")) + len(on(lab, "h2", "spread")) == 3, 60)
            assert lab.docker("h3", "ps", "-q").split() == kept, "it serves on meanwhile"
            assert addresses(lab) == 3
            places = {}
            seen(lab, places)
            assert {"h3"} in places.values(), "what it ran keeps its address"
        finally:
            lab.skep("heal", "h1", "h3")
        # Who takes a lost task's place gets another address: until h3 has let go of its own,
        # nobody else may have that.
        until(lambda: seen(lab, places) and not lab.docker("h3", "ps", "-q"), 60)
        assert all(len(hosts) == 1 for hosts in places.values()), places
        until(lambda: listed(lab, "name=h3") == ["h3 Ready Active"], 60)
        until(lambda: not lab.docker("h3", "ps", "-q"), 60)
        until(lambda: lab.running("spread", 3), 60)

    def test_a_host_that_has_died_is_seen_within_five_seconds(self, lab, spread):
        """As by a power cut: nothing of it says goodbye, and its kernel confirms nothing."""
        pids = lab.run("h2", "pgrep", "-f", "skep.daemon --state").split()
        lab.run("h2", "kill", "-STOP", *pids)
        lab.run("h2", "nft", DEAD)
        try:
            took = seconds_until(lambda: listed(lab, "name=h2") == ["h2 Down Active"], 8)
            assert took <= 5
            until(lambda: len(on(lab, "h1", "spread")) + len(on(lab, "h3", "spread")) == 3, 60)
        finally:
            lab.run("h2", "nft", "delete table inet dead")
            lab.run("h2", "kill", "-CONT", *pids)
        until(lambda: listed(lab, "name=h2") == ["h2 Ready Active"], 60)
        until(lambda: not lab.docker("h2", "ps", "-q"), 60)

    def test_a_daemon_that_is_mute_on_a_host_that_lives_gets_longer(self, lab):
        pids = lab.run("h2", "pgrep", "-f", "skep.daemon --state").split()
        lab.run("h2", "kill", "-STOP", *pids)
        try:
            assert seconds_until(lambda: listed(lab, "name=h2") == ["h2 Down Active"], 60) > 10
        finally:
            lab.run("h2", "kill", "-CONT", *pids)
        until(lambda: listed(lab, "name=h2") == ["h2 Ready Active"], 60)

    def test_a_session_that_ends_gets_a_grace_and_then_counts(self, lab, spread):
        """A killed daemon's kernel says goodbye for it; and then nobody comes back."""
        begun = time.monotonic()
        lab.kill_daemon("h3")
        lab.skep("cut", "h1", "h3")
        try:
            # The cut may have taken as long as the grace.
            took = seconds_until(lambda: listed(lab, "name=h3") == ["h3 Down Active"], 10)
            assert time.monotonic() - begun > 3
            assert took < 7
            until(lambda: len(on(lab, "h1", "spread")) + len(on(lab, "h2", "spread")) == 3, 60)
            until(lambda: lab.running("spread", 3), 60)
        finally:
            lab.skep("heal", "h1", "h3")
            until(lambda: lab.answers("h3"), 60)
        until(lambda: listed(lab, "name=h3") == ["h3 Ready Active"], 60)
        until(lambda: not lab.docker("h3", "ps", "-q"), 60)

    def test_a_daemon_s_restart_moves_nothing(self, lab, spread):
        before = {host: lab.docker(host, "ps", "-q") for host in lab.hosts}
        lab.kill_daemon("h3")
        until(lambda: lab.answers("h3"), 60)
        until(lambda: listed(lab, "name=h3") == ["h3 Ready Active"], 60)
        assert {host: lab.docker(host, "ps", "-q") for host in lab.hosts} == before


def addresses(lab):
    """How many different addresses the wanted tasks of the service have on their network."""
    wanted = ("--filter", "desired-state=running", "-q", "--no-trunc")
    tasks = lab.docker("h1", "service", "ps", "spread", *wanted).split()
    found = json.loads(lab.docker("h1", "inspect", "--type", "task", *tasks))
    return len({a for task in found for net in task["NetworksAttachments"]
                for a in net["Addresses"]})  # fmt: skip


def seen(lab, places):
    """Note on which hosts each address of the network is right now; always true."""
    in_net = re.compile(r"10\.0\.1\.\d+/24")  # A VIP is on all hosts, with /32.
    for host in lab.hosts:
        spaces = lab.run(host, "ip", "-all", "netns", "exec", "ip", "-4", "-o", "addr")
        for line in spaces.splitlines():
            words = line.split()
            if len(words) > 3 and words[1] != "br0" and in_net.fullmatch(words[3]):
                places.setdefault(words[3], set()).add(host)
    return True


class TestRemoving:
    def test_only_what_is_down(self, lab):
        code, _, said = lab.tried("h1", "node", "rm", "h3")
        assert code == 1
        assert "is not down and can't be removed" in said
        lab.docker("h3", "swarm", "leave")
        until(lambda: listed(lab, "name=h3") == ["h3 Down Active"], 60)
        lab.docker("h1", "node", "rm", "h3")
        assert len(listed(lab)) == 2
        state = lab.docker("h3", "info", "--format", "{{.Swarm.LocalNodeState}}")
        assert state.strip() == "inactive"

    def test_by_force(self, lab):
        lab.docker("h1", "node", "rm", "--force", "h2")
        assert listed(lab) == ["h1 Ready Active Leader"]
        code, _, said = lab.tried("h1", "node", "rm", "h2")
        assert code == 1
        assert "node h2 not found" in said
        code, _, said = lab.tried("h1", "node", "rm", "--force", "h1")
        assert code == 1
        assert "is a cluster manager" in said
        # Who was removed is told so, and may come back as somebody new.
        until(lambda: "removed" in lab.docker("h2", "info", "--format", "{{.Swarm.Error}}"))
