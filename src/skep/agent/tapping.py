"""Listening on links for a probe's packets: what proves that a hop was really taken.

Sockets are opened inside the links' namespaces and read outside of them. There are none, and no
cost, while nobody traces.

Source: packet(7).
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from skep.kernel.kernel import Kernel
from skep.model.errors import Refusal
from skep.model.inspection import Listen, Sighting, Sightings, Tap
from skep.trace.frames import hear

ALL_PROTOCOLS = 0x0003
OUTGOING = 4
MOST_FRAMES = 200_000
"""Frames that are looked at, at most: a busy link must not take a processor for itself."""
MOST_SEEN = 40
"""Sightings kept of each tap."""
MOST_TAPS = 64
SIZE = 65536


async def listen(
    kernel: Kernel, request: Listen, ready: Callable[[], Awaitable[object]]
) -> Sightings:
    """Listen on the taps for as long as is asked; ``ready`` is called when all ears are open."""
    opened: dict[socket.socket, Tap] = {}
    deaf: list[tuple[Tap, str]] = []
    try:
        for tap in request.taps[:MOST_TAPS]:
            try:
                opened[await kernel.within(tap.namespace, partial(_open, tap))] = tap
            except (OSError, Refusal) as error:
                deaf.append((tap, (getattr(error, "strerror", "") or str(error)).lower()))
        await ready()
        seen = await asyncio.to_thread(_hear_all, opened, request)
    finally:
        for each in opened:
            each.close()
    return Sightings(seen=tuple(seen), deaf=tuple(deaf))


def _open(tap: Tap) -> socket.socket:
    # Bound to no protocol at first: else frames of all links arrive before it is bound to one.
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        opened.bind((tap.link, ALL_PROTOCOLS))
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _hear_all(opened: Mapping[socket.socket, Tap], request: Listen) -> list[Sighting]:
    seen: list[Sighting] = []
    counts = dict.fromkeys(opened.values(), 0)
    frames = 0
    deadline = time.monotonic() + request.seconds
    with selectors.DefaultSelector() as ears:
        for each, tap in opened.items():
            ears.register(each, selectors.EVENT_READ, tap)
        while (left := deadline - time.monotonic()) > 0 and frames < MOST_FRAMES:
            for key, _ in ears.select(left):
                frames += 1
                sighting = _heard(key.fileobj, key.data, request)  # type: ignore[arg-type]
                if sighting is not None and counts[key.data] < MOST_SEEN:
                    counts[key.data] += 1
                    seen.append(sighting)
    return seen


def _heard(opened: socket.socket, tap: Tap, request: Listen) -> Sighting | None:
    try:
        frame, address = opened.recvfrom(SIZE)
    except OSError:  # the link went away, or another reader was faster
        return None
    found = hear(frame, request.protocol, request.token)
    if found is None:
        return None
    return Sighting(
        tap=tap,
        at=time.time(),
        protocol=found.protocol,
        source=found.source,
        target=found.target,
        source_port=found.source_port,
        target_port=found.target_port,
        vni=found.vni,
        outgoing=address[2] == OUTGOING,
        note=found.note,
    )
