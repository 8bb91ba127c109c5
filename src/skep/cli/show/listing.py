"""Lists: a table with headings, a template per row, or JSON per row, as ``--format`` says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from skep.cli.show.evaluate import Row, Template
from skep.cli.show.functions import HEADING_FUNCTIONS

_GAP = 3
_NARROWEST = 10


class Table(msgspec.Struct, frozen=True):
    """A kind of list: the template of its table, the headings of all fields there are, and the
    field that ``--quiet`` leaves."""

    form: str
    headings: Mapping[str, str]
    quiet: str = "ID"


def show_list(table: Table, rows: Sequence[Row], form: str = "", *, quiet: bool = False) -> str:
    """The list as text. ``form`` is what was given as ``--format``. Raises `Invalid`."""
    if form in ("", "table"):
        if quiet:
            return "".join(f"{row[table.quiet]}\n" for row in rows)
        form = f"table {table.form}"
    elif form == "json":
        form = "{{json .}}"
    form = form.replace(r"\t", "\t").replace(r"\n", "\n")
    if not form.startswith("table"):
        template = Template(form)
        return "".join(f"{template.fill(row)}\n" for row in rows)
    form = form.removeprefix("table").strip()
    template = Template(form)
    # The heading stands over what is there: a field taken of a column names that part of it.
    heading = Template(form, HEADING_FUNCTIONS).fill(_headings(table))
    return aligned([heading, *(template.fill(row) for row in rows)])


def columns(*names: str) -> str:
    """The template of a table with these fields."""
    return r"\t".join(f"{{{{.{name}}}}}" for name in names)


def _headings(table: Table) -> Row:
    return Row({**table.headings, "Label": _label_heading})


def _label_heading(name: str) -> str:
    """A label's last part in words, for example "com.example.my-tier" -> "my tier"."""
    return re.sub(r"[-_]", " ", name.rpartition(".")[2])


def aligned(lines: Sequence[str], least: int = _NARROWEST, gap: int = _GAP) -> str:
    """Lines whose cells (ended by tabs) stand under one another. Source: Go's text/tabwriter.

    A column is as wide as its widest cell in a run of lines that have it.
    """
    cells = [line.split("\t") for text in lines for line in text.split("\n")]
    shown = [""] * len(cells)
    _align(cells, shown, range(len(cells)), 0, (least, gap))
    return "".join(f"{line}\n" for line in shown)


def _align(
    cells: Sequence[Sequence[str]],
    shown: list[str],
    lines: range,
    column: int,
    size: tuple[int, int],
) -> None:
    place = lines.start
    while place < lines.stop:
        end = place
        while end < lines.stop and len(cells[end]) > column + 1:
            end += 1
        if end == place:
            shown[place] += cells[place][column]
            place += 1
            continue
        widest = max(len(cells[line][column]) for line in range(place, end))
        for line in range(place, end):
            shown[line] += cells[line][column].ljust(max(size[0], widest + size[1]))
        _align(cells, shown, range(place, end), column + 1, size)
        place = end
