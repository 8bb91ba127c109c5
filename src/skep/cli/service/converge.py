"""Waiting until a service runs as asked, and stays so; showing how it goes."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from skep.cli.api import Api, filters, reference
from skep.cli.command import Failure
from skep.cli.service.progress import bar, view

_STEP = 0.2
_MONITOR = 5_000_000_000
_NANO = 1_000_000_000
_PAUSED = {"paused": "service update paused: ", "rollback_paused": "service rollback paused: "}


class Board:
    """Lines by what they are about: redrawn in place on a terminal, elsewhere printed when they
    change. Without ``quiet`` nothing is shown."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._drawn = sys.stdout.isatty()
        self._lines: dict[str, str] = {}
        self._height = 0

    def show(self, lines: Mapping[str, str]) -> None:
        """Show these, keeping the others."""
        changed = {name: text for name, text in lines.items() if self._lines.get(name) != text}
        self._lines |= changed
        if self._quiet or not changed:
            return
        if self._drawn:
            self._redraw()
            return
        for name, text in changed.items():
            if text:
                print(f"{name}: {text}", flush=True)

    def say(self, text: str) -> None:
        """A line of its own."""
        if not self._quiet:
            print(text, flush=True)

    def _redraw(self) -> None:
        up = f"\x1b[{self._height}A" if self._height else ""
        shown = "".join(
            f"\x1b[2K{name}: {text:<9} {bar(text)}".rstrip() + "\n"
            for name, text in self._lines.items()
        )
        print(f"{up}{shown}", end="", flush=True)
        self._height = len(self._lines)


def wait_for(api: Api, name: str, *, quiet: bool = False) -> None:
    """Wait for a service. Raises `Failure` if its update was paused.

    An interrupt ends the waiting, not the update.
    """
    board = Board(quiet=quiet)
    with _interrupts() as interrupted:
        if not _watch(api, name, board, interrupted):
            board.say("Operation continuing in background.")
            board.say(f"Use `skep service ps {name}` to check progress.")


def _watch(api: Api, name: str, board: Board, interrupted: Callable[[], bool]) -> bool:
    """Whether it was seen through to the end."""
    since: float | None = None
    while True:
        service = api.get(f"/services/{reference(name)}", insertDefaults="false")
        monitor = (service["Spec"].get("UpdateConfig") or {}).get("Monitor") or _MONITOR
        status = service.get("UpdateStatus") or {}
        state = status.get("State", "")
        if state in _PAUSED:
            raise Failure(f"{_PAUSED[state]}{status.get('Message', '')}")
        if state.startswith("rollback") and status.get("Message"):
            board.show({"rollback": status["Message"]})
        if since is not None and time.monotonic() - since >= monitor / _NANO:
            board.show({"verify": f"Service {name} converged"})
            return True
        found = view(service, _tasks(api, service["ID"]), api.get("/nodes"))
        board.show(found.lines)
        if found.converged and service.get("JobStatus"):
            board.say("job complete")
            return True
        since = _stable_since(board, since, monitor, converged=found.converged)
        if interrupted():
            return found.converged
        time.sleep(min(_STEP, monitor / _NANO))


def _stable_since(
    board: Board, since: float | None, monitor: int, *, converged: bool
) -> float | None:
    if not converged:
        if since is not None:
            board.show({"verify": "Detected task failure"})
        return None
    begun = time.monotonic() if since is None else since
    left = max(0, int(monitor / _NANO - (time.monotonic() - begun))) + 1
    board.show({"verify": f"Waiting {left} seconds to verify that tasks are stable..."})
    return begun


def _tasks(api: Api, service: str) -> Any:
    return api.get("/tasks", **filters({"service": [service], "_up-to-date": ["true"]}))


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Interrupts are counted instead of raised: yields whether there was one."""
    seen: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
