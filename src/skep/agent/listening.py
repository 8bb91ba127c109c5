"""The ports that this host's own programs listen on, told to the manager when they change.

A published port takes what comes for it from every address of the host, so it should be nobody
else's: the manager refuses to publish what is taken, and says so of what is taken later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

import structlog

from skep.agent.news import News
from skep.kernel.sockets import UNSEEN, Seen
from skep.model.cluster import TakenPort
from skep.model.errors import Refusal

EVERY = 1.0
"""Seconds between looks."""

log = structlog.get_logger("skep.ports")

ANY = frozenset({"0.0.0.0", "::"})


class Listeners:
    """Looks and tells. ``sockets`` gives those that listen, with their protocols; ``holders`` who
    holds them; ``tell`` passes on what changed. ``published`` are the ports that containers of this
    host alone have, of which the manager must know as well."""

    def __init__(
        self,
        sockets: Callable[[], Awaitable[Sequence[tuple[str, Seen]]]],
        holders: Callable[[Collection[int]], Awaitable[Mapping[int, str]]],
        tell: Callable[[tuple[TakenPort, ...]], Awaitable[None]],
        published: Callable[[], Iterable[TakenPort]] = tuple,
    ) -> None:
        self._sockets = sockets
        self._holders = holders
        self._tell = tell
        self._published = published
        self._told: tuple[TakenPort, ...] | None = None
        self._known: dict[int, str] = {}
        self._news = News()

    async def run(self) -> None:
        """Look and tell until cancelled. What cannot be seen just now is looked at again."""
        while True:
            try:
                await self.look()
            except Refusal as refusal:
                if self._news.has("look", refusal):
                    log.warning("ports not looked at", why=str(refusal))
            else:
                self._news.well("look")
            await asyncio.sleep(EVERY)

    async def look(self) -> tuple[TakenPort, ...]:
        """What programs listen on now; told, if that is news."""
        found = await self._sockets()
        inodes = {seen.inode for _, seen in found}
        unknown = inodes - self._known.keys()
        if unknown:
            named = await self._holders(unknown)
            self._known |= {inode: named.get(inode, UNSEEN) for inode in unknown}
        self._known = {inode: words for inode, words in self._known.items() if inode in inodes}
        programs = {self._taken(protocol, seen) for protocol, seen in found}
        told = tuple(sorted({*programs, *self._published()}))
        if told != self._told:
            self._told = told
            await self._tell(told)
        return tuple(sorted(programs))

    def _taken(self, protocol: str, seen: Seen) -> TakenPort:
        address, port = seen.local
        return TakenPort(protocol, port, "" if address in ANY else address, self._known[seen.inode])
