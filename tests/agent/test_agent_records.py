import errno
import os

import pytest

from skep.agent.records import Record, Records, Wanted, write_atomically
from skep.model.errors import Broken


def record(id="a" * 64, **kwargs):
    base = {
        "id": id, "name": "web", "image": "nginx", "sandbox_id": "b" * 64,
        "network_mode": "default", "created_at": 1.0,
        "wanted": (Wanted(network="net", aliases=("x",)),),
    }  # fmt: skip
    return Record(**{**base, **kwargs})


def test_records_survive_a_restart(tmp_path):
    first = Records(tmp_path)
    first.load()
    first.put(record())
    first.put(record(id="c" * 64, name="db"))
    first.drop("c" * 64)
    second = Records(tmp_path)
    second.load()
    assert list(second) == [record()]


def test_half_written_file_is_not_a_record(tmp_path):
    (tmp_path / ".x.json.new").write_text('{"id": "x"')
    records = Records(tmp_path)
    records.load()
    assert list(records) == []
    assert not (tmp_path / ".x.json.new").exists()


def test_unreadable_record_is_set_aside_and_named(tmp_path):
    (tmp_path / "bad.json").write_text("not json")
    records = Records(tmp_path)
    records.load()
    assert list(records) == []
    assert "bad.json" in records.unreadable[0]
    assert (tmp_path / "bad.unreadable").read_text() == "not json"


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


def test_containers_without_network_of_their_own_have_no_sandbox():
    assert record(sandbox_id="").sandbox is None
    assert record().sandbox.namespace == "b" * 12
