import subprocess
import sys

import pytest

from skep.cli import main as program
from skep.model.errors import Clash


def skep(*arguments):
    command = [sys.executable, "-m", "skep.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_a_verb_the_verbs_are_listed():
    ran = skep()
    assert ran.returncode == 0
    for name, verb in program.VERBS.items():
        assert name in ran.stdout and verb.summary in ran.stdout


def test_the_version_is_known_without_a_daemon():
    assert skep("--version").stdout.startswith("skep 0.")
    ran = skep("-H", "unix:///nowhere.sock", "version")
    assert ran.stdout.startswith("Client: Skep\n Version:")
    assert "Cannot connect to the Docker daemon at unix:///nowhere.sock" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["nonsense"], 1, "nonsense"),
        (["version", "extra"], 1, "accepts no arguments"),
        (["--frobnicate"], 125, "unknown flag: --frobnicate"),
    ],
)
def test_a_wrong_command_line_fails_as_dockers_does(arguments, code, complaint):
    ran = skep(*arguments)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert complaint in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["lab"], 'see "skep lab --help"'),
        (["lab", "up", "--hosts", "many"], "invalid int value: 'many'"),
        (["lab", "up", "--host", "3"], "unrecognized arguments: --host"),
        (["lab", "up", "--", "x"], "unexpected arguments: x"),
        (["lab", "exec", "h1"], "say what to run"),
        (["lab", "exec", "h1", "--"], "say what to run"),
        (["lab", "exec", "h1", "ls", "-l"], "unrecognized arguments: -l"),
        (["lab", "exec"], "required: host"),
        (["lab", "cut", "h1"], "required: HOST"),
    ],
)
def test_a_wrong_command_line_of_the_lab_is_one_line_and_exit_2(arguments, complaint):
    ran = skep(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("skep: ") and complaint in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["lab", "up", "--name", "No Such"], '"No Such" is not a lab\'s name'),
        (["lab", "up", "--hosts", "0"], "between 1 and 100 hosts, not 0"),
        (["lab", "sock", "--name", "no-such", "h1"], 'no lab "no-such"'),
        (["lab", "exec", "--name", "no-such", "h1", "--", "true"], 'no lab "no-such"'),
        (["lab", "status", "--name", "no-such"], 'no lab "no-such"'),
        (["lab", "down", "--all", "--name", "x"], "exclude each other"),
    ],
)
def test_a_refusal_is_one_line_and_exit_1(arguments, complaint):
    ran = skep(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith("skep: ") and complaint in ran.stderr


@pytest.mark.root
def test_down_of_a_lab_that_is_not_there_is_done():
    ran = skep("lab", "down", "--name", "no-such")
    assert (ran.returncode, ran.stdout) == (0, "There is no lab no-such.\n")


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (Clash("it exists"), 1, "skep: it exists\n"),
        (KeyboardInterrupt(), 130, "\nskep: interrupted\n"),
        (
            PermissionError(13, "Permission denied", "/etc/x"),
            1,
            "skep: Permission denied: /etc/x\n",
        ),
        (KeyError("k"), 1, "skep: internal error: KeyError('k') (SKEP_DEBUG=1 shows where)\n"),
    ],
)
def test_no_failure_shows_a_traceback(monkeypatch, capsys, raised, code, line):
    def fail(_):
        raise raised

    monkeypatch.delenv("SKEP_DEBUG", raising=False)
    monkeypatch.setattr(program, "run", fail)
    assert program.main() == code
    assert capsys.readouterr().err == line


def test_whoever_hunts_a_fault_sees_where_it_is(monkeypatch):
    def fail(_):
        raise KeyError("k")

    monkeypatch.setenv("SKEP_DEBUG", "1")
    monkeypatch.setattr(program, "run", fail)
    with pytest.raises(KeyError):
        program.main()


def test_a_reader_that_leaves_early_is_no_error():
    script = f"{sys.executable} -m skep.cli.main version | true"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in ran.stderr
