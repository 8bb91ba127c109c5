"""``skep flows``: who talks to whom, by names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from skep.cli import top
from skep.cli.api import Api
from skep.cli.ink import BOLD, RED, Ink
from skep.cli.parser import Parser
from skep.cli.show.overview import Rows, Section, aligned
from skep.cli.syntax.quantities import show_size
from skep.model.flows import Flow, Flows, Party
from skep.topology.flows import CONTAINER, UNANSWERED, pairs, total

_DESCRIPTION = """\
List who talks to whom: the connections, datagrams and pings that the hosts remember of containers,
by service, task and container. Asked on a manager it is the whole cluster's, on a worker that
host's. What nobody answered is red."""
_EPILOG = """\
A conversation is forgotten some time after its end: TCP after two minutes, UDP after half a minute
to two. Bytes are counted with their headers, from when the kernel first saw the conversation.

examples:
  skep flows                          which services talk to which
  skep flows web                      with web, whoever began
  skep flows --unanswered --each      each attempt that got no answer
  skep flows --outside --port 443     with the outside, at port 443"""


def run(arguments: Sequence[str]) -> int:
    """Print, or show until Ctrl-C; the exit code."""
    parser = Parser(prog="skep flows", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("party", metavar="NAME", nargs="?", default="",
                        help="service, task, container, host or address at either end")  # fmt: skip
    parser.add_argument("--host", metavar="HOST", default="", help="containers on this host")
    parser.add_argument("--network", metavar="NAME", default="", help="over this network")
    parser.add_argument("--port", metavar="PORT", default="", help="to this port of the server")
    parser.add_argument("--outside", action="store_true", help="with an end outside the cluster")
    parser.add_argument("--unanswered", action="store_true", help="that nobody has answered")
    parser.add_argument("--each", action="store_true", help="do not add them up")
    parser.add_argument("--json", action="store_true", help="print each for programs")
    parser.add_argument("-f", "--follow", action="store_true", help="again and again, on a screen")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS",
                        help="how often to look (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    api, ink = Api(), Ink()
    query: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("party", "host", "network", "port", "outside", "unanswered")
    }
    if options.json:
        print(json.dumps(api.get("/skep/flows", **query), indent=2))
        return 0

    def lines() -> Iterator[str]:
        found = msgspec.convert(api.get("/skep/flows", **query), Flows)
        section = each(found.flows) if options.each else summed(found.flows)
        yield from _painted(section, ink) if found.flows else (_nothing(options.party),)
        for host, why in found.silent.items():
            yield ink.paint(f"{host} could not be asked: {why}", RED)

    return top.show(lines, once=not options.follow, every=options.every)


def _painted(section: Section, ink: Ink) -> Iterator[str]:
    for number, (line, alarming) in enumerate(aligned(section)):
        yield ink.paint(line, BOLD) if not number else ink.paint(line, RED) if alarming else line


def summed(flows: Sequence[Flow]) -> Section:
    """Who talks to whom: a line for each two services, with their conversations added up."""
    rows: Rows = []
    alarming: set[int] = set()
    found = pairs(flows).items()
    for (client, server, protocol, port), those in sorted(found, key=lambda each: each[0]):
        unanswered = sum(each.verdict == UNANSWERED for each in those)
        if unanswered:
            alarming.add(len(rows))
        rows.append((
            client, server, f"{port}/{protocol}" if port else protocol, str(len(those)),
            str(sum(each.state == "open" for each in those)), str(unanswered or "-"),
            _size(total(those, "sent_bytes")), _size(total(those, "received_bytes")),
            " ".join(sorted({each.host for each in those})),
        ))  # fmt: skip
    heading = ("FROM", "TO", "PORT", "FLOWS", "OPEN", "UNANSWERED", "SENT", "RECEIVED", "SEEN AT")
    return Section(_title(flows), heading, rows, frozenset(alarming))


def each(flows: Sequence[Flow]) -> Section:
    """A line for each conversation."""
    ordered = sorted(flows, key=lambda flow: (_place(flow.client), _place(flow.server)))
    rows: Rows = [
        (
            _place(flow.client), _place(flow.server), flow.protocol, flow.asked or "-",
            f"{flow.verdict}{f', {flow.state}' if flow.state else ''}",
            _size(flow.sent_bytes), _size(flow.received_bytes), flow.host,
        )
        for flow in ordered
    ]  # fmt: skip
    alarming = frozenset(n for n, flow in enumerate(ordered) if flow.verdict == UNANSWERED)
    heading = ("FROM", "TO", "PROTOCOL", "ASKED FOR", "VERDICT", "SENT", "RECEIVED", "SEEN AT")
    return Section(_title(flows), heading, rows, alarming)


def _nothing(party: str) -> str:
    whose = f' of "{party}": it has been quiet, or is called otherwise' if party else ""
    return f"No conversation is remembered{whose}."


def _title(flows: Sequence[Flow]) -> str:
    return f"Flows ({len(flows)})"


def _place(end: Party) -> str:
    at = f"[{end.address}]" if ":" in end.address else end.address
    place = f"{at}:{end.port}" if end.port else at
    # A task's name ends in its id.
    name = end.name.rpartition(".")[0] if end.service and end.kind == CONTAINER else end.name
    return place if name in ("", end.address) else f"{name} {place}"


def _size(count: int) -> str:
    return "?" if count < 0 else show_size(count)
