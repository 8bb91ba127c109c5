"""Everything that one daemon measures, gathered when somebody asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from skep import __version__
from skep.model.readings import ClusterReadings, HostReadings, Readings


class Meter:
    """What `GET /metrics` reads. ``cluster`` answers None on hosts that are no manager."""

    def __init__(
        self,
        hostname: str,
        host: Callable[[], Awaitable[HostReadings]],
        cluster: Callable[[], ClusterReadings | None],
    ) -> None:
        self._hostname = hostname
        self._host = host
        self._cluster = cluster

    async def readings(self) -> Readings:
        """All of it, now."""
        return Readings(
            hostname=self._hostname,
            version=__version__,
            host=await self._host(),
            cluster=self._cluster(),
        )
