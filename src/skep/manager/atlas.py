"""The picture of the cluster, kept up to date while somebody looks.

Every host is asked for a glance again and again, and answers as soon as something changed there;
what is decided here is heard at once. While nobody looks, nobody is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

from skep.cluster.state import State
from skep.model.errors import Missing, Refusal, Unavailable
from skep.model.glance import Glimpse
from skep.model.inspection import Glance, Question
from skep.topology.build import build
from skep.topology.delays import Matrix, matrix
from skep.topology.detail import Detail, detailed
from skep.topology.fold import Wanted, fold
from skep.topology.graph import Graph
from skep.topology.sources import Sources, flows_between

T = TypeVar("T")

EVERY = 1.0
"""Seconds between glances at a host where nothing changes: what rates are measured over."""
AT_LEAST = 0.15
"""Seconds between two glances at a host, and between two pictures for one onlooker."""
SHARE = 0.1
"""Of the time at most, a host is busy showing itself, but..."""
AT_MOST = 5.0
"""...for no longer it is left alone, however long it took: it may have stood still just then."""
WITHIN = 4.0
"""Seconds for a host's answer, beyond those it was asked to wait."""
AGAIN = 1.0
"""Seconds until a host that could not be asked is asked again."""
FRESH = 2.0
"""Seconds that a glimpse is good for, for somebody who asks once."""
SPAN = 0.5
"""Seconds at least over which rates are measured."""
LINGER = 5.0
"""Seconds that hosts are still asked after the last onlooker left: most come back."""
ONLOOKERS = 64
NOT_A_MANAGER = (
    "This host is no manager, so it does not know the whole cluster: ask a manager for the picture."
)


class Asks(Protocol):
    """Who asks hosts."""

    async def ask(self, node_id: str, what: Question, kind: type[T], within: float) -> T:
        """One host's answer. Raises refusals."""


