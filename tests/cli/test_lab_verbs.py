import sys

import pytest

from skep.cli import lab as verbs
from skep.cli import labstatus
from skep.cli.progress import progress
from skep.lab.layout import Lab
from skep.lab.status import HostStatus, LabStatus
from skep.lab.up import Condition
from skep.model.errors import Invalid


def status(**changes):
    lab = Lab("lab")
    hosts = (HostStatus(lab.host(1), "up"), HostStatus(lab.host(2), "daemon does not answer"))
    return LabStatus(**({"lab": lab, "condition": Condition.UP, "hosts": hosts} | changes))


@pytest.fixture
def called(monkeypatch):
    """What the handlers of `exec` would have done."""
    calls = []
    monkeypatch.setattr("skep.lab.status.find", lambda lab, name: (lab.name, name))
    monkeypatch.setattr(
        "skep.lab.enter.enter", lambda host, command: calls.append((host, list(command))) or 0
    )
    return calls


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exec h1 -- ls -l", (("lab", "h1"), ["ls", "-l"])),
        ("exec --name two h1 -- ls --name x", (("two", "h1"), ["ls", "--name", "x"])),
        ("exec h2 --name two -- ls", (("two", "h2"), ["ls"])),
        ("exec h1 ls /", (("lab", "h1"), ["ls", "/"])),
        ("exec h1 -- sh -- -c", (("lab", "h1"), ["sh", "--", "-c"])),
    ],
)
def test_exec_leaves_the_command_alone(called, line, expected):
    verbs.run(line.split())
    assert called == [expected]


def test_a_host_cannot_be_cut_from_itself(monkeypatch):
    monkeypatch.setattr("skep.lab.system.require_root", lambda: None)
    with pytest.raises(Invalid, match="h1 cannot be cut from itself"):
        verbs.run(["cut", "h1", "h1"])


def test_status_is_aligned_columns_where_nobody_looks(capsys):
    labstatus.show(status(cuts=(("h1", "h2"),)))
    assert capsys.readouterr().out.splitlines() == [
        "Lab lab is up; h1 from h2 cut off.",
        "HOST  ADDRESS        STATE                   API SOCKET",
        "h1    192.168.90.11  up                      /run/skep-lab/lab/h1/run/docker.sock",
        "h2    192.168.90.12  daemon does not answer  /run/skep-lab/lab/h2/run/docker.sock",
    ]


def test_status_is_a_table_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    labstatus.show(status())
    shown = capsys.readouterr().out
    assert "192.168.90.12" in shown and "HOST" in shown


def test_a_lab_that_is_not_whole_says_how_to_mend_it(capsys):
    labstatus.show(status(condition=Condition.BROKEN, hosts=()))
    assert 'skep lab up --name lab" makes it anew' in capsys.readouterr().out


def test_progress_is_plain_lines_where_nobody_looks(capsys):
    with progress("lab x") as tell:
        tell("h1: up")
    assert capsys.readouterr().out == "lab x: h1: up\n"


def test_progress_shows_marks_and_time_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with progress("lab x") as tell:
        tell("h1: [up]")
    shown = capsys.readouterr().out
    assert "✓" in shown and "h1: [up]" in shown
