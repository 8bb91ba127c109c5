"""What the name server has done, counted. One process, one set of counters.

Counting costs a question that is answered from what is kept next to nothing: its kind is kept with
the answer, and all else is counted on the slower ways.
"""

from __future__ import annotations

import msgspec

from skep.names import wire

KINDS = ("A", "AAAA", "PTR", "SRV", "other", "unreadable")
"""The kinds of questions that are told apart. A tally has a place for each."""

OTHER, UNREADABLE = 4, 5

_PLACES = {wire.A: 0, wire.AAAA: 1, wire.PTR: 2, wire.SRV: 3}


def kind_of(query_type: int) -> int:
    """The place of a question's type in a tally."""
    return _PLACES.get(query_type, OTHER)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since the process's start, by kind of question (`KINDS`) where they are maps.

    ``questions`` are all that came; ``kept`` those of them answered again as before; ``streams``
    those that came over TCP. Of the ``forwards`` (put to upstreams, or answered again as an
    upstream did: ``forwards_kept``), ``failures`` got no reply and ``busy`` were one too many at a
    time. ``sandboxes`` are served now, ``faults`` should be and cannot.
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
        )


def _named(tally: list[int]) -> dict[str, int]:
    return dict(zip(KINDS, tally, strict=True))
