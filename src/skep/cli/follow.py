"""``skep trace --follow``: real traffic of a pair, as it passes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from skep.cli.api import Api
from skep.cli.ink import BOLD, DIM, GREEN, RED, YELLOW, Ink
from skep.cli.show import tracetext
from skep.trace.follow import Followed, Talked
from skep.trace.report import Trace


def run(query: dict[str, Any], *, as_json: bool, verbose: bool) -> int:
    """Show the way, then what passes on it, until interrupted; the exit code is the way's."""
    ink, code = Ink(), 0
    with Api().stream("GET", "/skep/trace", follow=True, **query) as answer:
        first = True
        try:
            for line in answer:
                if as_json:
                    print(line.decode().rstrip(), flush=True)
                elif first:
                    trace = msgspec.convert(json.loads(line), Trace)
                    code = tracetext.code(trace)
                    print("\n".join(tracetext.text(trace, ink, verbose=verbose)))
                    print(ink.paint("following; Ctrl-C ends", DIM), flush=True)
                else:
                    told = text(msgspec.convert(json.loads(line), Followed), ink)
                    print("".join(f"{each}\n" for each in told), end="", flush=True)
                first = False
        except KeyboardInterrupt:
            print()
    return code


def text(followed: Followed, ink: Ink) -> Iterator[str]:
    """A line for each conversation in which something was said."""
    clock = time.strftime("%H:%M:%S", time.localtime(followed.at))
    for talk in followed.talks:
        yield from _talk(talk, clock, ink)
    for note in followed.notes if followed.talks else ():
        yield from (ink.paint(line, YELLOW) for line in ink.wrap(note, "         ! ", " " * 11))


def _talk(talk: Talked, clock: str, ink: Ink) -> Iterator[str]:
    one_way = not talk.back and not talk.lost
    sign, colour = ("✗", RED) if talk.lost else ("!", YELLOW) if one_way else ("✓", GREEN)
    to = f" ({talk.backend})" if talk.backend else ""
    words = f"{talk.source} → {talk.target}{to}  {talk.there} there, {talk.back} back"
    yield f"{ink.paint(clock, DIM)} {ink.paint(sign, colour, BOLD)} {words}"
    if talk.lost:
        for line in ink.wrap(talk.lost, " " * 11, " " * 11):
            yield ink.paint(line, RED)
