"""kill -9 of anything of Skep's at any moment: nothing is left over, nothing is lost, and what
runs goes on."""

import os
import random
import subprocess
import threading

import pytest
from audit import right
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

VICTIMS = {
    "skepd": "pgrep -of [s]kep.daemon.--state",
    "skep-dns": "pgrep -of [s]kep.dns.server",
    "engine": "pgrep -of '[p]odman.*system service'",
}


def kill(lab, host, victim):
    return lab.shell(host, f"kill -9 $({VICTIMS[victim]})", check=False)


@pytest.fixture
def lab(faulty):
    """The lab, which must be right before and after."""
    right(faulty)
    yield faulty
    for host in faulty.hosts:
        until(lambda host=host: faulty.tried(host, "ps")[0] == 0, 60)
        names = faulty.docker(host, "ps", "-aq", "--filter", "name=late").split()
        if names:
            faulty.docker(host, "rm", "-f", *names)
    right(faulty)
    until(lambda: faulty.running("web", 3), 120)


class Unrest:
    """Constant change: containers come and go, and a service is scaled up and down."""

    def __init__(self, lab, seed):
        self._lab = lab
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self.acknowledged = 2
        self.asked = {2}
        self.removed = {host: set() for host in lab.hosts}
        lab.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "churn",
                   "--network", "net", "--replicas", "2", "busybox", "sleep", "86400")  # fmt: skip
        self._threads = [threading.Thread(target=work) for work in (self._scale, self._come_and_go)]
        for each in self._threads:
            each.start()

    def _scale(self):
        while not self._stop.is_set():
            count = self._random.randrange(1, 7)
            self.asked.add(count)
            if self._try("h1", "service", "scale", "--detach", f"churn={count}"):
                self.acknowledged, self.asked = count, {count}
            self._stop.wait(0.3)

    def _come_and_go(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            host = self._random.choice(self._lab.hosts)
            name = f"late{number}"
            with_name = ("--name", name, "--network", "net", "busybox", "sleep", "86400")
            self._try(host, "run", "-d", *with_name)
            if self._try(host, "rm", "-f", name):
                self.removed[host].add(name)

    def _try(self, *arguments):
        # What is asked of a daemon that was killed just now may fail, or never be answered.
        try:
            return self._lab.tried(*arguments)[0] == 0
        except subprocess.TimeoutExpired:
            return False

    def end(self):
        self._stop.set()
        for each in self._threads:
            each.join()


@pytest.mark.parametrize("kills", [
    pytest.param(12, marks=pytest.mark.fault), pytest.param(100, marks=pytest.mark.long),
])  # fmt: skip
@pytest.mark.timeout(1800)
def test_many_kills_during_constant_change(lab, kills):
    """At random instants on random hosts; then every host is as desired, and what was
    acknowledged last holds. The environment's SKEP_SEED chooses other instants."""
    seed = int(os.environ.get("SKEP_SEED", kills))
    print(f"SKEP_SEED={seed}")
    chance = random.Random(seed)
    unrest = Unrest(lab, seed)
    pause = threading.Event()
    try:
        for _ in range(kills):
            pause.wait(chance.uniform(0.0, 1.2))
            kill(lab, chance.choice(lab.hosts), chance.choice(["skepd", "skepd", *VICTIMS]))
    finally:
        unrest.end()
    try:
        for host in lab.hosts:
            until(lambda host=host: lab.tried(host, "ps")[0] == 0, 60)
        form = "{{.Spec.Mode.Replicated.Replicas}}"
        wanted = int(lab.docker("h1", "service", "inspect", "-f", form, "churn"))
        assert wanted in unrest.asked
        until(lambda: lab.running("churn", wanted), 180)

        def once_each():
            slots = lab.docker("h1", "service", "ps", "-f", "desired-state=running",
                               "--format", "{{.Name}}", "churn").split()  # fmt: skip
            return len(slots) == len(set(slots)) == wanted

        # A task of which it is heard late that it died is between two lives.
        until(once_each, 60)
        for host in lab.hosts:
            until(lambda host=host: not unrest.removed[host] & late(lab, host), 60)
            for name in late(lab, host):
                until(lambda name=name, host=host: lab.tried(host, "rm", "-f", name)[0] == 0, 60)
        right(lab)
    finally:
        lab.docker("h1", "service", "rm", "churn")


def late(lab, host):
    """The names of what came and may not have gone."""
    names = ("ps", "-a", "--filter", "name=late", "--format", "{{.Names}}")
    return set(lab.docker(host, *names).split())


@pytest.mark.fault
@pytest.mark.parametrize("after", [0.1, 0.4, 0.8, 1.5, 2.5])
def test_a_crash_of_the_manager_during_a_rolling_update(lab, after):
    """The update that was acknowledged comes to its end, with the right number of tasks."""
    lab.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "rolled",
               "--network", "net", "--replicas", "3", "--update-delay", "0s", "--env", "N=1",
               "busybox", "sleep", "86400")  # fmt: skip
    try:
        until(lambda: lab.running("rolled", 3), 120)
        lab.docker("h1", "service", "update", "--detach", "--env-add", "N=2", "rolled")
        threading.Event().wait(after)
        kill(lab, "h1", "skepd")
        until(lambda: lab.answers("h1"), 60)

        def updated():
            form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
            return "completed" in lab.docker("h1", "service", "inspect", "-f", form, "rolled")

        until(updated, 180)
        until(lambda: lab.running("rolled", 3), 120)
        right(lab)
    finally:
        until(lambda: lab.tried("h1", "service", "rm", "rolled")[0] == 0, 60)


@pytest.mark.fault
@pytest.mark.parametrize("host", ["h1", "h3"])
def test_a_reboot(lab, host):
    """All processes and namespaces gone, the disk kept: everything that should run runs again."""
    lab.docker(host, "run", "-d", "--restart", "always", "--name", "late", "--network", "net",
               "busybox", "sleep", "86400")  # fmt: skip
    try:
        lab.reboot(host)
        until(lambda: lab.tried(host, "ps")[0] == 0, 120)
        until(lambda: lab.running("web", 3), 180)
        until(lambda: lab.docker(host, "ps", "-q", "--filter", "name=late").split(), 120)
    finally:
        # The manager may not have heard of this host again yet.
        until(lambda: lab.tried(host, "start", f"box-{host}")[0] == 0, 120)
    until(lambda: lab.settled(host), 60)
    right(lab)
    lab.words = {each: lab.words_of(each) for each in lab.hosts}
