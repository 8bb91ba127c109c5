"""Tasks that have ended: their logs can be read while they are remembered, all else is gone."""

import os

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

TASK = "com.docker.swarm.task.id"
ENDED = ("Failed", "Shutdown", "Complete", "Rejected")


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"ended{os.getpid()}", 2) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "net")
        yield lab


def failing(lab, name, *options):
    script = 'echo "begun $TASK"; echo "oh no" >&2; exit 7'
    lab.docker(
        "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", name,
        "-e", "TASK={{.Task.ID}}", "--network", "net", "--restart-delay", "100ms",
        "--constraint", "node.role==worker", *options, "busybox", "sh", "-c", script,
    )  # fmt: skip


def states(lab, name):
    form = "{{.ID}} {{.CurrentState}}"
    listed = lab.docker("h1", "service", "ps", "--no-trunc", "--format", form, name)
    return dict(line.split(" ", 1) for line in listed.splitlines())


def kept(lab, name):
    """The service's containers on the worker that have ended."""
    form = ("--filter", f"label=com.docker.swarm.service.name={name}", "--filter", "status=exited")
    return lab.docker("h2", "ps", "-aq", *form).split()


def sandboxes(lab):
    return set(lab.run("h2", "ls", "/run/netns").split())


def test_a_failed_task_s_log_can_be_read(lab):
    before = sandboxes(lab)
    failing(lab, "once", "--restart-condition", "none")
    (task,) = until(lambda: [t for t, said in states(lab, "once").items() if "Failed" in said], 60)
    log = lab.docker("h1", "service", "logs", "--raw", "once")
    assert f"begun {task}" in log
    assert "Failed" in states(lab, "once")[task]
    assert "begun" in lab.docker("h1", "service", "logs", "--raw", task)
    assert len(kept(lab, "once")) == 1
    until(lambda: sandboxes(lab) <= before | {name for name in sandboxes(lab) if "-" in name}, 60)
    lab.docker("h1", "service", "rm", "once")
    until(lambda: not kept(lab, "once"), 60)


def test_as_many_are_kept_as_are_remembered(lab):
    failing(lab, "again")
    until(lambda: len([s for s in states(lab, "again").values() if "Failed" in s]) >= 4, 120)
    until(lambda: 4 <= len(kept(lab, "again")) <= 6, 60)
    lab.docker("h1", "service", "update", "-d", "--restart-condition", "none", "again")
    known = until(lambda: settled(lab), 60)
    log = lab.docker("h1", "service", "logs", "--raw", "again")
    assert {line.split()[1] for line in log.splitlines() if "begun" in line} == known
    pid = lab.kill_daemon("h2")
    until(lambda: lab.answers("h2"), 60)
    assert lab.run("h2", "pgrep", "-of", "skep.daemon --state").strip() != pid
    assert len(kept(lab, "again")) == len(known), "a new daemon knows what is kept, and why"
    container = kept(lab, "again")[0]
    code, _, said = lab.tried("h2", "start", container)
    assert code == 1
    assert "tasks are not started twice" in said
    lab.docker("h1", "service", "rm", "again")
    until(lambda: not kept(lab, "again"), 60)


def settled(lab):
    """The tasks whose containers are kept, once all have ended and those that failed are kept."""
    found = states(lab, "again")
    if any(said.split()[0] not in ENDED for said in found.values()):
        return None
    failed = {task for task, said in found.items() if said.startswith("Failed")}
    form = f'{{{{index .Config.Labels "{TASK}"}}}}'
    # Those that are too many are removed meanwhile.
    code, listed, _ = lab.tried("h2", "inspect", "-f", form, *kept(lab, "again"))
    tasks = set(listed.split())
    return tasks if code == 0 and failed <= tasks <= set(found) else None


def test_of_a_task_that_was_scaled_away_nothing_is_left(lab):
    lab.docker(
        "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "calm",
        "--network", "net", "--stop-grace-period", "0s", "--constraint", "node.role==worker",
        "busybox", "sleep", "600",
    )  # fmt: skip
    until(lambda: lab.running("calm", 1), 60)
    (box,) = [lab.sandbox("h2", one) for one in lab.docker("h2", "ps", "-q").split()]
    assert box in sandboxes(lab)
    lab.docker("h1", "service", "scale", "-d", "calm=0")
    until(lambda: box not in sandboxes(lab), 60)
    label = "label=com.docker.swarm.service.name=calm"
    until(lambda: not lab.docker("h2", "ps", "-aq", "--filter", label), 60)
    until(lambda: states(lab, "calm") == {}, 60)
    lab.docker("h1", "service", "rm", "calm")
