"""What plugins were asked for and have not been given back yet: on disk before it is asked for.

A debt is the call that gives something back. It is written down before the plugin is asked, so that
whatever a crash of either side leaves behind is on record. It stays until the plugin has taken it
back, or says that it will not; who is silent is asked again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path

import msgspec
import structlog

from skep.agent.news import News
from skep.agent.statefile import read, write_atomically
from skep.model.errors import Refusal
from skep.plugin.calls import Declined
from skep.plugin.plugins import Plugins

RETRY = 10.0
"""Seconds between attempts to give back what nobody needs any more."""
SHORTLY = 2.0
"""Seconds that a container's end waits for its plugins; they have more time behind its back."""
ANEW = "move it away to start anew, and have the plugins of this host forget what it asked them for"

log = structlog.get_logger("skep.plugins")


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """A call that gives back what the plugin was asked for on behalf of ``owner``, the id of an
    endpoint or of a network."""

    owner: str
    plugin: str
    call: str
    body: dict[str, str]


class Debts:
    """The debts of one host, in memory and in the file ``path``, oldest first."""

    def __init__(self, path: Path, plugins: Plugins) -> None:
        self._path = path
        self._plugins = plugins
        self._debts: tuple[Debt, ...] = ()
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming: set[str] = set()
        self._news = News()
        self.living: Callable[[], Collection[str]] = lambda: ()
        """The ids of all endpoints and networks that there are."""

    def load(self) -> None:
        """Read the file if there is one. Raises `Broken` if it cannot be understood."""
        self._debts = read(self._path, tuple[Debt, ...], mend=ANEW) or ()

    def __iter__(self) -> Iterator[Debt]:
        return iter(self._debts)

    def of(self, owner: str) -> tuple[Debt, ...]:
        """What is owed for an owner, oldest first."""
        return tuple(each for each in self._debts if each.owner == owner)

    def owe(self, debt: Debt) -> None:
        """Write a debt down. Raises `Broken` if it cannot be written."""
        if debt not in self._debts:
            self._save((*self._debts, debt))

    def cancel(self, debt: Debt) -> None:
        """What was asked for was not given."""
        self._save(tuple(each for each in self._debts if each != debt))

    @contextlib.asynccontextmanager
    async def coming(self, owners: Collection[str]) -> AsyncIterator[None]:
        """While owners come into being nothing of theirs is given back; if they do not, all is."""
        self._coming.update(owners)
        try:
            yield
        except BaseException:
            self._coming.difference_update(owners)
            await self.let_go(owners)
            raise
        self._coming.difference_update(owners)

    async def settle(self, owner: str, calls: Collection[str] = ()) -> None:
        """Give back all that is owed for an owner (only by ``calls``, if there are any), the latest
        first. Raises `Silent` or `Absent` where a plugin does not take it; the rest stays owed."""
        async with self._locks.setdefault(owner, asyncio.Lock()):
            for debt in reversed(self.of(owner)):
                if calls and debt.call not in calls:
                    continue
                try:
                    await self._plugins.tell(debt.plugin, debt.call, debt.body)
                except Declined as declined:
                    log.warning("a plugin takes nothing back", why=str(declined))
                self.cancel(debt)
        self._news.well(owner)
        if not self.of(owner):
            self._locks.pop(owner, None)

    async def let_go(self, owners: Collection[str]) -> None:
        """Give back what is owed for owners that are no more, later on if plugins are slow."""
        gone = [each for each in owners if each not in self._coming and self.of(each)]
        tasks = [asyncio.create_task(self._attempt(each)) for each in gone]
        for task in tasks:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=SHORTLY)

    async def run(self) -> None:
        """Give back what is left, as long as there is something."""
        while True:
            kept = {*self.living(), *self._coming}
            left = {debt.owner for debt in self._debts if debt.owner not in kept}
            for owner in sorted(left):
                await self._attempt(owner)
            await asyncio.sleep(RETRY)

    async def _attempt(self, owner: str) -> None:
        if owner in self.living():
            return
        try:
            await self.settle(owner)
        except Refusal as refusal:
            if self._news.has(owner, refusal):
                log.warning("not given back yet", owner=owner[:12], why=str(refusal))

    def _save(self, debts: tuple[Debt, ...]) -> None:
        write_atomically(self._path, msgspec.json.encode(debts))
        self._debts = debts
