"""Instants as ``--since`` and ``--until`` take them."""

from __future__ import annotations

import re

from skep.cli.show.times import instant, nanoseconds
from skep.cli.syntax.quantities import duration
from skep.model.errors import Invalid

_NANO = 1_000_000_000


def when(text: str, now: float) -> str:
    """Unix seconds for the API: of a time stamp, a date, seconds already, or a span before now."""
    if not text:
        return ""
    try:
        return str(int(now * _NANO - duration(text)) // _NANO)
    except Invalid:
        pass
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return text
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text = f"{text}T00:00:00Z"
    elif re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", text):
        text = f"{text}:00Z"
    whole, rest = divmod(nanoseconds(text), _NANO)
    assert whole == int(instant(text))
    return f"{whole}.{rest:09d}"
