import pytest

from skep.model.errors import Broken
from skep.own import host_id, make_directory


def test_an_id_stays(tmp_path):
    first = host_id(tmp_path / "id")
    assert host_id(tmp_path / "id") == first


@pytest.mark.parametrize("damage", [b"", b"0123", b"\xf5\x00{garbage" * 4])
def test_a_damaged_id_is_made_anew(tmp_path, damage):
    (tmp_path / "id").write_bytes(damage)
    made = host_id(tmp_path / "id")
    assert len(made) == 36
    assert host_id(tmp_path / "id") == made


def test_an_id_that_cannot_be_kept_is_one_all_the_same(tmp_path):
    assert len(host_id(tmp_path / "missing" / "id")) == 36


def test_a_directory_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Broken, match=r"cannot make .*/file/below: Not a directory"):
        make_directory(tmp_path / "file" / "below")
