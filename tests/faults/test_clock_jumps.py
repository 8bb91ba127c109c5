"""Hosts' clocks that are put forward and back by a day: the cluster goes on as if they were not."""

import pytest
from audit import right
from fault_steps import CLOCK
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

DAY = 86400
BEGUN = "{{.State.Pid}} {{.State.StartedAt}}"
CREATE = ("service", "create", "--detach", "--no-resolve-image", "--name", "timed", "--network",
          "net", "--replicas", "2", "--update-delay", "1s", "--update-monitor", "1s",
          "--restart-delay", "1s", "--stop-grace-period", "1s", "--env", "N=0",
          "busybox", "sleep", "86400")  # fmt: skip


def put(lab, hosts, seconds):
    for host in hosts:
        lab.shell(host, f"echo {seconds} >{CLOCK}.new && mv {CLOCK}.new {CLOCK}")


@pytest.fixture
def lab(faulty):
    right(faulty)
    begun = [faulty.docker(host, "inspect", "-f", BEGUN, f"box-{host}") for host in faulty.hosts]
    pids = [faulty.shell(host, "pgrep -of '[s]kep.daemon.--state'") for host in faulty.hosts]
    faulty.docker("h1", *CREATE)
    try:
        until(lambda: faulty.running("timed", 2), 120)
        yield faulty
    finally:
        for host in faulty.hosts:
            faulty.shell(host, f"rm -f {CLOCK}")
        faulty.docker("h1", "service", "rm", "timed")
    right(faulty)
    now = [faulty.docker(host, "inspect", "-f", BEGUN, f"box-{host}") for host in faulty.hosts]
    assert now == begun
    assert [faulty.shell(h, "pgrep -of '[s]kep.daemon.--state'") for h in faulty.hosts] == pids


def update(lab, value):
    lab.docker("h1", "service", "update", "--detach", "--env-add", f"N={value}", "timed")


def completed(lab):
    form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
    ask = ("service", "inspect", "-f", form, "timed")
    until(lambda: lab.docker("h1", *ask).strip() == "completed", 180)
    until(lambda: lab.running("timed", 2), 120)


def containers(lab):
    """Those of the service that run, by host."""
    return [
        (host, name) for host in lab.hosts
        for name in lab.docker(host, "ps", "-q", "--filter", "name=timed.").split()
    ]  # fmt: skip


def a_task_that_dies_is_replaced(lab):
    """Its end is noticed, its restart's delay passes."""
    host, name = until(lambda: containers(lab), 60)[0]
    lab.docker(host, "kill", name)
    until(lambda: (host, name) not in containers(lab), 60)
    # The manager counts it as running until it hears of its end.
    until(lambda: len(containers(lab)) == 2, 120)
    until(lambda: lab.running("timed", 2), 120)


WHERE = {"manager": ("h1",), "others": ("h2", "h3"), "everywhere": ("h1", "h2", "h3")}


@pytest.mark.parametrize("where", [
    "manager", pytest.param("others", marks=pytest.mark.fault),
    pytest.param("everywhere", marks=pytest.mark.fault),
])  # fmt: skip
@pytest.mark.parametrize("days", [1, pytest.param(-1, marks=pytest.mark.fault)])
def test_a_jump_and_its_return(lab, where, days):
    for seconds in (days * DAY, 0):
        update(lab, seconds + 1)
        put(lab, WHERE[where], seconds)
        completed(lab)
        a_task_that_dies_is_replaced(lab)
        right(lab)
    form = "{{.Status}}"
    listed = ("node", "ls", "--format", form)
    until(lambda: set(lab.docker("h1", *listed).split()) == {"Ready"}, 60)


@pytest.mark.fault
def test_a_manager_that_starts_anew_after_its_clock_was_put_back(faulty):
    """What it noted before is in the future then."""
    right(faulty)
    try:
        put(faulty, ["h1"], DAY)
        faulty.docker("h1", *CREATE)
        until(lambda: faulty.running("timed", 2), 120)
        put(faulty, ["h1"], 0)
        faulty.kill_daemon("h1")
        until(lambda: faulty.tried("h1", "service", "ls")[0] == 0, 60)
        update(faulty, 1)
        completed(faulty)
        a_task_that_dies_is_replaced(faulty)
    finally:
        faulty.shell("h1", f"rm -f {CLOCK}")
        until(lambda: faulty.answers("h1"), 60)
        faulty.docker("h1", "service", "rm", "timed")
    right(faulty)
