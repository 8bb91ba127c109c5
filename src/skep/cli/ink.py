"""Colours on a terminal, and text that fits it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

RED, GREEN, YELLOW, CYAN, DIM, BOLD = "31", "32", "33", "36", "2", "1"
_WIDEST = 120
_NARROWEST = 60


class Ink:
    """How to write to standard output: coloured if it is a terminal and NO_COLOR is not set."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        self.coloured = terminal and not os.environ.get("NO_COLOR")
        columns = shutil.get_terminal_size((100, 24)).columns if terminal else 100
        self.width = max(_NARROWEST, min(columns, _WIDEST))

    def paint(self, text: str, *colours: str) -> str:
        """The text in colours, if there are any."""
        if not self.coloured or not text:
            return text
        return f"\x1b[{';'.join(colours)}m{text}\x1b[0m"

    def wrap(self, text: str, first: str, rest: str) -> list[str]:
        """The text in lines, the first one after ``first``, the others after ``rest``. Both are
        uncoloured and equally long."""
        return textwrap.wrap(
            text, self.width, initial_indent=first, subsequent_indent=rest,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
