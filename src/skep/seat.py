"""What a host is as a manager: store, decisions, sessions with all hosts, and the endpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from skep.advertise import PORT, split
from skep.cluster import control
from skep.manager.joining import Door
from skep.manager.keys import keep_rotating
from skep.manager.manager import Manager
from skep.manager.sessions import Sessions
from skep.store.sqlite import SqliteStore
from skep.wire.identity import Identity
from skep.wire.server import Endpoint
from skep.wire.tls import Credentials

STORE = "cluster.db"
_FILES = (STORE, f"{STORE}-wal", f"{STORE}-shm")
_LEFT = "left-"


class Seat:
    """A manager at work. Made by `open`."""

    def __init__(self, path: Path, store: SqliteStore) -> None:
        self.path = path
        self.manager = Manager(store)
        self.sessions = Sessions(self.manager)
        self._store = store
        self._server: Endpoint | None = None

    @classmethod
    async def open(cls, state: Path) -> Seat:
        """With the store in the directory ``state``, made if absent. Raises `Broken`,
        `Unavailable`."""
        path = state / STORE
        store = await SqliteStore.open(path)
        self = cls(path, store)
        try:
            await self.manager.load()
        except BaseException:
            await store.close()
            raise
        return self

    async def serve(self, identity: Identity) -> tuple[Coroutine[Any, Any, None], ...]:
        """Listen for hosts; answers what must be kept running. Raises `Unavailable`."""
        await self._listen(identity)
        return self.manager.run(), self.sessions.run(), keep_rotating(self.manager)

    async def _listen(self, identity: Identity) -> None:
        self._server = Endpoint(identity.credentials, Door(self.manager, self.sessions))
        await self._server.start(*split(identity.listen_address, PORT))

    async def moved(self, identity: Identity, listened: str) -> None:
        """The host has other addresses, and listened at ``listened`` before. Raises
        `Unavailable` if it cannot listen there."""
        node_id = identity.subject.node_id
        at = identity.managers[node_id]
        await self.manager.change(lambda d, c: control.move_manager(d, c, node_id, at))
        if identity.listen_address != listened and self._server is not None:
            await self._server.close()
            await self._listen(identity)

    def renewed(self, credentials: Credentials) -> None:
        """The host has another certificate now."""
        if self._server is not None:
            self._server.renewed(credentials)

    async def close(self) -> None:
        """Hear nobody any more, and let go of the store."""
        if self._server is not None:
            await self._server.close()
            self._server = None
        await self._store.close()


def remove_store(state: Path) -> None:
    """The swarm is given up, and all that was known of it."""
    for name in _FILES:
        (state / name).unlink(missing_ok=True)


def set_store_aside(state: Path) -> None:
    """A host that is in no swarm has no use for a store. It is kept, in case that is a mistake."""
    for name in _FILES:
        with contextlib.suppress(OSError):
            (state / name).rename(state / f"{_LEFT}{name}")
