"""Files of containers' /etc, and the host's own."""

import pytest

from skep.agent import etc
from skep.agent.files import upstreams
from skep.model.errors import Broken


def test_a_comment_that_is_no_utf_8_keeps_nobody_from_the_name_servers(tmp_path, monkeypatch):
    monkeypatch.setattr(etc, "RESOLV_CONF", tmp_path / "resolv.conf")
    assert etc.host_resolv() == ""
    (tmp_path / "resolv.conf").write_bytes(b"# f\xfcr alle\nnameserver 192.0.2.53\n")
    assert upstreams(etc.host_resolv()) == upstreams("nameserver 192.0.2.53\n")


def test_a_file_is_written_in_place_and_only_if_it_is_another(tmp_path):
    path = tmp_path / "hosts"
    etc.rewrite(path, "one")
    first = path.stat()
    etc.rewrite(path, "two")
    etc.rewrite(path, "two")
    assert (path.read_text(), path.stat().st_ino) == ("two", first.st_ino)
    assert oct(path.stat().st_mode)[-3:] == "644"


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "hosts").mkdir()
    with pytest.raises(Broken, match=r"cannot write .*hosts: Is a directory"):
        etc.rewrite(tmp_path / "hosts", "one")
