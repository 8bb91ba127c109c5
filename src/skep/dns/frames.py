"""What skepd and skep-dns say to each other: msgpack in frames, each behind its length (4 bytes).

skepd asks, skep-dns answers each request once, with the request's serial. A connection begins with
`Replace`; `Amend` is understood only on the connection that replaced the table last.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec

from skep.dns.counters import Counts
from skep.model.errors import UNREADABLE
from skep.model.naming import NameTable
from skep.names.change import TableChange

LARGEST_FRAME = 64 << 20
"""Bytes of a frame at most; a longer one is taken for noise."""

LENGTH_SIZE = 4

FORMAT = 2
"""The form of tables and messages. A server that has another one is replaced."""

M = TypeVar("M")


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base: the struct's name is its tag."""

    serial: int


class Replace(Message, frozen=True):
    """Answer from this table, whatever it was before."""

    table: NameTable


class Amend(Message, frozen=True):
    """Change the table that this connection gave."""

    change: TableChange


class Ping(Message, frozen=True):
    """Are you there?"""


class Stats(Message, frozen=True):
    """What have you done so far?"""


class InForce(Message, frozen=True):
    """The table is in force and all sockets are open, but for those of the sandboxes in ``faults``
    (namespace name: why). They are tried again every second."""

    faults: dict[str, str] = {}


class Stale(Message, frozen=True):
    """That change is to a table which is no longer in force; send all."""


class Alive(Message, frozen=True):
    """I am, under this process id, and read and write this form of tables and messages."""

    pid: int
    format: int = 1


class Counted(Message, frozen=True):
    """I have done this since my start."""

    counts: Counts


class Garbled(Exception):  # noqa: N818 - the connection's end, not a program's fault
    """The other side sent what is no message. ``str()`` says what."""


REQUESTS = msgspec.msgpack.Decoder(Replace | Amend | Ping | Stats)
ANSWERS = msgspec.msgpack.Decoder(InForce | Stale | Alive | Counted)

_encoder = msgspec.msgpack.Encoder()


def pack(message: Message) -> bytes:
    """A message as the frame that carries it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH_SIZE, "big") + body


async def read(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
    """The next message; None if the other side is gone. Raises `Garbled`."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_SIZE), "big")
        if length > LARGEST_FRAME:
            raise Garbled(f"a frame of {length} bytes")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        raise Garbled(str(error)) from error
