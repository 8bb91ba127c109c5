"""Neighbours (ARP and NDP entries) and the forwarding entries of VXLAN devices.

Both travel in the same message; the family tells them apart. Only permanent ones are ours.

Source: rtnetlink(7), linux/neighbour.h, ip-neighbour(8), bridge(8).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import AF_BRIDGE, Message, Request
from skep.model.netstate import Fdb, Neighbour

NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30

HEADER = struct.Struct("=BxxxiHBB")
"""ndmsg: family, link, state, flags, type."""

NDA_DST = 1
NDA_LLADDR = 2

PERMANENT = 0x80
NO_ARP = 0x40
SELF = 0x02


def set_neighbour(neighbour: Neighbour, link: int) -> Request:
    """Add or replace a permanent neighbour."""
    body = HEADER.pack(nl.family_of(neighbour.address), link, PERMANENT, 0, 0)
    body += nl.ip(NDA_DST, neighbour.address) + nl.mac(NDA_LLADDR, neighbour.mac)
    return Request(NEWNEIGH, nl.CREATE | nl.REPLACE, body)


def delete_neighbour(neighbour: Neighbour, link: int) -> Request:
    """Remove a neighbour."""
    family = nl.family_of(neighbour.address)
    body = HEADER.pack(family, link, 0, 0, 0) + nl.ip(NDA_DST, neighbour.address)
    return Request(DELNEIGH, 0, body)


def get_neighbours() -> Request:
    """Ask for all neighbours (a dump)."""
    return Request(GETNEIGH, 0, HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0))


def parse_neighbour(message: Message, names: Mapping[int, str]) -> Neighbour | None:
    """The neighbour a message describes; None if not permanent, or its link is not in ``names``."""
    family, link, state, _, _ = HEADER.unpack_from(message.body)
    if not state & PERMANENT or link not in names or family == AF_BRIDGE:
        return None
    found = nl.attributes(message.body, HEADER.size)
    if NDA_DST not in found or NDA_LLADDR not in found:
        return None
    return Neighbour(names[link], nl.as_ip(found[NDA_DST]), nl.as_mac(found[NDA_LLADDR]))


def set_fdb(fdb: Fdb, link: int) -> Request:
    """Add or replace a permanent forwarding entry."""
    body = HEADER.pack(AF_BRIDGE, link, PERMANENT | NO_ARP, SELF, 0)
    body += nl.ip(NDA_DST, fdb.vtep) + nl.mac(NDA_LLADDR, fdb.mac)
    return Request(NEWNEIGH, nl.CREATE | nl.REPLACE, body)


def delete_fdb(fdb: Fdb, link: int) -> Request:
    """Remove a forwarding entry."""
    body = HEADER.pack(AF_BRIDGE, link, 0, SELF, 0)
    body += nl.ip(NDA_DST, fdb.vtep) + nl.mac(NDA_LLADDR, fdb.mac)
    return Request(DELNEIGH, 0, body)


def get_fdb(link: int) -> Request:
    """Ask for the forwarding entries of one link (a dump)."""
    return Request(GETNEIGH, 0, HEADER.pack(AF_BRIDGE, link, 0, 0, 0))


def parse_fdb(message: Message, names: Mapping[int, str]) -> Fdb | None:
    """The forwarding entry a message describes; None if it is not a permanent one of a VXLAN
    device itself towards a VTEP, or its link is not in ``names``."""
    _, link, state, flags, _ = HEADER.unpack_from(message.body)
    if not state & PERMANENT or not flags & SELF or link not in names:
        return None
    found = nl.attributes(message.body, HEADER.size)
    vtep = found.get(NDA_DST, b"")
    if len(vtep) not in (4, 16):
        return None
    return Fdb(names[link], nl.as_mac(found[NDA_LLADDR]), nl.as_ip(vtep))
