"""The skep-dns process: name tables come in on the control socket, answers go out in sandboxes.

It needs skepd only for news: when skepd goes away, everything is answered on as it was last told.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from skep.dns import frames
from skep.dns.claim import claimed
from skep.dns.frames import Alive, Amend, Counted, InForce, Ping, Replace, Stale, Stats
from skep.dns.output import bound
from skep.dns.sandboxes import Sandboxes
from skep.model.errors import Refusal
from skep.model.netstate import NETNS_DIR
from skep.names.change import changed

CONTROL = "/run/skep/dns.sock"
CHECK_EVERY = 1.0
"""Seconds between looks at the namespaces."""

log = structlog.get_logger("skep.dns")


class Control:
    """The conversations with skepd. The table belongs to the connection that replaced it last."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes
        self._owner: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()
        self._conversations: set[asyncio.Task[None]] = set()

    def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a new connection's requests until it ends."""
        task = asyncio.create_task(self._converse(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def close(self) -> None:
        """End all connections."""
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await frames.read(reader, frames.REQUESTS)) is not None:
                writer.write(frames.pack(await self._answer(request, writer)))
                await writer.drain()
        except frames.Garbled as error:
            log.warning("control connection closed", why=str(error))
        except ConnectionError:
            return
        finally:
            writer.close()

    async def _answer(
        self, request: Replace | Amend | Ping | Stats, writer: asyncio.StreamWriter
    ) -> frames.Message:
        if isinstance(request, Ping):
            return Alive(serial=request.serial, pid=os.getpid(), format=frames.FORMAT)
        if isinstance(request, Stats):
            return Counted(serial=request.serial, counts=self._sandboxes.counts())
        async with self._turn:
            if isinstance(request, Replace):
                self._owner = writer
                table = request.table
                log.info("names replaced", sandboxes=len(table.sandboxes))
            elif self._owner is writer:
                table = changed(self._sandboxes.table, request.change)
            else:
                return Stale(serial=request.serial)
            await self._sandboxes.adopt(table)
            return InForce(serial=request.serial, faults=self._sandboxes.faults)


async def serve(control: socket.socket, netns_dir: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sandboxes = Sandboxes(netns_dir)
    talk = Control(sandboxes)
    server = await asyncio.start_unix_server(talk.welcome, sock=control)
    watch = loop.create_task(_watch(sandboxes))
    ended = loop.create_task(stop.wait())
    log.info("serving", pid=os.getpid(), namespaces=str(netns_dir))
    # The watch ends only by a fault of ours, and then the process is to end with it.
    await asyncio.wait([watch, ended], return_when=asyncio.FIRST_COMPLETED)
    server.close()
    await talk.close()
    await sandboxes.close()
    if watch.done():
        await watch
    watch.cancel()
    log.info("stopped")


async def _watch(sandboxes: Sandboxes) -> None:
    while True:
        await asyncio.sleep(CHECK_EVERY)
        bound(sys.stdout.fileno())
        await sandboxes.check()


def raise_file_limit() -> None:
    """Allow as many files as we may have: each sandbox takes two sockets and its upstreams'."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run skep-dns; answers the exit code."""
    parser = argparse.ArgumentParser(prog="skep-dns", description="Skep's name server.")
    parser.add_argument("--control", type=Path, default=Path(CONTROL), metavar="SOCKET")
    parser.add_argument("--netns-dir", type=Path, default=Path(NETNS_DIR), metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    raise_file_limit()
    try:
        with claimed(options.control) as control:
            uvloop.run(serve(control, options.netns_dir))
    except Refusal as refusal:
        print(f"skep-dns: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
