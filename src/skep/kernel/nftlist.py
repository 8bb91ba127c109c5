"""The tables of a namespace by name, with their flags, asked of the kernel itself.

libnftables up to 1.0.6 must not be asked for a table with a flag in JSON: it writes the flag from
memory that it has given back, and sooner or later the process dies of it.

Source: linux/netfilter/nf_tables.h (NFT_MSG_GETTABLE, NFTA_TABLE_…); json.c of nftables, where
``table_flags_json`` unpacks a borrowed reference.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from skep.kernel.generation import NETLINK_NETFILTER
from skep.kernel.rtnetlink.message import Request, as_text, attributes
from skep.kernel.rtnetlink.socket import Socket

GET_TABLE = 10 << 8 | 1
ANY_FAMILY = struct.pack("=BBH", 0, 0, 0)
NAME, FLAGS = 1, 2
DORMANT = 0x1
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


class Listed(NamedTuple):
    """A table that there is."""

    family: str
    name: str
    flags: int

    @property
    def sleeps(self) -> bool:
        """Whether it is dormant: nothing passes its rules."""
        return bool(self.flags & DORMANT)


def listed() -> list[Listed]:
    """Everybody's tables in the calling thread's namespace, ordered. Raises OSError."""
    asking = Socket(NETLINK_NETFILTER)
    try:
        found = asking.dump(Request(GET_TABLE, 0, ANY_FAMILY))
    finally:
        asking.close()
    return sorted(_table(message.body) for message in found)


def _table(body: bytes) -> Listed:
    found = attributes(body, len(ANY_FAMILY))
    return Listed(
        family=FAMILIES.get(body[0], str(body[0])),
        name=as_text(found[NAME]),
        flags=int.from_bytes(found.get(FLAGS, b""), "big"),
    )
