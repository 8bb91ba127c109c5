"""Events, as ``docker events`` reads them."""

from __future__ import annotations

from skep.api.filters import Filters
from skep.api.ports import Event
from skep.api.shapes.base import Json

OBJECTS = (
    "config",
    "container",
    "daemon",
    "image",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
)
"""Filters that name an object by its kind."""

ENGINES_OWN = frozenset({"containerExitCode", "podId"})
"""Attributes that Podman gives to every container's event; Docker's have other names for it."""

KEYS = ("type", "event", "label", "scope", *OBJECTS)


def event(happened: Event) -> Json:
    """One event. Containers' also carry the members of the oldest API."""
    attributes = {k: v for k, v in happened.attributes.items() if k not in ENGINES_OWN}
    shown: Json = {
        "Type": happened.kind,
        "Action": happened.action,
        "Actor": {"ID": happened.id, "Attributes": attributes},
        "scope": happened.scope,
        "time": int(happened.time),
        "timeNano": round(happened.time * 1_000_000) * 1000,
    }
    if happened.kind == "container":
        shown |= {
            "status": happened.action,
            "id": happened.id,
            "from": attributes.get("image", ""),
        }
    return shown


def wanted(happened: Event, filters: Filters) -> bool:
    """Whether an event passes ``filters``. An action also goes by the word before its colon."""
    action = happened.action
    return (
        filters.exact("type", happened.kind)
        and filters.exact("event", action, action.partition(":")[0])
        and filters.exact("scope", happened.scope)
        and filters.labels("label", happened.attributes)
        and _is_asked_object(happened, filters)
    )


def _is_asked_object(happened: Event, filters: Filters) -> bool:
    """A filter by kind and object passes that object's events alone."""
    asked = [kind for kind in OBJECTS if kind in filters]
    return not asked or any(
        happened.kind == kind
        and (
            filters.prefix(kind, happened.id)
            or filters.prefix(kind, happened.attributes.get("name", ""))
        )
        for kind in asked
    )
