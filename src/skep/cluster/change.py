"""The kinds of stored objects, and a change of one: the vocabulary between state and store."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from skep.model.cluster import Cluster, Config, Network, Node, Record, Secret, Service, Task

KINDS: Mapping[str, type[Record]] = {
    "cluster": Cluster,
    "nodes": Node,
    "networks": Network,
    "services": Service,
    "secrets": Secret,
    "configs": Config,
    "tasks": Task,
}
"""The first part of an object's key in the store, and its type."""

_KIND_OF = {record_type: kind for kind, record_type in KINDS.items()}


class Change(msgspec.Struct, frozen=True):
    """An object to store, or to delete (``record`` None).

    ``expect`` is the version that the decision saw, 0 for an object that must be new: the store
    refuses the commit if it is another one by now.
    """

    kind: str
    id: str
    record: Record | None
    expect: int = 0


def kind_of(record: Record) -> str:
    """The kind of a stored object."""
    return _KIND_OF[type(record)]
