"""Asking hosts about themselves, over the sessions that they have anyway.

A host is believed about itself alone, and about what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from skep.model.errors import Broken, Refusal, Unavailable
from skep.model.inspection import Question
from skep.model.messages import ReadState, StateAnswer
from skep.wire.server import Session

STATE_LIMIT = 64 << 20
"""Bytes of one host's answer as it comes."""

Begun = Callable[[], Awaitable[None]]
"""Called when a host says that it has begun to listen."""


class Inquiries:
    """What hosts are being asked, over the sessions that they have anyway."""

    def __init__(self, session_of: Callable[[str], Session | None]) -> None:
        self._session_of = session_of
        self._serial = 0
        self._asked: dict[int, _Asked] = {}

    async def ask(self, node_id: str, what: Question, begun: Begun) -> bytes:
        """A host's answer, as it was packed. Raises `Unavailable` if it has no session."""
        session = self._session_of(node_id)
        if session is None:
            raise Unavailable("it has no session with this manager")
        self._serial += 1
        asked = self._asked[self._serial] = _Asked(session, begun)
        try:
            await session.send(ReadState(serial=self._serial, what=what))
            return await asked.whole
        finally:
            self._asked = {n: each for n, each in self._asked.items() if each is not asked}

    async def take(self, session: Session, piece: StateAnswer) -> None:
        """A piece has come over a session."""
        asked = self._asked.get(piece.serial)
        if asked is not None and asked.session is session:
            await asked.put(piece)

    def lost(self, session: Session) -> None:
        """A session has ended."""
        for asked in self._asked.values():
            if asked.session is session:
                asked.fail(Unavailable("its session ended while it was asked"))


class _Asked:
    """One inquiry under way."""

    def __init__(self, session: Session, begun: Begun) -> None:
        self.session = session
        self.whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._begun = begun
        self._data = bytearray()

    async def put(self, piece: StateAnswer) -> None:
        self._data += piece.data
        if piece.refusal:
            self.fail(Unavailable(piece.refusal))
        elif len(self._data) > STATE_LIMIT:
            self.fail(Broken("its answer is too large"))
        elif piece.end:
            if not self.whole.done():
                self.whole.set_result(bytes(self._data))
        elif not piece.data:
            await self._begun()

    def fail(self, refusal: Refusal) -> None:
        if not self.whole.done():
            self.whole.set_exception(refusal)
