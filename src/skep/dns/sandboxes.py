"""All sandboxes of the host: whose sockets are open, and bringing them in line with the table."""

from __future__ import annotations

import asyncio
import os.path
import socket
from functools import partial
from pathlib import Path

import structlog

from skep.dns.budget import Budget
from skep.dns.counters import Counters, Counts
from skep.dns.forward import Doors, Forwarder
from skep.dns.listener import Listener, open_sockets
from skep.dns.responder import Responder
from skep.kernel.netns import NamespaceThread, identity
from skep.model.naming import NameTable, SandboxNames

FORWARDS, FORWARDS_EACH = 1024, 256
"""Forwarded questions under way at most, of all sandboxes and of each."""

CLIENTS, CLIENTS_EACH = 256, 32
"""TCP clients at most, of all sandboxes and of each."""

log = structlog.get_logger("skep.dns")


class Sandboxes:
    """The sandboxes of the table in force, and the open listeners of those whose namespace is
    there. ``faults`` says why the others' are not (namespace name: sentence)."""

    def __init__(self, netns_dir: Path) -> None:
        self._netns_dir = netns_dir
        self._thread = NamespaceThread()
        self._lock = asyncio.Lock()
        self._listeners: dict[str, Listener] = {}
        self._forwards = Budget(FORWARDS)
        self._clients = Budget(CLIENTS)
        self._counters = Counters()
        self.table = NameTable()
        self.faults: dict[str, str] = {}

    def counts(self) -> Counts:
        """What was done so far, in all sandboxes together."""
        return self._counters.counts(len(self._listeners), len(self.faults))

    async def adopt(self, table: NameTable) -> None:
        """Answer from this table: when it returns, it is in force and all sockets are open."""
        async with self._lock:
            self.table = table
            for name in [name for name in self._listeners if name not in table.sandboxes]:
                self._close(name)
            for name, listener in self._listeners.items():
                sandbox = table.sandboxes[name]
                listener.responder.adopt(table, sandbox)
                listener.forwarder.redirect(sandbox.upstreams)
            await self._open_all()

    async def check(self) -> None:
        """Follow the namespaces: open what is missing, open anew what was replaced, and close what
        is gone, as our sockets would keep a namespace alive. To be called every second."""
        async with self._lock:
            for listener in self._listeners.values():
                listener.forwarder.sweep()
            await self._open_all()

    async def close(self) -> None:
        """Close all sockets."""
        async with self._lock:
            for name in list(self._listeners):
                self._close(name)
            self._thread.close()

    async def _open_all(self) -> None:
        before = self.faults
        self.faults = {}
        for name, sandbox in self.table.sandboxes.items():
            fault = await self._follow(name, sandbox)
            if fault:
                self.faults[name] = fault
        for name, fault in self.faults.items():
            if before.get(name) != fault:
                log.warning("sandbox has no name service", sandbox=name, why=fault)
        for name in before.keys() - self.faults.keys():
            log.info("sandbox needs no repair any more", sandbox=name)

    async def _follow(self, name: str, sandbox: SandboxNames) -> str:
        """Make one sandbox's listener fit its namespace; the sentence why it cannot, or ""."""
        path = os.path.join(self._netns_dir, name)
        listener = self._listeners.get(name)
        try:
            if listener and listener.namespace == identity(path):
                return ""
            if listener:
                self._close(name)
            await self._open(name, path, sandbox)
        except OSError as error:
            if name in self._listeners:
                self._close(name)
            return f"{error.strerror or error} ({path})"
        return ""

    async def _open(self, name: str, path: str, sandbox: SandboxNames) -> None:
        sockets = await self._thread.run(path, open_sockets)
        doors = Doors(partial(self._socket, path), partial(self._socket, None))
        forwards = Budget(FORWARDS_EACH, self._forwards)
        self._listeners[name] = Listener(
            sockets,
            Responder(self.table, sandbox, self._counters),
            Forwarder(sandbox.upstreams, doors, forwards, self._counters),
            Budget(CLIENTS_EACH, self._clients),
        )

    async def _socket(
        self, path: str | None, family: socket.AddressFamily, kind: socket.SocketKind
    ) -> socket.socket:
        flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        return await self._thread.run(path, partial(socket.socket, family, kind | flags))

    def _close(self, name: str) -> None:
        self._listeners.pop(name).close()