class Atlas:
    """Pictures of the cluster. ``state`` gives None on a host that is no manager."""

    def __init__(self, asker: Asks, state: Callable[[], State | None]) -> None:
        self._asker = asker
        self._state = state
        self._glimpses: dict[str, Glimpse] = {}
        self._before: dict[str, Glimpse] = {}
        self._heard: dict[str, float] = {}
        self._silences: dict[str, str] = {}
        self._flows: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._onlookers = 0
        self._ending: asyncio.TimerHandle | None = None
        self._version = 0
        self._news = asyncio.Event()
        self._drawn: tuple[int, Graph] = (-1, Graph())

    # --- what is asked for

    async def graph(self, wanted: Wanted) -> Graph:
        """The picture now. Raises `Unavailable` on a host that is no manager."""
        await self._gather()
        return await asyncio.to_thread(fold, await self._whole(), wanted)

    async def matrix(self) -> Matrix:
        """How hosts reach each other. Raises `Unavailable` on a host that is no manager."""
        await self._gather()
        return matrix(self._sources())

    async def detail(self, id: str) -> Detail:
        """A thing, all of it. Raises `Missing`, `Unavailable`."""
        await self._gather()
        whole = await self._whole()
        thing = whole.things.get(id)
        if thing is None:
            raise Missing(f"there is nothing called {id} in the picture (any more)")
        glimpse = self._glimpses.get((thing.parent or thing.id).partition(":")[2])
        return detailed(whole, thing, glimpse)

    async def watch(self, wanted: Wanted) -> AsyncGenerator[Graph, None]:
        """The picture, and again each time that it may have changed: the newest one whenever the
        onlooker is ready for it. Raises `Unavailable`."""
        if self._onlookers >= ONLOOKERS:
            raise Unavailable(f"{ONLOOKERS} onlookers are there already: close some pages")
        self._must()
        self._onlookers += 1
        self._follow_all()
        try:
            await self._gather()
            while True:
                seen, begun = self._version, time.monotonic()
                yield await asyncio.to_thread(fold, await self._whole(), wanted)
                while self._version == seen:
                    await self._news.wait()
                await asyncio.sleep(max(AT_LEAST - (time.monotonic() - begun), 0.0))
        finally:
            self._onlookers -= 1
            if not self._onlookers:
                self._ending = asyncio.get_running_loop().call_later(LINGER, self._rest)

    def changed(self) -> None:
        """The cluster's state is about to be another one."""
        self._tell()
        if self._onlookers:
            asyncio.get_running_loop().call_soon(self._follow_all)

    def close(self) -> None:
        """Ask nobody any more."""
        for task in self._following.values():
            task.cancel()
        self._following.clear()

    # --- drawing

    def _must(self) -> State:
        state = self._state()
        if state is None:
            raise Unavailable(NOT_A_MANAGER)
        return state

    def _sources(self) -> Sources:
        state = self._must()
        nodes = tuple(state.nodes.values())
        return Sources(
            nodes=nodes,
            networks=tuple(state.networks.values()),
            services=tuple(state.services.values()),
            tasks=tuple(state.tasks.values()),
            # Of a host that is down, what it showed last is no longer so.
            glimpses={each.id: self._glimpses[each.id] for each in nodes
                      if each.id in self._glimpses and each.state != "down"},
            silences=dict(self._silences),
            flows=dict(self._flows),
        )  # fmt: skip

    async def _whole(self) -> Graph:
        version = self._version
        if self._drawn[0] != version:
            self._drawn = version, await asyncio.to_thread(build, self._sources())
        return self._drawn[1]

    def _tell(self) -> None:
        self._version += 1
        self._news.set()
        self._news = asyncio.Event()

    # --- asking

    async def _gather(self) -> None:
        """Have glimpses of all hosts that are not older than `FRESH`; of those that answer."""
        now = time.monotonic()
        stale = [
            node_id
            for node_id in self._must().nodes
            if now - self._heard.get(node_id, -FRESH) >= FRESH
        ]
        await asyncio.gather(*(self._look(node_id, Glance()) for node_id in stale))

    def _follow_all(self) -> None:
        """Ask every host that there is, while somebody looks."""
        state = self._state()
        nodes = state.nodes if state and self._onlookers else {}
        for node_id in [each for each in self._following if each not in nodes]:
            self._following.pop(node_id).cancel()
            self._forget(node_id)
        for node_id in nodes:
            if node_id not in self._following:
                self._following[node_id] = asyncio.create_task(self._follow(node_id))

    def _forget(self, node_id: str) -> None:
        for known in (self._glimpses, self._before, self._silences, self._flows, self._heard):
            known.pop(node_id, None)

    def _rest(self) -> None:
        if not self._onlookers:
            self.close()
            self._flows.clear()
            self._before.clear()

    async def _follow(self, node_id: str) -> None:
        """Glance at one host again and again."""
        while True:
            known = self._glimpses.get(node_id)
            begun = time.monotonic()
            after = known.turn if known else -1
            # Who was silent says at once that it is back, though nothing may have changed on it.
            patience = EVERY if known and node_id not in self._silences else 0.0
            took = await self._look(node_id, Glance(after=after, seconds=patience))
            if took is None:
                await asyncio.sleep(AGAIN)
                continue
            pause = min(max(AT_LEAST, took / SHARE), AT_MOST)
            await asyncio.sleep(max(pause - (time.monotonic() - begun), 0.0))

    async def _look(self, node_id: str, what: Glance) -> float | None:
        """One glance at a host; how long it took to show itself, None if it did not."""
        begun = time.monotonic()
        try:
            glimpse = await self._asker.ask(node_id, what, Glimpse, WITHIN + what.seconds)
        except Refusal as refusal:
            self._heard[node_id] = time.monotonic()
            if self._silences.get(node_id) != str(refusal):
                self._silences[node_id] = str(refusal)
                self._flows.pop(node_id, None)
                self._tell()
            return None
        self._heard[node_id] = time.monotonic()
        self._silences.pop(node_id, None)
        known = self._glimpses.get(node_id)
        before = self._before.setdefault(node_id, glimpse)
        if glimpse.at - before.at >= SPAN:
            self._flows[node_id] = flows_between(before, glimpse)
            self._before[node_id] = glimpse
        self._glimpses[node_id] = glimpse
        self._tell()
        waited = what.seconds if known is not None and known.turn == glimpse.turn else 0.0
        return max(time.monotonic() - begun - waited, 0.0)
