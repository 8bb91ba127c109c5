import pytest

from skep.agent.cursor import Cursor
from skep.model.errors import Broken


def read(path):
    cursor = Cursor(path)
    cursor.load()
    return cursor


def test_it_outlives_a_restart(tmp_path):
    path = tmp_path / "addresses.json"
    cursor = read(path)
    cursor.last["a"] = "10.0.0.7"
    assert read(path).last == {}
    cursor.keep(["a"])
    assert read(path).last == {"a": "10.0.0.7"}


def test_networks_that_are_gone_are_forgotten(tmp_path):
    path = tmp_path / "addresses.json"
    cursor = read(path)
    cursor.last |= {"a": "10.0.0.7", "b": "10.1.0.2"}
    cursor.keep(["b", "c"])
    assert read(path).last == cursor.last == {"b": "10.1.0.2"}


def test_it_is_written_only_when_it_changes(tmp_path):
    path = tmp_path / "addresses.json"
    cursor = read(path)
    cursor.last["a"] = "10.0.0.7"
    cursor.keep(["a"])
    path.unlink()
    cursor.keep(["a"])
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_a_file_that_says_nothing_is_none(tmp_path, text):
    path = tmp_path / "addresses.json"
    path.write_text(text)
    assert read(path).last == {}


def test_one_that_cannot_be_written_is_told(tmp_path):
    cursor = Cursor(tmp_path / "nowhere" / "addresses.json")
    cursor.last["a"] = "10.0.0.7"
    with pytest.raises(Broken, match=r"addresses.json"):
        cursor.keep(["a"])
