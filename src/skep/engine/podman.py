"""Podman's service, kept running: a child of ours that ends with us, while containers live on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket as sockets
import struct
import time
from pathlib import Path
from typing import BinaryIO

import structlog

from skep.engine.extras import Extras
from skep.engine.limits import own_limits
from skep.engine.settings import (
    containers_conf,
    policy_json,
    registries_conf,
    storage_conf,
)
from skep.model.errors import Broken, Clash, Unavailable

NEEDED = ("podman", "runc", "conmon")
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONMON_PLACES = "/usr/libexec/podman:/usr/lib/podman"
"""Where distributions put conmon when it is not on the path."""

STARTING = 60.0
"""Seconds that the service may take to answer; its first start on a slow disk takes several."""

STOPPING = 5.0
"""Seconds between asking it to end and killing it."""

POLL = 0.02
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
STABLE = 10.0
"""A service that lived for so many seconds is restarted at once when it dies."""

log = structlog.get_logger("skep.engine")


def probe() -> None:
    """Raises `Broken`, with what to install, if something that the engine needs is missing."""
    lacking = [name for name in NEEDED if _which(name) is None]
    if lacking:
        verb = "is" if len(lacking) == 1 else "are"
        raise Broken(
            f"{' and '.join(lacking)} {verb} not installed; apt-get install podman runc conmon"
        )


class PodmanService:
    """``podman system service`` on the unix socket ``socket``, restarted when it dies.

    Images and containers are kept in ``root``, what is lost at a reboot in ``runroot`` (which must
    be on a tmpfs, or Podman does not notice reboots), settings and log in ``state``.
    """

    def __init__(self, root: str, runroot: str, socket: str, state: str) -> None:
        self._root = root
        self._runroot = runroot
        self._socket = socket
        self._state = Path(state)
        self._hooks = self._state / "hooks"
        self.extras = Extras(self._state / "extras", self._hooks)
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The service's process id, 0 if it does not run."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process is not None else 0

    @property
    def log(self) -> Path:
        """The file that takes what the service says."""
        return self._state / "podman.log"

    async def start(self) -> None:
        """Start it and wait until it answers; from then on it is kept running.

        A service that an earlier daemon left on the socket is ended first. Raises `Broken` (not
        installed, does not start, cannot mount overlays), `Clash` (the socket is somebody else's).
        """
        assert self._keeper is None, "the service was started already"
        probe()
        try:
            self._configure()
        except OSError as error:
            raise Broken(
                f"cannot write the engine's settings {error.filename}: {error.strerror}"
            ) from error
        await self._take_socket()
        try:
            await self._launch()
            await self._answering()
        except BaseException:
            await self._end()
            raise
        self._keeper = asyncio.create_task(self._keep(), name="podman")

    async def stop(self) -> None:
        """End it; containers live on."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end()
        Path(self._socket).unlink(missing_ok=True)

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            assert self._process is not None, "kept before it was launched"
            born = time.monotonic()
            code = await self._process.wait()
            log.warning("podman ended; it is started again", code=code, said=self._last_words())
            delay = (
                FIRST_DELAY if time.monotonic() - born > STABLE else min(2 * delay, LONGEST_DELAY)
            )
            await asyncio.sleep(delay)
            try:
                Path(self._socket).unlink(missing_ok=True)
                await self._launch()
            except OSError as error:
                # No memory for it just now, or no descriptor: it counts as one that ended at once.
                log.error("podman cannot be started", why=error.strerror or str(error))

    async def _launch(self) -> None:
        """A new session, so that a terminal's signals do not reach it; the kernel ends it when we
        end, however that happens."""
        with _appending(self.log) as said:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", "--", "podman"),
                *("--root", self._root, "--runroot", self._runroot),
                *("--tmpdir", f"{self._runroot}/libpod", "--storage-driver", "overlay"),
                *("system", "service", "--time", "0", f"unix://{self._socket}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self._environment(),
                start_new_session=True,
            )

    async def _answering(self) -> None:
        deadline = time.monotonic() + STARTING
        while not await _answers(self._socket):
            if not self.pid:
                raise Broken(_why_not(self._last_words(), self._root))
            if time.monotonic() > deadline:
                raise Unavailable(f"podman does not answer; it said: {self._last_words()}")
            await asyncio.sleep(POLL)

    async def _end(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOPPING)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _take_socket(self) -> None:
        """End the service that still listens on the socket, if any, and remove the socket."""
        listener = _listener(self._socket)
        if listener is not None:
            command = _command(listener)
            if command != "podman":
                raise Clash(f"{self._socket} is in use by {command or 'another host'} ({listener})")
            log.warning("ending the podman that an earlier daemon left", pid=listener)
            await _end_foreign(listener)
        Path(self._socket).unlink(missing_ok=True)

    def _configure(self) -> None:
        containers = self._state / ".config" / "containers"
        folders = (self._root, self._runroot, containers, self._hooks, self._state / "tmp")
        for directory in folders:
            Path(directory).mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in {
            "containers.conf": containers_conf(own_limits(), str(self._hooks)),
            "storage.conf": storage_conf(self._root, self._runroot),
            "registries.conf": registries_conf(),
            "policy.json": policy_json(),
        }.items():
            _write(containers / name, text)
        _write(self.log, "")

    def _environment(self) -> dict[str, str]:
        """No variable of ours reaches Podman. It looks for policy.json below HOME, and would want
        systemd's timers for health checks."""
        containers = self._state / ".config" / "containers"
        return {
            "PATH": PLACES,
            "HOME": str(self._state),
            "TMPDIR": str(self._state / "tmp"),
            "CONTAINERS_CONF": str(containers / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(containers / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(containers / "registries.conf"),
            "DISABLE_HC_SYSTEMD": "true",
        }

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").split("\n")
        except OSError:
            return "nothing"
        return next((line for line in reversed(lines) if line.strip()), "nothing")


def _write(path: Path, text: str) -> None:
    """Nothing is written that is there already: a full or read-only disk may have it. Raises
    OSError, and then the file is as it was."""
    if path.exists() and path.read_bytes() == text.encode():
        return
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text)
    scratch.replace(path)


def _appending(path: Path) -> BinaryIO:
    """A log to write to; nowhere, if the disk does not take it."""
    try:
        return path.open("ab")
    except OSError:
        return open(os.devnull, "ab")


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{PLACES}:{CONMON_PLACES}" if name == "conmon" else PLACES)


def _why_not(said: str, root: str) -> str:
    if "overlay" in said:
        return (
            f"podman cannot mount overlay file systems in {root}: keep it on ext4, xfs or btrfs of "
            f"a kernel that has overlay; it said: {said}"
        )
    return f"podman does not start; it said: {said}"


async def _answers(path: str) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    try:
        writer.write(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()


def _listener(path: str) -> int | None:
    """The process that listens on a unix socket: None for nobody, 0 for one we cannot see."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probing:
        try:
            probing.connect(path)
        except OSError:
            return None
        credentials = probing.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() if pid else ""
    except OSError:
        return ""


async def _end_foreign(pid: int) -> None:
    """End a process that is not our child: ask, wait, kill."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), STOPPING)
                return
    finally:
        loop.remove_reader(handle)
        os.close(handle)


__all__ = ["PodmanService", "probe"]
