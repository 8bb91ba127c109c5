"""After a reboot: starting those containers again that are to be restarted (``--restart``)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from skep.agent.containers import Containers
from skep.engine.client import Engine
from skep.model.errors import Missing, Refusal, Unavailable

RETRY = 1.0
"""Seconds until a container is tried again whose addresses nobody could give yet."""

TRIES = 120

NEVER = "0001"
"""How the engine's word for an instant that never was begins."""

log = structlog.get_logger("skep.rebooted")


async def start_again(containers: Containers, engine: Engine) -> None:
    """Start all that the reboot ended. A manager may need a while to be there; what cannot be
    started at all is logged."""
    waiting = {each.id for each in containers.containers() if not each.task_id}
    for _ in range(TRIES):
        waiting = {each for each in sorted(waiting) if not await _tried(containers, engine, each)}
        if not waiting:
            return
        await asyncio.sleep(RETRY)
    log.error("not started after the reboot: nobody gives addresses", ids=sorted(waiting))


async def _tried(containers: Containers, engine: Engine, container_id: str) -> bool:
    """Start a container, if it should be; False if that is to be tried again."""
    try:
        if is_due(await engine.inspect(container_id)):
            await containers.start_record(container_id, None)
            log.info("started again", id=container_id)
    except Unavailable:
        return False
    except Missing:
        return True
    except Refusal as refusal:
        log.error("not started after the reboot", id=container_id, why=str(refusal))
    return True


def is_due(found: Mapping[str, Any]) -> bool:
    """Whether an inspected container ran before a reboot and should again: then it is "created",
    though it was started once. With ``unless-stopped``, one that had ended stays so."""
    state = found.get("State") or {}
    policy = ((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name")
    began, ended = str(state.get("StartedAt") or NEVER), str(state.get("FinishedAt") or NEVER)
    if state.get("Status") not in ("created", "configured") or began.startswith(NEVER):
        return False
    return policy == "always" or (policy == "unless-stopped" and ended < began)
