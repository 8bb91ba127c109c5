"""``POST /containers/{id}/wait?condition=removed``, which Podman always answers with code 0.

Docker answers with the code that the container ended with, once it is gone; ``docker run --rm``
takes its own exit code from that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Container

from skep.engine.transport import ErrorReply, Reply, Transport
from skep.model.errors import Missing

POLL = 0.05
"""Seconds between looks at whether the container is gone."""

LONGEST_PAUSE = 1.0
"""Seconds between such looks at most, while it was not started."""
LATE = 5.0
"""Seconds after its removal within which Podman, who looks four times a second, tells the code of a
container that ran. Of one that never ran it tells none."""

NO_CODE = json.dumps({"StatusCode": 0}).encode()
"""What is told of a container that never ran."""

UNBEGUN = "created"
ENDED = ("exited", "stopped", "dead", "removing")


async def wait_until_removed(
    transport: Transport, container: str, unbegun: Container[str] = ()
) -> Reply:
    """The answer to a wait for the removal of the container at this path: its head comes at once.

    A container that was not started yet is waited for. ``unbegun`` has those that could not be.
    """
    known = await transport.send("GET", f"{container}/json")
    if isinstance(known, ErrorReply):
        return known
    state = (await known.json())["State"]
    if state["Status"] in ENDED:
        code = json.dumps({"StatusCode": state["ExitCode"]}).encode()
        return known.with_body(_after_removal(transport, container, code))
    # Podman remembers this code for a while longer than the container.
    reply = await transport.send("POST", f"{container}/wait", params={"condition": "next-exit"})
    if isinstance(reply, ErrorReply):
        gone = isinstance(reply.refusal, Missing) or _is_in(unbegun, container)
        return known.with_body(_after_removal(transport, container, NO_CODE)) if gone else reply
    answer = _end_of(transport, container, reply, unbegun)
    return reply.with_body(_after_removal(transport, container, answer))


def _is_in(unbegun: Container[str], container: str) -> bool:
    return container.rpartition("/")[2] in unbegun


async def _after_removal(
    transport: Transport, container: str, answer: Awaitable[bytes] | bytes
) -> AsyncIterator[bytes]:
    body = answer if isinstance(answer, bytes) else await answer
    while await _status(transport, container):
        await asyncio.sleep(POLL)
    yield body


async def _end_of(
    transport: Transport, container: str, answer: Reply, unbegun: Container[str]
) -> bytes:
    """The answer of a wait for the container's end. Podman gives none for one that is removed
    without ever having been started."""
    reading = asyncio.ensure_future(answer.read())
    pause = POLL
    try:
        while not reading.done() and await _status(transport, container) == UNBEGUN:
            await asyncio.wait({reading}, timeout=pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        if _is_in(unbegun, container) and not reading.done():
            return NO_CODE
        # It is gone, perhaps after a short life: then the answer is only late.
        await asyncio.wait({reading}, timeout=LATE)
        if reading.done() or await _status(transport, container):
            return await reading
        return NO_CODE
    finally:
        reading.cancel()


async def _status(transport: Transport, container: str) -> str:
    """How a container is; "" if it is gone."""
    reply = await transport.send("GET", f"{container}/json")
    if isinstance(reply, ErrorReply):
        await reply.read()
        return "" if isinstance(reply.refusal, Missing) else "unknown"
    status: str = (await reply.json())["State"]["Status"]
    return status
