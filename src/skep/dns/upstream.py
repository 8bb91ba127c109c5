"""Asking one upstream name server: datagrams over a connected socket, or a TCP connection.

The socket is connected, so the kernel discards what other addresses send; a reply counts only if
its id, drawn at random for each question, and its question are those that were sent.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

from skep.names import relay
from skep.names.wire import LARGEST_TCP, Query

PORT = 53
BATCH = 64

Tell = Callable[[bytes], None]
"""Takes a reply; an empty one says that the upstream cannot be reached."""


class Link:
    """A UDP socket connected to one upstream, shared by all questions that are under way to it."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[bytes, Tell]] = {}
        self.born = now
        self.used = now
        self._loop.add_reader(sock, self._read)

    @property
    def busy(self) -> bool:
        """Whether any question waits for a reply."""
        return bool(self._waiting)

    def expect(self, query: Query, tell: Tell) -> int:
        """Wait for the reply to a question; answers the id to send it under."""
        ident = secrets.randbelow(1 << 16)
        while ident in self._waiting:
            ident = secrets.randbelow(1 << 16)
        self._waiting[ident] = (query.question, tell)
        return ident

    def forget(self, ident: int) -> None:
        """No longer wait for this reply."""
        self._waiting.pop(ident, None)

    def send(self, ident: int, data: bytes) -> None:
        """Send a message under an id. If the socket is full it is lost, as any datagram may be."""
        waiting = self._waiting.get(ident)
        if waiting is None:
            return
        try:
            self._sock.send(ident.to_bytes(2, "big") + data[2:])
        except BlockingIOError:
            return
        except OSError:
            self._waiting.pop(ident)
            waiting[1](b"")

    def close(self) -> None:
        """Close the socket; whoever still waits is told that nothing will come."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self._give_up()

    def _read(self) -> None:
        for _ in range(BATCH):
            try:
                reply = self._sock.recv(LARGEST_TCP)
            except BlockingIOError:
                return
            except OSError:  # an ICMP message: nobody listens there, or no way leads there
                self._give_up()
                return
            self._take(reply)

    def _take(self, reply: bytes) -> None:
        ident = int.from_bytes(reply[:2], "big")
        waiting = self._waiting.get(ident)
        if waiting and relay.belongs(waiting[0], reply):
            del self._waiting[ident]
            waiting[1](reply)

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for _, tell in waiting.values():
            tell(b"")


async def exchange(sock: socket.socket, upstream: str, query: Query, data: bytes) -> bytes:
    """Ask one question over TCP; empty if the upstream cannot be reached or replies nonsense.

    The socket is closed at the end. The caller limits the time.
    """
    loop = asyncio.get_running_loop()
    ident = secrets.token_bytes(2)
    with sock:
        try:
            await loop.sock_connect(sock, (upstream, PORT))
            message = ident + data[2:]
            await loop.sock_sendall(sock, len(message).to_bytes(2, "big") + message)
            length = int.from_bytes(await receive(sock, 2), "big")
            reply = await receive(sock, length)
        except OSError:
            return b""
    return reply if reply[:2] == ident and relay.belongs(query.question, reply) else b""


async def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes. Raises ConnectionError if the other side ends before."""
    loop = asyncio.get_running_loop()
    parts = []
    while size:
        part = await loop.sock_recv(sock, size)
        if not part:
            raise ConnectionResetError("the other side ended within a message")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
