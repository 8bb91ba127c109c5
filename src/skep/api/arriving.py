"""Bodies of requests that are taken whole: JSON. So big, so slow and so many at once, at most.

Archives and the input of processes are passed on in pieces as they come, and have no such limits.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from skep.door import Door
from skep.model.errors import Invalid, Unavailable

LARGEST = 4 << 20
"""Bytes of one body at most: four times the largest config that Docker takes. Decoded it may take
fifty times that."""
AT_ONCE = 32 << 20
"""Bytes that all bodies together take which have not arrived whole."""
PATIENCE = 30.0
"""Seconds for a whole body."""
PROMPT = 1.0
"""Seconds after which a connection whose request's body is still coming makes room for others."""


class Arrivals:
    """The bodies of one application. ``door`` is the one that its requests come in by."""

    def __init__(self) -> None:
        self.door: Door | None = None
        self.held = 0
        """Bytes of bodies that have not arrived whole."""

    async def whole(self, request: web.Request) -> bytes:
        """A request's body. Raises `Invalid` if it breaks off, `Unavailable` if too much else is
        arriving, and HTTPException for one that is too large (413) or too slow (408)."""
        if not request.body_exists:
            return b""
        if (request.content_length or 0) > LARGEST:
            raise _too_large()
        arriving = _Body(self)
        try:
            async with asyncio.timeout(PATIENCE):
                try:
                    async with asyncio.timeout(PROMPT):
                        await arriving.take(request)
                except TimeoutError:
                    await self._take_the_rest(arriving, request)
            return b"".join(arriving.pieces)
        except TimeoutError:
            raise web.HTTPRequestTimeout(
                reason=f"the request's body did not arrive within {PATIENCE:.0f} seconds"
            ) from None
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as fault:
            raise Invalid("the request's body broke off, or is no HTTP") from fault
        finally:
            self.held -= arriving.size

    async def _take_the_rest(self, arriving: _Body, request: web.Request) -> None:
        if self.door is None:
            await arriving.take(request)
        else:
            with self.door.waiting(request):
                await arriving.take(request)

    def hold(self, size: int) -> None:
        """So many more bytes have arrived. Raises `Unavailable`."""
        self.held += size
        if self.held > AT_ONCE:
            raise Unavailable("too many large requests are arriving at once; try again")


class _Body:
    """What has arrived of one body."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self.pieces: list[bytes] = []
        self.size = 0

    async def take(self, request: web.Request) -> None:
        """Take all that is still to come."""
        async for piece in request.content.iter_any():
            self.pieces.append(piece)
            self.size += len(piece)
            self._arrivals.hold(len(piece))
            if self.size > LARGEST:
                raise _too_large()


def _too_large() -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(
        max_size=LARGEST, actual_size=LARGEST + 1,
        reason=f"http: request body too large: at most {LARGEST >> 20} MiB",
    )  # fmt: skip


ARRIVALS: web.AppKey[Arrivals] = web.AppKey("arrivals", Arrivals)
