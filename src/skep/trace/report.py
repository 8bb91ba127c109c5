"""What a trace says: hops there and back, what was seen, the verdict. The API sends it as JSON."""

from __future__ import annotations

import msgspec

OK, BROKEN, DOUBTFUL, UNKNOWN = "ok", "broken", "doubtful", "unknown"
"""States of a hop: as it should be; the packet is lost here; it works, but not for every packet;
nobody can tell what becomes of it here."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a trace is made of."""


class Seen(Said, frozen=True):
    """What was seen at this hop of a live probe: packets of this direction, the first in words, and
    ``by`` what it was seen ("capture", "nft trace"). ``counted`` is by how much the link's own
    counters grew meanwhile, whoever's packets those were (-1: not known)."""

    packets: int = 0
    words: str = ""
    by: str = "capture"
    counted: int = -1


class Hop(Said, frozen=True):
    """One step of the packet. ``owner`` is whose namespace it is: a container's, a network's, the
    host's. ``says`` is the step in a phrase, ``brief`` what of the details belongs into one line
    with it; ``details`` are the live facts behind it, a line each, ``facts`` the same for programs.
    ``link`` is where a probe can be seen passing."""

    host: str
    node: str
    namespace: str
    owner: str
    kind: str
    says: str
    brief: str = ""
    details: tuple[str, ...] = ()
    facts: dict[str, str | int] = {}
    link: str = ""
    state: str = OK
    seen: Seen | None = None


class Trouble(Said, frozen=True):
    """What is wrong at a hop: where, why, what it should be, what to do."""

    where: str
    why: str
    should: str = ""
    todo: str = ""
    state: str = BROKEN


class Live(Said, frozen=True):
    """What came of a real probe."""

    answered: bool
    words: str
    milliseconds: float = 0.0
    notes: tuple[str, ...] = ()


class Trace(Said, frozen=True):
    """All of it. ``reached``: the packet arrives, and its answer comes back. ``trouble`` is the
    first thing that is broken, ``warnings`` are others."""

    source: str
    target: str
    protocol: str
    port: int = 0
    there: tuple[Hop, ...] = ()
    back: tuple[Hop, ...] = ()
    reached: bool = False
    summary: str = ""
    trouble: Trouble | None = None
    warnings: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    live: Live | None = None
