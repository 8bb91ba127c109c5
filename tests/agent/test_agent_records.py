from skep.agent.records import Record, Records, Wanted


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


def test_containers_without_network_of_their_own_have_no_sandbox():
    assert record(sandbox_id="").sandbox is None
    assert record().sandbox.namespace == "b" * 12
