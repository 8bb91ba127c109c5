import os
import signal
import subprocess

import msgspec
import pytest

from skep.lab import records
from skep.lab.records import LabRecord


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_recognised(sleeper):
    seen = records.observe(sleeper.pid)
    assert seen.pid == sleeper.pid
    assert seen.pid_namespace == os.stat("/proc/self/ns/pid").st_ino
    assert records.alive(seen)


def test_a_name_with_parentheses_confuses_nobody(tmp_path):
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(odd), "600"])
    try:
        assert records.alive(records.observe(process.pid))
    finally:
        process.kill()
        process.wait()


def test_kill_ends_it_and_waits(sleeper):
    records.kill(records.observe(sleeper.pid), 60)
    assert sleeper.poll() == -signal.SIGKILL or sleeper.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}, {"pid_namespace": 1}])
def test_a_stranger_with_the_same_number_is_left_alone(sleeper, change):
    stranger = msgspec.structs.replace(records.observe(sleeper.pid), **change)
    assert not records.alive(stranger)
    records.kill(stranger)
    assert sleeper.poll() is None


def test_what_is_gone_is_neither_alive_nor_killed(sleeper):
    seen = records.observe(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert records.observe(sleeper.pid) is None
    assert not records.alive(seen)
    records.kill(seen)


def test_a_corpse_is_not_alive(sleeper):
    seen = records.observe(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not records.alive(seen)


def test_a_record_comes_back(tmp_path):
    record = LabRecord("boot", 3, complete=True)
    records.write(tmp_path / "lab.json", record)
    assert records.read(tmp_path / "lab.json", LabRecord) == record
    assert [file.name for file in tmp_path.iterdir()] == ["lab.json"]


@pytest.mark.parametrize("content", [b"", b'{"boot":"x"', b'{"hosts":"three"}', b"\0" * 40])
def test_a_damaged_record_is_no_record(tmp_path, content):
    (tmp_path / "lab.json").write_bytes(content)
    assert records.read(tmp_path / "lab.json", LabRecord) is None


def test_a_missing_record_is_no_record(tmp_path):
    assert records.read(tmp_path / "lab.json", LabRecord) is None


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "it said nothing"),
        ("no disk\n2026-01-01T00:00:00Z lab: the daemon ended (exit code 1)\n\n", "no disk"),
        ("2026-01Z lab: cannot start skepd: x\n", "2026-01Z lab: cannot start skepd: x"),
    ],
)  # fmt: skip
def test_the_daemon_s_last_words_come_before_what_is_said_of_it(tmp_path, log, words):
    (tmp_path / "log").write_text(log)
    assert records.last_words(tmp_path / "log") == words
    assert records.last_words(tmp_path / "none") == "it said nothing"


def test_deaths_are_counted(tmp_path):
    line = "2026-01-01T00:00:00Z lab: the daemon ended (exit code 1); starting it again\n"
    (tmp_path / "log").write_text(f"{line}the daemon ended\n{line}")
    assert records.deaths(tmp_path / "log") == 2
    assert records.deaths(tmp_path / "none") == 0
