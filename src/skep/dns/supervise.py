"""Having a skep-dns: find the one that runs, or start one that outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from skep.dns.client import DnsClient
from skep.dns.frames import FORMAT, Alive
from skep.model.errors import Unavailable

START_TIMEOUT = 15.0
"""Seconds that a new server may take until it answers."""

STOP_TIMEOUT = 5.0
"""Seconds that a server which is replaced may take until it has ended."""

POLL = 0.05


async def ensure(
    socket_path: str | os.PathLike[str],
    log_path: str | os.PathLike[str],
    netns_dir: str | os.PathLike[str],
) -> None:
    """Have a server answer on the socket: the one that is there, or a new one.

    One that reads another form of tables (it is from before an upgrade) is replaced. A new one
    runs in a session of its own and survives the caller; it writes to ``log_path``.
    Raises `Unavailable` if it does not come up, with its own last words.
    """
    known = await _alive(socket_path)
    if known and known.format == FORMAT:
        return
    if known:
        await _end(known.pid)
    log = Path(log_path)
    process = _start(socket_path, log, netns_dir)
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT
    while not await _alive(socket_path):
        if process.poll() is not None:
            raise Unavailable(f"skep-dns ended with {process.returncode}: {last_line(log)}")
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"skep-dns does not answer {START_TIMEOUT:.0f} s after its start")
        await asyncio.sleep(POLL)


def last_line(log: Path) -> str:
    """The last line that a log holds, for a sentence that quotes it."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return "it left no log"
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


async def _alive(socket_path: str | os.PathLike[str]) -> Alive | None:
    client = DnsClient(socket_path)
    try:
        return await client.alive()
    except Unavailable:
        return None
    finally:
        await client.close()


async def _end(pid: int) -> None:
    """End a server, so that the socket is free for another one."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process, ended.set)
    try:
        for word in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(process, word)
            waiting = asyncio.ensure_future(ended.wait())
            await asyncio.wait([waiting], timeout=STOP_TIMEOUT)
            waiting.cancel()
            if ended.is_set():
                return
    finally:
        loop.remove_reader(process)
        os.close(process)


def _start(
    socket_path: str | os.PathLike[str], log: Path, netns_dir: str | os.PathLike[str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "skep.dns.server"]
    command += ["--control", os.fspath(socket_path), "--netns-dir", os.fspath(netns_dir)]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
    except OSError as error:
        raise Unavailable(f"cannot start skep-dns: {error}") from error
    # Not asyncio's: that would kill it when our loop ends. The thread only takes its exit status.
    threading.Thread(target=process.wait, name="skep-dns", daemon=True).start()
    return process
