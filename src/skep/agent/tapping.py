"""Listening on links for a probe's packets, and watching the rules that they meet: what proves that
a hop was really taken.

Sockets are opened inside the links' namespaces and read outside of them. There are none, and no
cost, while nobody traces; and what they are makes the kernel take them away with their process.

Source: packet(7); proc(5) on /proc/net/dev.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from skep.kernel.kernel import Kernel
from skep.kernel.nfttrace import Tracer
from skep.model.errors import Refusal
from skep.model.inspection import LinkCount, Listen, RuleHit, Sighting, Sightings, Tap, Watch
from skep.talk import Talk
from skep.trace.frames import Token, Wanted, hear

T = TypeVar("T")
Q = TypeVar("Q", Listen, Watch)

ALL_PROTOCOLS = 0x0003
OUTGOING = 4
MOST_FRAMES = 200_000
"""Frames that are looked at, at most: a busy link must not take a processor for itself."""
MOST_SEEN = 40
"""Sightings kept of each tap."""
MOST_HITS = 2000
"""Rules that are told of, at most."""
MOST_TAPS = 64
SIZE = 65536
ATTENTION = 0.1
"""Seconds of silence after which whoever has heard enough is done, and..."""
LAST_WORDS = 0.5
"""...for how long, on links that are never silent, what has come in until then is read."""
LINKS = "/proc/thread-self/net/dev"

Counters = dict[tuple[str, str], tuple[int, ...]]


class Ears:
    """All that is open for one request; `close` leaves nothing behind."""

    def __init__(self) -> None:
        self.taps: dict[socket.socket, Tap] = {}
        self.tracers: dict[Tracer, str] = {}
        self.deaf: list[tuple[Tap, str]] = []
        self.untraced: list[tuple[str, str]] = []

    async def open(self, kernel: Kernel, request: Listen | Watch) -> None:
        """Open as many as can be; what cannot is noted."""
        for tap in request.taps[:MOST_TAPS]:
            try:
                self.taps[await kernel.within(tap.namespace, partial(_open, tap))] = tap
            except (OSError, Refusal) as error:
                self.deaf.append((tap, (getattr(error, "strerror", "") or str(error)).lower()))
        if isinstance(request, Watch):
            return
        for name in request.traced[:MOST_TAPS]:
            how = (request.protocol, request.token, request.tunnel)
            try:
                self.tracers[await kernel.trace_rules(name, *how)] = name
            except Refusal as refusal:
                self.untraced.append((name, str(refusal)))

    async def close(self, kernel: Kernel) -> None:
        """Close all, also if whoever asked does not wait any longer."""
        for tap in self.taps:
            tap.close()
        if self.tracers:
            await asyncio.shield(kernel.untrace(tuple(self.tracers)))


@contextlib.asynccontextmanager
async def opened(kernel: Kernel, request: Listen | Watch) -> AsyncIterator[Ears]:
    """All ears that can be opened, as long as they are needed."""
    ears = Ears()
    try:
        await ears.open(kernel, request)
        yield ears
    finally:
        await ears.close(kernel)


async def listen(kernel: Kernel, request: Listen, talk: Talk) -> Sightings:
    """Listen on the taps for as long as is asked, or until it is enough."""
    async with opened(kernel, request) as ears:
        before = await _counters(kernel, request)
        await talk.begun()
        seen, hits = await finished(_hear_all, ears, request, talk.enough)
        after = await _counters(kernel, request)
    return Sightings(
        seen=tuple(seen),
        deaf=tuple(ears.deaf),
        rules=tuple(hits),
        counts=tuple(_grown(before, after)),
        watched=tuple(ears.tracers.values()),
        untraced=tuple(ears.untraced),
    )


async def finished(
    work: Callable[[Ears, Q, threading.Event], T], ears: Ears, request: Q, enough: threading.Event
) -> T:
    """What ``work`` does on a thread of its own. If nobody waits for it any more it is told so, and
    has ended before its ears are closed."""
    task = asyncio.ensure_future(asyncio.to_thread(work, ears, request, enough))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        enough.set()
        await task
        raise


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


def _hear_all(
    ears: Ears, request: Listen, enough: threading.Event
) -> tuple[list[Sighting], list[RuleHit]]:
    seen: list[Sighting] = []
    hits: list[RuleHit] = []
    counts = dict.fromkeys(ears.taps.values(), 0)
    frames = 0
    wanted = Token(request.protocol, request.token)
    deadline = time.monotonic() + request.seconds
    ending = False
    with selectors.DefaultSelector() as waiting:
        for opened in ears.taps:
            waiting.register(opened, selectors.EVENT_READ)
        for tracer in ears.tracers:
            waiting.register(tracer, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and frames < MOST_FRAMES:
            ready = waiting.select(min(left, ATTENTION))
            if enough.is_set() and not ending:
                ending, deadline = True, min(deadline, time.monotonic() + LAST_WORDS)
            if ending and not ready:
                break
            for key, _ in ready:
                if isinstance(key.fileobj, Tracer):
                    found = _met(key.fileobj, ears.tracers[key.fileobj])
                    hits += found[: MOST_HITS - len(hits)]
                elif isinstance(key.fileobj, socket.socket):
                    frames += 1
                    tap = ears.taps[key.fileobj]
                    sighting = heard(key.fileobj, tap, wanted)
                    if sighting is not None and counts[tap] < MOST_SEEN:
                        counts[tap] += 1
                        seen.append(sighting)
    return seen, hits


def _met(tracer: Tracer, namespace: str) -> list[RuleHit]:
    return [msgspec.structs.replace(each, namespace=namespace) for each in tracer.read()]


def heard(opened: socket.socket, tap: Tap, wanted: Wanted) -> Sighting | None:
    """A frame that waits at a tap, if it is wanted."""
    try:
        frame, address = opened.recvfrom(SIZE)
    except OSError:  # the link went away, or another reader was faster
        return None
    found = hear(frame, wanted)
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


# --- counters


async def _counters(kernel: Kernel, request: Listen) -> Counters:
    """The counters of all tapped links: packets received and sent, dropped, failed."""
    found: Counters = {}
    wanted = {(tap.namespace, tap.link) for tap in request.taps}
    for namespace in sorted({name for name, _ in wanted}):
        with contextlib.suppress(OSError, Refusal):
            for link, numbers in await kernel.within(namespace, _links):
                if (namespace, link) in wanted:
                    found[namespace, link] = numbers
    return found


def _links() -> list[tuple[str, tuple[int, ...]]]:
    with open(LINKS) as file:
        return list(read_links(file.read()))


def read_links(text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each link of /proc/net/dev with packets received and sent, dropped, failed."""
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = list(map(int, rest.split()))
        received, sent = numbers[:8], numbers[8:]
        dropped, failed = received[3] + sent[3], received[2] + sent[2]
        yield name.strip(), (received[1], sent[1], dropped, failed)


def _grown(
    before: Mapping[tuple[str, str], tuple[int, ...]], after: Counters
) -> Iterator[LinkCount]:
    for (namespace, link), numbers in after.items():
        was = before.get((namespace, link), (0, 0, 0, 0))
        received, sent, dropped, failed = (
            max(now - then, 0) for now, then in zip(numbers, was, strict=True)
        )
        yield LinkCount(
            namespace=namespace, link=link, received=received, sent=sent, dropped=dropped,
            failed=failed,
        )  # fmt: skip
