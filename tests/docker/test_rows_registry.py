"""Images come from a registry and go to one: docker login, push, pull and logout, row by row.

The registry is Debian's docker-registry, in the host's own namespace, with a user and a password.
"""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from said import check, each_of
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).parents[2] / ".venv" / "registry" / "usr" / "bin" / "docker-registry"

ACCOUNT = "me:$2b$12$0VRQSEBcNzA2uWJAuOc.Hez8jTexIwKmpKKub265XZCqQ4xe0LP1y\n"
"""User "me", password "word"."""

SETTINGS = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {files}/images}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:5000"}}
auth:
  htpasswd: {{realm: test, path: {files}/account}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    assert PROGRAM.exists(), "bin/test unpacks the registry"
    with SwarmLab(f"conreg{os.getpid()}", 1) as lab, pytest.MonkeyPatch.context() as patch:
        lab.files = tmp_path_factory.mktemp("registry")
        (lab.files / "account").write_text(ACCOUNT)
        (lab.files / "settings.yml").write_text(SETTINGS.format(files=lab.files))
        lab.up(swarm=False)
        patch.setenv("DOCKER_CONFIG", str(lab.files / "client"))
        with serving(lab):
            yield lab


@contextlib.contextmanager
def serving(lab):
    """The registry, in the host."""
    command = lab.inside("h1", str(PROGRAM), "serve", str(lab.files / "settings.yml"))
    with (
        open(lab.files / "log", "w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as registry,
    ):
        asked = ["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:5000/v2/"]
        try:
            until(lambda: lab.run("h1", *asked, "-w", "%{http_code}", check=False) == "401", 60)
            yield
        finally:
            registry.kill()


OWN = "localhost:5000/own"
NO_ENTRY = "unauthorized|authentication required|no basic auth credentials"

ROWS = [
    ("tag busybox localhost:5000/own:1", 0, "^$"),
    ("push localhost:5000/own:1", 1, NO_ENTRY),
    ("pull localhost:5000/own:1", 1, NO_ENTRY),
    ("login -u me -p wrong localhost:5000", 1, "401 Unauthorized"),
    ("login -u me -p word localhost:5000", 0, "Login Succeeded"),
    ("push localhost:5000/own:1", 0, "1: digest: sha256:[0-9a-f]{{64}} size: \\d+"),
    ("push localhost:5000/nosuch:1", 1, "does not exist locally with the tag: nosuch|nosuch"),
    ("rmi localhost:5000/own:1", 0, "Untagged: localhost:5000/own:1"),
    ("pull localhost:5000/own:1", 0, "localhost:5000/own:1$"),
    ("run --rm localhost:5000/own:1 echo pulled", 0, "^pulled$"),
    ("rmi localhost:5000/own:1", 0, "Untagged"),
    ("run --rm localhost:5000/own:1 echo again", 0, "^again$"),
    ("create --name fresh --pull always localhost:5000/own:1", 0, "^[0-9a-f]{{64}}$"),
    ("rm fresh", 0, "fresh"),
    ("pull -q localhost:5000/own:1", 0, "^localhost:5000/own:1$"),
    ("pull localhost:5000/own:2", 1, "manifest unknown|not found"),
    ("pull localhost:5000/nosuch", 1, "manifest unknown|not found|name unknown"),
    ("images --digests --format {{{{.Digest}}}} localhost:5000/own", 0, "^sha256:[0-9a-f]{{64}}$"),
    ("tag busybox localhost:5000/own:2", 0, "^$"),
    ("push -a localhost:5000/own", 0, "1: digest: (.*\n)*2: digest: "),
    ("rmi localhost:5000/own:2", 0, "Untagged"),
    ("pull -a localhost:5000/own", 1, "pulling all tags is not supported: name one"),
    ("push -a localhost:5000/nosuch", 1, "does not exist locally with the tag"),
    ("pull -q localhost:5000/own:2", 0, "^localhost:5000/own:2$"),
    ("logout localhost:5000", 0, "Removing login credentials"),
    ("pull localhost:5000/own:1", 1, NO_ENTRY),
    ("events --since 1h --until 0s --filter type=image --filter event=pull --format "
     "'{{{{.Actor.ID}}}}'", 0, "^localhost:5000/own:1$"),
]  # fmt: skip


@each_of(ROWS)
def test_row(lab, row):
    check(lab, row)


def test_an_image_is_pulled_by_its_digest(lab):
    lab.docker("h1", "login", "-u", "me", "--password-stdin", "localhost:5000", stdin="word")
    lab.docker("h1", "tag", "busybox", f"{OWN}:3")
    pushed = lab.docker("h1", "push", f"{OWN}:3")
    digest = pushed.partition("digest: ")[2].split()[0]
    lab.docker("h1", "rmi", f"{OWN}:3")
    lab.docker("h1", "pull", f"{OWN}@{digest}")
    assert lab.docker("h1", "run", "--rm", f"{OWN}@{digest}", "echo", "exactly") == "exactly\n"
