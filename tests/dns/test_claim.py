"""Being the only one on a socket."""

import socket

import pytest

from skep.dns.claim import claimed
from skep.model.errors import Broken, Clash


def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))


def test_it_listens_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "run" / "s"
    with claimed(path):
        connect(path)
    assert not path.exists()
    with claimed(path):
        connect(path)


def test_two_are_one_too_many(tmp_path):
    path = tmp_path / "s"
    with claimed(path):
        with pytest.raises(Clash, match="in use by another skep-dns"), claimed(path):
            pass
        connect(path)


def test_a_dead_leftover_is_replaced(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    with claimed(path):
        connect(path)


def test_a_path_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Broken, match="cannot use"), claimed(tmp_path / "file" / "s"):
        pass
    with pytest.raises(Broken), claimed(tmp_path / ("x" * 200)):
        pass
