"""Rolling updates with the docker client: their order, their failures, the way back, events."""

import contextlib
import json
import os
import threading

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

FAILING = ("--args", "sh -c 'exit 3'", "--restart-condition", "none")


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"upd{os.getpid()}", 2) as lab:
        lab.up()
        yield lab


@pytest.fixture
def service(lab):
    made = []

    def create(name, *options):
        lab.docker(
            "h1", "service", "create", "-q", "--no-resolve-image", "--name", name,
            "--stop-grace-period", "0s", "--update-monitor", "500ms", "--rollback-monitor", "500ms",
            *options, "busybox", "sleep", "600",
        )  # fmt: skip
        made.append(name)

    yield create
    for name in made:
        lab.tried("h1", "service", "rm", name)


def shown(lab, name):
    return json.loads(lab.docker("h1", "service", "inspect", name))[0]


def status(lab, name):
    found = shown(lab, name)["UpdateStatus"]
    return found["State"], found["Message"]


def args(lab, name):
    return shown(lab, name)["Spec"]["TaskTemplate"]["ContainerSpec"]["Args"]


def tasks(lab, name, state="running"):
    """State and error of the tasks that should be in a state."""
    form = "{{.CurrentState}}|{{.Error}}"
    wanted = ("--filter", f"desired-state={state}", "--format", form)
    return lab.docker("h1", "service", "ps", "--no-trunc", *wanted, name).splitlines()


@contextlib.contextmanager
def watched(lab, name):
    """How many of a service's tasks ran, each time somebody looked."""
    seen, over = [], threading.Event()

    def look():
        label = f"label=com.docker.swarm.service.name={name}"
        while not over.is_set():
            boxes = [lab.docker(h, "ps", "-q", "--filter", label).split() for h in lab.hosts]
            seen.append(len([box for each in boxes for box in each]))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


class TestUpdating:
    def test_it_shows_its_progress_and_ends_by_itself(self, lab, service):
        service("calm", "--replicas", "3", "--update-parallelism", "2")
        said = lab.docker("h1", "service", "update", "--args", "sleep 700", "calm")
        assert "overall progress: 3 out of 3 tasks" in said
        assert "verify: Service calm converged" in said
        assert status(lab, "calm") == ("completed", "update completed")
        assert args(lab, "calm") == ["sleep", "700"]
        pretty = lab.docker("h1", "service", "inspect", "--pretty", "calm")
        words = " ".join(pretty.split())
        assert "UpdateStatus: State: completed" in words
        assert "UpdateConfig: Parallelism: 2" in words

    @pytest.mark.parametrize(("order", "least", "most"), [
        ("stop-first", 0, 2),
        ("start-first", 2, 3),
    ])  # fmt: skip
    def test_in_its_order(self, lab, service, order, least, most):
        service("turn", "--replicas", "2", "--update-order", order)
        with watched(lab, "turn") as seen:
            until(lambda: seen)
            lab.docker("h1", "service", "update", "-q", "--force", "turn")
        # Two hosts are not looked at in one instant: one task may be seen twice, or not at all.
        assert least - 1 <= min(seen)
        assert max(seen) <= most + 1
        if order == "stop-first":
            assert min(seen) < 2
        else:
            assert max(seen) > 2

    def test_no_more_at_once_than_it_may(self, lab, service):
        service("three", "--replicas", "3", "--update-parallelism", "1", "--update-delay", "2s")
        lab.docker("h1", "service", "update", "-d", "--args", "sleep 700", "three")
        first = until(lambda: tasks(lab, "three", "shutdown"))
        assert len(first) == 1
        until(lambda: status(lab, "three")[0] == "completed", 60)
        found = shown(lab, "three")["UpdateStatus"]
        assert found["StartedAt"] < found["CompletedAt"]

    def test_what_fails_pauses_it(self, lab, service):
        service("wary", "--replicas", "3")
        code, _, why = lab.tried("h1", "service", "update", *FAILING, "wary")
        assert code == 1
        assert "service update paused: update paused due to failure or early termination of" in why
        state, message = status(lab, "wary")
        assert state == "paused"
        assert message.startswith("update paused due to failure or early termination of task ")

        def failed():
            ended = tasks(lab, "wary", "shutdown")
            return [each for each in ended if '"task: non-zero exit (3)"' in each]

        def untouched():
            return [each for each in tasks(lab, "wary") if each.startswith("Running")]

        # The next slot may have had its turn before the first one's end was heard of.
        until(lambda: len(failed()) in (1, 2) and len(failed()) + len(untouched()) == 3)
        lab.docker("h1", "service", "update", "-q", "--args", "sleep 800", "wary")
        until(lambda: lab.running("wary", 3))
        assert status(lab, "wary")[0] == "completed"

    def test_what_fails_may_be_gone_past(self, lab, service):
        service("bold", "--replicas", "3", "--update-failure-action", "continue")
        lab.docker("h1", "service", "update", "-d", *FAILING, "bold")
        until(lambda: status(lab, "bold")[0] == "completed", 60)

        def failed():
            found = tasks(lab, "bold", "shutdown")
            return len([each for each in found if "task: non-zero exit (3)" in each])

        # The last one's end may be told after the update's.
        until(lambda: failed() == 3, 60)

    def test_some_may_fail(self, lab, service):
        service("lax", "--replicas", "4", "--update-max-failure-ratio", "0.3")
        script = "test $SLOT != 2 || exit 3; sleep 600"
        lab.docker(
            "h1", "service", "update", "-d", "--args", f"sh -c '{script}'",
            "--env-add", "SLOT={{.Task.Slot}}", "--restart-condition", "none", "lax",
        )  # fmt: skip
        until(lambda: status(lab, "lax")[0] == "completed", 60)

        def failed():
            ended = tasks(lab, "lax", "shutdown")
            return [each for each in ended if "task: non-zero exit (3)" in each]

        # The update may have been over before the end of slot 2 was heard of.
        until(lambda: len(failed()) == 1)

    def test_what_fails_goes_back(self, lab, service):
        service("back", "--replicas", "3", "--update-failure-action", "rollback")
        said = "".join(lab.tried("h1", "service", "update", *FAILING, "back")[1:])
        assert "update rolled back due to failure or early termination of task" in said
        until(lambda: status(lab, "back")[0] == "rollback_completed", 60)
        assert status(lab, "back")[1] == "rollback completed"
        assert args(lab, "back") == ["sleep", "600"]
        until(lambda: lab.running("back", 3))


