"""Disks that are full, read-only or damaged: whoever asks is told what, why and what to do; nothing
that runs is touched, and nothing that was acknowledged is lost."""

import json
import os
import signal
from pathlib import Path

import pytest
from audit import right
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

RUN = ("run", "-d", "--name", "late", "--network", "net", "busybox", "sleep", "77777")
SKEPD = "pgrep -of '[s]kep.daemon.--state'"

TO_SMALL = """
mkdir -p /run/small && mount -t tmpfs -o size=16m small /run/small
cd /var/lib/skep
find . -mindepth 1 -maxdepth 1 ! -name engine -exec cp -a {} /run/small/ \\;
mkdir /run/small/engine && mount --rbind /var/lib/skep/engine /run/small/engine
cd / && mount --rbind /run/small /var/lib/skep
"""
FROM_SMALL = """
rm -f /run/small/filler
mount -o remount,bind,rw /var/lib/skep; umount -l /var/lib/skep; umount -l /run/small/engine
cd /var/lib/skep
find . -path ./engine -prune -o -type f -print | while read file; do
  [ -e "/run/small/$file" ] || rm -f "$file"; done
find /run/small -mindepth 1 -maxdepth 1 ! -name engine -exec cp -a {} . \\;
cd / && umount -l /run/small
"""
FILL = "dd if=/dev/zero of=/var/lib/skep/filler bs=4k 2>/dev/null; df /var/lib/skep | grep 100%"


class Stopped:
    """A host's skepd, dead until the end of the block: what restarts it is held."""

    def __init__(self, lab, host):
        self._lab, self._host = lab, host
        record = Path(f"/run/skep-lab/{lab.name}/{host}/init.json").read_text()
        self._init = json.loads(record)["pid"]

    def __enter__(self):
        os.kill(self._init, signal.SIGSTOP)
        try:
            self._kill()
        except BaseException:
            self.__exit__()
            raise

    def _kill(self):
        pid = self._lab.shell(self._host, SKEPD).strip()
        self._lab.shell(self._host, f"kill -9 {pid}")
        zombie = f"grep -q '^State:.Z' /proc/{pid}/status && echo dead"
        until(lambda: "dead" in self._lab.shell(self._host, zombie, check=False), 60)
        engine = "pgrep -of '[p]odman.*system service' || echo dead"
        until(lambda: "dead" in self._lab.shell(self._host, engine), 60)

    def __exit__(self, *_):
        os.kill(self._init, signal.SIGCONT)


class Disk:
    """A small disk under a host's state; its engine keeps the one that it has."""

    def __init__(self, lab, host):
        self.lab, self.host = lab, host
        self.tracebacks = lab.log(host).read_text().count("Traceback")
        with Stopped(lab, host):
            lab.shell(host, TO_SMALL)
        until(lambda: lab.answers(host), 60)
        until(lambda: lab.settled(host), 60)
        until(self.in_session, 60)

    def in_session(self):
        """Whether the manager hears the host, which can ask for addresses then."""
        metrics = self.lab.metrics("h1", check=False)
        return f'skep_assignment_behind{{host="{self.host}"}}' in metrics

    def restart(self, change):
        with Stopped(self.lab, self.host):
            self.lab.shell(self.host, change)
        until(lambda: self.lab.tried(self.host, "ps")[0] == 0, 60)

    def pid(self):
        return self.lab.shell(self.host, SKEPD).strip()

    def refused(self, *arguments):
        code, _, complaint = self.lab.tried(self.host, *arguments)
        assert code, f"{arguments} was not refused"
        return complaint

    def close(self):
        with Stopped(self.lab, self.host):
            self.lab.shell(self.host, FROM_SMALL)
        until(lambda: self.lab.tried(self.host, "ps")[0] == 0, 60)
        self.lab.tried(self.host, "rm", "-f", "late")
        right(self.lab)
        assert self.lab.log(self.host).read_text().count("Traceback") == self.tracebacks


@pytest.fixture(params=["h2"])
def disk(faulty, request):
    right(faulty)
    found = Disk(faulty, request.param)
    try:
        yield found
    finally:
        found.close()


