"""Reads the walkthroughs' rows (`walkthrough.rows`, which says how it is written)."""

import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("walkthrough.rows")
_ROW = re.compile(
    r"(?P<id>W\d-\d\d): (?P<shows>[^\n]+)\n"
    r"(?:! (?P<note>[^\n]+)\n)?"
    r"\$ (?P<command>[^\n]+)\n"
    r"\? (?P<assertion>[^\n]+)"
)


@dataclass(frozen=True)
class Row:
    """A command someone types, and what must be true of its output."""

    id: str
    shows: str
    note: str | None
    command: str
    assertion: str


def read(text):
    """All rows in order. Anything that is neither a row nor a comment is an error."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    blocks = "\n".join(lines).strip().split("\n\n")
    matches = [_ROW.fullmatch(block.strip()) for block in blocks]
    for block, match in zip(blocks, matches, strict=True):
        assert match, f"not a row:\n{block}"
    return tuple(Row(**match.groupdict()) for match in matches)


ROWS = read(SOURCE.read_text())
