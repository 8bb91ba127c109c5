"""Showing progress: a spinner above finished lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Yields what is called with each finished step."""
    begun = time.monotonic()
    if not sys.stdout.isatty():
        yield lambda step: print(f"{title}: {step}", flush=True)
        return
    from rich.console import Console  # noqa: PLC0415 - costs more than most commands
    from rich.markup import escape  # noqa: PLC0415

    console = Console(highlight=False)

    def show(step: str) -> None:
        elapsed = time.monotonic() - begun
        console.print(f"[dim]{elapsed:5.1f} s[/dim] [green]✓[/green] {escape(step)}")

    with console.status(escape(title)):
        yield show
