"""``skep topology``: the cluster as a picture, or for programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from skep.cli.api import Api
from skep.cli.parser import Parser
from skep.model.errors import Broken, Unavailable
from skep.topology import dot, picture
from skep.topology.graph import Graph

PATIENCE = 60
"""Seconds that a program gets to draw."""
_DESCRIPTION = """\
Draw the cluster as it is: hosts, their bridges, overlays and containers, what is plugged into what,
tunnels. Ask a manager. Large clusters are folded into groups by host and service, unless --all."""
_EPILOG = """\
examples:
  skep topology --svg cluster.svg
  skep topology --png cluster.png        needs rsvg-convert, inkscape or chromium
  skep topology --dot | dot -Tpdf >cluster.pdf
  skep topology --json --all"""
NOT_INSTALLED = (
    "no program that makes a PNG was found: install librsvg2-bin (rsvg-convert), inkscape or "
    "chromium, or use --svg"
)


def run(arguments: Sequence[str]) -> int:
    """Draw; the exit code."""
    parser = Parser(prog="skep topology", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--svg", metavar="FILE", help='draw it ("-": on standard output)')
    parser.add_argument("--png", metavar="FILE", help="draw it in pixels")
    parser.add_argument("--dot", action="store_true", help="print it for Graphviz (the default)")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--all", action="store_true", help="fold nothing")
    parser.add_argument("--find", metavar="WORDS", default="", help="what is not to be folded")
    options = parser.parse_args(arguments)
    found = Api().get("/skep/topology", all=options.all, find=options.find)
    graph = msgspec.convert(found, Graph)
    if options.svg == "-":
        print(picture.draw(graph), end="")
    elif options.svg:
        Path(options.svg).write_text(picture.draw(graph))
    if options.png:
        to_png(picture.draw(graph), Path(options.png).absolute())
    if options.json:
        print(json.dumps(found, indent=2))
    elif options.dot or not (options.svg or options.png):
        print(dot.write(graph), end="")
    return 0


def to_png(drawing: str, target: Path) -> None:
    """Have a program make pixels of an SVG. Raises `Unavailable` if there is none, `Broken` if it
    does not."""
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        source = Path(folder) / "picture.svg"
        source.write_text(drawing)
        for name, command in PROGRAMS.items():
            program = shutil.which(name)
            if program is not None:
                _perform([program, *command(source, target, drawing)], target)
                return
    raise Unavailable(NOT_INSTALLED)


def _perform(command: list[str], target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Broken(f"{command[0]} could not be run: {error}") from error
    if done.returncode or not target.exists():
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Broken(f"{command[0]} made no picture: {said[-1] if said else 'it said nothing'}")


def _by_chromium(source: Path, target: Path, drawing: str) -> list[str]:
    size = drawing.partition('viewBox="0 0 ')[2].partition('"')[0].replace(" ", ",")
    return [
        "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={source.parent}/profile", f"--window-size={size}",
        f"--screenshot={target}", source.as_uri(),
    ]  # fmt: skip


PROGRAMS: dict[str, Callable[[Path, Path, str], list[str]]] = {
    "rsvg-convert": lambda source, target, _: ["-o", str(target), str(source)],
    "inkscape": lambda source, target, _: [str(source), f"--export-filename={target}"],
    "chromium": _by_chromium,
    "google-chrome": _by_chromium,
}
"""What makes PNGs, best first, and its arguments."""
