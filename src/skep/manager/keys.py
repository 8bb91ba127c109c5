"""New keys for encrypted tunnels, on time."""

from __future__ import annotations

import asyncio

import structlog

from skep.cluster.context import Context
from skep.cluster.control import rotate_keys
from skep.cluster.state import Draft
from skep.manager.manager import Manager
from skep.model.errors import Refusal

PERIOD = 12 * 3600.0
"""Seconds that a generation of keys is the newest (Docker's too); it serves for one more."""

LOOK = 60.0

log = structlog.get_logger("skep.keys")


def rotate_if_due(draft: Draft, context: Context) -> bool:
    """Begin the next generation if it is time; whether it was. Raises `Unavailable` while hosts
    are behind."""
    cluster = draft.cluster
    if cluster is None or context.now - cluster.generation_at < PERIOD:
        return False
    rotate_keys(draft, context)
    return True


async def keep_rotating(manager: Manager) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            if await manager.change(rotate_if_due):
                log.info("tunnel keys rotated")
        except Refusal as refusal:
            log.info("tunnel keys not rotated yet", why=str(refusal))
