"""Several compose files as one: what a later file says wins, member by member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skep.cli.stack.canonical import SERVICE_ORDER

Json = dict[str, Any]
_SECTIONS = ("services", "networks", "volumes", "secrets", "configs")
# Lists whose items replace one another by a member; other lists are appended.
_KEYED = {"ports": "published", "secrets": "source", "configs": "source", "volumes": "target"}
# Of all objects within a service; none has two of them in another order.
_MEMBERS = [
    "mode",
    "replicas",
    "labels",
    "update_config",
    "rollback_config",
    "resources",
    "restart_policy",
    "placement",
    "endpoint_mode",
    "limits",
    "reservations",
    "cpus",
    "memory",
    "pids",
    "generic_resources",
    "condition",
    "parallelism",
    "delay",
    "failure_action",
    "monitor",
    "max_failure_ratio",
    "max_attempts",
    "window",
    "order",
    "constraints",
    "preferences",
    "max_replicas_per_node",
    "test",
    "timeout",
    "interval",
    "retries",
    "start_period",
    "start_interval",
    "disable",
    "aliases",
    "driver_opts",
    "ipv4_address",
    "ipv6_address",
]
_RANK = {name: place for place, name in enumerate(_MEMBERS)}
_REPLACED = {"command", "entrypoint"}


def merged(files: Sequence[Json]) -> Json:
    """The configurations of all files, in canonical form, as one."""
    base = dict(files[0])
    for other in files[1:]:
        for name in _SECTIONS:
            merge = _service if name == "services" else _later
            section = _by_name(base.get(name) or {}, other.get(name) or {}, merge)
            if section or name == "services":
                base[name] = section
    rest = {name: value for name, value in base.items() if name not in _SECTIONS}
    return {name: base[name] for name in _SECTIONS if name in base} | rest


def _by_name(base: Json, other: Json, merge: Callable[[Json, Json], Json]) -> Json:
    found = dict(base)
    for name, each in other.items():
        found[name] = merge(found[name], each) if name in found else each
    return {name: found[name] for name in sorted(found)}


def _later(_: Json, other: Json) -> Json:
    """Networks and the like are replaced as a whole."""
    return other


def _service(base: Json, other: Json) -> Json:
    found = dict(base)
    for name, value in other.items():
        if name not in found or name in _REPLACED:
            found[name] = value
        elif value is False or name in _KEYED:
            continue  # in docker, too, nothing is turned off by a later file
        elif name == "networks":
            found[name] = _by_name(found[name], value, _network)
        elif name == "logging":
            found[name] = _logging(found[name], value)
        else:
            found[name] = _deep(found[name], value)
    for name, key in _KEYED.items():
        if name in base:
            found[name] = _keyed(base[name], other.get(name, ()), key)
    last = len(SERVICE_ORDER)
    return {
        name: found[name] for name in sorted(found, key=lambda key: SERVICE_ORDER.get(key, last))
    }


def _keyed(base: Sequence[Json], other: Sequence[Json], key: str) -> list[Json]:
    found = {each.get(key, 0): each for each in (*base, *other)}
    return [found[value] for value in sorted(found)]


def _network(base: Json | None, other: Json | None) -> Json:
    """Aliases are replaced, addresses stay unless there are others."""
    found = {name: value for name, value in (base or {}).items() if name != "aliases" or not other}
    return _in_order(found | (other or {}))


def _logging(base: Json, other: Json) -> Json:
    one, two = base.get("driver"), other.get("driver")
    if one and two and one != two:
        return other
    options = {**base.get("options", {}), **other.get("options", {})}
    found = {"driver": one or two, "options": {key: options[key] for key in sorted(options)}}
    return {name: value for name, value in found.items() if value}


def _in_order(found: Json) -> Json:
    """Members in docker's order; users' own names by name."""
    last = len(_MEMBERS)
    return {
        name: found[name] for name in sorted(found, key=lambda key: (_RANK.get(key, last), key))
    }


def _deep(base: Any, other: Any) -> Any:
    if isinstance(base, dict) and isinstance(other, dict):
        found = dict(base)
        for name, value in other.items():
            found[name] = _deep(found[name], value) if name in found else value
        return _in_order(found)
    if isinstance(base, list) and isinstance(other, list):
        return [*base, *other]
    return other
