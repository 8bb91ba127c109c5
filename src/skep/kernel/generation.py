"""The number that counts the changes of a namespace's nftables, asked without libnftables.

Reading tables means listing and parsing all of them; asking whether any was changed since takes a
hundredth of that.

Source: linux/netfilter/nf_tables.h (NFT_MSG_GETGEN), linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import socket
import struct

from skep.kernel.rtnetlink.message import HEADER, REQUEST, attributes, messages

NETLINK_NETFILTER = 12
GET_GENERATION = 10 << 8 | 16
NEW_GENERATION = 10 << 8 | 15
FAMILY = struct.pack("=BBH", 0, 0, 0)
"""nfgenmsg: any family, version 0."""

GENERATION_ID = 1
RECEIVE_SIZE = 4096
PATIENCE = 10.0


def generation() -> int:
    """The number of the namespace that the calling thread is in. It is never 0.

    Raises OSError.
    """
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as asking:
        asking.settimeout(PATIENCE)
        asking.send(HEADER.pack(HEADER.size + len(FAMILY), GET_GENERATION, REQUEST, 1, 0) + FAMILY)
        for message, _, _ in messages(asking.recv(RECEIVE_SIZE)):
            if message.kind == NEW_GENERATION:
                return int.from_bytes(attributes(message.body, len(FAMILY))[GENERATION_ID], "big")
    raise OSError(0, "nftables did not say its generation")
