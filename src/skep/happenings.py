"""From committed changes and the engine's events to the events that users see. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.api.ports import Event
from skep.cluster.change import Change
from skep.cluster.state import State
from skep.model.cluster import Network, Node, Record, Service

KINDS = {"networks": "network", "services": "service", "nodes": "node"}


def of_changes(changes: Iterable[Change], before: State, now: float) -> Iterator[Event]:
    """The events of one commit: network, service and node made, changed or removed.

    ``before`` is the state without the changes.
    """
    for change in changes:
        kind = KINDS.get(change.kind)
        if kind is None:
            continue
        old = getattr(before, change.kind).get(change.id)
        record = change.record or old
        if record is None:
            continue
        yield Event(
            kind=kind,
            action=action_of(old, change.record),
            id=change.id,
            attributes={"name": name_of(record)},
            time=now,
            scope="swarm",
        )


def action_of(old: Record | None, new: Record | None) -> str:
    """Docker's word for what became of the object."""
    if new is None:
        return "remove"
    return "create" if old is None else "update"


def name_of(record: Record) -> str:
    """What the user calls the object."""
    match record:
        case Network() | Service():
            return record.spec.name
        case Node():
            return record.description.hostname
        case _:
            return record.id
