"""What the name server has done, counted. One process, one set of counters.

Counting costs a question that is answered from what is kept next to nothing: its kind is kept with
the answer, and all else is counted on the slower ways.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import msgspec

from skep.model.readings import Times
from skep.names import wire

KINDS = ("A", "AAAA", "PTR", "SRV", "other", "unreadable")
"""The kinds of questions that are told apart. A tally has a place for each."""

OTHER, UNREADABLE = 4, 5

BOUNDS = (1e-05, 2.5e-05, 5e-05, 1e-04, 2.5e-04, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0)
"""Seconds that a reply takes: from what is kept it takes microseconds, an upstream's
milliseconds."""

_PLACES = {wire.A: 0, wire.AAAA: 1, wire.PTR: 2, wire.SRV: 3}


def kind_of(query_type: int) -> int:
    """The place of a question's type in a tally."""
    return _PLACES.get(query_type, OTHER)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since the process's start, by kind of question (`KINDS`) where they are maps.

    ``questions`` are all that came; ``kept`` those of them answered again as before; ``streams``
    those that came over TCP. Of the ``forwards`` (put to upstreams, or answered again as an
    upstream did: ``forwards_kept``), ``failures`` got no reply and ``busy`` were one too many at a
    time. ``sandboxes`` are served now, ``faults`` should be and cannot. ``own`` are the times that
    replies of its own took, ``upstream`` those that upstreams were asked for.
    """

    questions: dict[str, int]
    kept: dict[str, int]
    streams: int = 0
    forwards: int = 0
    forwards_kept: int = 0
    failures: int = 0
    busy: int = 0
    sandboxes: int = 0
    faults: int = 0
    own: Times = Times()
    upstream: Times = Times()


class Durations:
    """How long replies took, counted."""

    def __init__(self) -> None:
        self._places = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float, number: int = 1) -> None:
        """So many replies took so long each."""
        self._places[bisect_left(BOUNDS, seconds)] += number
        self._total += seconds * number

    def times(self) -> Times:
        """All of them."""
        *counts, number = accumulate(self._places)
        return Times(bounds=BOUNDS, counts=tuple(counts), number=number, total=self._total)


class Counters:
    """The counters while they count. ``kept`` and ``asked`` are tallies that add up to all."""

    def __init__(self) -> None:
        self.kept = [0] * len(KINDS)
        self.asked = [0] * len(KINDS)
        self.streams = 0
        self.forwards = 0
        self.forwards_kept = 0
        self.failures = 0
        self.busy = 0
        self.own = Durations()
        self.upstream = Durations()

    def counts(self, sandboxes: int, faults: int) -> Counts:
        """How they stand."""
        return Counts(
            questions=_named([a + b for a, b in zip(self.kept, self.asked, strict=True)]),
            kept=_named(self.kept),
            streams=self.streams,
            forwards=self.forwards,
            forwards_kept=self.forwards_kept,
            failures=self.failures,
            busy=self.busy,
            sandboxes=sandboxes,
            faults=faults,
            own=self.own.times(),
            upstream=self.upstream.times(),
        )


def _named(tally: list[int]) -> dict[str, int]:
    return dict(zip(KINDS, tally, strict=True))
