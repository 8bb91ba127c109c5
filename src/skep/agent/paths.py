"""What is known of paths between hosts that carry less than the links at their ends, kept on disk:
a daemon that begins anew would otherwise let connections hang until it has measured again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from skep.agent.statefile import forget, read, write_atomically
from skep.model.errors import Broken, Refusal

log = structlog.get_logger("skep.paths")


class Known(msgspec.Struct, frozen=True):
    """The largest packets (bytes) that get to peers, by node id: outside, and inside WireGuard."""

    clear: dict[str, int] = {}
    sealed: dict[str, int] = {}


class Paths:
    """The narrow paths from this host. ``changed`` is called when others are known."""

    def __init__(self, file: Path, changed: Callable[[], None]) -> None:
        self._file = file
        self._changed = changed
        self._known = Known()

    @property
    def clear(self) -> dict[str, int]:
        """On the underlay."""
        return self._known.clear

    @property
    def sealed(self) -> dict[str, int]:
        """Inside WireGuard's tunnels."""
        return self._known.sealed

    def load(self) -> None:
        """Take up what was known; what cannot be read will be measured."""
        try:
            self._known = read(self._file, Known) or Known()
        except Broken as broken:
            log.warning("path MTU unreadable", why=str(broken))
            self._known = Known()

    def found(self, clear: dict[str, int]) -> None:
        """This was measured on the underlay."""
        self._keep(msgspec.structs.replace(self._known, clear=clear))

    def found_sealed(self, sealed: dict[str, int]) -> None:
        """This was measured inside the tunnels."""
        self._keep(msgspec.structs.replace(self._known, sealed=sealed))

    def forget(self) -> None:
        """The host left its swarm."""
        self._known = Known()
        forget(self._file)

    def _keep(self, known: Known) -> None:
        if known != self._known:
            log.info("path MTU", clear=known.clear, encrypted=known.sealed)
            self._known = known
            self._changed()
            try:
                write_atomically(self._file, msgspec.json.encode(known))
            except Refusal as refusal:
                # It will be measured again; what is known now goes on.
                log.warning("path MTU not kept", why=str(refusal))
