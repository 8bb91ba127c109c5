"""The difference between two name tables: what travels to the name server upon a change."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from skep.model.naming import NameTable, NetworkNames, SandboxNames

T = TypeVar("T")


class TableChange(msgspec.Struct, frozen=True, kw_only=True):
    """Networks by id and sandboxes by namespace, to set and to remove."""

    put_networks: dict[str, NetworkNames] = {}
    remove_networks: tuple[str, ...] = ()
    put_sandboxes: dict[str, SandboxNames] = {}
    remove_sandboxes: tuple[str, ...] = ()


def difference(old: NameTable, new: NameTable) -> TableChange:
    """The change that makes ``new`` of ``old``."""
    return TableChange(
        put_networks=_put(old.networks, new.networks),
        remove_networks=_gone(old.networks, new.networks),
        put_sandboxes=_put(old.sandboxes, new.sandboxes),
        remove_sandboxes=_gone(old.sandboxes, new.sandboxes),
    )


def changed(old: NameTable, change: TableChange) -> NameTable:
    """The table after a change. Removing what is not there is no error."""
    return NameTable(
        networks=_apply(old.networks, change.put_networks, change.remove_networks),
        sandboxes=_apply(old.sandboxes, change.put_sandboxes, change.remove_sandboxes),
    )


def _put(old: dict[str, T], new: dict[str, T]) -> dict[str, T]:
    return {key: value for key, value in new.items() if old.get(key) != value}


def _gone(old: dict[str, T], new: dict[str, T]) -> tuple[str, ...]:
    return tuple(key for key in old if key not in new)


def _apply(old: dict[str, T], put: dict[str, T], remove: tuple[str, ...]) -> dict[str, T]:
    gone = frozenset(remove)
    return {key: value for key, value in old.items() if key not in gone} | put
