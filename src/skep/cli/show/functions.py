"""The functions that templates can call, Go's and docker's."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from skep.cli.show.structs import struct_values
from skep.cli.show.times import go_time
from skep.model.errors import Invalid

_VERB = re.compile(r"%([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


class Instant(str):
    """A time stamp that Go has as a time, which it prints in its own form."""


class Octets(str):
    """Bytes, which JSON has in base64, and Go prints as numbers."""


def with_instants(value: Any) -> Any:
    """An object of the cluster, or a network, with its times as such."""
    names = ("CreatedAt", "UpdatedAt", "Created")
    return {key: Instant(item) if key in names and isinstance(item, str) else item
            for key, item in value.items()}  # fmt: skip


class Row(dict[str, Any]):
    """A line of a listing: only its fields exist. A callable takes arguments: ``.Label "x"``."""


def printed(value: Any, *, inner: bool = False) -> str:
    """A value as Go prints it: true, [a b], map[a:1 b:2], {x y}."""
    if value is None:
        return "<nil>" if inner else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Instant):
        return go_time(value)
    if isinstance(value, Octets):
        return f"[{' '.join(map(str, base64.b64decode(value)))}]"
    if isinstance(value, Mapping):
        if value.keys() == {"Index"}:
            return str(value["Index"])
        members = None if isinstance(value, Row) else struct_values(value)
        if members is not None:
            return f"{{{' '.join(printed(item, inner=True) for item in members)}}}"
        pairs = (f"{key}:{printed(value[key], inner=True)}" for key in sorted(value))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(printed(item, inner=True) for item in value)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def as_json(value: Any) -> str:
    """One line of JSON, as Go's encoder writes it."""
    if isinstance(value, Row):
        kept = {key: value[key] for key in sorted(value) if not callable(value[key])}
        # Rows are what Go's Marshal writes, with its care for web pages; all else is not.
        return _encoded(kept).translate(_ESCAPES)
    return _encoded(value)


def _encoded(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _length(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str | list | tuple | Mapping):
        return len(value.encode()) if isinstance(value, str) else len(value)
    raise Invalid(f"len of type {type(value).__name__}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise Invalid(f"error calling index: index out of range: {key}")
            value = value[key]
        elif value is None:
            raise Invalid("error calling index: index of untyped nil")
        else:
            raise Invalid(f"error calling index: cannot index with {printed(key)}")
    return value


def _slice(value: Any, *ends: int) -> Any:
    return value[slice(*ends) if len(ends) > 1 else slice(ends[0] if ends else 0, None)]


def _format(pattern: str, *values: Any) -> str:
    """Go's Sprintf with its common verbs."""
    rest = list(values)

    def replace(found: re.Match[str]) -> str:
        marks, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        size = f"%{marks}{width}" + (f".{precision}" if precision else "")
        if verb in "vst":
            return f"{size}s" % printed(value)
        if verb == "q":
            return f"{size}s" % json.dumps(value, ensure_ascii=False)
        if verb in "dxXoeEfgG":
            return str(f"{size}{verb}" % value)
        return f"%!{verb}({printed(value)})"

    return _VERB.sub(replace, pattern)


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not value), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if value), values[-1])


def _spaced(*values: Any) -> str:
    """Go's Sprint: a space only between two that are not texts."""
    shown = ""
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            shown += " "
        shown += printed(value)
    return shown


def _pad(text: str, before: int, after: int) -> str:
    return f"{' ' * before}{text}{' ' * after}" if text else text


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "and": _and,
    "eq": _equal,
    "ge": lambda one, other: one >= other,
    "gt": lambda one, other: one > other,
    "index": _index,
    "join": lambda values, mark: mark.join(printed(each) for each in values or ()),
    "json": as_json,
    "le": lambda one, other: one <= other,
    "len": _length,
    "lower": str.lower,
    "lt": lambda one, other: one < other,
    "ne": lambda one, other: one != other,
    "not": lambda value: not value,
    "or": _or,
    "pad": _pad,
    "print": _spaced,
    "printf": _format,
    "println": lambda *values: " ".join(printed(each) for each in values) + "\n",
    "slice": _slice,
    "split": lambda text, mark: text.split(mark),
    "title": str.title,
    "truncate": lambda text, length: text[:length],
    "upper": str.upper,
}
# What a table's heading keeps of them: text is changed, anything else leaves the heading alone.
HEADING_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **FUNCTIONS,
    "json": lambda text: text,
    "join": lambda text, _: text,
    "split": lambda text, _: text,
    "title": lambda text: text,
    "lower": lambda text: text,
    "upper": lambda text: text,
    "truncate": lambda text, _: text,
}
