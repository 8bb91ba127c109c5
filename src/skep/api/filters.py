"""The ``filters=`` parameter: ``{"k": {"v": true}}`` from the CLI, ``{"k": ["v"]}`` from others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from skep.model.errors import UNREADABLE, Invalid

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

TRUE = ("1", "true", "True", "TRUE", "t", "T")
FALSE = ("0", "false", "False", "FALSE", "f", "F")


class Filters:
    """Wanted values by key. A key that was not given matches everything."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = values

    @classmethod
    def parse(cls, text: str, allowed: Iterable[str]) -> Filters:
        """From the query's text. Raises `Invalid` for malformed JSON and keys not ``allowed``."""
        try:
            decoded = msgspec.json.decode(
                text or "{}", type=dict[str, dict[str, bool] | list[str] | None]
            )
        except UNREADABLE as fault:
            raise Invalid(f"invalid filters: {fault}") from fault
        known = frozenset(allowed)
        for key in decoded:
            if key not in known:
                raise Invalid(f"invalid filter '{key}'")
        return cls({key: tuple(values or ()) for key, values in decoded.items()})

    def __contains__(self, key: str) -> bool:
        return bool(self._values.get(key))

    def get(self, key: str) -> tuple[str, ...]:
        """The wanted values of a key, none if it was not given."""
        return self._values.get(key, ())

    def exact(self, key: str, *found: str) -> bool:
        """One of the wanted values is one of ``found``."""
        return key not in self or any(value in found for value in self.get(key))

    def prefix(self, key: str, *found: str) -> bool:
        """One of ``found`` begins with one of the wanted values (ids and names of a swarm)."""
        return key not in self or any(item.startswith(self.get(key)) for item in found)

    def matches(self, key: str, *found: str) -> bool:
        """One of the wanted values is a regular expression found in one of ``found``."""
        return key not in self or any(_search(v, item) for v in self.get(key) for item in found)

    def labels(self, key: str, found: Mapping[str, str]) -> bool:
        """Every wanted ``name`` or ``name=value`` is among the labels."""
        for wanted in self.get(key):
            name, equals, value = wanted.partition("=")
            if name not in found or (equals and found[name] != value):
                return False
        return True

    def without_labels(self, key: str, found: Mapping[str, str]) -> bool:
        """None of the wanted ``name`` or ``name=value`` is among the labels (``label!``)."""
        return key not in self or not any(
            Filters({key: (wanted,)}).labels(key, found) for wanted in self.get(key)
        )

    def truth(self, key: str) -> bool | None:
        """A boolean filter; None if it was not given. Raises `Invalid` if it is not a boolean."""
        values = self.get(key)
        if not values:
            return None
        if all(value in TRUE for value in values):
            return True
        if all(value in FALSE for value in values):
            return False
        raise Invalid(f"invalid filter '{key}=[{' '.join(values)}]'")


def _search(pattern: str, text: str) -> bool:
    try:
        return pattern == text or re.search(pattern, text) is not None
    except re.error:
        return pattern in text


def moment(text: str, now: float) -> float:
    """When a filter like ``until`` means, in Unix seconds: "10m" is ten minutes before ``now``;
    others are Unix seconds, dates and RFC 3339 times (UTC unless they say otherwise).

    Raises `Invalid`.
    """
    parts = DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * SECONDS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"invalid value {text!r}: it is neither a time nor a duration") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
