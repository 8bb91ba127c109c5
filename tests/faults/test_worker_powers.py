"""What a worker's certificate is good for: its own session, its own tasks, its own renewal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from audit import right
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).parent / "bad_worker.py"
STATE = "/var/lib/skep/swarm"


@pytest.fixture(scope="module")
def tried(faulty):
    """What h2 was told when it tried all that, with h1's and h3's things as targets; and these."""
    faulty.docker("h1", "secret", "create", "theirs", "-", stdin="not for h2")
    faulty.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "holder",
                  "--secret", "theirs", "--constraint", "node.hostname==h3", "busybox",
                  "sleep", "1d")  # fmt: skip
    try:
        until(lambda: faulty.running("holder", 1), 120)
        tasks = faulty.docker("h1", "node", "ps", "-q", "--filter", "desired-state=running",
                              "h1", "h3").split()  # fmt: skip
        box = faulty.docker("h3", "inspect", "-f", "{{.Name}} {{.State.StartedAt}}", "box-h3")
        targets = {"tasks": tasks, "attachment": attachment(faulty)}
        done = subprocess.run(
            faulty.inside("h2", sys.executable, str(SCRIPT), STATE),
            input=json.dumps(targets), capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout), targets, box
    finally:
        faulty.docker("h1", "service", "rm", "holder")
        until(lambda: faulty.tried("h1", "secret", "rm", "theirs")[0] == 0, 60)
        until(lambda: faulty.docker("h1", "node", "ls").count("Ready") == 3, 60)
        right(faulty)


def attachment(lab):
    """The id of the attachment of h3's container."""
    container = lab.docker("h3", "inspect", "-f", "{{.Id}}", "box-h3").strip()
    record = json.loads(lab.shell("h3", f"cat /var/lib/skep/containers/{container}.json"))
    (found,) = record["attachments"].values()
    return found


def test_it_cannot_speak_for_others_tasks(faulty, tried):
    _, targets, _ = tried
    states = faulty.docker("h1", "inspect", "--type", "task", "-f", "{{.Status.State}}",
                           *targets["tasks"]).split()  # fmt: skip
    assert set(states) == {"running"}


def test_it_cannot_take_others_addresses_back(faulty, tried):
    told, _, box = tried
    assert "doesn't belong to this node" in told["attachment"]["ended"]
    assert faulty.docker(
        "h3", "inspect", "-f", "{{.Name}} {{.State.StartedAt}}", "box-h3"
    ) == box  # fmt: skip
    right(faulty)


def test_it_cannot_claim_anothers_tunnels(tried):
    told, _, _ = tried
    assert "is where the tunnels of h1 end" in told["tunnels"]["ended"]
    assert told["tunnels"]["assigned"] == ""


def test_it_is_told_no_others_secrets(tried):
    told, _, _ = tried
    assigned = told["tasks"]["assigned"]
    assert "box-h2" in assigned, "it is told of its own"
    assert "theirs" not in assigned and "not for h2" not in assigned


def test_answers_that_nobody_asked_it_for_are_nothing(faulty, tried):
    assert faulty.docker("h1", "service", "logs", "holder") == ""


def test_the_manager_s_port_knows_no_other_calls(tried):
    told, _, _ = tried
    refused = {status for call, status in told["http"].items() if call != "POST /join"}
    assert refused <= {404, 405}
    assert told["http"]["POST /join"] in (400, 403)


def test_it_can_renew_itself_alone(faulty, tried):
    told, _, _ = tried
    own = faulty.docker("h1", "node", "inspect", "-f", "{{.ID}}", "h2").strip()
    assert told["renewed"] == [own, "worker"]


def test_nobody_takes_it_for_a_manager(tried):
    told, _, _ = tried
    assert "does not have a manager's certificate" in told["serving"]
