"""Pairs of measurements made in turns, and what is said about them. Pure.

Two things that are compared are always measured in turns, so that whatever else the machine does
falls on both; and what is reported is the median of each pair's difference or ratio, which neither
outliers nor a slow drift can move far.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Quartiles(NamedTuple):
    """The middle value, and those a quarter from the low and the high end."""

    low: float
    middle: float
    high: float


class Pairs(NamedTuple):
    """Measurements of ``base`` and of ``other``, the same number, taken in turns."""

    base: Sequence[float]
    other: Sequence[float]

    def differences(self) -> list[float]:
        """Pair by pair, how much more the other is than the base."""
        return [other - base for base, other in zip(self.base, self.other, strict=True)]

    def ratios(self) -> list[float]:
        """Pair by pair, how many times the base the other is."""
        return [other / base for base, other in zip(self.base, self.other, strict=True)]


def quartiles(values: Sequence[float]) -> Quartiles:
    """The quartiles of at least one value."""
    assert values, "nothing was measured"
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low, middle, high)


def likely(values: Sequence[float]) -> tuple[float, float]:
    """Between which two of the values the true median lies, 19 times out of 20, however they are
    distributed: those one standard deviation of its rank, twice, from the middle."""
    ordered = sorted(values)
    assert ordered, "nothing was measured"
    reach = math.ceil(math.sqrt(len(ordered)))
    low = max((len(ordered) - 1) // 2 - reach, 0)
    return ordered[low], ordered[-1 - low]


def turns(first: str, second: str, count: int) -> Iterator[tuple[str, str]]:
    """``count`` pairs of the two, each of them going first in every other one."""
    for number in range(count):
        yield (second, first) if number % 2 else (first, second)


def row(label: str, pairs: Pairs, unit: str, scale: float = 1.0) -> str:
    """One line of a table: both medians, the difference and the ratio, each with its quartiles."""
    base, other = (quartiles([value * scale for value in side]).middle for side in pairs)
    extra = quartiles([value * scale for value in pairs.differences()])
    times = quartiles(pairs.ratios())
    return (
        f"  {label:24}{number(base):>9}{number(other):>9} {unit:5}"
        f"{number(extra.middle):>8} ({number(extra.low)} to {number(extra.high)})".ljust(74)
        + f"{times.middle:6.2f}x ({times.low:.2f} to {times.high:.2f})"
    )


def heading(title: str, base: str, other: str) -> str:
    """The line above such lines."""
    return f"\n{title:26}{base:>9}{other:>9}{'':6}{'difference':>10}".ljust(75) + f"{'ratio':>7}"


def number(value: float) -> str:
    """Three digits that count, or the whole number if it has more."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
