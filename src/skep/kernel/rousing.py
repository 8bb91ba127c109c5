"""Asking for a neighbour's MAC anew, at once.

After a cut the kernel asks for it once a second, and packets for it wait that long. An entry that
it could not resolve is dropped here, so that the next packet asks anew.

Source: rtnetlink(7), arp(7) (retrans_time), linux/neighbour.h.
"""

from __future__ import annotations

import ipaddress

from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink import neighbours
from skep.kernel.rtnetlink.message import Request
from skep.kernel.rtnetlink.neighbours import DELNEIGH, HEADER, NDA_DST
from skep.kernel.rtnetlink.socket import Socket

INCOMPLETE, FAILED = 0x01, 0x20


def rouse(address: str) -> None:
    """Drop the entry of a neighbour in this process's own namespace that gave no answer; nothing if
    there is none, or ``address`` is none. Raises OSError if there is no netlink socket."""
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return
    opened = Socket()
    try:
        entries = [each.body for each in opened.dump(neighbours.get_neighbours())]
        opened.send([
            Request(DELNEIGH, 0, HEADER.pack(family, link, 0, 0, 0) + nl.ip(NDA_DST, address))
            for body in entries
            for family, link, state, _, _ in [HEADER.unpack_from(body)]
            if state & (INCOMPLETE | FAILED)
            and nl.attributes(body, HEADER.size).get(NDA_DST) == wanted.packed
        ])  # fmt: skip
    finally:
        opened.close()
