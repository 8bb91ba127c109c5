import pytest

from skep.agent.twice import Twice
from skep.model.errors import Broken

DAMAGE = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "overwritten": lambda path: path.write_bytes(b"\0\xff" * 40),
    "of another kind": lambda path: path.write_bytes(b'{"a": 1}'),
    "removed": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
VALUE = ("one", "two")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "value.json"


@pytest.fixture
def kept(path):
    kept = Twice(path, tuple[str, ...])
    kept.keep(("one",))
    kept.keep(VALUE)
    return kept


def test_there_is_nothing_at_first(path):
    assert Twice(path, tuple[str, ...]).load() is None
    assert not list(path.parent.iterdir())


def test_it_is_kept(kept, path):
    assert kept.load() == VALUE
    assert sorted(each.name for each in path.parent.iterdir()) == ["value.json", "value.json.copy"]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_to_the_file_loses_nothing(kept, path, damage):
    damage(path)
    assert kept.load() == VALUE
    assert path.read_bytes() == b'["one","two"]'
    assert kept.load() == VALUE


def test_a_damaged_file_is_set_aside(kept, path):
    path.write_bytes(b"what was it")
    kept.load()
    assert path.with_name("value.json.damaged").read_bytes() == b"what was it"


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_to_the_copy_loses_nothing(kept, path, damage):
    damage(path.with_name("value.json.copy"))
    assert kept.load() == VALUE


def test_the_copy_is_made_where_there_was_none(kept, path):
    copy = path.with_name("value.json.copy")
    copy.unlink()
    kept.load()
    assert copy.read_bytes() == path.read_bytes()


def test_a_copy_that_a_crash_left_behind_is_renewed(kept, path):
    copy = path.with_name("value.json.copy")
    copy.write_bytes(b'["one"]')
    assert kept.load() == VALUE
    assert copy.read_bytes() == path.read_bytes()


def test_damage_to_both_is_told(kept, path):
    for each in (path, path.with_name("value.json.copy")):
        each.write_bytes(b"{")
    with pytest.raises(Broken, match="from a backup") as broken:
        kept.load()
    assert str(path) in str(broken.value)
    assert path.read_bytes() == b"{"


def test_what_cannot_be_written_twice_is_written_once(kept, path):
    copy = path.with_name("value.json.copy")
    copy.unlink()
    copy.mkdir()
    kept.keep(("three",))
    assert kept.load() == ("three",)


def test_what_cannot_be_written_is_refused(kept, path):
    path.unlink()
    path.mkdir()
    with pytest.raises(Broken, match="cannot write"):
        kept.keep(("three",))
