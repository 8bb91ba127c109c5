"""Variables in compose files: ``$NAME``, ``${NAME:-default}``, ``${NAME:?complaint}``, ``$$``.

What stands in a place for a number or a truth value becomes one after its variables are filled in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from skep.model.errors import Invalid

Lookup = Callable[[str], str | None]
_NAME = r"[_a-zA-Z][_a-zA-Z0-9]*"
_PATTERN = re.compile(
    rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME}(?::?[-?][^}}]*)?)"
    rf"|{{(?P<braced>{_NAME}(?::?[-?][^}}]*)?)}}|(?P<invalid>))"
)
_SERVICE = ("services", "*")
_NUMBERS = (
    ("configs", "[]", "mode"), ("secrets", "[]", "mode"), ("healthcheck", "retries"),
    ("deploy", "replicas"), ("deploy", "update_config", "parallelism"),
    ("deploy", "rollback_config", "parallelism"), ("deploy", "restart_policy", "max_attempts"),
    ("deploy", "placement", "max_replicas_per_node"), ("ports", "[]", "target"),
    ("ports", "[]", "published"), ("ulimits", "*"), ("ulimits", "*", "hard"),
    ("ulimits", "*", "soft"), ("oom_score_adj",),
)  # fmt: skip
_FRACTIONS = (("deploy", "update_config", "max_failure_ratio"),
              ("deploy", "rollback_config", "max_failure_ratio"))  # fmt: skip
_SWITCHES = (
    ("healthcheck", "disable"), ("privileged",), ("read_only",), ("stdin_open",), ("tty",),
    ("volumes", "[]", "read_only"), ("volumes", "[]", "volume", "nocopy"), ("init",),
)  # fmt: skip
_TOP_SWITCHES = (("networks", "*", "external"), ("networks", "*", "internal"),
                 ("networks", "*", "attachable"), ("volumes", "*", "external"),
                 ("secrets", "*", "external"), ("configs", "*", "external"))  # fmt: skip


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?\d+", text):
        raise Invalid(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _fraction(text: str) -> float:
    try:
        return float(text)
    except ValueError as fault:
        raise Invalid(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from fault


def _switch(text: str) -> bool:
    word = text.lower()
    if word in ("y", "yes", "true", "on"):
        return True
    if word in ("n", "no", "false", "off"):
        return False
    raise Invalid(f"invalid boolean: {text}")


_CASTS: dict[tuple[str, ...], Callable[[str], Any]] = {
    **{(*_SERVICE, *path): _integer for path in _NUMBERS},
    **{(*_SERVICE, *path): _fraction for path in _FRACTIONS},
    **{(*_SERVICE, *path): _switch for path in _SWITCHES},
    **dict.fromkeys(_TOP_SWITCHES, _switch),
}
_SECTIONS = ("services", "volumes", "networks", "secrets", "configs")


def substituted(text: str, lookup: Lookup) -> str:
    """Text with its variables filled in; unknown ones are empty. Raises `Invalid` with the part
    that is wrong."""

    def replace(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        wanted = found["named"] or found["braced"]
        if not wanted:
            raise Invalid(text)
        return _value(wanted, lookup)

    return _PATTERN.sub(replace, text)


def _value(wanted: str, lookup: Lookup) -> str:
    for mark in (":-", "-", ":?", "?"):
        name, given, rest = wanted.partition(mark)
        if not given:
            continue
        value = lookup(name)
        if value is not None and (value or ":" not in mark):
            return value
        if "?" in mark:
            raise Invalid(f"required variable {name} is missing a value: {rest}")
        return rest
    return lookup(wanted) or ""


def interpolated(document: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """A file with its variables filled in. Raises `Invalid` saying where one is wrong."""
    return {
        key: _walk(value, (key,), (key,), lookup) if key in _SECTIONS else value
        for key, value in document.items()
    }


def _walk(value: Any, path: tuple[str, ...], kind: tuple[str, ...], lookup: Lookup) -> Any:
    """``kind`` is the path with names and places left open."""
    if isinstance(value, dict):
        return {
            key: _walk(item, (*path, key), (*kind, _open(kind, key)), lookup)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_walk(item, path, (*kind, "[]"), lookup) for item in value]
    if not isinstance(value, str):
        return value
    where = ".".join(path)
    try:
        text = substituted(value, lookup)
    except Invalid as fault:
        raise Invalid(f"invalid interpolation format for {where}: {json.dumps(str(fault))}; you "
                      "may need to escape any $ with another $") from fault  # fmt: skip
    cast = _CASTS.get(kind)
    if cast is None or text == value:
        return text
    try:
        return cast(text)
    except Invalid as fault:
        raise Invalid(f"error while interpolating {where}: failed to cast to expected type: "
                      f"{fault}") from fault  # fmt: skip


def _open(kind: tuple[str, ...], key: str) -> str:
    named = len(kind) == 1 or kind[-1] == "ulimits"
    return "*" if named else key
