"""The lines of JSON that the daemon reports with while it loads or pulls."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TextIO

from skep.cli.command import Failure


def show_messages(lines: Iterable[bytes], sink: TextIO | None = None) -> None:
    """Print them as they come, one line each, to ``sink`` or our output. Raises `Failure` for a
    report of failure."""
    sink = sink or sys.stdout
    for line in lines:
        if not line.strip():
            continue
        message = json.loads(line)
        if message.get("error"):
            raise Failure(str(message["error"]))
        if message.get("stream"):
            print(message["stream"], end="", flush=True, file=sink)
        elif "status" in message and not message.get("progressDetail"):
            mark = f"{message['id']}: " if message.get("id") else ""
            print(f"{mark}{message['status']}", flush=True, file=sink)


def check_messages(lines: Iterable[bytes]) -> None:
    """Say nothing, unless a report of failure is among them: raises `Failure`."""
    for line in lines:
        if b'"error"' in line:
            show_messages([line])
