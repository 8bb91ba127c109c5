"""Asking any host of the cluster, this one among them: one way for all inquiries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from skep.manager.inquiries import Inquiries, Remote, unpack
from skep.manager.manager import Manager
from skep.model.errors import Unavailable
from skep.model.host import HostView
from skep.model.inspection import Question
from skep.talk import Talk

T = TypeVar("T")

ANSWER_WITHIN = 8.0
"""Seconds for an answer that needs no gathering."""


class Local(Protocol):
    """This host's own agent."""

    async def ask(self, what: Question, talk: Talk) -> object:
        """The answer to an inquiry. Raises refusals."""


class Cluster(msgspec.Struct, frozen=True):
    """What a manager looks with."""

    manager: Manager
    inquiries: Inquiries
    store: Path


class Asker:
    """Asks hosts. ``cluster`` gives None on hosts that are no manager: those ask themselves."""

    def __init__(
        self, local: Local, view: Callable[[], HostView], cluster: Callable[[], Cluster | None]
    ) -> None:
        self._local = local
        self._view = view
        self._cluster = cluster

    async def ask(
        self, node_id: str, what: Question, kind: type[T], within: float, talk: Remote | None = None
    ) -> T:
        """One host's answer. Raises `Unavailable` if it does not come in time."""
        talk = talk or Remote()
        cluster = self._cluster()
        try:
            async with asyncio.timeout(within):
                if node_id == self._view().node_id or cluster is None:
                    talk.on_stop = _nobody_else
                    return msgspec.convert(await self._local.ask(what, talk), kind)
                data = await cluster.inquiries.ask(node_id, what, talk)
        except TimeoutError:
            raise Unavailable(f"it did not answer within {within:.0f} s") from None
        return await asyncio.to_thread(unpack, data, kind)


async def _nobody_else() -> None:
    """This host's own agent looks at the event that was set."""
