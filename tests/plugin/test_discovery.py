import socket

import pytest

from skep.model.errors import Broken
from skep.plugin.discovery import Folders, Place, Tls


@pytest.fixture
def folders(tmp_path):
    for name in ("run", "etc", "lib"):
        (tmp_path / name).mkdir()
    return Folders(tmp_path / "run", (tmp_path / "etc", tmp_path / "lib"))


def listening(path):
    path.parent.mkdir(exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    return server


def test_a_socket_is_found_by_its_name(folders):
    with listening(folders.sockets / "weave.sock"), listening(folders.sockets / "a" / "a.sock"):
        assert folders.find("weave").url == f"unix://{folders.sockets}/weave.sock"
        assert folders.find("a").url == f"unix://{folders.sockets}/a/a.sock"


def test_files_say_where_others_are(folders):
    etc, lib = folders.files
    (etc / "one.spec").write_text("unix:///var/lib/one.sock\n")
    (lib / "two.spec").write_text("tcp://127.0.0.1:8080")
    (lib / "three").mkdir()
    (lib / "three" / "three.json").write_text(
        '{"Name": "three", "Addr": "https://127.0.0.1:1", "TLSConfig": '
        '{"InsecureSkipVerify": false, "CAFile": "/ca", "CertFile": "/cert", "KeyFile": "/key"}}'
    )
    assert folders.find("one") == Place(url="unix:///var/lib/one.sock")
    assert folders.find("two") == Place(url="tcp://127.0.0.1:8080")
    tls = Tls(ca_file="/ca", cert_file="/cert", key_file="/key")
    assert folders.find("three") == Place(url="https://127.0.0.1:1", tls=tls)


def test_a_socket_comes_before_files_and_a_file_is_no_socket(folders):
    (folders.files[0] / "one.spec").write_text("tcp://127.0.0.1:8080")
    (folders.sockets / "one.sock").write_text("")
    assert folders.find("one").url == "tcp://127.0.0.1:8080"
    (folders.sockets / "one.sock").unlink()
    with listening(folders.sockets / "one.sock"):
        assert folders.find("one").url.startswith("unix://")


@pytest.mark.parametrize("name", ["", "none", "../etc/one", "a/b", ".one", "one:latest"])
def test_what_is_not_there_is_not_found(folders, name):
    (folders.files[0] / "one.spec").write_text("tcp://127.0.0.1:8080")
    assert folders.find(name) is None


@pytest.mark.parametrize(
    "words", ["", "8080", "ftp://a/b", "unix://", "tcp://", "http:///x", "\x00://[", "tcp://[::1"]
)
def test_a_file_that_says_nothing_is_named(folders, words):
    path = folders.files[0] / "one.spec"
    path.write_text(words)
    with pytest.raises(Broken, match=str(path)):
        folders.find("one")


@pytest.mark.parametrize("words", ["", "[]", '{"Addr": 1}', '{"Name": "one"}', "tcp://a:1"])
def test_so_is_one_of_json(folders, words):
    path = folders.files[1] / "one.json"
    path.write_text(words)
    with pytest.raises(Broken, match=str(path)):
        folders.find("one")


def test_a_name_that_no_file_can_have_is_nobody_s(tmp_path):
    assert Folders(tmp_path, (tmp_path,)).find("a" * 250) is None
    assert Folders(tmp_path, (tmp_path,)).find("a" * 300) is None
