"""Telling plugins whose networks span hosts which hosts the swarm has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

import structlog

from skep.agent.news import News
from skep.model.errors import Refusal
from skep.plugin.calls import Declined
from skep.plugin.plugins import Nothing, Plugins
from skep.plugin.protocol import DriverCapabilities

LOOK = 5.0
"""Seconds between looks at whether something is new."""
NODE = 1
"""What ``DiscoveryType`` says of hosts."""
CAPABILITIES = "NetworkDriver.GetCapabilities"

log = structlog.get_logger("skep.plugins")


class Heralding:
    """``drivers`` are the plugins to look after, ``hosts`` the addresses that tunnels end at, and
    whether each is this host's own."""

    def __init__(
        self,
        plugins: Plugins,
        drivers: Callable[[], Collection[str]],
        hosts: Callable[[], Mapping[str, bool]],
    ) -> None:
        self._plugins = plugins
        self._drivers = drivers
        self._hosts = hosts
        self._told: dict[str, frozenset[str]] = {}
        self._wide: dict[str, bool] = {}
        self._news = News()

    async def run(self) -> None:
        """Tell what is new, every `LOOK` seconds."""
        while True:
            for plugin in self._drivers():
                await self.tell(plugin)
            await asyncio.sleep(LOOK)

    async def tell(self, plugin: str) -> None:
        """Tell one plugin what it does not know yet. One that gave no answer is told all anew."""
        hosts = self._hosts()
        known = self._told.get(plugin, frozenset())
        if hosts.keys() == known:
            return
        try:
            if not await self._is_wide(plugin):
                return
            for address in sorted(hosts.keys() - known):
                await self._say(plugin, "NetworkDriver.DiscoverNew", address, own=hosts[address])
            for address in sorted(known - hosts.keys()):
                await self._say(plugin, "NetworkDriver.DiscoverDelete", address, own=False)
        except Refusal as refusal:
            if self._news.has(plugin, refusal):
                log.warning("a plugin was not told of hosts", why=str(refusal))
            self._told.pop(plugin, None)
            self._wide.pop(plugin, None)
        else:
            self._told[plugin] = frozenset(hosts)
            self._news.well(plugin)

    async def _is_wide(self, plugin: str) -> bool:
        if plugin not in self._wide:
            able = await self._plugins.ask(plugin, CAPABILITIES, {}, DriverCapabilities)
            self._wide[plugin] = "global" in (able.scope, able.connectivity_scope)
        return self._wide[plugin]

    async def _say(self, plugin: str, call: str, address: str, *, own: bool) -> None:
        data = {"Address": address, "BindAddress": address, "Self": own}
        try:
            body = {"DiscoveryType": NODE, "DiscoveryData": data}
            await self._plugins.ask(plugin, call, body, Nothing)
        except Declined:
            # Many do not want to know.
            return
