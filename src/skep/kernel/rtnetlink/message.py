"""The layout of netlink messages: headers, attributes, and the numbers they are made of.

Source: netlink(7), rtnetlink(7), linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port."""

ERROR = struct.Struct("=i")
ATTRIBUTE = struct.Struct("=HH")

REQUEST = 0x1
ACK = 0x4
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
INTERRUPTED = 0x10
"""NLM_F_DUMP_INTR on a dump's message: the list changed while it was being sent."""
ACK_TLVS = 0x200
CAPPED = 0x100

MESSAGE_ERROR = 2
MESSAGE_DONE = 3

NESTED = 0x8000
TYPE_MASK = 0x3FFF

AF_BRIDGE = 7


class Request(NamedTuple):
    """A message to the kernel: its type, its flags (REQUEST is added), header and attributes."""

    kind: int
    flags: int
    body: bytes


class Message(NamedTuple):
    """A message from the kernel: its type and what follows the netlink header."""

    kind: int
    body: bytes


def padded(data: bytes) -> bytes:
    """``data`` filled up with zeros to netlink's four-byte alignment."""
    return data + b"\0" * (-len(data) % 4)


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute."""
    return padded(ATTRIBUTE.pack(4 + len(data), kind) + data)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits."""
    return attribute(kind, value.to_bytes(4, sys.byteorder))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a C string."""
    return attribute(kind, value.encode() + b"\0")


def ip(kind: int, address: str) -> bytes:
    """An attribute that is an IP address. Raises ValueError if it is none."""
    return attribute(kind, ip_bytes(address))


def family_of(address: str) -> int:
    """The number of the family that an address, with or without prefix length, is written in."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ip_bytes(address: str) -> bytes:
    """The 4 or 16 bytes of an IP address. Raises ValueError if it is none."""
    try:
        return socket.inet_pton(family_of(address), address)
    except OSError:
        raise ValueError(f"{address!r} is not an IP address") from None


def mac(kind: int, address: str) -> bytes:
    """An attribute that is a MAC address. Raises ValueError if it is none."""
    parts = address.split(":")
    if len(parts) != 6:
        raise ValueError(f"{address!r} is not a MAC address")
    return attribute(kind, bytes(int(part, 16) for part in parts))


def attributes(body: bytes, start: int) -> dict[int, bytes]:
    """The attributes from ``start`` to the end of ``body``, by type without flag bits."""
    found = {}
    while start + 4 <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, start)
        assert length >= 4, "the kernel sent an attribute shorter than its header"
        found[kind & TYPE_MASK] = body[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def as_number(data: bytes) -> int:
    """An integer attribute's value, whatever its width, in the machine's byte order."""
    return int.from_bytes(data, sys.byteorder)


def as_text(data: bytes) -> str:
    """A C string attribute's value."""
    return data.rstrip(b"\0").decode()


def as_ip(data: bytes) -> str:
    """An IP address attribute's value."""
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def as_mac(data: bytes) -> str:
    """A MAC address attribute's value, in lower case with colons."""
    return data.hex(":")


def messages(data: bytes) -> Iterator[tuple[Message, int, int]]:
    """The messages of one datagram, each with its flags and sequence number."""
    start = 0
    while start + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, start)
        assert length >= HEADER.size, "the kernel sent a message shorter than its header"
        yield Message(kind, data[start + HEADER.size : start + length]), flags, sequence
        start += (length + 3) & ~3
