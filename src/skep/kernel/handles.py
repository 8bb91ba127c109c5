"""Open namespaces: for each that was touched, a netlink socket that stays bound to it.

A namespace's name is only a file's name. Before a handle is used again, the file is compared with
the namespace the handle was opened in: the same name may have come to mean another one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from skep.kernel import netns
from skep.kernel.rtnetlink import links
from skep.kernel.rtnetlink.message import Message
from skep.kernel.rtnetlink.socket import Socket
from skep.model.netstate import GROUP, HOST
from skep.model.nft import Table


class Handle:
    """One namespace, open. ``path`` is None for the host's own, which is the thread's home.

    ``tables`` are our nftables as they were last read, and the generation that they were read at.
    """

    def __init__(self, name: str, path: str | None) -> None:
        self.name = name
        self.path = path
        self.tables: tuple[int, tuple[Table, ...]] | None = None
        with self.entered():
            self.identity = netns.identity()
            self.socket = Socket()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Run the block inside the namespace."""
        with contextlib.nullcontext() if self.path is None else netns.inside(self.path):
            yield

    @contextlib.contextmanager
    def descriptor(self) -> Iterator[int]:
        """The namespace as an open file, for messages that refer to it."""
        opened = os.open(self.path or netns.OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield opened
        finally:
            os.close(opened)

    def stale(self) -> bool:
        """Whether the name has come to mean another namespace, or none."""
        try:
            return netns.identity(self.path or netns.OWN) != self.identity
        except FileNotFoundError:
            return True

    def ours(self) -> bool:
        """Whether Skep made the namespace (its ``lo`` is of our group), or it is the host's."""
        if self.path is None:
            return True
        (answer,) = self.socket.ask([links.get("lo")])
        return isinstance(answer, Message) and links.parse(answer).group == GROUP


class Handles:
    """The open namespaces of a host, to be used from the namespace thread only.

    ``opened`` and ``closed`` are told of each handle that comes and goes.
    """

    def __init__(
        self,
        netns_dir: str,
        opened: Callable[[Handle], None],
        closed: Callable[[Handle], None],
    ) -> None:
        self._netns_dir = netns_dir
        self._opened = opened
        self._closed = closed
        self._open: dict[str, Handle] = {}
        self._unpinned: dict[str, Handle] = {}
        self.regained: list[str] = []
        """Names that were pinned again, for whoever wants to know; it takes them out."""

    def path(self, name: str) -> str:
        """Where the namespace ``name`` is pinned."""
        assert name not in (HOST, ".", "..") and "/" not in name, f"not a namespace: {name!r}"
        return os.path.join(self._netns_dir, name)

    def get(self, name: str) -> Handle:
        """The namespace ``name``, opened if need be. Raises FileNotFoundError if there is none."""
        return self._current(name) or self._keep(self._open_new(name))

    def find(self, name: str) -> Handle | None:
        """The namespace ``name`` if it exists and Skep made it (or it is the host's)."""
        handle = self._current(name) or self._regain(name)
        if handle is not None:
            return handle
        try:
            handle = self._open_new(name)
        except FileNotFoundError:
            return None
        if handle.ours():
            return self._keep(handle)
        handle.socket.close()
        return None

    def _current(self, name: str) -> Handle | None:
        handle = self._open.get(name)
        if handle is not None and handle.stale():
            gone = self._open.pop(name)
            self._closed(gone)
            self._let_go(name)
            self._unpinned[name] = gone
            return None
        return handle

    def _regain(self, name: str) -> Handle | None:
        """A namespace that somebody unpinned, pinned again, if processes still live in it."""
        lost = self._unpinned.get(name)
        if lost is None:
            return None
        try:
            if netns.is_namespace(self.path(name)) or not netns.is_inhabited(lost.identity):
                return None
            with lost.socket.namespace() as descriptor:
                netns.pin(descriptor, self.path(name))
        except OSError:
            return None  # then it is made anew
        finally:
            self._let_go(name)
        self.regained.append(name)
        return self._keep(self._open_new(name))

    def _let_go(self, name: str) -> None:
        unpinned = self._unpinned.pop(name, None)
        if unpinned is not None:
            unpinned.socket.close()

    def _open_new(self, name: str) -> Handle:
        path = None if name == HOST else self.path(name)
        if path is not None and not netns.is_namespace(path):
            raise FileNotFoundError(errno.ENOENT, f"there is no network namespace {name}")
        return Handle(name, path)

    def _keep(self, handle: Handle) -> Handle:
        try:
            self._opened(handle)
        except OSError:
            handle.socket.close()
            raise
        self._open[handle.name] = handle
        return handle

    def drop(self, name: str) -> None:
        """Let go of a namespace, so that it can go when nothing else holds it."""
        self._let_go(name)
        handle = self._open.pop(name, None)
        if handle is not None:
            self._closed(handle)
            handle.socket.close()

    def drop_stale(self) -> None:
        """Let go of all namespaces that are no longer what their names mean."""
        for name in list(self._open):
            self._current(name)
        for name in list(self._unpinned):
            self._regain(name)

    def pinned(self) -> list[str]:
        """The names of all namespaces pinned in the directory, whoever made them."""
        try:
            names = os.listdir(self._netns_dir)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if netns.is_namespace(self.path(name)))

    def close(self) -> None:
        """Let go of all."""
        for name in list(self._open):
            self.drop(name)
