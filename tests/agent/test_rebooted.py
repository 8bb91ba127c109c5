import pytest

from skep.agent import rebooted
from skep.agent.rebooted import is_due, start_again
from skep.model.errors import Broken, Missing, Unavailable
from skep.model.host import Container

NEVER, EARLY, LATE = "0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def found(policy="always", status="created", began=EARLY, ended=NEVER):
    return {
        "State": {"Status": status, "StartedAt": began, "FinishedAt": ended},
        "HostConfig": {"RestartPolicy": {"Name": policy}},
    }


@pytest.mark.parametrize(("seen", "due"), [
    (found(), True),
    (found("unless-stopped"), True),
    (found("unless-stopped", began=LATE, ended=EARLY), True),
    (found("unless-stopped", ended=LATE), False),
    (found("always", ended=LATE), True),
    (found("on-failure"), False),
    (found(""), False),
    (found(began=NEVER), False),
    (found(status="exited"), False),
    (found(status="running"), False),
])  # fmt: skip
def test_what_is_started_again(seen, due):
    assert is_due(seen) is due


class Host:
    """Containers and engine in one."""

    def __init__(self, *refusals):
        self.refusals = list(refusals)
        self.started = []
        self.tries = 0

    def containers(self):
        fields = {"image": "busybox", "network_mode": "net"}
        return (Container(id="c", name="c", **fields),
                Container(id="t", name="t", task_id="t1", **fields))  # fmt: skip

    async def inspect(self, container_id):
        return found()

    async def start_record(self, container_id, task):
        self.tries += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.started.append(container_id)


@pytest.mark.parametrize(("refusals", "tries", "started"), [
    ((), 1, ["c"]),
    ((Unavailable("no manager"), Unavailable("no manager")), 3, ["c"]),
    ((Broken("runc"),), 1, []),
    ((Missing("gone"),), 1, []),
])  # fmt: skip
async def test_a_manager_is_waited_for_and_nothing_else(refusals, tries, started, monkeypatch):
    monkeypatch.setattr(rebooted, "RETRY", 0.0)
    host = Host(*refusals)
    await start_again(host, host)
    assert (host.tries, host.started) == (tries, started)
