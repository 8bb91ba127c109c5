"""The OCI runtime that puts Docker Engine's containers into Skep's namespaces."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skep.engine import runtime
from skep.engine.runtime import NETNS_MOUNT, bundle_of, in_namespace

MARK = {"destination": NETNS_MOUNT, "type": "bind", "source": "/run/netns/abc"}
PROC = {"destination": "/proc", "type": "proc", "source": "proc"}
SETTLING = {"path": "/proc/1/exe", "args": ["libnetwork-setkey", "-exec-root=/run"]}
OTHER = {"path": "/bin/hook", "args": ["hook"]}
CONFIG = {
    "mounts": [PROC, MARK],
    "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}], "seccomp": {}},
    "hooks": {"prestart": [SETTLING, OTHER]},
}


def test_the_mount_becomes_the_network_namespace():
    found = in_namespace(CONFIG)
    assert found["mounts"] == [PROC]
    assert found["linux"] == {
        "namespaces": [{"type": "mount"}, {"type": "network", "path": "/run/netns/abc"}],
        "seccomp": {},
    }


def test_docker_engine_does_not_settle_in_it():
    assert in_namespace(CONFIG)["hooks"] == {"prestart": [OTHER]}


def test_a_container_of_somebody_else_is_left_alone():
    config = {**CONFIG, "mounts": [PROC]}
    assert in_namespace(config) is config


@pytest.mark.parametrize(
    ("line", "bundle"),
    [
        ("--root /r --log l create --bundle /b --pid-file p id", "/b"),
        ("run -b /b id", "/b"),
        ("create --bundle=/b id", "/b"),
        ("create id", "."),
        ("--root /r state id", None),
        ("exec --process p id", None),
        ("delete --force id", None),
    ],
)
def test_only_what_is_created_has_a_bundle(line, bundle):
    assert bundle_of(line.split()) == (None if bundle is None else Path(bundle))


def test_the_file_stands_alone_and_becomes_runc(tmp_path):
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    runc.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    done = subprocess.run(
        [sys.executable, "-I", "-S", runtime.__file__, "create", "--bundle", str(tmp_path), "id"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, f"create --bundle {tmp_path} id\n")
    assert json.loads((tmp_path / "config.json").read_text()) == in_namespace(CONFIG)