class TestGoingBack:
    def test_by_hand(self, lab, service):
        service("undo", "--replicas", "2", "--rollback-parallelism", "2")
        lab.docker("h1", "service", "update", "-q", "--args", "sleep 700", "undo")
        assert shown(lab, "undo")["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Args"] == [
            "sleep", "600",
        ]  # fmt: skip
        said = lab.docker("h1", "service", "rollback", "undo")
        assert "rollback: manually requested rollback" in said
        assert "verify: Service undo converged" in said
        assert args(lab, "undo") == ["sleep", "600"]
        assert status(lab, "undo") == ("rollback_completed", "rollback completed")
        lab.docker("h1", "service", "rollback", "-q", "undo")
        assert args(lab, "undo") == ["sleep", "700"]

    def test_not_without_a_way(self, lab, service):
        service("new")
        code, _, why = lab.tried("h1", "service", "rollback", "new")
        assert code == 1
        assert "does not have a previous spec" in why

    def test_by_update(self, lab, service):
        service("undo2")
        lab.docker("h1", "service", "update", "-q", "--env-add", "A=b", "undo2")
        lab.docker("h1", "service", "update", "-q", "--rollback", "undo2")
        template = shown(lab, "undo2")["Spec"]["TaskTemplate"]
        assert "Env" not in template["ContainerSpec"]

    def test_its_own_failure_pauses_it(self, lab, service):
        service("stuck", "--replicas", "2", "--update-failure-action", "continue")
        lab.docker("h1", "service", "update", "-d", *FAILING, "stuck")
        until(lambda: status(lab, "stuck")[0] == "completed", 60)
        lab.docker("h1", "service", "update", "-q", "--args", "sleep 700", "stuck")
        code, _, why = lab.tried("h1", "service", "rollback", "stuck")
        assert code == 1
        assert "service rollback paused: update paused due to failure" in why


def test_events_tell_all_of_it(lab, service):
    since = lab.docker("h1", "info", "-f", "{{.SystemTime}}").strip()
    lab.docker("h1", "network", "create", "-d", "overlay", "evnet")
    lab.docker("h1", "secret", "create", "evsec", "-", stdin="x")
    lab.docker("h1", "config", "create", "evcfg", "-", stdin="x")
    service("ev", "--network", "evnet")
    lab.docker("h1", "service", "update", "-q", "--force", "ev")
    lab.docker("h1", "node", "update", "--availability", "drain", "h2")
    lab.docker("h1", "node", "update", "--availability", "active", "h2")
    lab.docker("h1", "service", "rm", "ev")
    for kind in ("secret", "config", "network"):
        name = {"secret": "evsec", "config": "evcfg", "network": "evnet"}[kind]
        until(lambda kind=kind, name=name: lab.tried("h1", kind, "rm", name)[0] == 0)
    # The client's "until now" is that of the second.
    until(lambda: any(each["Type"] == "network" and each["Action"] == "remove"
                      for each in told(lab, since)))  # fmt: skip
    found = told(lab, since)
    by_name = {(each["Type"], each["Action"]): each["Actor"]["Attributes"] for each in found}
    for kind, name in (("service", "ev"), ("secret", "evsec"), ("config", "evcfg")):
        assert by_name[kind, "create"]["name"] == name
        assert by_name[kind, "remove"]["name"] == name
    assert by_name["network", "create"]["name"] == "evnet"
    assert by_name["network", "remove"]["name"] == "evnet"
    updates = [each["Actor"]["Attributes"] for each in found if each["Action"] == "update"]
    states = {(each.get("updatestate.old", ""), each.get("updatestate.new")) for each in updates}
    assert {("", "updating"), ("updating", "completed")} <= states
    changed = {(e.get("availability.old"), e.get("availability.new")) for e in updates}
    assert {("active", "drain"), ("drain", "active")} <= changed
    assert {each["scope"] for each in found if each["Type"] == "service"} == {"swarm"}
    only = told(lab, since, "type=service", "event=remove")
    assert [each["Actor"]["Attributes"]["name"] for each in only] == ["ev"]


def told(lab, since, *filters):
    flags = [f"--filter={each}" for each in filters]
    said = lab.docker("h1", "events", "--since", since, "--until", "0s", "--format", "json", *flags)
    return [json.loads(line) for line in said.splitlines()]
