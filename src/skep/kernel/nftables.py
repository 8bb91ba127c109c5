"""libnftables, in process: transactions as text in, tables as JSON out.

A context talks to the namespace it was made in. Making one takes 0.07 ms while keeping one takes
130 kB, so each use makes its own.

Source: libnftables(3).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator, Sequence

from skep.kernel import nftjson, nfttext, nftxt
from skep.kernel.nftlist import Listed, listed
from skep.model.errors import Broken
from skep.model.nft import Set, Table
from skep.model.ops import SetElements

LIBRARY = "libnftables.so.1"

OUTPUT_HANDLE = 1 << 3
OUTPUT_JSON = 1 << 4
OUTPUT_NUMERIC_PROTOCOLS = 1 << 7
OUTPUT_TERSE = 1 << 11
"""Sets without their elements."""

ERROR_LINES = 3

TABLE_PREFIX = "skep"
"""Tables whose names begin with it are ours."""


class Rejected(Exception):  # noqa: N818 - the kernel's answer, not a fault
    """nftables refused a command: the error number (0 if not known), and its words."""

    def __init__(self, errno: int, sentence: str) -> None:
        super().__init__(sentence)
        self.errno = errno


class Library:
    """The shared library, loaded. Raises `Broken` if it is not installed.

    Its contexts share state: it is for one thread at a time, and whoever calls it holds ``alone``.
    """

    def __init__(self, name: str = LIBRARY) -> None:
        self.alone = threading.RLock()
        try:
            library = ctypes.CDLL(name)
        except OSError:
            raise Broken(
                f"{name} cannot be loaded: install libnftables (Debian: libnftables1)"
            ) from None
        context = ctypes.c_void_p
        self.new = library.nft_ctx_new
        self.new.restype, self.new.argtypes = context, [ctypes.c_uint32]
        self.free = library.nft_ctx_free
        self.free.restype, self.free.argtypes = None, [context]
        self.set_flags = library.nft_ctx_output_set_flags
        self.set_flags.restype, self.set_flags.argtypes = None, [context, ctypes.c_uint]
        self.run = library.nft_run_cmd_from_buffer
        self.run.restype, self.run.argtypes = ctypes.c_int, [context, ctypes.c_char_p]
        self.output = library.nft_ctx_get_output_buffer
        self.error = library.nft_ctx_get_error_buffer
        for reader in (self.output, self.error):
            reader.restype, reader.argtypes = ctypes.c_char_p, [context]
        self._buffers = (library.nft_ctx_buffer_output, library.nft_ctx_buffer_error)
        for buffer in self._buffers:
            buffer.restype, buffer.argtypes = ctypes.c_int, [context]

        libc = ctypes.CDLL(None)
        libc.fopen.restype, libc.fopen.argtypes = context, [ctypes.c_char_p, ctypes.c_char_p]
        self._nowhere = libc.fopen(b"/dev/null", b"w")
        self._stderr = context.in_dll(libc, "stderr")

    @contextlib.contextmanager
    def silenced(self) -> Iterator[None]:
        """Without the library's warnings. Version 1.0.6 prints one for each `nft.Update` that it
        lists, to C's own stderr; errors are in a buffer.

        That pointer is C's alone: neither Python nor any child process writes by it.
        """
        real = self._stderr.value
        self._stderr.value = self._nowhere
        try:
            yield
        finally:
            self._stderr.value = real

    @contextlib.contextmanager
    def opened(self) -> Iterator[Nftables]:
        """A context of the namespace that the calling thread is in."""
        with self.alone:
            context = self.new(0)
            assert context, "nft_ctx_new only fails for want of memory"
            for buffer in self._buffers:
                buffer(context)
        try:
            yield Nftables(self, context)
        finally:
            with self.alone:
                self.free(context)


class Nftables:
    """One namespace's nftables."""

    def __init__(self, library: Library, context: int) -> None:
        self._library = library
        self._context = context

    def _run(self, text: str, flags: int = 0) -> str:
        with self._library.alone:
            self._library.set_flags(self._context, flags)
            with self._library.silenced():
                failed = self._library.run(self._context, text.encode())
            # Both buffers are emptied by reading them.
            output: bytes = self._library.output(self._context)
            error: bytes = self._library.error(self._context)
        if failed:
            raise _rejected(error.decode())
        return output.decode()

    def _list(self, text: str, extra: int = 0) -> str:
        return self._run(text, OUTPUT_JSON | OUTPUT_NUMERIC_PROTOCOLS | extra)

    def tables(self) -> tuple[Table, ...]:
        """Our tables, ordered by family and name. Raises `Rejected`, OSError."""
        ours = (each for each in listed() if each.name.startswith(TABLE_PREFIX))
        found = (
            nftjson.flagged_table(each.family, each.name)
            if each.flags
            else self._table(each.family, each.name)
            for each in ours
        )
        return tuple(table for table in found if table is not None)

    def load(self, text: str) -> None:
        """Do what nft(8) would do with a file. Raises `Rejected`."""
        self._run(text)

    def rules(self, table: Listed) -> str:
        """Anybody's table in JSON, with handles and counters, without sets' elements. It must have
        no flags (see `nftlist`). Raises `Rejected`."""
        assert not table.flags, f"{table.name} must not be listed"
        return self._list(f"list table {table.family} {table.name}", OUTPUT_TERSE)

    def listing(self, table: Listed) -> str:
        """The same with all elements, and iptables' extensions in native words."""
        assert not table.flags, f"{table.name} must not be listed"
        command = f"list table {table.family} {table.name}"
        found = self._list(command)
        if not nftxt.speaks(found):
            return found
        return nftxt.spoken(found, self._run(command, OUTPUT_HANDLE | OUTPUT_TERSE))

    def chains(self) -> str:
        """The chains of all tables in JSON, without rules. Raises `Rejected`."""
        return self._list("list chains")

    def _table(self, family: str, name: str) -> Table | None:
        try:
            return nftjson.parse_table(self._list(f"list table {family} {name}"))
        except Rejected as rejected:
            if rejected.errno == _ENOENT:  # it went since it was listed
                return None
            raise

    def replace(self, table: Table) -> None:
        """Make a table exactly this, in one transaction. What packets wrote into its dynamic sets
        stays, as far as the same sets are there. Raises `Rejected`."""
        kept = {each.name: self._kept(table, each) for each in table.sets if each.dynamic}
        self._run(nfttext.replace_table(table, kept))

    def _kept(self, table: Table, wanted: Set) -> list[nfttext.Kept]:
        try:
            found = self._list(f"list map {table.family} {table.name} {wanted.name}")
        except Rejected as rejected:
            if rejected.errno == _ENOENT:
                return []
            raise
        there = nftjson.declared_sets(found, table.name)
        return nftjson.kept(found, wanted) if there == [wanted] else []

    def delete(self, family: str, name: str) -> None:
        """Remove a table, if it is there. Raises `Rejected`."""
        self._run(nfttext.delete_table(family, name))

    def change(self, changes: Sequence[nfttext.TableChange]) -> None:
        """Change elements and chains of one table, in one transaction. Raises `Rejected`, also if
        an element to be removed is not there."""
        family, table = changes[0].family, changes[0].table
        listing = self._list(f"list sets {family}\nlist maps {family}", OUTPUT_TERSE)
        sets = nftjson.declared_sets(listing, table)
        named = {each.set for each in changes if isinstance(each, SetElements)}
        absent = named - {each.name for each in sets}
        if absent:
            raise Rejected(_ENOENT, f"there is no set {', '.join(sorted(absent))}")
        text = nfttext.change_table(changes, sets)
        if text:
            self._run(text)


_ENOENT = 2
_ERRNO_BY_NAME = {os.strerror(number): number for number in range(1, 134)}


def _rejected(error: str) -> Rejected:
    """libnftables' complaint, without the quotations of our text."""
    said = [line.split("Error: ", 1)[1] for line in error.splitlines() if "Error: " in line]
    sentence = "; ".join(said[:ERROR_LINES]) or "nftables failed without a word"
    # The kernel's error is only told by its name.
    names = [name for name in _ERRNO_BY_NAME if said and name in said[0]]
    return Rejected(_ERRNO_BY_NAME[max(names, key=len)] if names else 0, sentence)
