"""``skep top``: hosts, services and networks on one screen, as they change; ``skep net ls --tree``:
networks and what is attached to them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from skep.cli import catalog
from skep.cli.api import Api, reference
from skep.cli.command import perform
from skep.cli.ink import BOLD, RED, Ink
from skep.cli.parser import Parser
from skep.cli.show.overview import Seen, aligned, drawn, sections, trees

_HOME, _CLEAR_REST, _CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"
_ASIDE, _BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without a cursor, and back."""


def run(arguments: Sequence[str]) -> int:
    """Print, or show until Ctrl-C; the exit code. With a container, docker's ``top``."""
    if arguments and not arguments[0].startswith("-"):
        return perform(catalog.short_form("top"), "top", arguments, "")
    parser = Parser(
        prog="skep top",
        description="Hosts, services and networks, as they change; Ctrl-C ends it. What is not as"
        "\nit should be is red. Asked on a manager.",
        epilog="skep top CONTAINER shows a container's processes, as docker does.",
    )
    _add_pace(parser)
    options = parser.parse_args(arguments)
    api, ink = Api(), Ink()

    def lines() -> Iterator[str]:
        for section in sections(look(api)):
            for number, (line, alarming) in enumerate(aligned(section)):
                yield ink.paint(line, BOLD) if not number else _inked(ink, line, alarming)
            yield ""

    return show(lines, once=options.once, every=options.every)


def run_net(arguments: Sequence[str]) -> int:
    """``skep net``: docker's ``network``, and ``ls --tree``."""
    if list(arguments[:1]) != ["ls"] or "--tree" not in arguments:
        word, *rest = arguments or ("--help",)
        command = catalog.find("network", word)
        if command is not None:
            return perform(command, f"network {command.name}", rest, "")
    parser = Parser(
        prog="skep net",
        description="Networks, with the services, tasks and containers on them. All other verbs are"
        "\nthose of skep network.",
    )
    parser.add_argument("verb", choices=["ls"])
    parser.add_argument(
        "--tree", action="store_true", required=True, help="with all that is on them"
    )
    _add_pace(parser)
    options = parser.parse_args(arguments)
    api = Api()
    return show(lambda: drawn(trees(look(api))), once=options.once, every=options.every)


def _add_pace(parser: Parser) -> None:
    parser.add_argument("--once", action="store_true", help="print it once (so into a pipe, too)")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS",
                        help="how often to look (default: %(default)s)")  # fmt: skip


def _inked(ink: Ink, line: str, alarming: bool) -> str:
    return ink.paint(line, RED) if alarming else line


def look(api: Api) -> Seen:
    """Ask for everything. Raises refusals: a worker knows little of this."""
    networks = api.get("/networks")
    return Seen(
        nodes=api.get("/nodes"),
        services=api.get("/services"),
        tasks=api.get("/tasks"),
        networks=[api.get(f"/networks/{reference(each['Id'])}") for each in networks],
        readings=api.get("/skep/readings"),
    )


def show(lines: Callable[[], Iterator[str]], *, once: bool, every: float) -> int:
    """Print lines once, or on a terminal again and again on a screen of their own."""
    if once or not sys.stdout.isatty():
        print("\n".join(lines()))
        return 0
    with ExitStack() as stack:
        first = list(lines())  # what is refused is to be read on the usual screen
        sys.stdout.write(_ASIDE)
        stack.callback(lambda: print(_BACK, end="", flush=True))
        while True:
            sys.stdout.write(_HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in first))
            sys.stdout.write(_CLEAR_REST)
            sys.stdout.flush()
            try:
                time.sleep(max(every, 0.1))
            except KeyboardInterrupt:
                return 0
            first = list(lines())
