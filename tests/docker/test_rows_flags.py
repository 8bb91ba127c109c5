"""Every flag of ``docker create`` and ``docker run``: its effect inside, and what inspect shows.

Flags that go together are given to one container; the others have one each. A row names its flag,
and a test reads the client's own list of flags: none is left out.
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from flags import ALONE, BY_THE_CLIENT, REFUSED, TOGETHER
from swarm_lab import SwarmLab, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        Path("/sys/fs/cgroup/cgroup.controllers").exists(),
        reason="limits are read where control groups version 1 have them",
    ),
]

PROFILE = """{"defaultAction": "SCMP_ACT_ALLOW",
 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with SwarmLab(f"conflag{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        yield from furnished(lab, tmp_path_factory)


def furnished(lab, tmp_path_factory):
    files = tmp_path_factory.mktemp("flags")
    (files / "env").write_text("READ=two words\n")
    (files / "labels").write_text("read=two words\n")
    (files / "profile.json").write_text(PROFILE)
    lab.run("h1", "mount", "--bind", str(files), str(files))
    lab.run("h1", "mount", "--make-shared", str(files))
    lab.docker("h1", "network", "create", "--subnet", "10.88.0.0/24", "--ipv6", "--subnet",
               "fd88::/64", "flagged")  # fmt: skip
    lab.docker("h1", "run", "-d", "--name", "base", "--network", "flagged", "-v", "/kept",
               "busybox", "sh", "-c", "echo kept >/kept/file; exec sleep 1d")  # fmt: skip
    until(lambda: "sleep 1d" in lab.docker("h1", "top", "base"), 60)
    lab.words = words_of(lab, files)
    lab.docker("h1", "run", "-d", *written(lab, *(row.flag for row in TOGETHER)), "busybox",
               "sleep", "1d")  # fmt: skip
    lab.shown = json.loads(lab.docker("h1", "inspect", "flagged"))[0]
    yield lab
    lab.run("h1", "umount", str(files), check=False)


def words_of(lab, files):
    """What stands in the rows for things of this machine."""
    disk = next(path for path in Path("/dev").iterdir() if path.is_block_device())
    disk = next((path for path in (Path("/dev/vda"), Path("/dev/sda")) if path.exists()), disk)
    return {
        "files": files,
        "disk": disk,
        "machine": lab.docker("h1", "version", "-f", "{{.Server.Arch}}").strip(),
        "ipc": re.escape(lab.run("h1", "readlink", "/proc/self/ns/ipc").strip()),
        "pid": re.escape(lab.run("h1", "readlink", "/proc/self/ns/pid").strip()),
        "base": lab.docker("h1", "inspect", "-f", "{{.Id}}", "base").strip(),
        "state": "/var/lib/skep/engine/storage",
    }


def written(lab, *flags):
    """Rows' flags as words of a command line."""
    return [word for flag in flags for word in shlex.split(flag.format(**lab.words))]


def at(shown, path):
    """What an inspected object has at a path of names and numbers."""
    for name in path.split("."):
        shown = shown[int(name)] if isinstance(shown, list) else shown[name]
    return shown


def compare(lab, row, shown):
    wanted = row.shown.format(**lab.words) if isinstance(row.shown, str) else row.shown
    if row.path:
        assert at(shown, row.path) == wanted


def titles(rows):
    return [row[0] for row in rows]


@pytest.mark.parametrize("row", TOGETHER, ids=titles(TOGETHER))
def test_flags_that_go_together(lab, row):
    command = row.command.format(id=lab.shown["Id"], **lab.words)
    if command.startswith("host: "):
        said = lab.run("h1", *shlex.split(command.removeprefix("host: ")))
    else:
        said = "" if command == "true" else lab.docker("h1", "exec", "flagged",
                                                       *shlex.split(command))  # fmt: skip
    assert re.search(row.says, said, re.MULTILINE), said
    compare(lab, row, lab.shown)


@pytest.mark.parametrize("row", ALONE, ids=titles(ALONE))
def test_flags_alone(lab, row):
    lab.docker("h1", "create", "--name", "alone", *written(lab, row.flag), "busybox",
               *shlex.split(row.command))  # fmt: skip
    try:
        compare(lab, row, json.loads(lab.docker("h1", "inspect", "alone"))[0])
        code, said, complaints = lab.tried("h1", "start", "-a", "alone")
        assert code == 0, complaints
        assert re.search(row.says.format(**lab.words), said, re.MULTILINE), said
    finally:
        lab.docker("h1", "rm", "-fv", "alone")


@pytest.mark.parametrize("row", REFUSED, ids=titles(REFUSED))
def test_refused(lab, row):
    flag, pattern = row
    code, output, complaints = lab.tried("h1", "run", "--name", "refused", *written(lab, flag),
                                         "busybox", "true")  # fmt: skip
    lab.docker("h1", "rm", "-f", "refused")
    assert code in (1, 125), output + complaints
    assert re.search(pattern, complaints), complaints


@pytest.mark.parametrize("verb", ["create", "run"])
def test_no_flag_is_left_out(lab, verb):
    printed = subprocess.run([lab.client, verb, "--help"], capture_output=True, text=True,
                             check=True).stdout  # fmt: skip
    flags = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", printed, re.MULTILINE))
    assert len(flags) > 90
    rows = " ".join([*titles(TOGETHER), *titles(ALONE), *titles(REFUSED)])
    assert flags - set(re.findall(r"--[\w-]+", rows)) - set(BY_THE_CLIENT) == set()


ATTACHED = [
    (["stdout"], ("out\n", "")),
    (["stderr"], ("", "err\n")),
    (["stdout", "stderr"], ("out\n", "err\n")),
]


@pytest.mark.parametrize(("streams", "said"), ATTACHED)
def test_what_is_attached(lab, streams, said):
    words = [word for stream in streams for word in ("--attach", stream)]
    code, *told = lab.tried("h1", "run", "--rm", *words, "busybox", "sh", "-c",
                            "echo out; echo err >&2")  # fmt: skip
    assert (code, *told) == (0, *said)


def test_the_id_is_written(lab, tmp_path):
    made = lab.docker("h1", "create", "--cidfile", str(tmp_path / "cid"), "busybox").strip()
    assert (tmp_path / "cid").read_text() == made
    assert lab.tried("h1", "create", "--cidfile", str(tmp_path / "cid"), "busybox")[0] != 0
    lab.docker("h1", "rm", made)


def test_the_health_of_the_start_is_asked_for_at_its_own_interval(lab):
    shown = ["inspect", "-f", "{{.State.Health.Status}}", "flagged"]
    assert lab.docker("h1", *shown).strip() == "starting"
    lab.docker("h1", "exec", "flagged", "touch", "/well")
    until(lambda: lab.docker("h1", *shown).strip() == "healthy", 60)


def test_what_is_amended_is_so_at_each_start(lab):
    lab.docker("h1", "run", "-d", "--name", "again", "--restart", "always", "--domainname",
               "dom.test", "busybox", "sh", "-c",
               "cat /proc/sys/kernel/domainname; exit 1")  # fmt: skip
    until(lambda: lab.docker("h1", "logs", "again").count("dom.test") > 1, 60)
    lab.docker("h1", "rm", "-f", "again")


def test_a_stop_takes_its_signal_and_its_time(lab):
    lab.docker("h1", "run", "-d", "--name", "stubborn", "--stop-signal", "USR1", "--stop-timeout",
               "300", "busybox", "sh", "-c",
               "trap 'exit 7' USR1; trap '' TERM; echo ready; "
               "while :; do sleep 0.1; done")  # fmt: skip
    until(lambda: "ready" in lab.docker("h1", "logs", "stubborn"), 60)
    lab.docker("h1", "stop", "stubborn")
    assert lab.docker("h1", "wait", "stubborn").strip() == "7"
    lab.docker("h1", "rm", "stubborn")


def test_signals_of_the_client_arrive(lab):
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    client = subprocess.Popen(
        [lab.client, "-H", f"unix://{lab.socket('h1')}", "run", "--rm", "--sig-proxy", "busybox",
         "sh", "-c", script],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdout.readline() == "ready\n"
    client.terminate()
    assert client.communicate(timeout=120)[0] == "caught\n"
    assert client.returncode == 5


def test_logs_are_not_kept_above_their_size(lab):
    lab.docker("h1", "run", "--name", "chatty", "--log-opt", "max-size=10k", "--log-opt",
               "max-file=3", "busybox", "seq", "1", "5000")  # fmt: skip
    kept = lab.docker("h1", "logs", "chatty").split()
    assert kept[-1] == "5000"
    assert len(kept) < 2500
    code, _, warned = lab.tried("h1", "create", "--log-opt", "max-file=3", "busybox")
    assert code == 0
    assert "WARNING: log option max-file has no use" in warned
    lab.docker("h1", "rm", "chatty")


ASKED_OF_THE_API = [
    ({"HostConfig": {"KernelMemory": 8 << 20}}, "KernelMemory is not supported: .* --memory"),
    ({"HostConfig": {"CpuCount": 2}}, "CpuCount is not supported: it is for Windows"),
    ({"HostConfig": {"Bogus": 2}}, "HostConfig.Bogus is not a member"),
    ({"NetworkDisabled": True}, "NetworkDisabled is not supported: use --network none"),
    ({"HostConfig": {"IpcMode": "bogus"}}, 'invalid --ipc "bogus"'),
    ({"HostConfig": {"CgroupnsMode": "bogus"}}, 'invalid --cgroupns "bogus"'),
]


@pytest.mark.parametrize(("body", "pattern"), ASKED_OF_THE_API)
def test_what_is_asked_of_the_api_alone(lab, body, pattern):
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", lab.socket("h1"), "-H", "Content-Type: application/json",
         "-d", json.dumps({"Image": "busybox", **body}), "http://d/v1.44/containers/create"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search(pattern, json.loads(done.stdout)["message"]), done.stdout
