"""``skep doctor``: what is wrong with the hosts, and what to do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from skep.cli.api import Api
from skep.cli.ink import BOLD, DIM, GREEN, RED, YELLOW, Ink
from skep.cli.parser import Parser
from skep.model.errors import Invalid
from skep.trace.finding import ERROR, Checkup, Finding, Pair

_DESCRIPTION = """\
Look for what is wrong: kernels, links, tunnels, firewalls, names, clocks, certificates, addresses,
disks, and whatever is not as planned. On a worker, only that host is looked into."""
_EPILOG = """\
--fix brings kernels and names to their plans, which is always safe: containers keep running. All
else is left to you, with the command that does it.

exit code: 0 nothing found, 1 warnings, 2 errors"""
_UNASKED = "--fix asks before it changes anything, and nobody is there to answer: say --yes"


def run(arguments: Sequence[str]) -> int:
    """Examine, print; the exit code."""
    parser = Parser(prog="skep doctor", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--host", metavar="HOST", default="", help="one host alone")
    parser.add_argument("-v", "--verbose", action="store_true", help="what lies between hosts too")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--fix", action="store_true", help="bring kernels and names to their plans")
    parser.add_argument("-y", "--yes", action="store_true", help="fix without asking")
    options = parser.parse_args(arguments)
    api = Api()
    if options.fix and not options.yes and not _agreed(api, options.host):
        return 0
    ask = api.post if options.fix else api.get
    found = ask("/skep/doctor", host=options.host)
    checkup = msgspec.convert(found, Checkup)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(text(checkup, Ink(), verbose=options.verbose)))
    return checkup.code


def _agreed(api: Api, host: str) -> bool:
    """Whether whoever sits there wants what can be fixed to be fixed; true if nothing can be, for
    then fixing changes nothing."""
    if not sys.stdin.isatty():
        raise Invalid(_UNASKED)
    found: Any = api.get("/skep/doctor", host=host)
    fixable = [each for each in msgspec.convert(found, Checkup).findings if each.fixable]
    if not fixable:
        return True
    print("\n".join(line for each in fixable for line in _finding(each, Ink())))
    where = ", ".join(dict.fromkeys(each.host for each in fixable))
    return input(f"Bring {where} to what is planned? [y/N] ").strip().lower() in ("y", "yes")


def text(checkup: Checkup, ink: Ink, *, verbose: bool = False) -> Iterator[str]:
    """The findings in lines."""
    for line in checkup.repaired:
        yield from ink.wrap(line, "repaired ", "         ")
    if not checkup.whole:
        yield "This host is no manager: it alone was looked into."
    if verbose and checkup.pairs:
        yield from _between(checkup.pairs, ink)
        yield ""
    for finding in checkup.findings:
        yield from _finding(finding, ink)
        yield ""
    where = ", ".join(checkup.hosts) or "no host"
    if not checkup.findings:
        yield ink.paint(f"✓ Nothing is wrong: {checkup.checks} checks on {where}.", GREEN, BOLD)
        return
    errors = sum(each.severity == ERROR for each in checkup.findings)
    counts = [(errors, "error"), (len(checkup.findings) - errors, "warning")]
    said = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)
    yield ink.paint(f"{said}; {checkup.checks} checks on {where}.", BOLD)


def _finding(finding: Finding, ink: Ink) -> Iterator[str]:
    error = finding.severity == ERROR
    sign, colour = ("✗", RED) if error else ("!", YELLOW)
    host = f"{finding.host} · " if finding.host else ""
    yield ink.paint(f"{sign} {host}{finding.check} · {finding.where}", colour, BOLD)
    yield from ink.wrap(finding.what, "  ", "  ")
    for line in ink.wrap(finding.why, "  why  ", "       "):
        yield ink.paint(line, DIM)
    yield from ink.wrap(finding.fix, "  fix  ", "       ")


# --- between hosts

_COLUMNS = ("BETWEEN", "DELAY", "LOSS", "MESH 7946", "FULL SIZE", "TUNNEL 4789", "CLUSTER 2377")


def _between(pairs: Sequence[Pair], ink: Ink) -> Iterator[str]:
    """What goes from each host to each other one, a line each."""
    rows = [_COLUMNS, *map(_row, pairs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ink.paint(line.rstrip(), BOLD) if number == 0 else line.rstrip()


def _row(pair: Pair) -> tuple[str, ...]:
    measured = pair.probes > 0
    return (
        f"{pair.here} → {pair.there}",
        f"{pair.delay_ms:.2f} ms" if measured and pair.delay_ms else "-",
        f"{pair.loss:.0%} of {pair.probes}" if measured else "-",
        pair.mesh,
        pair.full_size,
        pair.tunnel,
        pair.cluster,
    )
