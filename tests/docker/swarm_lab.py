"""A lab that is a swarm, for tests: the real docker client, commands inside hosts, waiting."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SKEP = [sys.executable, "-m", "skep.cli.main", "lab"]
QUIET = {"DOCKER_CLI_HINTS": "false"}
SPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root")
SLOW = 10 if os.environ.get("SKEP_GUEST") else 1
"""How many times as long everything may take: an emulated machine is as slow."""


class CommandError(AssertionError):
    """A command that must succeed did not; `until` asks again."""


def must(succeeded, words):
    """Fail the test unless a command succeeded."""
    if not succeeded:
        raise CommandError(words)


class SwarmLab:
    """Hosts h1 (the manager), h2, …; made by `up`, removed at the end of a ``with`` whatever
    happened, but for SKEP_KEEP_LAB."""

    def __init__(self, name, hosts, *options):
        self.name = name
        self.hosts = [f"h{number}" for number in range(1, hosts + 1)]
        self.options = [f"--daemon-option={option}" for option in options]
        self.client = shutil.which("docker")
        assert self.client, "there is no docker client: bin/test installs one"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not os.environ.get("SKEP_KEEP_LAB"):
            self.down()

    def up(self, *, swarm=True):
        self.down()
        self.skep("up", "--hosts", str(len(self.hosts)), "--wait", str(300 * SLOW), *self.options)
        if not swarm:
            return
        self.docker("h1", "swarm", "init", "--advertise-addr", self.address("h1"))
        token = self.docker("h1", "swarm", "join-token", "-q", "worker").strip()
        for host in self.hosts[1:]:
            self.docker(host, "swarm", "join", "--token", token, f"{self.address('h1')}:2377")

    def down(self):
        self.skep("down")

    def skep(self, verb, *options):
        done = subprocess.run(
            [*SKEP, verb, "--name", self.name, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        must(done.returncode == 0, f"skep lab {verb}: {done.stdout}{done.stderr}")
        return done.stdout

    def address(self, host):
        return f"192.168.90.{10 + int(host[1:])}"

    def address6(self, host):
        return f"fd00:90::{10 + int(host[1:])}"

    def socket(self, host):
        return f"/run/skep-lab/{self.name}/{host}/run/docker.sock"

    def tried(self, host, *arguments, stdin=None):
        """One docker command: exit code, output, complaints."""
        done = subprocess.run(
            [self.client, "-H", f"unix://{self.socket(host)}", *arguments],
            capture_output=True, text=True, timeout=300 * SLOW, check=False,
            input=stdin, env=os.environ | QUIET,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def docker(self, host, *arguments, stdin=None):
        """One docker command that must succeed; its output."""
        code, output, complaints = self.tried(host, *arguments, stdin=stdin)
        must(code == 0, f"docker {' '.join(arguments)} on {host}: {output}{complaints}")
        return output

    def inside(self, host, *command):
        """The command line that runs something inside a host: what `skep lab exec` becomes, a
        Python earlier. Run it in /, as that does."""
        return ["env", "-C", "/", "-u", "DOCKER_HOST", "nsenter", f"--target={self._init(host)}",
                *SPACES, "--", *command]  # fmt: skip

    def seen_outside(self, host, path):
        """A file of a host, as a path out here."""
        return Path(f"/proc/{self._init(host)}/root{path}")

    def _init(self, host):
        record = json.loads(Path(f"/run/skep-lab/{self.name}/{host}/init.json").read_text())
        return record["pid"]

    def run(self, host, *command, check=True):
        """Run something inside a host; its output."""
        done = subprocess.run(
            self.inside(host, *command),
            capture_output=True,
            text=True,
            timeout=300 * SLOW,
            check=False,
        )
        succeeded = not check or done.returncode == 0
        must(succeeded, f"{command} on {host}: {done.stdout}{done.stderr}")
        return done.stdout

    def sandbox(self, host, container):
        """The name of a container's namespace."""
        key = self.docker(host, "inspect", "-f", "{{.NetworkSettings.SandboxKey}}", container)
        return key.strip().rpartition("/")[2]

    def running(self, service, count):
        """Whether so many replicas of a service run."""
        listed = self.docker("h1", "service", "ls", "--format", "{{.Name}} {{.Replicas}}")
        # "(max 1 per node)" may follow.
        return [service, f"{count}/{count}"] in [line.split()[:2] for line in listed.splitlines()]

    def kill_daemon(self, host):
        """``kill -9`` of a host's skepd; answers its process id there."""
        pid = self.run(host, "pgrep", "-of", "skep.daemon --state").strip()
        self.run(host, "kill", "-9", pid)
        return pid

    def answers(self, host):
        """Whether the host's API answers."""
        return self.tried(host, "version")[0] == 0


def until(condition, seconds=30.0):
    """Wait for a condition; its value. A command of it that fails (of a daemon that is just being
    started, say) is as good as no. Fails the test when time is up."""
    deadline = time.monotonic() + seconds * SLOW
    pause = 0.05
    while True:
        failed = None
        try:
            if value := condition():
                return value
        except CommandError as failure:
            failed = failure
        assert time.monotonic() < deadline, "it did not come true in time" + (
            f": {failed}" if failed else ""
        )
        time.sleep(pause)
        # Asking is work as well, of which a busy machine has enough.
        pause = min(pause * 1.2, 0.4)
