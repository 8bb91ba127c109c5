"""A value a file: read whole or refused with a sentence, replaced whole."""

import errno
import os

import msgspec
import pytest

from skep.agent.cursor import Cursor
from skep.agent.finals import Finals
from skep.agent.paths import Paths
from skep.agent.shared import Shared
from skep.agent.statefile import drop, forget, read, write_atomically
from skep.agent.uplink import Uplink
from skep.model.errors import Broken

DAMAGED = {"half": b'{"a": ', "wrong": b'["a"]', "not text": b'{"a": "\xff"}', "empty": b""}
"""What files may hold after a bad end."""


def test_full_disk_is_a_sentence_and_keeps_the_old(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(Broken, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "file"
    assert read(path, dict[str, int]) is None
    write_atomically(path, msgspec.json.encode({"a": 1}))
    assert read(path, dict[str, int]) == {"a": 1}
    write_atomically(path, msgspec.msgpack.encode({"a": 1}))
    assert read(path, dict[str, int], decode=msgspec.msgpack.decode) == {"a": 1}
    drop(path)
    drop(path)
    assert read(path, dict[str, int]) is None


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_is_a_sentence_with_the_file(tmp_path, damage):
    path = tmp_path / "file"
    path.write_bytes(damage)
    with pytest.raises(Broken, match=f"cannot read {path}: .*; ask a friend"):
        read(path, dict[str, str], mend="ask a friend")


def test_what_is_no_file_is_a_sentence(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(Broken, match="Is a directory"):
        read(tmp_path / "file", dict[str, str])
    with pytest.raises(Broken, match="cannot remove"):
        drop(tmp_path / "file")
    forget(tmp_path / "file")


@pytest.mark.parametrize("damage", [*DAMAGED.values(), None], ids=[*DAMAGED, "a directory"])
def test_a_daemon_begins_without_what_it_can_find_out_again(tmp_path, damage):
    path = tmp_path / "file"
    if damage is None:
        path.mkdir()
    else:
        path.write_bytes(damage)
    cursor, shared, paths = Cursor(path), Shared(path), Paths(path, lambda: None)
    uplink = Uplink(path, never, never, None)
    for each in (cursor, shared, paths, Finals(path), uplink):
        each.load()
    assert (cursor.last, shared.lowers(), paths.clear) == ({}, (), {})
    assert uplink.assignment.index == 0


async def never(_):
    raise AssertionError("nothing was said")
