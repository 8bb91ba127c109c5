"""A host for a test: namespaces of its own (mounts, processes, host name, network) and /run."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"
SERVICE = Path(__file__).with_name("service.py")

# bash, because process 1 has to reap the orphans.
INIT = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm &&
mkdir -p /run/netns /run/skep &&
hostname engine-test && ip link set lo up && echo up
while :; do sleep 0.2; done
"""


class EngineHost:
    """Made with ``with``; everything it made is gone afterwards."""

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="skep-engine-"))
        self.root = self.directory / "storage"
        # Outside of /run, which only the host sees.
        self.socket = str(self.directory / "engine.sock")
        self.started = []
        self._outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--uts",
             "--net", "--mount-proc", "--kill-child", "bash", "-c", INIT],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._outer.stdout.readline() == "up\n"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._init = int(children.read_text().split()[0])
        return self

    def __exit__(self, *_):
        containers = self._containers()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init, signal.SIGKILL)
        self._outer.wait(60)
        self._outer.stdout.close()
        for process in self.started:
            process.wait(60)
            process.stdout.close()
        for container in containers:
            for group in Path("/sys/fs/cgroup").glob(f"**/libpod_parent/libpod-{container}"):
                remove_group(group)
        for group in ("libpod_parent/conmon", "libpod_parent", "conmon"):
            for path in Path("/sys/fs/cgroup").glob(f"*/{group}"):
                with contextlib.suppress(OSError):  # another engine of the machine uses it
                    path.rmdir()
        shutil.rmtree(self.directory)

    def command(self, *words):
        return ["nsenter", "-t", str(self._init), "-m", "-p", "-u", "-n", "--", *words]

    def run(self, *words):
        """A command inside, its output."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=True)
        return done.stdout

    def spawn(self, *words):
        """A command inside that goes on; its output is a pipe."""
        process = subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )  # fmt: skip
        self.started.append(process)
        return process

    def serve(self, root=None):
        """Start the daemon; what it says ("ready PID" or "refused …"), and itself."""
        daemon = self.spawn(
            sys.executable, str(SERVICE), str(root or self.root), "/run/skep/engine", self.socket,
            str(self.directory / "state"),
        )  # fmt: skip
        said = iter(daemon.stdout.readline, "")
        return next(x.strip() for x in said if x.startswith(("ready ", "refused "))), daemon

    def daemon_pid(self):
        """The daemon's number inside."""
        return int(self.run("pgrep", "-f", str(SERVICE)).split()[0])

    def namespace(self, name):
        """A network namespace, pinned; its path."""
        self.run("ip", "netns", "add", name)
        self.run("ip", "-n", name, "link", "set", "lo", "up")
        return f"/run/netns/{name}"

    def _containers(self):
        try:
            known = json.loads((self.root / "overlay-containers" / "containers.json").read_text())
        except FileNotFoundError:
            return []
        return [container["id"] for container in known]


def remove_group(group):
    """Remove a control group once its last process has left."""
    deadline = time.monotonic() + 60
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < deadline, f"{group} stays busy"
            time.sleep(0.02)  # between two looks, not instead of one


def until(condition, seconds=60):
    """Poll a condition; its first true value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return found
