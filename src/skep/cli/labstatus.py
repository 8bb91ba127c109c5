"""How ``skep lab status`` looks: a table on a terminal, aligned columns elsewhere."""

from __future__ import annotations

import sys

from skep.lab.status import LabStatus
from skep.lab.up import Condition

_HEADING = ("HOST", "ADDRESS", "STATE", "API SOCKET")


def show(status: LabStatus) -> None:
    """Print it."""
    print(headline(status))
    table = rows(status)
    if not table:
        return
    if sys.stdout.isatty():
        _show_rich(table)
    else:
        _show_plain(table)


def headline(status: LabStatus) -> str:
    """One line on the whole lab."""
    name = status.lab.name
    if status.condition is Condition.BROKEN:
        return f'Lab {name} is not whole: "skep lab up --name {name}" makes it anew.'
    apart = ", ".join(f"{one} from {other}" for one, other in status.cuts)
    return f"Lab {name} is up; {apart} cut off." if apart else f"Lab {name} is up."


def rows(status: LabStatus) -> list[tuple[str, ...]]:
    """A row per host."""
    return [
        (entry.host.name, entry.host.address, entry.state, str(entry.host.socket))
        for entry in status.hosts
    ]


def _show_plain(table: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(_HEADING, *table, strict=True)]
    for row in (_HEADING, *table):
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _show_rich(table: list[tuple[str, ...]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.table import Table  # noqa: PLC0415

    drawn = Table(*_HEADING, box=None, header_style="bold", pad_edge=False)
    for row in table:
        style = "green" if row[2] == "up" else "yellow"
        drawn.add_row(row[0], row[1], f"[{style}]{row[2]}[/{style}]", row[3])
    Console().print(drawn)
