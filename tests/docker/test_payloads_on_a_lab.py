"""``docker secret`` and ``docker config``, verb by verb and flag by flag; and where their content
is, and where it is not, on a lab of three hosts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

VALUE = "nobody-but-two-hosts-may-know-this"
MOVED = "what-goes-from-one-host-to-another"
KINDS = ("secret", "config")

# Counts the bytes in the memory of this host's skepd. They are handed over in two halves, so that
# neither this process nor its command line holds what it looks for.
_REMEMBERED = """
import re, subprocess, sys
wanted = re.compile(re.escape(sys.argv[1].encode()) + re.escape(sys.argv[2].encode()))
pid = subprocess.run(["pgrep", "-of", "skep.daemon --state"], capture_output=True, text=True)
pid, found = pid.stdout.strip(), 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
    for line in maps:
        area, rights = line.split()[:2]
        if rights.startswith("rw"):
            start, end = (int(each, 16) for each in area.split("-"))
            memory.seek(start)
            try:
                found += len(wanted.findall(memory.read(end - start)))
            except OSError:
                pass
print(found)
"""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"payloads{os.getpid()}", 3) as lab:
        lab.up()
        yield lab


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def names(lab, kind, *options):
    form = "{{.Name}}"
    return lab.docker("h1", kind, "ls", "--format", form, *options).split()


def refused(lab, *words, stdin=None):
    code, _, said = lab.tried("h1", *words, stdin=stdin)
    assert code == 1, words
    return said


# --- the objects


@pytest.fixture
def some(lab, kind, tmp_path):
    """Three of a kind: from a file, from the standard input, with labels; their ids."""
    path = tmp_path / "content"
    path.write_bytes(b"\\x00\\xff from a file")
    made = [
        lab.docker("h1", kind, "create", f"{kind}.file", str(path)),
        lab.docker("h1", kind, "create", "-l", "a=b", "--label", "c", f"{kind}-in", "-", stdin="x"),
        lab.docker("h1", kind, "create", f"{kind}_third", "-", stdin="y"),
    ]
    yield [each.strip() for each in made]
    left = names(lab, kind)
    if left:
        lab.docker("h1", kind, "rm", *left)


def test_ls(lab, kind, some):
    assert names(lab, kind) == [f"{kind}-in", f"{kind}.file", f"{kind}_third"]
    assert sorted(lab.docker("h1", kind, "ls", "-q").split()) == sorted(some)
    assert names(lab, kind, "--filter", f"name={kind}.f") == [f"{kind}.file"]
    assert names(lab, kind, "--filter", f"id={some[1][:9]}") == [f"{kind}-in"]
    assert names(lab, kind, "--filter", "label=a=b") == [f"{kind}-in"]
    assert names(lab, kind, "--filter", "label=c") == [f"{kind}-in"]
    assert names(lab, kind, "--filter", "label=a=z") == []
    assert "invalid filter" in refused(lab, kind, "ls", "--filter", "colour=red")
    table = lab.docker("h1", kind, "ls").splitlines()
    assert table[0].split() == (
        ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"] if kind == "secret"
        else ["ID", "NAME", "CREATED", "UPDATED"]
    )  # fmt: skip
    rows = map(json.loads, lab.docker("h1", kind, "ls", "--format", "json").splitlines())
    labels = {row["Name"]: row["Labels"] for row in rows}[f"{kind}-in"]
    assert sorted(labels.split(",")) == ["a=b", "c="], "the client has no order for them"


def test_inspect(lab, kind, some):
    both = json.loads(lab.docker("h1", kind, "inspect", some[0], f"{kind}-in"))
    assert [each["Spec"]["Name"] for each in both] == [f"{kind}.file", f"{kind}-in"]
    assert both[1]["Spec"]["Labels"] == {"a": "b", "c": ""}
    assert ("Data" in both[1]["Spec"]) is (kind == "config")
    pretty = lab.docker("h1", kind, "inspect", "--pretty", f"{kind}-in")
    assert " - a=b" in pretty
    assert ("Data:" in pretty) is (kind == "config")
    form = ("--format", "{{.Spec.Name}} {{.ID}}")
    assert lab.docker("h1", kind, "inspect", *form, some[2]).split() == [f"{kind}_third", some[2]]
    assert f"{kind} nosuch not found" in refused(lab, kind, "inspect", "nosuch")


def test_create_refuses(lab, kind, some):
    taken = refused(lab, kind, "create", f"{kind}-in", "-", stdin="again")
    assert f"{kind} {kind}-in already exists" in taken
    assert "data is empty" in refused(lab, kind, "create", "empty", "-", stdin="")
    assert "invalid name, only 64" in refused(lab, kind, "create", "a/b", "-", stdin="x")
    limit = 500 * 1024 if kind == "secret" else 1000 * 1024
    large = refused(lab, kind, "create", "large", "-", stdin="x" * limit)
    assert f"larger than 0 and less than {limit} bytes" in large
    lab.docker("h1", kind, "create", "largest", "-", stdin="x" * (limit - 1))
    template = refused(lab, kind, "create", "--template-driver", "golang", "t", "-", stdin="x")
    assert "not supported" in template
    if kind == "secret":
        assert "not supported" in refused(lab, kind, "create", "--driver", "vault", "d")


def test_rm_goes_on_after_what_is_missing(lab, kind, some):
    code, said, complaint = lab.tried("h1", kind, "rm", f"{kind}-in", "nosuch", some[2])
    assert code == 1
    assert said.split() == [f"{kind}-in", some[2]]
    assert f"{kind} nosuch not found" in complaint
    assert names(lab, kind) == [f"{kind}.file"]


def test_what_a_worker_is_asked(lab, kind):
    code, _, said = lab.tried("h2", kind, "ls")
    assert code == 1
    assert "This node is not a swarm manager" in said


# --- their content


def service(lab, name, host, *options):
    lab.docker(
        "h1", "service", "create", "--detach", "--no-resolve-image", "--name", name,
        "--stop-grace-period", "0s", "--constraint", f"node.hostname=={host}", *options,
        "busybox", "sleep", "600",
    )  # fmt: skip
    until(lambda: lab.running(name, 1), 60)


def held(lab, host, text):
    """The files of a host, its containers' storage included, that hold a text."""
    tree = Path("/var/lib/skep-lab") / lab.name / host
    found = subprocess.run(
        ["grep", "-rslF", text, str(tree)], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def remembered(lab, host):
    """How often the value is in the memory of a host's skepd."""
    half = len(VALUE) // 2
    halves = (VALUE[:half], VALUE[half:])
    return int(lab.run(host, sys.executable, "-c", _REMEMBERED, *halves))


@pytest.fixture(scope="class")
def used(lab):
    for kind in KINDS:
        lab.docker("h1", kind, "create", "val", "-", stdin=VALUE)
    # A task on each host, so that each of them has an assignment.
    service(lab, "other", "h3")
    service(lab, "user", "h2", "--secret", "val", "--config", "source=val,target=/val")
    yield
    lab.docker("h1", "service", "rm", "user", "other")
    for kind in KINDS:
        lab.docker("h1", kind, "rm", "val")


class TestContent:
    def test_is_where_it_is_used_and_nowhere_else(self, lab, used):
        assert remembered(lab, "h2") > 0, "looking finds what is there"
        assert remembered(lab, "h3") == 0
        for host in ("h2", "h3"):
            assert held(lab, host, VALUE) == []
        assert held(lab, "h2", "busybox"), "looking finds what is there"

    def test_is_a_file_in_memory(self, lab, used):
        name = lab.docker("h2", "ps", "-q", "--filter", "name=user").strip()
        for path in ("/run/secrets/val", "/val"):
            assert lab.docker("h2", "exec", name, "cat", path) == VALUE
            assert "tmpfs" in lab.docker("h2", "exec", name, "df", path)

    @pytest.mark.parametrize("kind", KINDS)
    def test_in_use_stays(self, lab, used, kind):
        said = refused(lab, kind, "rm", "val")
        assert f"{kind} 'val' is in use by the following service: user" in said
        service(lab, f"second-{kind}", "h1", f"--{kind}", "val")
        said = refused(lab, kind, "rm", "val")
        assert f"is in use by the following services: second-{kind}, user" in said
        lab.docker("h1", "service", "rm", f"second-{kind}")

    def test_moves_with_its_task(self, lab):
        lab.docker("h1", "secret", "create", "mov", "-", stdin=MOVED)
        service(lab, "mover", "h2", "--secret", "mov")
        there = ("grep", "-rlF", MOVED, "/run/skep/payloads")
        assert lab.run("h2", *there).split(), "looking finds what is there"
        lab.docker(
            "h1", "service", "update", "-q", "--no-resolve-image", "--constraint-rm",
            "node.hostname==h2", "--constraint-add", "node.hostname==h3", "mover",
        )  # fmt: skip
        name = lab.docker("h3", "ps", "-q", "--filter", "name=mover").strip()
        assert lab.docker("h3", "exec", name, "cat", "/run/secrets/mov") == MOVED
        until(lambda: not lab.run("h2", *there, check=False).strip(), 60)
        assert held(lab, "h3", MOVED) == []
        lab.docker("h1", "service", "rm", "mover")
        lab.docker("h1", "secret", "rm", "mov")

    def test_what_there_is_not_is_refused(self, lab, used):
        for flags in (("--secret", "none"), ("--config", "none")):
            said = refused(lab, "service", "create", "--name", "bad", *flags, "busybox")
            assert "not found: none" in said
        said = refused(
            lab, "service", "create", "--name", "bad", "--secret", "source=val,target=x",
            "--secret", "source=val,target=x", "busybox",
        )  # fmt: skip
        assert "duplicate secret target" in said
