"""The picture of the cluster in memory, and drafts of its future.

A `State` is what the store holds at one revision. Decisions never touch it: they write into a
`Draft`, whose changes are committed to the store and only then applied. A draft costs what is
written into it, however large the state below is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from heapq import merge
from types import MappingProxyType
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from skep.cluster.change import KINDS, Change, kind_of
from skep.cluster.index import Index, Key, keys
from skep.cluster.loads import EMPTY, Load, Order, bearer, weighs_the_same
from skep.cluster.numbers import NONE, Numbers, Pool, held, holds_the_same
from skep.cluster.view import View
from skep.model.cluster import Record, Task

R = TypeVar("R", bound=Record)


class Edit(msgspec.Struct, frozen=True):
    """What an object was, and what it is now; None where it is not."""

    kind: str
    id: str
    old: Record | None
    new: Record | None


class State(View):
    """All objects as the store holds them at ``revision``. Changed only by what was committed."""

    def __init__(self) -> None:
        self.revision = 0
        self._clear()

    def _clear(self) -> None:
        self._records: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self._views = {kind: MappingProxyType(records) for kind, records in self._records.items()}
        self._index = Index()
        self._numbers: dict[Pool, Numbers] = {}
        self._loads: dict[str, Load] = {}
        self._order = Order()

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

    def _set(self, kind: str, id: str, new: Record | None) -> None:
        old = self._records[kind].get(id)
        if new is None:
            self._records[kind].pop(id, None)
        else:
            self._records[kind][id] = new
        before = tuple(keys(old)) if old else ()
        after = tuple(keys(new)) if new else ()
        if before != after:
            self._index.discard(id, before)
            self._index.add(id, after)
        if old is None or new is None or not holds_the_same(old, new):
            self._hold(old, new)
        self._carry(old, new)
        if kind == "nodes":
            if new is None:
                self._order.drop(id)
            else:
                self._order.put(id, self.load_of(id).tasks)

    def _hold(self, old: Record | None, new: Record | None) -> None:
        for pool, number in held(old) if old else ():
            self._numbers[pool].discard(number)
        for pool, number in held(new) if new else ():
            self._numbers.setdefault(pool, Numbers()).add(number)

    def _carry(self, old: Record | None, new: Record | None) -> None:
        before, after = bearer(old), bearer(new)
        if before and after and weighs_the_same(cast("Task", old), cast("Task", new)):
            return
        if before:
            self._loads[before].remove(cast("Task", old))
        if after:
            self._loads.setdefault(after, Load()).add(cast("Task", new))
        for node_id in (before, after):
            if node_id in self._order:
                self._order.put(node_id, self._loads[node_id].tasks)

    def records(self, kind: str) -> Mapping[str, Any]:  # noqa: D102 - as in `View`
        return self._views[kind]

    def ids(self, key: Key) -> Iterable[str]:  # noqa: D102
        return self._index.get(key)

    def numbers(self, pool: Pool) -> Numbers:  # noqa: D102
        return self._numbers.get(pool, NONE)

    def load_of(self, node_id: str) -> Load:  # noqa: D102
        return self._loads.get(node_id, EMPTY)

    def nodes_by_load(self) -> Iterator[tuple[int, str]]:  # noqa: D102
        return iter(self._order)


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

    def get(self, id: str, default: Any = None) -> Any:
        if id not in self._over:
            return self._below.get(id, default)
        record = self._over[id]
        return default if record is None else record

    def __contains__(self, id: Any) -> bool:
        return self._over[id] is not None if id in self._over else id in self._below

    def __iter__(self) -> Iterator[str]:
        if not self._over:
            yield from self._below
            return
        yield from (id for id in self._below if id not in self._over)
        yield from (id for id, record in self._over.items() if record is not None)

    def __len__(self) -> int:
        number = len(self._below)
        for id, record in self._over.items():
            number += (record is not None) - (id in self._below)
        return number

    def values(self) -> ValuesView[R]:
        return super().values() if self._over else self._below.values()


class Draft(View):
    """A state's possible future: what a decision puts and deletes, over the state as it is.

    ``history`` tells all edits that made a difference, in order. Short-lived: made, filled and
    committed before the state below changes.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._over: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._layers: dict[str, _Layer[Any]] = {
            kind: _Layer(state.records(kind), self._over[kind]) for kind in KINDS
        }
        self._touched: set[str] = set()
        self._index = Index()
        self._numbers: dict[Pool, Numbers] = {}
        self._loads: dict[str, Load] = {}
        self.history: list[Edit] = []

    @property
    def edits(self) -> int:
        """How many edits made a difference."""
        return len(self.history)

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

    def _edit(self, kind: str, id: str, new: Record | None) -> None:
        old: Record | None = self._layers[kind].get(id)
        if new == old:
            return
        before = tuple(keys(old)) if old else ()
        after = tuple(keys(new)) if new else ()
        if id not in self._touched:
            # From now on this layer's index speaks for the object.
            self._touched.add(id)
            self._index.add(id, after)
        elif before != after:
            self._index.discard(id, before)
            self._index.add(id, after)
        self._over[kind][id] = new
        if old is None or new is None or not holds_the_same(old, new):
            for pool, number in held(old) if old else ():
                self._own_numbers(pool).discard(number)
            for pool, number in held(new) if new else ():
                self._own_numbers(pool).add(number)
        self._carry(old, new)
        self.history.append(Edit(kind, id, old, new))

    def _carry(self, old: Record | None, new: Record | None) -> None:
        before, after = bearer(old), bearer(new)
        if before and after and weighs_the_same(cast("Task", old), cast("Task", new)):
            return
        if before:
            self._own_load(before).remove(cast("Task", old))
        if after:
            self._own_load(after).add(cast("Task", new))

    def _own_numbers(self, pool: Pool) -> Numbers:
        own = self._numbers.get(pool)
        if own is None:
            own = self._numbers[pool] = self._state.numbers(pool).copy()
        return own

    def _own_load(self, node_id: str) -> Load:
        own = self._loads.get(node_id)
        if own is None:
            own = self._loads[node_id] = self._state.load_of(node_id).copy()
        return own

    def records(self, kind: str) -> Mapping[str, Any]:  # noqa: D102 - as in `View`
        return self._layers[kind]

    def ids(self, key: Key) -> Iterator[str]:  # noqa: D102
        below, touched = self._state.ids(key), self._touched
        yield from (id for id in below if id not in touched)
        yield from self._index.get(key)

    def numbers(self, pool: Pool) -> Numbers:  # noqa: D102
        own = self._numbers.get(pool)
        return self._state.numbers(pool) if own is None else own

    def load_of(self, node_id: str) -> Load:  # noqa: D102
        own = self._loads.get(node_id)
        return self._state.load_of(node_id) if own is None else own

    def nodes_by_load(self) -> Iterator[tuple[int, str]]:  # noqa: D102
        nodes = self._layers["nodes"]
        own = {*self._loads, *self._over["nodes"]}
        above = sorted((self.load_of(id).tasks, id) for id in own if id in nodes)
        below = (entry for entry in self._state.nodes_by_load() if entry[1] not in own)
        return merge(above, below)


__all__ = ["Change", "Draft", "Edit", "State"]
