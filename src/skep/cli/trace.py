"""``skep trace``: the way of a packet, hop by hop, and where it is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from skep.cli.api import Api
from skep.cli.ink import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Ink
from skep.cli.parser import Parser
from skep.model.errors import Unsupported
from skep.trace.drawing import draw
from skep.trace.report import BROKEN, DOUBTFUL, OK, UNKNOWN, Hop, Trace, Trouble

NOT_FOLLOWED = (
    "watching real traffic (--follow) is not supported by this version of Skep: --live sends a "
    "packet and shows where it passes"
)
SIGNS = {OK: "✓", BROKEN: "✗", DOUBTFUL: "!", UNKNOWN: "?"}
COLOURS = {OK: GREEN, BROKEN: RED, DOUBTFUL: YELLOW, UNKNOWN: YELLOW}
_INDENT = " " * 16
_DESCRIPTION = """\
Show the way of a packet over what the kernels of all hosts really contain: name, rules, routes,
links, bridges, tunnels, and the way back. Names the first hop that is broken, why, and what to do.

FROM  a container, task (web.1), service, host, or outside:ADDRESS[@HOST]
TO    a name, service, container, address, HOST:PORT or :PORT (a published port);
      with /tcp:PORT, /udp:PORT or /icmp behind it

On a worker, only that host is looked into."""
_EPILOG = """\
examples:
  skep trace client web             by name, on the port that web publishes, else ICMP
  skep trace client web/tcp:80      the same on port 80
  skep trace h1 h2:8080             from a host to a published port
  skep trace outside:203.0.113.7 h2:8080
  skep trace --live client db/tcp:5432

exit code: 0 it arrives and is answered, 1 something is wrong, 2 a mistake in the command line"""


def run(arguments: Sequence[str]) -> int:
    """Trace, print; the exit code."""
    parser = Parser(prog="skep trace", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("source", metavar="FROM")
    parser.add_argument("target", metavar="TO")
    parser.add_argument("--live", action="store_true", help="send a real packet, and prove hops")
    parser.add_argument("--follow", action="store_true", help="(not in this version)")
    parser.add_argument("--brief", action="store_true", help="one line for each hop")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--svg", metavar="FILE", help="draw it")
    options = parser.parse_args(arguments)
    if options.follow:
        raise Unsupported(NOT_FOLLOWED)
    query = {"from": options.source, "to": options.target, "live": options.live}
    found = Api().get("/skep/trace", **query)
    trace = msgspec.convert(found, Trace)
    if options.svg:
        Path(options.svg).write_text(draw(trace))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(text(trace, Ink(), brief=options.brief)))
    return 1 if trace.trouble is not None else 0


def text(trace: Trace, ink: Ink, *, brief: bool) -> Iterator[str]:
    """The trace in lines."""
    port = f" {trace.port}" if trace.port else ""
    yield ink.paint(f"{trace.source} → {trace.target}, {trace.protocol}{port}", BOLD)
    yield from _hops(trace.there, ink, 1, brief=brief)
    if trace.back:
        yield ""
        yield ink.paint("and back", BOLD)
        yield from _hops(trace.back, ink, len(trace.there) + 1, brief=brief)
    yield ""
    if trace.live is not None:
        yield from _live(trace, ink)
    yield from _verdict(trace, ink)


def _hops(hops: tuple[Hop, ...], ink: Ink, first: int, *, brief: bool) -> Iterator[str]:
    before = ("", "")
    for number, hop in enumerate(hops, first):
        where = (hop.host, hop.namespace)
        if where != before:
            namespace = f" ({hop.namespace})" if hop.namespace not in ("", hop.owner) else ""
            yield ink.paint(f"┌ {hop.host} · {hop.owner}{namespace}", CYAN)
            before = where
        yield from _hop(hop, ink, number, brief=brief)


def _hop(hop: Hop, ink: Ink, number: int, *, brief: bool) -> Iterator[str]:
    colour = COLOURS[hop.state]
    head = f"│{number:>3} {SIGNS[hop.state]} {hop.kind:<9}"
    says = hop.says + (_seen_briefly(hop) if brief else "")
    lines = ink.wrap(says, head, "│" + _INDENT[1:])
    loud = hop.state != OK
    for line in lines:
        margin, rest = line[0], line[1:]
        yield ink.paint(margin, CYAN) + (ink.paint(rest, colour, BOLD) if loud else rest)
    for detail in () if brief else hop.details:
        for line in ink.wrap(detail, "│" + _INDENT[1:], "│" + _INDENT[1:] + "  "):
            yield ink.paint("│", CYAN) + ink.paint(line[1:], DIM)
    if hop.seen is not None and not brief:
        yield ink.paint("│", CYAN) + _seen(hop, ink)


def _seen_briefly(hop: Hop) -> str:
    return "" if hop.seen is None else "  • seen" if hop.seen.packets else "  • NOT SEEN"


def _seen(hop: Hop, ink: Ink) -> str:
    assert hop.seen is not None, "only what was listened to is told of"
    if not hop.seen.packets:
        return ink.paint(f"{_INDENT[1:]}• not seen at {hop.link}", YELLOW)
    times = f" ({hop.seen.packets} packets)" if hop.seen.packets > 1 else ""
    return ink.paint(f"{_INDENT[1:]}• seen at {hop.link}: {hop.seen.words}{times}", GREEN)


def _live(trace: Trace, ink: Ink) -> Iterator[str]:
    live = trace.live
    assert live is not None, "there was a probe"
    took = f", {live.milliseconds:.2f} ms" if live.answered else ""
    colour = GREEN if live.answered else YELLOW
    yield ink.paint(f"probe: {live.words}{took}", colour)
    for note in live.notes:
        yield from ink.wrap(note, "  ", "  ")


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
