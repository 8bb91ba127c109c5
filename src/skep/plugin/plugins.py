"""The plugins of a host: found by name when something is asked of them, and activated once."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec

from skep.model.errors import Invalid, Missing
from skep.plugin.calls import Request, Silent, fitting, send
from skep.plugin.discovery import Folders, Place

T = TypeVar("T")

NETWORK, IPAM = "NetworkDriver", "IpamDriver"

DEADLINE = 15.0
"""Seconds until an answer must be there, unless skepd is told otherwise."""
PATIENCE = 3.0
"""Seconds in which a plugin that does not listen is asked again: it may be starting anew."""


class Absent(Missing):
    """There is no plugin of that name."""


class _Activated(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer to ``Plugin.Activate``."""

    implements: tuple[str, ...] = ()


class Nothing(msgspec.Struct, frozen=True):
    """An answer in which nothing is looked for."""


class Plugins:
    """What plugins are asked through."""

    def __init__(self, folders: Folders | None = None, deadline: float = DEADLINE) -> None:
        self._folders = Folders() if folders is None else folders
        self.deadline = deadline
        self._active: dict[str, tuple[Place, frozenset[str]]] = {}
        self._activating: dict[str, asyncio.Lock] = {}

    def active(self, kind: str) -> tuple[str, ...]:
        """The names of those that were activated and implement something."""
        return tuple(sorted(name for name, (_, kinds) in self._active.items() if kind in kinds))

    async def ask(self, plugin: str, call: str, body: Any, shape: type[T]) -> T:
        """What a plugin answers to a call ("NetworkDriver.Join"). Raises `Absent`, `Invalid` if it
        is no plugin for that, `Silent`, `Declined`."""
        place = await self._ready(plugin, call.partition(".")[0])
        return await self._asked(place, self._request(plugin, call, body, PATIENCE), shape)

    async def tell(self, plugin: str, call: str, body: Any) -> None:
        """Give back what a plugin was asked for: as `ask`, but nobody waits for a plugin that does
        not listen."""
        place = self._place(plugin)
        await self._asked(place, self._request(plugin, call, body, 0.0), Nothing)

    async def _asked(self, place: Place, request: Request, shape: type[T]) -> T:
        try:
            return fitting(request, await send(place, request), shape)
        except Silent:
            # Whoever comes next at this place may be another one.
            self._active.pop(request.plugin, None)
            raise

    async def _ready(self, plugin: str, kind: str) -> Place:
        """Where a plugin is that was activated there. Raises what `ask` does."""
        place = self._place(plugin)
        async with self._activating.setdefault(plugin, asyncio.Lock()):
            known = self._active.get(plugin)
            if known is None or known[0] != place:
                request = self._request(plugin, "Plugin.Activate", None, PATIENCE)
                answer = fitting(request, await send(place, request), _Activated)
                known = place, frozenset(answer.implements)
                self._active[plugin] = known
        if kind not in known[1]:
            kinds = ", ".join(sorted(known[1])) or "nothing"
            raise Invalid(f'plugin "{plugin}" is no {kind}: it implements {kinds}')
        return place

    def _place(self, plugin: str) -> Place:
        place = self._folders.find(plugin)
        if place is None:
            self._active.pop(plugin, None)
            raise Absent(
                f'could not find plugin {plugin} in v1 plugin registry: plugin "{plugin}" not found'
            )
        return place

    def _request(self, plugin: str, call: str, body: Any, patience: float) -> Request:
        return Request(
            plugin=plugin, call=call, body=body, deadline=self.deadline, patience=patience
        )
