"""Interfaces that plugins made and that are gone: made again, while their containers run on."""

from __future__ import annotations

import asyncio

import structlog

from skep.agent.containers import Containers
from skep.agent.looking import look
from skep.agent.network import Network
from skep.agent.news import News
from skep.agent.records import Record
from skep.kernel.kernel import Kernel
from skep.model.errors import Missing, Refusal
from skep.model.host import Endpoint

LOOK = 10.0
"""Seconds between looks at whether the interfaces are there."""

log = structlog.get_logger("skep.plugins")


class Rejoining:
    """Looks after one host's endpoints on plugins' networks."""

    def __init__(self, kernel: Kernel, containers: Containers, network: Network) -> None:
        self._kernel = kernel
        self._containers = containers
        self._network = network
        self._news = News()

    async def run(self) -> None:
        """Look every `LOOK` seconds."""
        while True:
            await asyncio.sleep(LOOK)
            for record in list(self._network.records):
                for endpoint in record.endpoints:
                    if self._network.is_remote(endpoint.network_id):
                        await self._attempt(record, endpoint)

    async def _attempt(self, record: Record, endpoint: Endpoint) -> None:
        try:
            if not await self._gone(record, endpoint):
                return
            async with self._containers.held(record.id) as now:
                running = (await self._containers.state(record.id)).get("Running")
                if running and endpoint in now.endpoints and await self._gone(now, endpoint):
                    log.warning("an interface is gone", container=now.name, link=endpoint.link)
                    await self._network.rejoin(now, endpoint)
                    self._news.well(endpoint.id)
        except Missing:
            self._news.well(endpoint.id)
        except Refusal as refusal:
            if self._news.has(endpoint.id, refusal):
                log.warning("not joined again yet", container=record.name, why=str(refusal))

    async def _gone(self, record: Record, endpoint: Endpoint) -> bool:
        """Whether what a plugin made is neither in the sandbox nor on its way there."""
        box, handed = record.sandbox, endpoint.handed
        if box is None:
            return False
        if handed is None:
            return True
        seen = (await self._kernel.observe([box.namespace])).get(box.namespace)
        if seen is None or any(each.source == handed.source for each in seen.links.values()):
            return False
        return await look(self._kernel, handed.source) is None
