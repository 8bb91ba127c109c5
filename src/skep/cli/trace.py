"""``skep trace``: the way of a packet, hop by hop, and where it is lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from skep.cli import follow
from skep.cli.api import Api
from skep.cli.ink import Ink
from skep.cli.parser import Parser
from skep.cli.show import tracetext
from skep.trace.drawing import draw
from skep.trace.report import Trace

_DESCRIPTION = """\
Show the way of a packet over what the kernels of all hosts really contain: name, rules, routes,
links, bridges, tunnels, and the way back. Names the first hop that is broken, why, and what to do.

FROM  a container, task (web.1), service, host, or outside:ADDRESS[@HOST]
TO    a name, service, container, address, HOST:PORT or :PORT (a published port);
      an IPv6 address before a port in brackets; with /tcp:PORT, /udp:PORT or /icmp behind it

On a worker, only that host is looked into."""
_EPILOG = """\
examples:
  skep trace client web             by name, on the port that web publishes, else ICMP
  skep trace client web/tcp:80      the same on port 80
  skep trace h1 h2:8080             from a host to a published port
  skep trace outside:203.0.113.7 h2:8080
  skep trace --live client db/tcp:5432
  skep trace --follow client web    who talks, and how far each gets, until Ctrl-C

exit code: 0 it arrives and is answered; 3 it is lost; 4 it arrives, but not every packet;
5 nobody can tell; 1 nothing could be traced; 2 a mistake in the command line"""


def run(arguments: Sequence[str]) -> int:
    """Trace, print; the exit code."""
    parser = Parser(prog="skep trace", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("source", metavar="FROM")
    parser.add_argument("target", metavar="TO")
    parser.add_argument("--live", action="store_true", help="send a real packet, and prove hops")
    parser.add_argument("--follow", action="store_true", help="watch the pair's real traffic")
    parser.add_argument("-v", "--verbose", action="store_true", help="all facts, and the way back")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--svg", metavar="FILE", help="draw it")
    options = parser.parse_args(arguments)
    if options.follow and (options.live or options.svg):
        parser.error("--follow only watches: leave --live and --svg away")
    query = {"from": options.source, "to": options.target, "live": options.live}
    if options.follow:
        return follow.run(query, as_json=options.json, verbose=options.verbose)
    found = Api().get("/skep/trace", **query)
    trace = msgspec.convert(found, Trace)
    if options.svg:
        Path(options.svg).write_text(draw(trace))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(tracetext.text(trace, Ink(), verbose=options.verbose)))
    return tracetext.code(trace)
