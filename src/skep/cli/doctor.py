"""``skep doctor``: what is wrong with the hosts, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec

from skep.cli.api import Api
from skep.cli.ink import BOLD, DIM, GREEN, RED, YELLOW, Ink
from skep.cli.parser import Parser
from skep.trace.finding import ERROR, Checkup, Finding

_DESCRIPTION = """\
Look for what is wrong: kernels, links, tunnels, firewalls, names, clocks, certificates, addresses,
disks, and whatever is not as planned. On a worker, only that host is looked into."""
_EPILOG = "exit code: 0 nothing found, 1 warnings, 2 errors"


def run(arguments: Sequence[str]) -> int:
    """Examine, print; the exit code."""
    parser = Parser(prog="skep doctor", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--host", metavar="HOST", default="", help="one host alone")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--fix", action="store_true", help="first bring kernels to their plans")
    options = parser.parse_args(arguments)
    ask = Api().post if options.fix else Api().get
    found = ask("/skep/doctor", host=options.host)
    checkup = msgspec.convert(found, Checkup)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(text(checkup, Ink())))
    return checkup.code


def text(checkup: Checkup, ink: Ink) -> Iterator[str]:
    """The findings in lines."""
    for line in checkup.repaired:
        yield from ink.wrap(line, "repaired ", "         ")
    if not checkup.whole:
        yield "This host is no manager: it alone was looked into."
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
