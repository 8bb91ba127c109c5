"""Generic netlink: families that modules register by name, each with a number of its own.

Source: linux/genetlink.h; Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import struct

from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Socket

NETLINK_GENERIC = 16

HEADER = struct.Struct("=BBH")
"""genlmsghdr: command, version, reserved."""

CONTROL = 0x10
GET_FAMILY = 3
CONTROL_VERSION = 2
FAMILY_NUMBER, FAMILY_NAME = 1, 2


def request(family: int, command: int, version: int, *attributes: bytes) -> Request:
    """A message to a family."""
    return Request(family, 0, HEADER.pack(command, version, 0) + b"".join(attributes))


def attributes(answer: Message) -> dict[int, bytes]:
    """The attributes of a family's message."""
    return nl.attributes(answer.body, HEADER.size)


def find_family(opened: Socket, name: str) -> int:
    """A family's number; 0 if the kernel has none of that name. Raises OSError."""
    wanted = nl.text(FAMILY_NAME, name)
    (answer,) = opened.ask([request(CONTROL, GET_FAMILY, CONTROL_VERSION, wanted)])
    if not isinstance(answer, Message):
        return 0
    return nl.as_number(attributes(answer)[FAMILY_NUMBER])
