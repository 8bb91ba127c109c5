"""Watching real packets of a pair pass the links on their way, for as long as somebody looks."""

from __future__ import annotations

import selectors
import socket
import threading
import time

import msgspec

from skep.agent.tapping import ATTENTION, Ears, finished, heard, opened
from skep.kernel.kernel import Kernel
from skep.model.inspection import Sighting, Sightings, Watch
from skep.talk import Talk
from skep.trace.frames import Pair

EVERY = 1.0
"""Seconds between two reports."""
MOST_KEPT = 2000
"""Different sightings in one report, at most."""

Key = tuple[object, ...]


async def watch(kernel: Kernel, request: Watch, talk: Talk) -> Sightings:
    """Tell what passes, now and then, until time is up or it is enough. What waits between two
    reports is in the next one."""
    deadline = time.monotonic() + request.seconds
    async with opened(kernel, request) as ears:
        await talk.begun()
        while not talk.enough.is_set() and time.monotonic() < deadline:
            seen = await finished(_gather, ears, request, talk.enough)
            await talk.heard(Sightings(seen=tuple(seen), deaf=tuple(ears.deaf)))
    return Sightings(deaf=tuple(ears.deaf))


def _gather(ears: Ears, request: Watch, enough: threading.Event) -> list[Sighting]:
    """What passes in a while; packets of the same ends are counted together."""
    pair = Pair(request.protocol, request.ends)
    kept: dict[Key, Sighting] = {}
    until = time.monotonic() + EVERY
    with selectors.DefaultSelector() as waiting:
        for each in ears.taps:
            waiting.register(each, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0 and not enough.is_set():
            for key, _ in waiting.select(min(left, ATTENTION)):
                assert isinstance(key.fileobj, socket.socket), "only taps are watched"
                seen = heard(key.fileobj, ears.taps[key.fileobj], pair)
                if seen is not None and len(kept) < MOST_KEPT:
                    _add(kept, seen)
    return list(kept.values())


def _add(kept: dict[Key, Sighting], seen: Sighting) -> None:
    ends = (seen.source, seen.target, seen.source_port, seen.target_port)
    asks = seen.note if seen.protocol == "icmp" else ""
    key = (seen.tap, ends, asks)
    known = kept.get(key)
    kept[key] = seen if known is None else msgspec.structs.replace(known, packets=known.packets + 1)
