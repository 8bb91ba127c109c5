"""The sockets of one sandbox: UDP and TCP on the resolver's address inside its namespace."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from time import perf_counter

import msgspec

from skep.dns.budget import Budget
from skep.dns.forward import Forwarder
from skep.dns.responder import Responder
from skep.dns.upstream import receive
from skep.kernel.netns import identity
from skep.model.naming import RESOLVER, RESOLVER_PORT
from skep.names.wire import LARGEST_TCP, Query

BATCH = 64
"""Datagrams answered per wake-up, before other sandboxes have their turn."""

LARGEST_QUERY = 4096
"""Bytes of a question at most, over UDP and TCP."""

IDLE = 10.0
"""Seconds that a TCP client may take for a whole question, or for taking in a reply."""

PAUSE = 0.2
"""Seconds without accepting after the system refused to accept."""

RECEIVE_BUFFER = 1 << 20
BACKLOG = 64


class Sockets(msgspec.Struct, frozen=True):
    """A sandbox's listening sockets, and the namespace they are in."""

    namespace: tuple[int, int]
    udp: socket.socket
    tcp: socket.socket


def open_sockets() -> Sockets:
    """Open the listening sockets in the calling thread's namespace. Raises OSError."""
    flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | flags)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | flags)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        udp.bind((RESOLVER, RESOLVER_PORT))
        # Connections of a name server that was killed linger on this port.
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((RESOLVER, RESOLVER_PORT))
        tcp.listen(BACKLOG)
        return Sockets(identity(), udp, tcp)
    except OSError:
        udp.close()
        tcp.close()
        raise


class Datagrams:
    """Answers what comes in on the UDP socket."""

    def __init__(self, sock: socket.socket, responder: Responder, forwarder: Forwarder) -> None:
        self._sock = sock
        self._responder = responder
        self._forwarder = forwarder
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def close(self) -> None:
        """Close the socket; questions that were forwarded get no reply any more."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._under_way:
            task.cancel()

    def _read(self) -> None:
        receive_from, send_to = self._sock.recvfrom, self._sock.sendto
        counters = self._responder.counters
        kept, tally = self._responder.kept.get, counters.kept
        begun, answered = perf_counter(), 0
        try:
            for _ in range(BATCH):
                data, asker = receive_from(LARGEST_QUERY)
                found = kept(data[2:])
                if found is None:
                    answered += self._answer(data, asker)
                else:
                    reply, kind = found
                    tally[kind] += 1
                    send_to(data[:2] + reply, asker)
                    answered += 1
        except OSError:  # drained; or the reply has no room, and is lost as any datagram may be
            pass
        if answered:
            # Two looks at the clock for all of them: none of them took longer.
            counters.own.add(perf_counter() - begun, answered)

    def _answer(self, data: bytes, asker: tuple[str, int]) -> int:
        """Answer it, now (1) or when an upstream has (0)."""
        reply = self._responder.datagram(data)
        if isinstance(reply, Query):
            query = reply
            kept = self._forwarder.kept(query, data, query.size)
            if kept is None:
                task = self._loop.create_task(self._forward(query, data, asker))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                return 0
            reply = kept
        if reply:
            self._sock.sendto(reply, asker)
        return 1

    async def _forward(self, query: Query, data: bytes, asker: tuple[str, int]) -> None:
        begun = perf_counter()
        reply = await self._forwarder.datagram(query, data)
        self._responder.counters.upstream.add(perf_counter() - begun)
        try:
            self._sock.sendto(reply, asker)
        except OSError:  # the asker is gone, or has no room
            return


class Streams:
    """Answers TCP clients: one question after the other on each connection, so that a client can
    hold no more memory than one question and one reply take."""

    def __init__(
        self, sock: socket.socket, respond: Callable[[bytes], Awaitable[bytes]], budget: Budget
    ) -> None:
        self._sock = sock
        self._respond = respond
        self._budget = budget
        self._clients: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Close the socket and all connections."""
        if self._resume:
            self._resume.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._clients:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                client, _ = self._sock.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # no file descriptors left: the loop would spin on it
                self._loop.remove_reader(self._sock)
                self._resume = self._loop.call_later(
                    PAUSE, self._loop.add_reader, self._sock, self._accept
                )
                return
            self._welcome(client)

    def _welcome(self, client: socket.socket) -> None:
        if not self._budget.take():
            client.close()
            return
        client.setblocking(False)
        task = self._loop.create_task(self._serve(client))
        self._clients.add(task)
        task.add_done_callback(self._farewell)

    def _farewell(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        self._budget.give()

    async def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                while await self._exchange(client):
                    pass
            except (OSError, TimeoutError):  # it left, or is too slow
                return

    async def _exchange(self, client: socket.socket) -> bool:
        """One question and its reply; False if the connection is to end."""
        async with asyncio.timeout(IDLE):
            length = int.from_bytes(await receive(client, 2), "big")
            if length > LARGEST_QUERY:
                return False
            data = await receive(client, length)
        reply = await self._respond(data)
        if not reply:
            return False
        async with asyncio.timeout(IDLE):
            await self._loop.sock_sendall(client, len(reply).to_bytes(2, "big") + reply)
        return True


class Listener:
    """All of one sandbox's name service while its sockets are open."""

    def __init__(
        self, sockets: Sockets, responder: Responder, forwarder: Forwarder, clients: Budget
    ) -> None:
        self.namespace = sockets.namespace
        self.responder = responder
        self.forwarder = forwarder
        self._datagrams = Datagrams(sockets.udp, responder, forwarder)
        self._streams = Streams(sockets.tcp, self._stream, clients)

    def close(self) -> None:
        """Close every socket in the namespace, so that nothing keeps it alive."""
        self._datagrams.close()
        self._streams.close()
        self.forwarder.close()

    async def _stream(self, data: bytes) -> bytes:
        begun, counters = perf_counter(), self.responder.counters
        reply: bytes | Query | None = self.responder.stream(data)
        query = reply if isinstance(reply, Query) else None
        if query is not None:
            reply = self.forwarder.kept(query, data, LARGEST_TCP)
        if isinstance(reply, bytes):
            counters.own.add(perf_counter() - begun)
            return reply
        assert query is not None, "what is not answered is forwarded"
        found = await self.forwarder.stream(query, data)
        counters.upstream.add(perf_counter() - begun)
        return found
