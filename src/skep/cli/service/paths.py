"""Places in a service's spec, which is a nest of JSON objects."""

from __future__ import annotations

from typing import Any

Path = tuple[str, ...]

TASK: Path = ("TaskTemplate",)
CONTAINER: Path = (*TASK, "ContainerSpec")
PLACEMENT: Path = (*TASK, "Placement")
LIMITS: Path = (*TASK, "Resources", "Limits")
RESERVATIONS: Path = (*TASK, "Resources", "Reservations")
RESTART: Path = (*TASK, "RestartPolicy")
HEALTH: Path = (*CONTAINER, "Healthcheck")
DNS: Path = (*CONTAINER, "DNSConfig")
UPDATE: Path = ("UpdateConfig",)
ROLLBACK: Path = ("RollbackConfig",)
ENDPOINT: Path = ("EndpointSpec",)

_SECOND = 1_000_000_000
_ROLLOUT: dict[str, Any] = {
    "Parallelism": 1,
    "FailureAction": "pause",
    "Monitor": 5 * _SECOND,
    "MaxFailureRatio": 0,
    "Order": "stop-first",
}
# What a part begins with when one of its members is set: swarm's own defaults.
_BEGINNINGS: dict[Path, dict[str, Any]] = {
    RESTART: {"Condition": "any", "Delay": 5 * _SECOND, "MaxAttempts": 0},
    UPDATE: _ROLLOUT,
    ROLLBACK: _ROLLOUT,
}


def part(spec: dict[str, Any], path: Path) -> dict[str, Any]:
    """The object at a place, made if it is not there."""
    for depth, name in enumerate(path, 1):
        if spec.get(name) is None:
            spec[name] = dict(_BEGINNINGS.get(path[:depth], {}))
        spec = spec[name]
    return spec


def look(spec: dict[str, Any], path: Path) -> Any:
    """The value at a place, None if there is none."""
    found: Any = spec
    for name in path:
        found = (found or {}).get(name)
    return found
