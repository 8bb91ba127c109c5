"""Starting the hosts' first processes, from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from skep.lab import records
from skep.lab.init import Order, Report
from skep.lab.layout import Host
from skep.lab.records import Process
from skep.model.errors import Broken

_PATIENCE = 180.0
"""Seconds a host may take to stand: the kernel first removes the namespaces of earlier
ones, and an emulated machine takes its time."""


class Launch:
    """A host on its way: ``begin`` all of them first, then ``finish`` each."""

    def __init__(self, host: Host, command: tuple[str, ...]) -> None:
        self._host = host
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_PATIENCE)
        order = Order(host.lab, host.number, command, theirs.fileno())
        with theirs, host.log.open("ab") as log:
            self._launcher = subprocess.Popen(
                [sys.executable, "-m", "skep.lab.init", msgspec.json.encode(order).decode()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_environment(),
                cwd="/",
            )
        self._lines = self._channel.makefile("rb")

    def furnished(self) -> Process:
        """Wait until the host stands, still without network. Raises `Broken` with the reason."""
        # Two processes write to the channel, so either report can be the first.
        pid, ready = 0, False
        while not (pid and ready):
            report = self._report()
            pid, ready = report.pid or pid, report.ready or ready
        process = records.observe(pid)
        if process is None:
            raise self._ended()
        return process

    def go(self) -> None:
        """The network is plugged in: let the daemon start."""
        self._channel.sendall(b"g")

    def close(self) -> None:
        """Hang up. A host that was not told to go ends by that."""
        self._lines.close()
        self._channel.close()
        self._launcher.wait()

    def _report(self) -> Report:
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise Broken(f"{self._host.name} did not stand within {_PATIENCE:g} s") from error
        if not line:
            raise self._ended()
        report = msgspec.json.decode(line, type=Report)
        if report.error:
            raise Broken(f"{self._host.name}: {report.error}")
        return report

    def _ended(self) -> Broken:
        said = records.last_words(self._host.log)
        return Broken(f"{self._host.name}: its first process ended: {said}")


@contextmanager
def launched(hosts: tuple[Host, ...], command: tuple[str, ...]) -> Iterator[list[Launch]]:
    """Begin all hosts at once; hang up on leaving, whatever happened."""
    begun: list[Launch] = []
    try:
        begun.extend(Launch(host, command) for host in hosts)
        yield begun
    finally:
        for launch in begun:
            launch.close()


def _environment() -> dict[str, str]:
    """What a daemon on a machine of its own would find; ours to say where Skep's code is."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("SKEP_")}
    if "PYTHONPATH" in os.environ:
        kept["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return kept | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
