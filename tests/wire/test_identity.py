import os

import pytest

from skep.model.errors import Broken
from skep.wire.identity import Identity, load, remove, save


@pytest.fixture
def identity(cluster):
    return Identity(
        credentials=cluster.worker,
        address="10.0.0.2",
        vtep="10.0.0.2",
        managers={"m" * 25: "10.0.0.1:2377"},
    )


def test_what_is_saved_is_loaded(tmp_path, identity):
    directory = tmp_path / "made" / "swarm"
    assert load(directory) is None
    save(directory, identity)
    assert load(directory) == identity
    assert load(directory).subject.role == "worker"
    assert (directory / "identity.json").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_new_identity_replaces_the_old_one_whole(tmp_path, identity, cluster):
    save(tmp_path, identity)
    renewed = Identity(credentials=cluster.manager, address="10.0.0.2")
    save(tmp_path, renewed)
    assert load(tmp_path) == renewed
    assert os.listdir(tmp_path) == ["identity.json"]


def test_an_interrupted_save_leaves_the_old_one(tmp_path, identity, cluster, monkeypatch):
    save(tmp_path, identity)

    def pull_the_plug(descriptor):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", pull_the_plug)
        with pytest.raises(SystemExit):
            save(tmp_path, Identity(credentials=cluster.manager))
    assert (tmp_path / "identity.json.new").exists()
    assert load(tmp_path) == identity
    assert os.listdir(tmp_path) == ["identity.json"]
    save(tmp_path, identity)


def test_half_a_first_save_is_none(tmp_path, identity):
    (tmp_path / "identity.json.new").write_text("{")
    assert load(tmp_path) is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("spoil", ["truncate", "empty", "binary", "mix"])
def test_damage_is_a_sentence(tmp_path, identity, cluster, spoil):
    save(tmp_path, identity)
    path = tmp_path / "identity.json"
    text = path.read_bytes()
    mixed = text.replace(_json(cluster.worker.key), _json(cluster.manager.key))
    assert mixed != text
    path.write_bytes(
        {"truncate": text[:400], "empty": b"", "binary": bytes(100), "mix": mixed}[spoil]
    )
    with pytest.raises(Broken, match=r"is damaged .*; restore it, or remove it and join"):
        load(tmp_path)


def test_removing_forgets_all(tmp_path, identity):
    remove(tmp_path)
    save(tmp_path, identity)
    (tmp_path / "identity.json.new").write_text("{")
    remove(tmp_path)
    assert load(tmp_path) is None
    assert os.listdir(tmp_path) == []
    remove(tmp_path / "absent")


def test_a_bad_place_is_a_sentence(tmp_path, identity):
    (tmp_path / "file").write_text("")
    for attempt in (lambda place: save(place, identity), load):
        with pytest.raises(Broken, match=r"swarm identity .*: (not a directory|file exists)"):
            attempt(tmp_path / "file" / "swarm" if attempt is load else tmp_path / "file")


def _json(text: str) -> bytes:
    return text.replace("\n", "\\n").encode()
