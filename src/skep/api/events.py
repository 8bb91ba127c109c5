"""``/events``: what happens, as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from aiohttp import web

from skep.api import relay
from skep.api.call import Call
from skep.api.ports import Event
from skep.api.shapes import event as shapes
from skep.model.errors import Invalid


async def follow(call: Call) -> web.StreamResponse:
    """``GET /events?since=&until=&filters=``: one JSON object a line, each sent at once."""
    filters = call.filters(*shapes.KEYS)
    since, until = instant(call.query("since")), instant(call.query("until"))
    response = web.StreamResponse(headers={"Content-Type": relay.JSON})
    await response.prepare(call.request)
    subscription = call.ports.events.subscribe(since)
    async with contextlib.aclosing(happening(subscription, until)) as events:
        async for event in events:
            if shapes.wanted(event, filters):
                await response.write(msgspec.json.encode(shapes.event(event)) + b"\n")
    await response.write_eof()
    return response


async def happening(
    events: AsyncIterator[Event], until: float | None
) -> AsyncGenerator[Event, None]:
    """The events up to an instant (Unix seconds). What is kept from before comes in any case, what
    is still to come only as long as the instant is not past."""
    source = aiter(events)
    while True:
        upcoming = asyncio.ensure_future(anext(source, None))
        try:
            timeout = None if until is None else max(0.0, until - time.time())
            await asyncio.wait([upcoming], timeout=timeout)
        finally:
            if not upcoming.done():
                upcoming.cancel()
                await asyncio.wait([upcoming])
        event = None if upcoming.cancelled() else upcoming.result()
        if event is None or (until is not None and event.time > until):
            return
        yield event


def instant(text: str) -> float | None:
    """ "1700000000.5" as Unix seconds; None for "". Raises `Invalid`."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError as fault:
        raise Invalid(f'strconv.ParseInt: parsing "{text}": invalid syntax') from fault
