"""The lab that is measured in: hosts that are a swarm, and ways to have things done there."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from skep.lab.layout import Lab

SKEP = (sys.executable, "-m", "skep.cli.main", "lab")
MANAGER, WORKER = 1, 2
SLOW = 10 if os.environ.get("SKEP_GUEST") else 1
"""How many times as long everything may take: an emulated machine is as slow."""
PATIENCE = 60.0 * SLOW
ENDINGS = (signal.SIGINT, signal.SIGTERM)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Hosts:
    """The hosts h1 (the manager), h2 … of a lab, by number."""

    def __init__(self, lab: Lab, count: int) -> None:
        self._lab = lab
        self.numbers = range(1, count + 1)
        found = shutil.which("docker", path=f"{os.environ['PATH']}:{Path(sys.executable).parent}")
        assert found, "there is no docker client: bin/bench installs one"
        self._client = found
        kept = {name: value for name, value in os.environ.items() if "DOCKER" not in name}
        self._environment = kept | {"DOCKER_CLI_HINTS": "false"}

    def docker(self, host: int, *arguments: str) -> str:
        """One docker command; its output. Raises CalledProcessError."""
        return subprocess.run(
            [self._client, "-H", f"unix://{self._lab.host(host).socket}", *arguments],
            check=True, stdout=subprocess.PIPE, text=True, env=self._environment,
        ).stdout.strip()  # fmt: skip

    def api(self, host: int, method: str, path: str, body: Any = None) -> Any:
        """One request on a connection of its own; the decoded answer, None if it is empty."""
        connection = _UnixConnection(self._lab.host(host).socket)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {content.decode(errors='replace')}")
        return json.loads(content) if content.strip() else None

    def inside(self, host: int, *command: str) -> list[str]:
        """The command line that runs something inside a host."""
        return [*SKEP, "exec", "--name", self._lab.name, f"h{host}", "--", *command]

    def address(self, host: int) -> str:
        """A host's address on the underlay."""
        return self._lab.host(host).address

    def sandbox(self, host: int, container: str) -> str:
        """Where a container's network namespace is pinned, inside its host."""
        return self.docker(host, "inspect", "-f", "{{.NetworkSettings.SandboxKey}}", container)

    def namespaces(self, host: int) -> set[str]:
        """The names of the network namespaces pinned in a host."""
        return set(os.listdir(self._lab.host(host).run / "netns"))

    def make_swarm(self) -> None:
        """Let all hosts join the first."""
        manager = self.address(MANAGER)
        self.docker(MANAGER, "swarm", "init", "--advertise-addr", manager)
        token = self.docker(MANAGER, "swarm", "join-token", "-q", "worker")
        for host in self.numbers[1:]:
            self.docker(host, "swarm", "join", "--token", token, f"{manager}:2377")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that takes a moment. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.02)


@contextmanager
def lab_of(count: int) -> Iterator[Hosts]:
    """A lab with a name of its own, gone afterwards whatever happens."""
    lab = Lab(f"bench-{os.getpid()}")
    signal.signal(signal.SIGTERM, _end)
    try:
        _lab("up", lab, "--hosts", str(count), "--wait", f"{PATIENCE:.0f}")
        hosts = Hosts(lab, count)
        hosts.make_swarm()
        yield hosts
    finally:
        # A second Ctrl-C would leave half of it behind.
        restore = {number: signal.signal(number, signal.SIG_IGN) for number in ENDINGS}
        _lab("down", lab)
        for number, handler in restore.items():
            signal.signal(number, handler)


def _lab(verb: str, lab: Lab, *options: str) -> None:
    subprocess.run([*SKEP, verb, "--name", lab.name, *options], check=True, stdout=sys.stderr)


def _end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the handler's form
    sys.exit(128 + number)
