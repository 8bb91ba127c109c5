"""The first process of a host: holds its namespaces, runs its daemon, reaps orphans.

``python -m skep.lab.init '<Order as JSON>'`` makes the namespaces, forks the host's process 1,
tells its number through the channel and ends. Process 1 furnishes the host, says so, waits for the
word that its network is plugged in, and then keeps the daemon running until it is told to end.
The other end of the channel is `skep.lab.launch`; when that one dies early, so does the host.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from skep.lab import cgroups, system
from skep.lab.furnish import furnish
from skep.lab.layout import Host
from skep.lab.records import DEATH, INIT_MARK

RESTART_DELAY = 0.5
"""Seconds between the daemon's death and its restart."""

_GRACE = 2.0
_NAMESPACES = (
    system.CLONE_NEWNS
    | system.CLONE_NEWUTS
    | system.CLONE_NEWIPC
    | system.CLONE_NEWNET
    | system.CLONE_NEWPID
)
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


class Order(msgspec.Struct, frozen=True):
    """What `launch` asks for: the host, its daemon's command, and the channel's descriptor."""

    lab: str
    number: int
    command: tuple[str, ...]
    channel: int


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line on the channel: process 1's number, or that it is ready, or why it cannot be."""

    pid: int = 0
    ready: bool = False
    error: str = ""


class Supervisor:
    """Keeps one command running and reaps everybody's children."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._daemon = 0
        self._start_at = 0.0

    def run(self) -> None:
        """Until SIGTERM; then ask all processes of the namespace to end, and return."""
        while True:
            if not self._daemon and time.monotonic() >= self._start_at:
                self._start()
            patience = None if self._daemon else self._start_at - time.monotonic()
            received = _next_signal(patience)
            if received in (signal.SIGTERM, signal.SIGINT):
                break
            self._reap()
        _say("ending")
        os.kill(-1, signal.SIGTERM)
        self._wait_for_all()

    def _start(self) -> None:
        try:
            self._daemon = os.posix_spawnp(
                self._command[0], self._command, os.environ, setsid=True, setsigmask=()
            )
        except OSError as error:
            _say(f"cannot start {self._command[0]}: {error.strerror}")
            self._start_at = time.monotonic() + RESTART_DELAY

    def _reap(self) -> bool:
        """Collect all that ended; whether any process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._daemon:
                self._daemon = 0
                self._start_at = time.monotonic() + RESTART_DELAY
                _say(f"{DEATH} ({_ending(status)}); starting it again")

    def _wait_for_all(self) -> None:
        deadline = time.monotonic() + _GRACE
        while self._reap() and (left := deadline - time.monotonic()) > 0:
            _next_signal(left)


def _next_signal(patience: float | None) -> int:
    """The next of our signals; 0 if none came within ``patience`` seconds (None: for ever)."""
    if patience is None:
        return signal.sigwaitinfo(_SIGNALS).si_signo
    received = signal.sigtimedwait(_SIGNALS, max(patience, 0.0))
    return 0 if received is None else received.si_signo


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _say(sentence: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    print(f"{stamp}{INIT_MARK}{sentence}", file=sys.stderr, flush=True)


def _first_process(order: Order, channel: socket.socket) -> int:
    """What process 1 does; its exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        os.chdir("/")
        furnish(Host(order.lab, order.number))
    except OSError as error:
        tell(channel, Report(error=f"{error.strerror}: {error.filename or 'mount'}"))
        return 1
    tell(channel, Report(ready=True))
    if not channel.recv(1):
        return 1  # whoever wanted this host is gone
    channel.close()
    Supervisor(order.command).run()
    return 0


def tell(channel: socket.socket, report: Report) -> None:
    """Send one report."""
    channel.sendall(msgspec.json.encode(report) + b"\n")


def main() -> int:
    """Make the namespaces and the host's process 1; the exit code."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    host = Host(order.lab, order.number)
    channel = socket.socket(fileno=order.channel)
    channel.set_inheritable(False)
    try:
        cgroups.enter(host)
        system.unshare(_NAMESPACES)
    except OSError as error:
        tell(channel, Report(error=f"cannot make namespaces: {error.strerror}"))
        return 1
    pid = os.fork()
    if pid == 0:
        os._exit(_first_process(order, channel))
    tell(channel, Report(pid=pid))
    return 0


def default_command() -> tuple[str, ...]:
    """The command line of a host's ``skepd``."""
    return (
        *(sys.executable, "-m", "skep.daemon", "--state", "/var/lib/skep", "--run", "/run/skep"),
        *("--socket", "/run/docker.sock", "--engine-root", str(Path("/var/lib/skep/engine"))),
    )


if __name__ == "__main__":
    sys.exit(main())
