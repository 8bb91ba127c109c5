"""How long a host's connection tracking remembers what is idle, and making all that much older.

``python -m legs.aging PORT SECONDS``, inside a host, looks in the host's own network namespace and
in all that are pinned there for established TCP connections to that port. It prints how many
seconds each may still be idle, as JSON by namespace; then it takes SECONDS from that, and forgets
those that have none left: what the kernel would do in that time.

Source: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys

from skep.kernel import netns
from skep.kernel.conntrack import DELETE, GET, HEADER, NETLINK_NETFILTER, ORIGINAL, TCP, Half
from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Socket
from skep.model.netstate import NETNS_DIR

CHANGE = 0x100
PROTOCOL_INFO, TIMEOUT = 4, 7
PROTOCOL_INFO_TCP, TCP_STATE, ESTABLISHED = 1, 1, 3
AF_INET = 2


def age_all(port: int, seconds: int) -> dict[str, list[int]]:
    """Make the connections of all namespaces older; how long each might have been idle before."""
    found = {"host": age(port, seconds)}
    for name in sorted(os.listdir(NETNS_DIR)):
        with netns.inside(os.path.join(NETNS_DIR, name)):
            found[name] = age(port, seconds)
    return {name: left for name, left in found.items() if left}


def age(port: int, seconds: int) -> list[int]:
    """The same in the namespace that the calling thread is in. Raises OSError."""
    header = HEADER.pack(AF_INET, 0, 0)
    remaining = []
    with contextlib.closing(Socket(NETLINK_NETFILTER)) as opened:
        for flow in opened.dump(Request(GET, 0, header)):
            if not _concerns(flow, port):
                continue
            found = nl.attributes(flow.body, HEADER.size)
            left = int.from_bytes(found[TIMEOUT], "big")
            remaining.append(left)
            named = header + nl.attribute(ORIGINAL | nl.NESTED, found[ORIGINAL])
            rest = nl.attribute(TIMEOUT, struct.pack("!I", max(left - seconds, 0)))
            older = Request(CHANGE, 0, named + rest)
            (refused,) = opened.send([older if left > seconds else Request(DELETE, 0, named)])
            if refused is not None:
                raise OSError(refused.errno, refused.sentence)
    return remaining


def _concerns(flow: Message, port: int) -> bool:
    found = nl.attributes(flow.body, HEADER.size)
    half = Half(found[ORIGINAL])
    if half.protocol != TCP or int.from_bytes(half.target[1], "big") != port:
        return False
    state = nl.attributes(nl.attributes(found[PROTOCOL_INFO], 0)[PROTOCOL_INFO_TCP], 0)[TCP_STATE]
    return nl.as_number(state) == ESTABLISHED


if __name__ == "__main__":
    print(json.dumps(age_all(int(sys.argv[1]), int(sys.argv[2]))))
