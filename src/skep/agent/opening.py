"""Sending a new task clients only when it listens.

A container runs from the moment its process does, which may be a while before that process listens
on its ports. Whoever is sent there in between is refused, so a task counts as running a moment
later: when somebody in its sandbox listens on all ports that are known to be its own. That is a
matter of a few hundredths of a second; one that takes longer needs a health check to say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from skep.agent.ports import Port
from skep.model.assignment import Assignment
from skep.model.cluster import Task
from skep.model.spec import PortConfig

WITHIN = 1.0
"""Seconds that a process has to listen, by this daemon's own turns: on a machine that keeps the one
waiting for the processor, the other waits as well."""

LOOK = 0.02
"""Seconds between looks."""

SEEN = ("tcp", "udp")
"""Protocols whose listeners can be seen."""


class Opening:
    """Waits for listeners. ``listeners`` says on which ports somebody listens in a namespace."""

    def __init__(self, listeners: Callable[[str], Awaitable[Collection[Port]]]) -> None:
        self._listeners = listeners

    async def wait(self, namespace: str, ports: Collection[Port], over: Callable[[], bool]) -> None:
        """Return when all ``ports`` are listened on, time is up, or it is ``over`` anyway."""
        for _ in range(round(WITHIN / LOOK) if ports else 0):
            if over():
                return
            if set(ports) <= set(await self._listeners(namespace)):
                return
            await asyncio.sleep(LOOK)


def ports_of(task: Task, exposed: Collection[str], assignment: Assignment) -> frozenset[Port]:
    """The ports that a task is known to serve: those that its image exposes ("80/tcp") and those
    that its service publishes."""
    named = (word.partition("/") for word in exposed)
    found = {(protocol or "tcp", int(number)) for number, _, protocol in named}
    found |= {
        (port.protocol, port.target_port)
        for port in (*task.host_ports, *_published(task.service_id, assignment))
    }
    return frozenset(each for each in found if each[0] in SEEN)


def _published(service_id: str, assignment: Assignment) -> tuple[PortConfig, ...]:
    for network in assignment.networks.values():
        service = network.services.get(service_id)
        if service is not None and service.ports:
            return service.ports
    return ()
