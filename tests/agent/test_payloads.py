import os
import shutil
import subprocess

import pytest

from skep.agent.payloads import Payloads, place
from skep.kernel.memory import ensure_tmpfs
from skep.model.assignment import Payload
from skep.model.cluster import Task
from skep.model.container import ConfigReference, FileTarget, SecretReference
from skep.model.errors import Invalid, Unavailable
from skep.model.spec import ContainerSpec, TaskSpec

pytestmark = pytest.mark.root

SECRET = {"s1": Payload(id="s1", name="sec", data=b"top secret")}
CONFIG = {"c1": Payload(id="c1", name="cfg", data=b"a=1\n")}


@pytest.fixture
def payloads(tmp_path):
    directory = tmp_path / "payloads"
    yield Payloads(directory)
    if os.path.ismount(directory):
        subprocess.run(["umount", directory], check=True)


def task(**target):
    secret = SecretReference(
        secret_id="s1", secret_name="sec", file=FileTarget(**{"name": "sec", **target})
    )
    config = ConfigReference(config_id="c1", config_name="cfg", file=FileTarget(name="/etc/c"))
    spec = ContainerSpec(image="x", secrets=(secret,), configs=(config,))
    return Task(id="t1", spec=TaskSpec(container_spec=spec))


def test_files_have_their_owner_mode_and_place_and_are_in_memory_only(payloads):
    mounts = payloads.mounts(task(uid="5", gid="6", mode=0o400), SECRET, CONFIG)
    assert [m["Target"] for m in mounts] == ["/run/secrets/sec", "/etc/c"]
    assert all(m["ReadOnly"] and m["Type"] == "bind" for m in mounts)
    source = mounts[0]["Source"]
    status = os.stat(source)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (5, 6, 0o400)
    with open(source, "rb") as file:
        assert file.read() == b"top secret"
    kind = subprocess.check_output(["stat", "-f", "-c", "%T", source], text=True).strip()
    assert kind == "tmpfs"


def test_they_go_with_their_task(payloads):
    source = payloads.mounts(task(), SECRET, CONFIG)[0]["Source"]
    payloads.keep_only(["t1"])
    assert os.path.exists(source)
    payloads.keep_only(["another"])
    assert not os.path.exists(source)
    payloads.remove("t1")


def test_what_has_not_arrived_is_named(payloads):
    with pytest.raises(Unavailable, match="config cfg has not reached this host yet"):
        payloads.mounts(task(), SECRET, {})


def test_an_owner_must_be_a_number(payloads):
    with pytest.raises(Invalid, match="owner root:0 is not"):
        payloads.mounts(task(uid="root"), SECRET, CONFIG)


def test_a_task_without_secrets_needs_no_memory(payloads, tmp_path):
    bare = Task(id="t1", spec=TaskSpec(container_spec=ContainerSpec(image="x")))
    assert payloads.mounts(bare, {}, {}) == []
    assert list(tmp_path.iterdir()) == []


def test_places():
    assert place("secret", "a") == "/run/secrets/a"
    assert place("secret", "/x/a") == "/x/a"
    assert place("config", "a") == "/a"


def test_one_tmpfs_however_often(tmp_path):
    directory = tmp_path / "memory"
    try:
        ensure_tmpfs(directory)
        (directory / "file").write_text("x")
        ensure_tmpfs(directory)
        assert (directory / "file").read_text() == "x"
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("owner", [{"uid": "99999999999"}, {"gid": "4294967295"}, {"uid": "-1"}])
def test_an_owner_that_nobody_can_be_is_refused(payloads, owner):
    """The kernel's call raises no OSError for it, and the daemon ended."""
    with pytest.raises(Invalid, match="is not between 0 and"):
        payloads.mounts(task(**owner), SECRET, CONFIG)


def test_files_that_cannot_be_removed_end_nothing(payloads, monkeypatch):
    payloads.mounts(task(), SECRET, CONFIG)

    def busy(path):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(shutil, "rmtree", busy)
    payloads.keep_only(())
    monkeypatch.undo()
    payloads.keep_only(())
    payloads.remove("t1")
