"""A trace on a terminal: in short, or with all that is known."""

from __future__ import annotations

from collections.abc import Iterator

from skep.cli.ink import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Ink
from skep.trace.report import BROKEN, DOUBTFUL, OK, UNKNOWN, Hop, Trace, Trouble

SIGNS = {OK: "✓", BROKEN: "✗", DOUBTFUL: "!", UNKNOWN: "?"}
COLOURS = {OK: GREEN, BROKEN: RED, DOUBTFUL: YELLOW, UNKNOWN: YELLOW}
_MARGIN = "│" + " " * 16
CODES = {OK: 0, BROKEN: 3, DOUBTFUL: 4, UNKNOWN: 5}
PROVEN, MISSED = "●", "○"
"""Signs of hops that a probe was looked for at, in place of a check mark."""


def code(trace: Trace) -> int:
    """The exit code that tells a script what became of the packet."""
    return CODES[trace.trouble.state if trace.trouble is not None else OK]


def text(trace: Trace, ink: Ink, *, verbose: bool) -> Iterator[str]:
    """The trace in lines: in short, or with all that is known."""
    port = f" {trace.port}" if trace.port else ""
    yield ink.paint(f"{trace.source} → {trace.target}, {trace.protocol}{port}", BOLD)
    yield from _hops(trace.there, ink, 1, verbose=verbose)
    if trace.back:
        fine = all(hop.state == OK for hop in trace.back)
        if verbose or not fine:
            yield ""
            yield ink.paint("and back", BOLD)
            yield from _hops(trace.back, ink, len(trace.there) + 1, verbose=verbose)
        else:
            yield from _back_in_short(trace.back, ink)
    yield ""
    if trace.live is not None:
        yield from _live(trace, ink)
    yield from _verdict(trace, ink)


def _hops(hops: tuple[Hop, ...], ink: Ink, first: int, *, verbose: bool) -> Iterator[str]:
    before = ("", "")
    for number, hop in enumerate(hops, first):
        where = (hop.host, hop.namespace)
        if where != before:
            namespace = f" ({hop.namespace})" if hop.namespace not in ("", hop.owner) else ""
            yield ink.paint(f"┌ {hop.host} · ", CYAN) + ink.paint(hop.owner + namespace, CYAN, BOLD)
            before = where
        yield from _hop(hop, ink, number, verbose=verbose)


def _hop(hop: Hop, ink: Ink, number: int, *, verbose: bool) -> Iterator[str]:
    head = f"│{number:>3} {_sign(hop)} {hop.kind:<9} "
    short = f" · {hop.brief}" if hop.brief and not verbose else ""
    first, *rest = ink.wrap(hop.says + short, head, _MARGIN)
    loud = hop.state != OK
    colour = COLOURS[hop.state]
    words = first[len(head) :]
    yield (
        ink.paint(first[0], CYAN)
        + ink.paint(first[1:5], DIM)
        + ink.paint(first[5], _sign_colour(hop))
        + ink.paint(first[6 : len(head)], *([colour, BOLD] if loud else [DIM]))
        + (ink.paint(words, colour, BOLD) if loud else words)
    )
    for line in rest:
        yield ink.paint(line[0], CYAN) + (ink.paint(line[1:], colour, BOLD) if loud else line[1:])
    for detail in hop.details if verbose or hop.state in (DOUBTFUL, UNKNOWN) else ():
        for line in ink.wrap(detail, _MARGIN, _MARGIN + "  "):
            yield ink.paint(line[0], CYAN) + ink.paint(line[1:], DIM)
    if hop.seen is not None and verbose:
        yield ink.paint("│", CYAN) + _seen(hop, ink)


def _sign(hop: Hop) -> str:
    if hop.seen is None or hop.state != OK:
        return SIGNS[hop.state]
    return PROVEN if hop.seen.packets else MISSED


def _sign_colour(hop: Hop) -> str:
    missed = hop.seen is not None and not hop.seen.packets
    return YELLOW if missed and hop.state == OK else COLOURS[hop.state]


def _seen(hop: Hop, ink: Ink) -> str:
    assert hop.seen is not None, "only what was listened to is told of"
    if not hop.seen.packets:
        return ink.paint(f"{_MARGIN[1:]}{MISSED} not seen ({hop.seen.by})", YELLOW)
    times = f", {hop.seen.packets} packets" if hop.seen.packets > 1 else ""
    counted = f", counters +{hop.seen.counted}" if hop.seen.counted >= 0 else ""
    said = f"{hop.seen.words} ({hop.seen.by}{times}{counted})"
    return ink.paint(f"{_MARGIN[1:]}{PROVEN} {said}", GREEN)


def _back_in_short(back: tuple[Hop, ...], ink: Ink) -> Iterator[str]:
    """The way back in a line: the places that it passes, and how much of it was proven."""
    places: dict[str, dict[str, None]] = {}
    for hop in back:
        places.setdefault(hop.host, {})[hop.owner] = None
    words = [
        f"{host} · {', '.join(owner for owner in owners if owner != 'host') or 'host'}"
        for host, owners in places.items()
    ]
    listened = [hop for hop in back if hop.seen is not None]
    missed = sum(not hop.seen.packets for hop in listened if hop.seen is not None)
    proven = f", {len(listened) - missed} of {len(listened)} taps saw it" if listened else ""
    first, *rest = ink.wrap(
        f"{' → '.join(words)} ({len(back)} hops{proven})", "  and back    ", " " * 14
    )
    yield ink.paint(first[:14], CYAN) + first[14:]
    yield from rest


def _live(trace: Trace, ink: Ink) -> Iterator[str]:
    live = trace.live
    assert live is not None, "there was a probe"
    took = f", {live.milliseconds:.2f} ms" if live.answered else ""
    colour = GREEN if live.answered else YELLOW
    yield ink.paint(f"probe: {live.words}{took}{_proven(trace)}", colour)
    for note in live.notes:
        yield from ink.wrap(note, "  ", "  ")


def _proven(trace: Trace) -> str:
    """How many of the hops that could be watched the probe was seen at."""
    watched = [hop.seen for hop in (*trace.there, *trace.back) if hop.seen is not None]
    seen = sum(bool(each.packets) for each in watched)
    return f"; {PROVEN} seen at {seen} of {len(watched)} hops" if watched else ""


def _verdict(trace: Trace, ink: Ink) -> Iterator[str]:
    trouble = trace.trouble
    if trouble is None:
        yield ink.paint(f"✓ {trace.summary}", GREEN, BOLD)
    else:
        sign, colour = SIGNS[trouble.state], COLOURS[trouble.state]
        yield ink.paint(f"{sign} {trace.summary}", colour, BOLD)
        yield from _trouble(trouble, ink)
    for warning in trace.warnings:
        yield ink.paint("! also", YELLOW, BOLD)
        yield from _trouble(warning, ink)
    if trace.notes:
        yield "not as planned beside this way:"
        for note in trace.notes:
            yield from ink.wrap(note, "  - ", "    ")


def _trouble(trouble: Trouble, ink: Ink) -> Iterator[str]:
    for word, said in (
        ("where", trouble.where),
        ("why", trouble.why),
        ("should", trouble.should),
        ("to do", trouble.todo),
    ):
        if said:
            yield from ink.wrap(said, f"  {word:<7} ", " " * 10)
