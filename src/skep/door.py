"""Who is let in: a listener whose connections are bounded in number, whoever opens them.

A connection is kept while a request of it is being answered. All others, those that say nothing,
are slow to say it, or have not finished their TLS handshake, are so many at most: one more takes
the place of the one that has waited longest. So idle and slow clients cost a bounded number of
descriptors, and never keep anybody else out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import ClientConnectionResetError, web
from aiohttp.http import HttpProcessingError

WAITING = 128
"""Connections that wait for their handshake, and those that wait for a request, at most."""
KEPT = 1024
"""Connections on which a request is being answered, at most. Nobody new is let in beyond that."""
HANDSHAKE = 5.0
"""Seconds for a TLS handshake, and for saying goodbye."""
PAUSE = 0.2
"""Seconds without accepting after the system refused to accept."""
BACKLOG = 1024

LOG = logging.getLogger("skep.http")
"""What servers of HTTP are to log to. Requests that are none have their answer, and who has left
needs none; a traceback for each would let anybody fill the log."""
LOG.addFilter(lambda record: not _is_the_clients(record))

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _is_the_clients(record: logging.LogRecord) -> bool:
    faults = (HttpProcessingError, ClientConnectionResetError)
    return record.exc_info is not None and isinstance(record.exc_info[1], faults)


def listening_at(address: str, port: int) -> socket.socket:
    """A TCP listener at an IP address; "::" is all, of both families. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server(
        (address, port), family=family, backlog=BACKLOG, dualstack_ipv6=address == "::"
    )


def listening_on(path: Path, mode: int) -> socket.socket:
    """A listener on a unix socket, in place of what was there. Raises OSError."""
    opened = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        opened.bind(str(path))
        path.chmod(mode)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


class Door:
    """The way into one application, run by ``runner``; `middleware` is to be one of its middlewares
    if all of its requests keep their connections, else `keeping` is to be used by those that do."""

    def __init__(self, *, waiting: int = WAITING, kept: int = KEPT) -> None:
        self._most_waiting, self._most_kept = waiting, kept
        self._kept: set[asyncio.Protocol] = set()
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._server: web.Server | None = None
        self._context: ssl.SSLContext | None = None
        self._listening: asyncio.Task[None] | None = None

        @web.middleware
        async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
            with self.keeping(request):
                return await handler(request)

        self.middleware = keep

    @contextmanager
    def keeping(self, request: web.Request) -> Iterator[None]:
        """This request's connection does not make room for others meanwhile."""
        protocol = request.protocol
        self._kept.add(protocol)
        try:
            yield
        finally:
            self._kept.discard(protocol)

    @contextmanager
    def waiting(self, request: web.Request) -> Iterator[None]:
        """This request, whose connection is kept, has not arrived whole: meanwhile it makes room
        for others all the same."""
        protocol = request.protocol
        self._kept.remove(protocol)
        try:
            yield
        finally:
            self._kept.add(protocol)

    def open(
        self, server: web.Server, listener: socket.socket,
        context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        """Let in who comes by ``listener``, by TLS if there is a ``context``. Closes it in the
        end."""
        assert self._listening is None, "a door is opened once"
        listener.setblocking(False)
        self._server, self._context = server, context
        self._listening = asyncio.create_task(self._listen(listener))

    async def close(self) -> None:
        """Let nobody in any more. Those who are in stay."""
        ending = list(self._strangers)
        if self._listening is not None:
            ending.append(self._listening)
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:  # no descriptors left: one would spin on it
                    await asyncio.sleep(PAUSE)
                    continue
                if len(self._kept) >= self._most_kept:
                    connection.close()
                    continue
                self._make_room()
                task = loop.create_task(self._greet(connection))
                self._strangers[task] = None
                task.add_done_callback(self._strangers.pop)

    def _make_room(self) -> None:
        """Send those away who have waited longest, if there are too many."""
        assert self._server is not None, "it is open"
        if len(self._strangers) >= self._most_waiting:
            next(iter(self._strangers)).cancel()
        connections = self._server.connections
        if len(connections) - len(self._kept) < self._most_waiting:
            return
        next(each for each in connections if each not in self._kept).force_close()

    async def _greet(self, connection: socket.socket) -> None:
        """From an accepted socket to a connection of the server's."""
        assert self._server is not None, "it is open"
        limits = {} if self._context is None else {
            "ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": HANDSHAKE,
        }  # fmt: skip
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server, connection, ssl=self._context, **limits
            )
        except OSError:  # it left, is too slow, or does not speak TLS
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
