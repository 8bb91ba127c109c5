"""``POST /images/create?fromImage=``: Podman answers 200 and then says in the body that it cannot.

Docker refuses before the first progress line; clients then show one sentence and end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from skep.engine.refusals import error_body, refusal
from skep.engine.transport import ErrorReply, Reply
from skep.model.errors import Broken

FAILED = Broken.status


async def checked_pull(reply: Reply, image: str) -> Reply:
    """The answer to a pull of ``image``; an error one if the engine's first line is an error."""
    if isinstance(reply, ErrorReply):
        return reply
    chunks = reply.chunks()
    first = await anext(chunks, b"")
    said = _error_in(first)
    if said:
        await reply.close()
        return reply.refused(refusal(FAILED, error_body(Broken(said)), image))
    return reply.with_body(_chained(first, chunks))


def _error_in(chunk: bytes) -> str:
    try:
        line = json.loads(chunk.partition(b"\n")[0])
    except ValueError:
        return ""
    return str(line.get("error") or "") if isinstance(line, dict) else ""


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
