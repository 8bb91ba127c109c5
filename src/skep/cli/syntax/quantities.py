"""Durations, sizes and shares of processors, read and written as Go and docker do."""

from __future__ import annotations

import re
from fractions import Fraction

from skep.model.errors import Invalid

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_NANO = 1_000_000_000
_PIECE = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtpe]?)(i?b)?", re.IGNORECASE)
_POWERS = " kmgtpe"


def duration(text: str) -> int:
    """Nanoseconds in "1h2m3.5s". Source: Go's time.ParseDuration."""
    rest = text.lstrip("+-") if text[:1] in "+-" else text
    if rest == "0":
        return 0
    total = Fraction(0)
    place = 0
    while place < len(rest):
        piece = _PIECE.match(rest, place)
        if piece is None:
            raise Invalid(f'time: invalid duration "{text}"')
        number, unit = piece.groups()
        if not unit:
            raise Invalid(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise Invalid(f'time: unknown unit "{unit}" in duration "{text}"')
        total += Fraction(f"0{number}" if number[0] == "." else number.rstrip(".")) * _UNITS[unit]
        place = piece.end()
    if not rest or total >= 1 << 63:
        raise Invalid(f'time: invalid duration "{text}"')
    return -int(total) if text.startswith("-") else int(total)


def positive_duration(text: str) -> int:
    """As `duration`, but not negative."""
    value = duration(text)
    if value < 0:
        raise Invalid("duration cannot be negative")
    return value


def show_duration(nanoseconds: int) -> str:
    """As Go's Duration.String: "1h0m5s", "1.5s", "300ms", "0s"."""
    if nanoseconds < 0:
        return f"-{show_duration(-nanoseconds)}"
    if nanoseconds < _NANO:
        for unit in ("ms", "µs", "ns"):
            if nanoseconds >= _UNITS[unit]:
                return f"{_plain(Fraction(nanoseconds, _UNITS[unit]))}{unit}"
        return "0s"
    minutes, rest = divmod(nanoseconds, 60 * _NANO)
    seconds = f"{_plain(Fraction(rest, _NANO))}s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _plain(number: Fraction) -> str:
    """At most nine places, no trailing zeros."""
    whole, rest = divmod(number.numerator * _NANO // number.denominator, _NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def memory(text: str) -> int:
    """Bytes in "64m", "1.5GiB", "100". Source: docker/go-units RAMInBytes."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise Invalid(f"invalid size: '{text}'")
    return int(float(found[1]) * 1024 ** _POWERS.index(found[2].lower() or " "))


def memory_or_unlimited(text: str) -> int:
    """As `memory`; "-1" is without limit."""
    return -1 if text == "-1" else memory(text)


def cpus(text: str) -> int:
    """Billionths of a processor in "0.5"."""
    try:
        share = Fraction(text) * _NANO
    except (ValueError, ZeroDivisionError) as fault:
        raise Invalid(f"failed to parse {text} as a rational number") from fault
    if share.denominator != 1:
        raise Invalid("value is too precise")
    return int(share)


def show_memory(size: float) -> str:
    """With 1024 to a unit and four digits: "64MiB"."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))


def show_size(size: float, digits: int = 4) -> str:
    """With 1000 to a unit: "7.05MB"."""
    return _scaled(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB", "EB"), digits)


def _scaled(size: float, step: int, units: tuple[str, ...], digits: int = 4) -> str:
    power = 0
    while size >= step and power < len(units) - 1:
        size /= step
        power += 1
    return f"{size:.{digits}g}{units[power]}"
