"""Asking hosts about themselves, over the sessions that they have anyway.

A host is believed about itself alone, and about what it was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from skep.model.errors import UNREADABLE, Broken, Refusal, Unavailable
from skep.model.inspection import Question, Sightings
from skep.model.messages import ReadState, StateAnswer, StopState
from skep.talk import Talk
from skep.wire.server import Session

T = TypeVar("T")

STATE_LIMIT = 64 << 20
"""Bytes of one host's answer as it comes."""
LARGEST = 256 << 20
"""Bytes that it may unpack to."""


class Inquiries:
    """What hosts are being asked, over the sessions that they have anyway."""

    def __init__(self, session_of: Callable[[str], Session | None]) -> None:
        self._session_of = session_of
        self._serial = 0
        self._asked: dict[int, _Asked] = {}

    async def ask(self, node_id: str, what: Question, talk: Remote) -> bytes:
        """A host's answer, as it was packed; ``talk`` is told when it listens, and what it hears
        meanwhile. Raises `Unavailable` if it has no session."""
        session = self._session_of(node_id)
        if session is None:
            raise Unavailable("it has no session with this manager")
        self._serial += 1
        serial = self._serial
        asked = self._asked[serial] = _Asked(session, talk)
        talk.on_stop = lambda: session.send(StopState(serial=serial))
        try:
            await session.send(ReadState(serial=serial, what=what))
            return await asked.whole
        finally:
            del self._asked[serial]
            if not asked.whole.done() or asked.whole.cancelled():
                await _stop(talk)

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


async def _stop(talk: Talk) -> None:
    """Nobody waits for this answer any longer; a host that is gone need not be told."""
    with contextlib.suppress(Refusal):
        await talk.stop()


class Remote(Talk):
    """An inquiry of another host: what is said to it goes over its session."""

    def __init__(self) -> None:
        super().__init__()
        self.on_stop: Callable[[], Awaitable[None]] | None = None

    async def stop(self) -> None:
        """Tell the host, once. Raises refusals if it has no session."""
        if self.on_stop is not None and not self.enough.is_set():
            self.enough.set()
            await self.on_stop()

    async def part(self, data: bytes) -> None:
        """An answer came, and another will."""
        await self.heard(await asyncio.to_thread(unpack, data, Sightings))


def unpack(data: bytes, kind: type[T]) -> T:
    """A host's answer. Raises `Broken` if it makes no sense."""
    try:
        plain = zlib.decompressobj().decompress(data, LARGEST)
        return msgspec.msgpack.decode(plain, type=kind)
    except (zlib.error, *UNREADABLE) as error:
        raise Broken(f"its answer makes no sense: {error}") from error


class _Asked:
    """One inquiry under way."""

    def __init__(self, session: Session, talk: Remote) -> None:
        self.session = session
        self.whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._talk = talk
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
        elif piece.part:
            data, self._data = bytes(self._data), bytearray()
            try:
                await self._talk.part(data)
            except Refusal as refusal:
                self.fail(refusal)
        elif not piece.data:
            await self._talk.begun()

    def fail(self, refusal: Refusal) -> None:
        if not self.whole.done():
            self.whole.set_exception(refusal)