manager = pytest.mark.parametrize("disk", ["h1"], indirect=True)


class TestFull:
    def test_a_container_is_refused_and_all_else_goes_on(self, disk):
        disk.lab.shell(disk.host, FILL)
        pid = disk.pid()
        complaint = disk.refused(*RUN)
        assert "No space left on device" in complaint
        assert "/var/lib/skep/containers/" in complaint
        right(disk.lab)
        disk.lab.shell(disk.host, "rm /var/lib/skep/filler")
        disk.lab.docker(disk.host, *RUN)
        right(disk.lab)
        assert disk.pid() == pid

    @pytest.mark.fault
    def test_a_container_that_ends_gives_its_address_back_when_there_is_room(self, disk):
        disk.lab.docker(disk.host, *RUN)
        disk.lab.shell(disk.host, FILL)
        disk.lab.tried(disk.host, "stop", "-t", "0", "late")
        disk.lab.shell(disk.host, "rm /var/lib/skep/filler")
        form = "{{.NetworkSettings.Networks.net.IPAddress}}"
        said = ("inspect", "-f", form, "late")
        until(lambda: disk.lab.docker(disk.host, *said).strip() == "", 60)

    @pytest.mark.fault
    def test_a_start_of_the_daemon(self, disk):
        disk.restart(FILL)
        right(disk.lab)
        assert "No space left on device" in disk.refused(*RUN)
        disk.lab.shell(disk.host, "rm /var/lib/skep/filler")
        disk.lab.docker(disk.host, *RUN)

    @manager
    def test_a_change_of_the_cluster_is_refused(self, disk):
        lab, pid = disk.lab, disk.pid()
        lab.docker("h1", "config", "create", "before", "-", stdin="kept")
        lab.shell("h1", FILL)
        complaint = disk.refused("network", "create", "-d", "overlay", "unmade")
        assert "the disk is full" in complaint
        until(lambda: lab.running("web", 3), 60)
        lab.shell("h1", "rm /var/lib/skep/filler")
        until(lambda: lab.tried("h1", "config", "create", "after", "-", stdin="x")[0] == 0, 60)
        listed = lab.docker("h1", "config", "ls", "--format", "{{.Name}}").split()
        assert sorted(listed) == ["after", "before"]
        assert disk.pid() == pid
        lab.docker("h1", "config", "rm", "before", "after")
        right(lab)

    @manager
    @pytest.mark.fault
    def test_a_start_of_the_manager(self, disk):
        disk.restart(FILL)
        assert disk.lab.docker("h1", "ps", "-q", "--filter", "name=box-h1")
        disk.lab.shell("h1", "rm /var/lib/skep/filler")
        until(lambda: disk.lab.tried("h1", "service", "ls")[0] == 0, 60)
        until(lambda: disk.lab.running("web", 3), 60)


READ_ONLY = "mount -o remount,bind,ro /var/lib/skep"
WRITABLE = "mount -o remount,bind,rw /var/lib/skep"


class TestReadOnly:
    def test_a_host(self, disk):
        disk.restart(READ_ONLY)
        until(disk.in_session, 60)
        right(disk.lab)
        assert "Read-only file system" in disk.refused(*RUN)
        disk.lab.shell(disk.host, WRITABLE)
        disk.lab.docker(disk.host, *RUN)
        right(disk.lab)

    @manager
    @pytest.mark.fault
    def test_a_manager(self, disk):
        lab = disk.lab
        disk.restart(READ_ONLY)
        complaint = disk.refused("service", "ls")
        assert "cannot manage its swarm now" in complaint
        assert "read-only" in complaint
        assert lab.docker("h1", "ps", "-q", "--filter", "name=box-h1")
        lab.shell("h1", WRITABLE)
        until(lambda: lab.tried("h1", "service", "ls")[0] == 0, 60)
        until(lambda: lab.running("web", 3), 60)
        right(lab)


# --- what is on the disk

