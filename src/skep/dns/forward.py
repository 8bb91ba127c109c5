"""Forwarding one sandbox's other questions: to all its upstreams at once, the best reply in time.

What upstreams reply is kept per sandbox and never shared: whoever rules a namespace can forge what
comes into it, and must not be able to forge it for others.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from skep.dns.budget import Budget
from skep.dns.counters import Counters
from skep.dns.upstream import PORT, Link, exchange
from skep.names import relay, wire
from skep.names.relay import Grade, Kept
from skep.names.wire import Answer, Query

PATIENCE = (0.8, 1.2)
"""Seconds to wait for replies after sending a datagram the first and the second time."""

GRACE = 0.25
"""Seconds that a "no" of a later upstream waits for the earlier ones to say better."""

KEPT = 256
"""Replies kept per sandbox at most."""

LINK_IDLE = 10.0
"""Seconds without a question after which a link's socket is closed."""

LINK_AGE = 60.0
"""Seconds after which a link is replaced, and with it the port that a forger must guess."""

Open = Callable[[socket.AddressFamily, socket.SocketKind], Awaitable[socket.socket]]
"""Opens a non-blocking socket in some namespace. Raises OSError."""


Ask = Callable[[Query, bytes], Awaitable[bytes]]
"""Asks all upstreams; an empty reply says that none has given any."""


class Doors(NamedTuple):
    """How sockets are opened: inside the sandbox, and in the host's namespace."""

    inside: Open
    host: Open


class Race:
    """One question put to several upstreams."""

    def __init__(self, entrants: int) -> None:
        self._replies: list[bytes] = [b""] * entrants
        self._grades: list[Grade | None] = [None] * entrants
        self._loop = asyncio.get_running_loop()
        self._grace: asyncio.TimerHandle | None = None
        self.result: asyncio.Future[bytes] = self._loop.create_future()

    def tell(self, entrant: int, reply: bytes) -> None:
        """An upstream's reply; an empty one if it cannot be reached."""
        if self.result.done():
            return
        self._replies[entrant] = reply
        self._grades[entrant] = relay.grade(reply) if reply else Grade.FAILURE
        winner = relay.choose(self._grades)
        if winner is not None:
            self.result.set_result(self._replies[winner])
        elif None not in self._grades:
            self.settle()
        elif self._grades[entrant] is Grade.NOTHING and self._grace is None:
            self._grace = self._loop.call_later(GRACE, self.settle)

    def settle(self) -> None:
        """Take the best of what has come; empty if nothing has."""
        if not self.result.done():
            spoken = relay.best(self._grades)
            self.result.set_result(b"" if spoken is None else self._best_reply(spoken))

    def end(self) -> None:
        """Nobody waits any longer."""
        self.result.cancel()
        if self._grace:
            self._grace.cancel()

    def _best_reply(self, spoken: int) -> bytes:
        """A failure that was spoken says more than an upstream that is out of reach."""
        return self._replies[spoken] or next(filter(None, self._replies), b"")


