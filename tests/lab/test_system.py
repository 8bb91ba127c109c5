from pathlib import Path

import pytest

from skep.lab import system
from skep.model.errors import Broken, Forbidden


def test_mount_points_with_odd_names_are_unescaped():
    assert system._unescaped(r"/a\040b\011c\134d") == "/a b\tc\\d"


def test_the_mount_table_is_read():
    assert "proc" in {mounted.kind for mounted in system.mounts() if mounted.target == "/proc"}


def test_a_failed_program_is_reported_by_its_last_line():
    with pytest.raises(Broken, match=r"two$"):
        system.run(["sh", "-c", "echo one >&2; echo two >&2; exit 3"])


def test_a_silent_failure_is_reported_by_its_code():
    with pytest.raises(Broken, match=r"exit code 3$"):
        system.run(["sh", "-c", "exit 3"])


def test_a_missing_program_is_reported_by_its_package(monkeypatch):
    monkeypatch.setattr(system, "_SYSTEM_FOLDERS", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Broken, match="install the package nftables"):
        system.program("nft")


def test_others_than_root_are_refused(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Forbidden, match="root"):
        system.require_root()


def test_the_mount_on_top_says_what_file_system_it_is(monkeypatch):
    table = [("/", "ext4"), ("/var", "xfs"), ("/var/lib", "overlay"), ("/var/lib", "btrfs")]
    monkeypatch.setattr(system, "mounts", lambda: [system.Mount(*each, "") for each in table])
    assert system.file_system(Path("/var/lib/x")) == "btrfs"
    assert system.file_system(Path("/var/library")) == "xfs"
    assert system.file_system(Path("/etc")) == "ext4"
