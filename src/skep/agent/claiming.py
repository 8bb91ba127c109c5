"""Containers that the engine has, which are ours, and of which no record can be read any more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from skep.agent.network import Network
from skep.agent.records import Record, Wanted
from skep.engine.client import Engine
from skep.model.errors import Missing

Json = dict[str, Any]

TASK = "com.docker.swarm.task"
"""What the labels of a service's task are named after."""

log = structlog.get_logger("skep.claiming")


async def claim(network: Network, engine: Engine, container_id: str) -> None:
    """Look at a container that is not on record. If Skep made it, a task's is removed, since the
    cluster makes another one; any other is put on record again, as far as that is known.

    Raises what the engine refuses, and `Broken` if the record cannot be written.
    """
    try:
        found = await engine.inspect(container_id)
    except Missing:
        return  # it went meanwhile
    sandbox_id = _sandbox_of(found, network.etc.folder)
    if not sandbox_id:
        return
    name = str(found.get("Name") or "").removeprefix("/")
    labels = dict((found.get("Config") or {}).get("Labels") or {})
    if any(label.startswith(TASK) for label in labels):
        log.error("removing a task's container whose record is lost", name=name, id=container_id)
        await engine.remove(container_id, force=True, volumes=True)
        return
    wanted = _known_networks(network, name)
    record = Record(
        id=container_id, name=name, image=str((found.get("Config") or {}).get("Image") or ""),
        sandbox_id=sandbox_id, network_mode=wanted[0].network if wanted else "none",
        created_at=0.0, wanted=wanted, labels=labels,
    )  # fmt: skip
    network.records.put(msgspec.structs.replace(record, hostname=_hostname(found)))
    network.changed()
    log.error(
        "a container's record was lost: connect it to its networks again, or make it anew",
        name=name, id=container_id, known_networks=[item.network for item in wanted],
    )  # fmt: skip


def _sandbox_of(found: Mapping[str, Any], files: Path) -> str:
    """The sandbox whose files a container has mounted, "" if it is none of ours."""
    for bind in (found.get("HostConfig") or {}).get("Binds") or ():
        source = Path(bind.partition(":")[0])
        if source.parent.parent == files:
            return source.parent.name
    return ""


def _known_networks(network: Network, name: str) -> tuple[Wanted, ...]:
    """The swarm's networks that a manager gave the container addresses on."""
    tasks = [t for t in network.assignment.tasks.values() if t.container_name == name]
    return tuple(Wanted(network=a.network_id) for task in tasks for a in task.attachments)


def _hostname(found: Mapping[str, Any]) -> str:
    return str((found.get("Config") or {}).get("Hostname") or "")
