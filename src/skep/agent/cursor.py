"""The address last given out on each of the host's own networks, which outlives a restart: freed
addresses rest until the search has come round."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec
import structlog

from skep.agent.statefile import read, write_atomically
from skep.model.errors import Broken

log = structlog.get_logger("skep.network")


class Cursor:
    """``last`` is that address by network, changed by whoever gives one out; ``keep`` writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[str, str] = {}
        self.last: dict[str, str] = {}

    def load(self) -> None:
        """Read the file if there is one. One that cannot be understood is as good as none."""
        try:
            self._written = read(self._path, dict[str, str]) or {}
        except Broken as broken:
            log.warning("which addresses rest is not known", why=str(broken))
        self.last.update(self._written)

    def keep(self, networks: Collection[str]) -> None:
        """Write down what changed, of ``networks`` alone. Raises `Broken` if it cannot be."""
        for gone in self.last.keys() - set(networks):
            del self.last[gone]
        if self.last != self._written:
            write_atomically(self._path, msgspec.json.encode(self.last))
            self._written = dict(self.last)
