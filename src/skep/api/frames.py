"""Some of a container's streams: the frames of the others are left out."""

from __future__ import annotations

from collections.abc import Collection

from skep.api.ports import RawStream

HEAD = 8
"""Bytes before each piece: the stream, three zeros, the length."""

STDOUT, STDERR = 1, 2


class Chosen:
    """A multiplexed stream of which only some are wanted. Implements `RawStream`.

    An engine may send more than it was asked for, and the docker client cannot bear that.
    """

    def __init__(self, engine: RawStream, wanted: Collection[int]) -> None:
        self._engine = engine
        self._wanted = wanted
        self._rest = b""
        self._left = 0
        self._passing = False

    async def read(self) -> bytes:
        """Some bytes of the wanted streams, b"" at the end."""
        while data := await self._engine.read():
            if kept := self._sift(data):
                return kept
        return b""

    def _sift(self, data: bytes) -> bytes:
        kept, data = [], self._rest + data
        while data:
            if not self._left:
                if len(data) < HEAD:
                    break
                self._left = int.from_bytes(data[4:HEAD], "big")
                self._passing = data[0] in self._wanted
                kept.append(data[:HEAD] if self._passing else b"")
                data = data[HEAD:]
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            kept.append(piece if self._passing else b"")
        self._rest = data
        return b"".join(kept)

    async def write(self, data: bytes) -> None:
        """Input, as it is."""
        await self._engine.write(data)

    async def write_eof(self) -> None:
        """The end of input."""
        await self._engine.write_eof()

    async def close(self) -> None:
        """Close both sides."""
        await self._engine.close()
