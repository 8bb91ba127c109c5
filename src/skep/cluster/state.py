"""The picture of the cluster in memory, and drafts of its future.

A `State` is what the store holds at one revision. Decisions never touch it: they write into a
`Draft`, whose changes are committed to the store and only then applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from skep.cluster.change import KINDS, Change, kind_of
from skep.cluster.index import Key, keys
from skep.cluster.view import View
from skep.model.cluster import Cluster, Network, Node, Record, Service, Task

R = TypeVar("R", bound=Record)


class _Index:
    """Ids by key. Dictionaries stand in for sets: they keep an order that does not vary."""

    def __init__(self) -> None:
        self._ids: dict[Key, dict[str, None]] = {}

    def get(self, key: Key) -> Iterable[str]:
        return self._ids.get(key, ())

    def add(self, record: Record) -> None:
        for key in keys(record):
            self._ids.setdefault(key, {})[record.id] = None

    def discard(self, record: Record) -> None:
        for key in keys(record):
            ids = self._ids.get(key, {})
            ids.pop(record.id, None)
            if not ids:
                self._ids.pop(key, None)


class State(View):
    """All objects as the store holds them at ``revision``. Changed only by what was committed."""

    def __init__(self) -> None:
        self.revision = 0
        self._clear()

    def _clear(self) -> None:
        self._records: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self._views = {kind: MappingProxyType(records) for kind, records in self._records.items()}
        self._index = _Index()

    def load(self, records: Iterable[Record], revision: int) -> None:
        """Become the picture of a whole snapshot; the records carry their versions."""
        self._clear()
        for record in records:
            self._set(kind_of(record), record.id, record)
        self.revision = revision

    def apply(self, changes: Iterable[Change], revision: int) -> None:
        """Take over what was committed at ``revision``: the records' version from now on."""
        assert revision >= self.revision, "commits are applied in order"
        for change in changes:
            record = change.record and replace(change.record, version=revision)
            self._set(change.kind, change.id, record)
        self.revision = revision

    def _set(self, kind: str, id: str, record: Record | None) -> None:
        old = self._records[kind].pop(id, None)
        if old is not None:
            self._index.discard(old)
        if record is not None:
            self._records[kind][id] = record
            self._index.add(record)

    def records(self, kind: str) -> Mapping[str, Record]:
        """All objects of a kind by id."""
        return self._views[kind]

    @property
    def cluster(self) -> Cluster | None:  # noqa: D102 - as in `View`
        return cast("Cluster | None", next(iter(self._records["cluster"].values()), None))

    @property
    def nodes(self) -> Mapping[str, Node]:  # noqa: D102
        return cast("Mapping[str, Node]", self._views["nodes"])

    @property
    def networks(self) -> Mapping[str, Network]:  # noqa: D102
        return cast("Mapping[str, Network]", self._views["networks"])

    @property
    def services(self) -> Mapping[str, Service]:  # noqa: D102
        return cast("Mapping[str, Service]", self._views["services"])

    @property
    def tasks(self) -> Mapping[str, Task]:  # noqa: D102
        return cast("Mapping[str, Task]", self._views["tasks"])

    def ids(self, key: Key) -> Iterable[str]:  # noqa: D102
        return self._index.get(key)


class _Layer(Mapping[str, R]):
    """Objects of one kind: those below, unless they were put or deleted above."""

    def __init__(self, below: Mapping[str, R], over: dict[str, R | None]) -> None:
        self._below = below
        self._over = over

    def __getitem__(self, id: str) -> R:
        if id not in self._over:
            return self._below[id]
        record = self._over[id]
        if record is None:
            raise KeyError(id)
        return record

    def __iter__(self) -> Iterator[str]:
        yield from (id for id in self._below if id not in self._over)
        yield from (id for id, record in self._over.items() if record is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Draft(View):
    """A state's possible future: what a decision puts and deletes, over the state as it is.

    ``edits`` counts the edits that made a difference. Short-lived: made, filled and committed
    before the state below changes.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._over: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._layers: dict[str, _Layer[Any]] = {
            kind: _Layer(state.records(kind), self._over[kind]) for kind in KINDS
        }
        self._touched: set[str] = set()
        self._index = _Index()
        self.edits = 0

    def put(self, record: Record) -> None:
        """Set an object, new or changed."""
        assert record.id, "an object has an id"
        self._edit(kind_of(record), record.id, record)

    def delete(self, record: Record) -> None:
        """Remove an object."""
        self._edit(kind_of(record), record.id, None)

    def changes(self) -> tuple[Change, ...]:
        """What differs from the state below, with the versions that were seen there."""
        found = []
        for kind, over in self._over.items():
            below = self._state.records(kind)
            for id, record in over.items():
                old = below.get(id)
                if record != old:
                    found.append(Change(kind, id, record, old.version if old else 0))
        return tuple(found)

    def _edit(self, kind: str, id: str, record: Record | None) -> None:
        old: Record | None = self._layers[kind].get(id)
        if record == old:
            return
        if id in self._touched and old is not None:
            self._index.discard(old)
        self._over[kind][id] = record
        self._touched.add(id)
        if record is not None:
            self._index.add(record)
        self.edits += 1

    @property
    def cluster(self) -> Cluster | None:  # noqa: D102 - as in `View`
        return next(iter(self._layers["cluster"].values()), None)

    @property
    def nodes(self) -> Mapping[str, Node]:  # noqa: D102
        return self._layers["nodes"]

    @property
    def networks(self) -> Mapping[str, Network]:  # noqa: D102
        return self._layers["networks"]

    @property
    def services(self) -> Mapping[str, Service]:  # noqa: D102
        return self._layers["services"]

    @property
    def tasks(self) -> Mapping[str, Task]:  # noqa: D102
        return self._layers["tasks"]

    def ids(self, key: Key) -> Iterator[str]:  # noqa: D102
        yield from (id for id in self._state.ids(key) if id not in self._touched)
        yield from self._index.get(key)


__all__ = ["Change", "Draft", "State"]
