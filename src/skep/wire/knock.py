"""Noticing at once that a host which gave no answer can be reached again.

TCP by itself asks less and less often: after a cut of half a minute its next attempt may be as long
away. So whoever waits begins a new attempt every `EVERY` seconds, while earlier ones go on, as on a
slow road each of them may take longer than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

EVERY = 0.4
"""Seconds between attempts: a packet of 60 bytes for each."""
EACH = 3.0
"""Seconds that an attempt takes at most."""

Address = tuple[str, int]


async def until_heard(addresses: Collection[Address], rouse: Callable[[str], None]) -> None:
    """Wait until one of these hosts answers a TCP connection, be it by refusing it; for ever if
    none does. ``rouse`` is called with each host's name or IP address before each attempt."""
    heard = asyncio.Event()
    tries: set[asyncio.Task[None]] = set()
    try:
        while not heard.is_set():
            for host, port in addresses:
                rouse(host)
                begun = asyncio.create_task(_knock(host, port, heard))
                tries.add(begun)
                begun.add_done_callback(tries.discard)
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), EVERY)
    finally:
        for each in tries:
            each.cancel()
        await asyncio.gather(*tries, return_exceptions=True)


async def _knock(host: str, port: int, heard: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(EACH):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        heard.set()
    except OSError:
        return  # no way there, or no answer in time
    else:
        heard.set()
        writer.close()
