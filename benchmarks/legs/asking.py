"""`legs.asker` in a task's sandbox as server, and as client wherever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from legs import asker
from legs.hosts import Hosts
from legs.service import Task

ASKER = str(Path(asker.__file__).resolve())


class Held:
    """A connection that is kept open."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self) -> str:
        """Whom the server sees at the other end; or what went wrong."""
        assert self._process.stdin is not None, "it was started with a pipe"
        print("", file=self._process.stdin, flush=True)
        return told(self._process)


def told(process: subprocess.Popen[str]) -> str:
    """A line that a process prints."""
    assert process.stdout is not None, "it was started with a pipe"
    return process.stdout.readline().strip()


@contextmanager
def _running(hosts: Hosts, host: int, box: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    enter = ("nsenter", f"--net={box}") if box else ()
    process = subprocess.Popen(
        hosts.inside(host, *enter, sys.executable, ASKER, *words),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        # It ends with its input, which leaving the block closes.
        yield process


@contextmanager
def serving(hosts: Hosts, task: Task, port: int) -> Iterator[None]:
    """A server in a task's sandbox."""
    box = hosts.sandbox(task.host, task.id)
    with _running(hosts, task.host, box, "serve", str(port)) as process:
        if told(process) != "ready":
            raise RuntimeError("the server did not start")
        yield


@contextmanager
def held(hosts: Hosts, host: int, box: str, address: str, port: int) -> Iterator[Held]:
    """A connection from a host (``box`` "") or a sandbox there."""
    with _running(hosts, host, box, "hold", address, str(port)) as process:
        said = told(process)
        if said != "open":
            raise RuntimeError(f"no connection to {address}: {said}")
        yield Held(process)


def once(hosts: Hosts, host: int, protocol: str, address: str, port: int) -> str:
    """Whom the server saw of a request from a host; or what went wrong."""
    words = (sys.executable, ASKER, protocol, address, str(port))
    done = subprocess.run(hosts.inside(host, *words), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
