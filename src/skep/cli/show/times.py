"""Instants and spans of time, as docker's listings show them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from skep.model.errors import Invalid

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?(?: UTC)?")
NEVER = "0001-01-01T00:00:00Z"
_NANO = 1_000_000_000


def instant(stamp: str) -> float:
    """Unix seconds of an RFC 3339 time stamp. Raises `Invalid`."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        raise Invalid(f'"{stamp}" is not a time stamp')
    day, time, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    return datetime.fromisoformat(f"{day}T{time}{offset}").timestamp() + float(fraction or 0)


def nanoseconds(stamp: str) -> int:
    """Unix nanoseconds of a time stamp, exactly."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        raise Invalid(f'"{stamp}" is not a time stamp')
    day, time, fraction, zone = found.groups()
    whole = int(instant(f"{day}T{time}{zone or 'Z'}"))
    return whole * _NANO + int(f"{(fraction or '.')[1:]:0<9}"[:9])


def human_span(seconds: float) -> str:
    """ "5 minutes", "About an hour", … Source: docker/go-units HumanDuration."""
    whole, hours = int(seconds), int(seconds / 3600 + 0.5)
    if whole < 60:
        return "Less than a second" if whole < 1 else _count(whole, "second")
    if whole < 3600:
        return "About a minute" if whole < 120 else f"{whole // 60} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for days, limit, unit in ((1, 14, "days"), (7, 60, "weeks"), (30, 730, "months")):
        if hours < 24 * limit:
            return f"{hours // 24 // days} {unit}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def _count(number: int, unit: str) -> str:
    return f"1 {unit}" if number == 1 else f"{number} {unit}s"


def ago(seconds: float) -> str:
    """A span that lies behind."""
    return f"{human_span(seconds)} ago"


def go_time(stamp: str) -> str:
    """As Go prints an instant: "2026-01-02 03:04:05.6 +0000 UTC"."""
    found = _STAMP.fullmatch(stamp or NEVER)
    if found is None:
        return stamp
    fraction = (found[3] or "").rstrip("0").rstrip(".")
    zone = "+0000 UTC" if found[4] in (None, "Z") else f"{found[4].replace(':', '')} {found[4]}"
    return f"{found[1]} {found[2]}{fraction} {zone}"


def go_text(stamp: str) -> str:
    """As Go prints a UTC time: "2026-01-02 03:04:05.6 +0000 utc", docker's `inspect --pretty`."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return stamp
    fraction = (found[3] or "").rstrip("0").rstrip(".")
    return f"{found[1]} {found[2]}{fraction} +0000 utc"


def local_text(seconds: float) -> str:
    """As Go prints a local time: "2026-01-02 03:04:05 +0000 UTC"."""
    moment = datetime.fromtimestamp(seconds, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S %z %Z")
