"""Network namespaces: pinning them to files, and one thread that enters them.

A namespace is entered by a thread, not by a process, and a socket stays in the namespace it was
opened in. So one dedicated thread goes in, opens what is needed, and comes back; everyone else
uses the sockets from wherever they are.

Source: setns(2), unshare(2), network_namespaces(7), ip-netns(8).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, TypeVar

T = TypeVar("T")

OWN = "/proc/thread-self/ns/net"
"""The calling thread's namespace (``/proc/self`` would be that of the process's first thread)."""

CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: str) -> None:
    """Raise the OSError that a libc call left in errno, if it failed."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)


def is_namespace(path: str) -> bool:
    """Whether a network namespace is pinned at ``path`` (and not just a plain file left there)."""
    try:
        return os.stat(path).st_dev == os.stat(OWN).st_dev
    except FileNotFoundError:
        return False


def identity(path: str = OWN) -> tuple[int, int]:
    """Which namespace it is, whatever it is called: device and inode of its file.

    Unique as long as something (a pin, a process, a socket) keeps the namespace alive.
    Raises FileNotFoundError.
    """
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _return(home: int) -> None:
    """Bring the thread back. A thread lost in a foreign namespace would configure that one in the
    belief that it is home, so there is nothing better than to stop and be restarted."""
    try:
        _checked(_libc.setns(home, CLONE_NEWNET), OWN)
    except OSError as error:
        _crash(f"skep: cannot return to the home network namespace: {error.strerror}")


def _crash(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)
    os.abort()


@contextlib.contextmanager
def inside(path: str) -> Iterator[None]:
    """Run the block with the calling thread inside the namespace at ``path``.

    Raises OSError if it cannot be entered. Only for threads that own themselves: an asyncio loop's
    thread must not wander.
    """
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        move(path)
        try:
            yield
        finally:
            _return(home)
    finally:
        os.close(home)


def move(path: str) -> None:
    """Take the calling thread into the namespace at ``path``, for good. Raises OSError."""
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(there, CLONE_NEWNET), path)
    finally:
        os.close(there)


def is_inhabited(namespace: tuple[int, int]) -> bool:
    """Whether any process lives in a namespace, given by its `identity`."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if identity(f"/proc/{pid}/ns/net") == namespace:
                return True
    return False


def pin(descriptor: int, path: str) -> None:
    """Pin an open namespace at ``path``. Raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    opened = f"/proc/self/fd/{descriptor}"
    _checked(_libc.mount(opened.encode(), path.encode(), b"none", MS_BIND, None), path)


def create(path: str, prepare: Callable[[], None] = lambda: None) -> None:
    """Make a network namespace and pin it at ``path``; the calling thread stays where it was.
    ``prepare`` is done inside before it is pinned: a crash leaves it prepared, or not at all.

    Everything in it is as the kernel makes it (``lo`` is down). A plain file at ``path``, as a
    crash between the two steps leaves it, is taken over. Raises FileExistsError if a namespace is
    pinned there, and OSError for whatever the kernel refuses.
    """
    if is_namespace(path):
        raise FileExistsError(17, "a network namespace is pinned there already", path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    try:
        _pin_new(path, prepare)
    except OSError:
        os.unlink(path)
        raise


def _pin_new(path: str, prepare: Callable[[], None]) -> None:
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(CLONE_NEWNET), path)
        try:
            prepare()
            _checked(_libc.mount(OWN.encode(), path.encode(), b"none", MS_BIND, None), path)
        finally:
            _return(home)
    finally:
        os.close(home)


def remove(path: str) -> None:
    """Unpin the namespace at ``path`` and remove the file; nothing happens if there is none.

    The namespace and its links go when the last process and socket have left it, and a little
    later: the kernel tears it down in the background. Raises OSError.
    """
    while is_namespace(path):
        _checked(_libc.umount2(path.encode(), MNT_DETACH), path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class NamespaceThread:
    """One worker thread that enters namespaces. Work on it is done one piece after the other.

    ``home`` is the namespace it lives in (default: that of the thread that makes it). Raises
    OSError if it cannot be entered.
    """

    def __init__(self, home: str | None = None) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="netns")
        if home is not None:
            try:
                self._pool.submit(move, home).result()
            except OSError:
                self.close()
                raise

    async def run(self, path: str | None, work: Callable[[], T]) -> T:
        """Do ``work`` inside the namespace at ``path`` (None: at home) and answer its result.

        Sockets opened by ``work`` stay bound to that namespace. Raises OSError if the namespace
        cannot be entered (FileNotFoundError: there is none), and whatever ``work`` raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, _go, path, work)

    def call(self, path: str | None, work: Callable[[], T]) -> T:
        """`run` for callers without an event loop: blocks until it is done."""
        return self._pool.submit(_go, path, work).result()

    def close(self) -> None:
        """End the thread once the work it is at is done; what is queued is cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _go(path: str | None, work: Callable[[], T]) -> T:
    if path is None:
        return work()
    with inside(path):
        return work()
