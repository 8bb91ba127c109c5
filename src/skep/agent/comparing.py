"""Holding what is on record against what the engine has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

import structlog

from skep.agent.claiming import claim
from skep.agent.containers import Containers
from skep.agent.network import Network
from skep.engine.client import Engine
from skep.model.errors import EngineLost, Refusal

COMPARE = 30.0
"""Seconds between complete looks at the engine's containers."""

BACK_WITHIN, AGAIN = 10.0, 0.5
"""Seconds that an engine has to come back that goes away just when this daemon begins, and seconds
between tries."""

ALIVE = frozenset({"running", "paused", "stopping"})
"""The engine's words for containers that have a process."""

log = structlog.get_logger("skep.comparing")


class Comparison:
    """Of one host. ``ended`` is called with the containers that are found not to run."""

    def __init__(
        self, containers: Containers, network: Network, engine: Engine,
        ended: Callable[[str], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._containers = containers
        self._network = network
        self._engine = engine
        self._ended = ended
        self._looked_at: set[str] = set()

    async def run(self) -> None:
        """Now and then, until cancelled, for what no event told of: the engine may have died
        between doing and saying."""
        while True:
            await asyncio.sleep(COMPARE)
            await self._survive(self.compare())

    async def begin(self) -> list[str]:
        """`compare`, with patience for an engine that is being started anew just now."""
        due = time.monotonic() + BACK_WITHIN
        while True:
            try:
                return await self.compare()
            except EngineLost as lost:
                if time.monotonic() >= due:
                    raise
                log.warning("the engine is not there; trying again", why=str(lost))
            await asyncio.sleep(AGAIN)

    async def compare(self) -> list[str]:
        """End what was begun and interrupted, drop the vanished, free the stopped, put those that
        run back on their networks; the ids of these. Raises what the engine refuses."""
        # Read before the engine is asked: what is made meanwhile is in neither or in both.
        records = list(self._network.records)
        found = {item["Id"]: item.get("State") for item in await self._engine.containers()}
        for record in records:
            if record.is_draft:
                await self._survive(self._containers.settle(record))
            elif record.id not in found:
                await self._survive(self._containers.vanished(record.id))
            elif found[record.id] not in ALIVE:
                await self._ended(record.id)
            else:
                await self._survive(self._containers.revived(record.id))
        await self._claim(found)
        return [record.id for record in records if found.get(record.id) in ALIVE]

    async def _claim(self, found: Collection[str]) -> None:
        """Look at what the engine has beside what is on record, until it could be looked at."""
        if self._containers.creating:
            return  # one of them may be what is being made
        known = {record.id for record in self._network.records}
        unseen = set()
        for container_id in set(found) - known - self._looked_at:
            if not await self._survive(claim(self._network, self._engine, container_id)):
                unseen.add(container_id)
        self._looked_at = set(found) - unseen

    async def _survive(self, work: Awaitable[object]) -> bool:
        """Do it; False, and a line in the log, if it was refused."""
        try:
            await work
        except Refusal as refusal:
            log.warning("not as it should be yet", why=str(refusal))
            self._network.converger.want()
            return False
        return True