class Forwarder:
    """Forwards for one sandbox."""

    def __init__(
        self, upstreams: tuple[str, ...], doors: Doors, budget: Budget, counters: Counters
    ) -> None:
        self._doors = doors
        self._budget = budget
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Lock()
        self._links: dict[str, Link] = {}
        self._leaving: list[Link] = []
        self._kept: dict[bytes, tuple[float, Kept]] = {}
        self._upstreams = upstreams

    def redirect(self, upstreams: tuple[str, ...]) -> None:
        """Ask these upstreams from now on; what others replied is forgotten."""
        if upstreams != self._upstreams:
            self._upstreams = upstreams
            self._kept.clear()

    def kept(self, query: Query, data: bytes, limit: int) -> bytes | None:
        """The reply, if it was given lately, still holds and takes at most ``limit`` bytes."""
        key = relay.key_of(query, data)
        found = self._kept.get(key)
        if found is None:
            return None
        born, kept = found
        age = int(self._loop.time() - born)
        if age >= kept.lifetime:
            del self._kept[key]
            return None
        if len(kept.reply) > limit:
            return None
        self._counters.forwards += 1
        self._counters.forwards_kept += 1
        return relay.again(kept, query, age)

    async def datagram(self, query: Query, data: bytes) -> bytes:
        """Ask over UDP. Always a reply: SERVFAIL if there is no other."""
        return await self._bounded(self._ask_datagram, query, data)

    async def stream(self, query: Query, data: bytes) -> bytes:
        """Ask over TCP. Always a reply: SERVFAIL if there is no other."""
        return await self._bounded(self._ask_stream, query, data)

    def sweep(self) -> None:
        """Close links that nobody uses, and let old ones run out. To be called every second."""
        now = self._loop.time()
        for link in [link for link in self._leaving if not link.busy]:
            link.close()
            self._leaving.remove(link)
        for upstream, link in list(self._links.items()):
            if now - link.used > LINK_IDLE or now - link.born > LINK_AGE:
                self._leaving.append(self._links.pop(upstream))

    def close(self) -> None:
        """Close all sockets. Questions under way are answered with SERVFAIL."""
        for link in (*self._links.values(), *self._leaving):
            link.close()
        self._links.clear()
        self._leaving.clear()

    async def _bounded(self, ask: Ask, query: Query, data: bytes) -> bytes:
        reply = b""
        self._counters.forwards += 1
        if self._budget.take():
            try:
                reply = await ask(query, data)
            finally:
                self._budget.give()
            self._counters.failures += not reply
        else:
            self._counters.busy += 1
        if not reply:
            return wire.build(query, Answer(wire.SERVFAIL), query.size)
        self._keep(query, data, reply)
        return query.id.to_bytes(2, "big") + reply[2:]

    def _keep(self, query: Query, data: bytes, reply: bytes) -> None:
        kept = relay.keep(reply)
        if kept is None:
            return
        if len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[relay.key_of(query, data)] = (self._loop.time(), kept)

    async def _ask_datagram(self, query: Query, data: bytes) -> bytes:
        upstreams = self._upstreams
        race = Race(len(upstreams))
        waits = []
        try:
            for entrant, upstream in enumerate(upstreams):
                link = await self._link(upstream)
                if link is None:
                    race.tell(entrant, b"")
                else:
                    waits.append((link, link.expect(query, partial(race.tell, entrant))))
            for seconds in PATIENCE if upstreams else ():
                for link, ident in waits:
                    link.send(ident, data)
                done, _ = await asyncio.wait([race.result], timeout=seconds)
                if done:
                    break
            race.settle()
            return race.result.result()
        finally:
            race.end()
            for link, ident in waits:
                link.forget(ident)

    async def _ask_stream(self, query: Query, data: bytes) -> bytes:
        upstreams = self._upstreams
        race = Race(len(upstreams))

        async def enter(entrant: int, upstream: str) -> None:
            try:
                sock = await self._socket(upstream, socket.SOCK_STREAM)
            except (OSError, ValueError):
                race.tell(entrant, b"")
                return
            race.tell(entrant, await exchange(sock, upstream, query, data))

        entrants = [asyncio.create_task(enter(n, up)) for n, up in enumerate(upstreams)]
        try:
            if entrants:
                await asyncio.wait([race.result], timeout=sum(PATIENCE))
            race.settle()
            return race.result.result()
        finally:
            race.end()
            for task in entrants:
                task.cancel()

    async def _link(self, upstream: str) -> Link | None:
        """The link to an upstream, opened at need; None if no way leads there."""
        async with self._opening:
            link = self._links.get(upstream)
            if link is None:
                try:
                    sock = await self._socket(upstream, socket.SOCK_DGRAM)
                except (OSError, ValueError):
                    return None
                try:
                    sock.connect((upstream, PORT))
                except OSError:
                    sock.close()
                    return None
                link = self._links[upstream] = Link(sock, self._loop.time())
            link.used = self._loop.time()
            return link

    async def _socket(self, upstream: str, kind: socket.SocketKind) -> socket.socket:
        """A socket towards an upstream, in the namespace from which it is to be asked.

        Raises OSError, and ValueError if ``upstream`` is no address.
        """
        address = ipaddress.ip_address(upstream)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        door = self._doors.host if address.is_loopback else self._doors.inside
        return await door(family, kind)