DAMAGE = {
    "emptied": ": >{0}",
    "cut in half": "truncate -s $(($(stat -c %s {0}) / 2)) {0}",
    "overwritten": "head -c $(stat -c %s {0}) /dev/urandom >{0}.bad; cat {0}.bad >{0}; rm {0}.bad",
    "removed": "rm {0}",
}
SAVED = "mkdir -p /run/saved && cp -a /var/lib/skep/{0}* /run/saved/"
RESTORE = "cp -a /run/saved/* /var/lib/skep/{0} && rm -r /run/saved"


def damaged(lab, host, file, damage, *, saved=None):
    """Do it while skepd is dead."""
    with Stopped(lab, host):
        if saved is not None:
            lab.shell(host, SAVED.format(saved))
        lab.shell(host, DAMAGE[damage].format(f"/var/lib/skep/{file}"))


def words(lab, host, since):
    return lab.log(host).read_text()[since:]


@pytest.fixture
def lab(faulty):
    right(faulty)
    logs = {host: faulty.log(host).read_text().count("Traceback") for host in faulty.hosts}
    yield faulty
    for host in faulty.hosts:
        until(lambda host=host: faulty.answers(host), 60)
    right(faulty)
    now = {host: faulty.log(host).read_text().count("Traceback") for host in faulty.hosts}
    assert now == logs


each_damage = pytest.mark.parametrize("damage", [
    pytest.param(each, marks=() if each == "cut in half" else pytest.mark.fault) for each in DAMAGE
])  # fmt: skip
BEGUN = "{{.State.Pid}} {{.State.StartedAt}}"


@pytest.mark.parametrize(("host", "damage"), [
    ("h2", "cut in half"), *(pytest.param("h2", each, marks=pytest.mark.fault) for each in
    ("emptied", "overwritten", "removed")), pytest.param("h1", "emptied", marks=pytest.mark.fault),
])  # fmt: skip
def test_the_last_assignment(lab, host, damage):
    """A manager says it again, and nothing is stopped meanwhile."""
    task = lab.docker(host, "ps", "-q", "--filter", "name=web.").strip()
    begun = lab.docker(host, "inspect", "-f", BEGUN, task, f"box-{host}")
    since = len(lab.log(host).read_text())
    damaged(lab, host, "assignment", damage)
    until(lambda: lab.answers(host), 60)
    right(lab)
    assert lab.docker(host, "inspect", "-f", BEGUN, task, f"box-{host}") == begun
    assert "the last assignment is lost" in words(lab, host, since)


@pytest.mark.fault
@pytest.mark.parametrize("damage", ["cut in half", "overwritten"])
@pytest.mark.parametrize("file", ["finals", "id"])
def test_what_can_be_made_anew(lab, file, damage):
    lab.shell("h2", f"touch /var/lib/skep/{file}")
    damaged(lab, "h2", file, damage)
    until(lambda: lab.answers("h2"), 60)
    right(lab)


@pytest.mark.parametrize("damage", [
    "cut in half", pytest.param("emptied", marks=pytest.mark.fault),
    pytest.param("overwritten", marks=pytest.mark.fault),
])  # fmt: skip
def test_what_only_a_backup_has(lab, damage):
    """skepd says what to do and touches nothing: containers, packets and names flow on."""
    file = "swarm/identity.json"
    since = len(lab.log("h2").read_text())
    until(lambda: lab.settled("h2"), 60)
    before = lab.contents("h2")
    damaged(lab, "h2", file, damage, saved=file)
    try:
        until(lambda: words(lab, "h2", since).count("skepd: ") >= 2, 120)
        said = next(line for line in words(lab, "h2", since).splitlines() if "skepd: " in line)
        assert f"/var/lib/skep/{file}" in said
        assert "restore it, or remove it and join the swarm again" in said
        assert lab.contents("h2") == before
        ask = lab.said("h2", "nsenter --net=/run/netns/%box% busybox nslookup box-h3 127.0.0.11")
        known = f"Address: {lab.ip('h3', 'box-h3')}"
        until(lambda: known in lab.shell("h2", ask, check=False), 60)
    finally:
        lab.shell("h2", RESTORE.format("swarm"))


@pytest.mark.parametrize("damage", [
    "cut in half", *(pytest.param(each, marks=pytest.mark.fault)
    for each in ("emptied", "overwritten", "removed")),
])  # fmt: skip
def test_the_hosts_own_networks(lab, damage):
    """They are on disk twice: not one is lost, and what is on them runs on."""
    lab.docker("h2", "network", "create", "--subnet", "10.77.0.0/24", "own")
    lab.docker("h2", "run", "-d", "--name", "late", "--network", "own", "busybox", "sleep", "9999")
    form = "{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}"
    before = lab.docker("h2", "network", "ls", "--no-trunc", "--format", form)
    begun = lab.docker("h2", "inspect", "-f", BEGUN, "late", "box-h2")
    address, since = lab.ip("h2", "late", "own"), len(lab.log("h2").read_text())
    until(lambda: lab.settled("h2"), 60)
    contents = lab.contents("h2")
    try:
        damaged(lab, "h2", "networks.json", damage)
        until(lambda: lab.answers("h2"), 60)
        assert lab.docker("h2", "network", "ls", "--no-trunc", "--format", form) == before
        assert lab.docker("h2", "inspect", "-f", BEGUN, "late", "box-h2") == begun
        assert lab.ip("h2", "late", "own") == address
        assert "restored from its copy" in words(lab, "h2", since)
        assert lab.contents("h2") == contents
        right(lab)
    finally:
        lab.docker("h2", "rm", "-f", "late")
        lab.docker("h2", "network", "rm", "own")


@pytest.mark.parametrize("damage", [
    "emptied", pytest.param("cut in half", marks=pytest.mark.fault),
    pytest.param("overwritten", marks=pytest.mark.fault),
])  # fmt: skip
def test_the_clusters_store(lab, damage):
    """The manager's host serves on, and says why it cannot manage; restored, it does."""
    with Stopped(lab, "h1"):
        lab.shell("h1", SAVED.format("cluster.db"))
        lab.shell("h1", "rm -f /var/lib/skep/cluster.db-*")
        lab.shell("h1", DAMAGE[damage].format("/var/lib/skep/cluster.db"))
    try:
        until(lambda: lab.answers("h1"), 60)
        code, _, complaint = lab.tried("h1", "service", "ls")
        assert code
        assert "cannot manage its swarm now" in complaint
        assert "restore it from a backup" in complaint
        assert lab.docker("h1", "ps", "-q", "--filter", "name=box-h1")
    finally:
        with Stopped(lab, "h1"):
            lab.shell("h1", "rm -f /var/lib/skep/cluster.db*")
            lab.shell("h1", RESTORE.format(""))
    until(lambda: lab.tried("h1", "service", "ls")[0] == 0, 60)
    until(lambda: lab.running("web", 3), 60)


@each_damage
def test_a_tasks_record(lab, damage):
    """The task is made anew."""
    task = lab.docker("h2", "ps", "-q", "--no-trunc", "--filter", "name=web.").strip()
    damaged(lab, "h2", f"containers/{task}.json", damage)
    until(lambda: lab.tried("h2", "ps")[0] == 0, 60)
    until(lambda: task not in lab.docker("h2", "ps", "-aq", "--no-trunc").split(), 60)
    until(lambda: lab.running("web", 3), 60)
    until(lambda: lab.docker("h2", "ps", "-q", "--filter", "name=web.").strip(), 60)
    right(lab)
    lab.words["h2"] = lab.words_of("h2")


@each_damage
def test_a_containers_record(lab, damage):
    """It runs on, back on the swarm's networks that it had."""
    lab.docker("h2", *RUN)
    made = lab.docker("h2", "inspect", "-f", "{{.Id}} {{.State.Pid}}", "late").split()
    since = len(lab.log("h2").read_text())
    damaged(lab, "h2", f"containers/{made[0]}.json", damage)
    try:
        until(lambda: lab.answers("h2"), 60)
        assert "record was lost" in words(lab, "h2", since)
        assert lab.docker("h2", "inspect", "-f", "{{.Id}} {{.State.Pid}}", "late").split() == made
        right(lab)
        ask = lab.said("h3", "nsenter --net=/run/netns/%box% busybox nslookup late 127.0.0.11")
        until(lambda: "Address: 10.50." in lab.shell("h3", ask, check=False), 60)
    finally:
        lab.docker("h2", "rm", "-f", "late")
