"""Telling the kernel how large packets to a peer may be, where no router on the way says so.

A router that cannot pass a packet on answers with "fragmentation needed" (RFC 1191) or "packet too
big" (RFC 8201). The kernel then knows better for some minutes: tunnels cut what may be cut, and
tell who sent the rest, within the network, too. A path that swallows packets without a word has
been measured by us, so we say that word, to this host's own kernel. No route is touched, and what
is not repeated is forgotten (``net.ipv4.route.mtu_expires``, 600 s).

Source: Linux, net/ipv4/route.c (ipv4_sk_update_pmtu), net/ipv4/ip_tunnel_core.c
(skb_tunnel_check_pmtu).
"""

from __future__ import annotations

import ipaddress
import socket
import struct

UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
PACKET_TOO_BIG6 = 2
UDP = socket.IPPROTO_UDP


def opened(family: socket.AddressFamily) -> socket.socket:
    """A socket of the calling thread's network namespace that `tell` takes. Raises OSError."""
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    made = socket.socket(family, kind, protocol)
    # Nothing is read from it: no packet is to be kept for it.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    return made


def tell(by: socket.socket, own: str, peer: str, port: int, mtu: int) -> None:
    """Let the kernel know that packets (with IP header) of ``mtu`` bytes get from this host's
    address ``own`` to ``peer``, and none that are larger. A UDP socket of this host must be bound
    to ``port``: the kernel believes only what is about something that it may have sent. Raises
    OSError."""
    by.sendto(notice(own, peer, port, mtu), (own, 0))


def notice(own: str, peer: str, port: int, mtu: int) -> bytes:
    """The ICMP or ICMPv6 message (the latter's checksum is the kernel's to fill in)."""
    datagram = struct.pack("!HHHH", port, port, 8, 0)
    source, target = ipaddress.ip_address(own), ipaddress.ip_address(peer)
    if source.version == 6:
        quoted = struct.pack("!IHBB", 6 << 28, len(datagram), UDP, 64)
        quoted += source.packed + target.packed + datagram
        return struct.pack("!BBHI", PACKET_TOO_BIG6, 0, 0, mtu) + quoted
    length = 20 + len(datagram)
    quoted = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, UDP, 0)
    quoted += source.packed + target.packed + datagram
    head = struct.pack("!BBHHH", UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, mtu)
    checked = _checksum(head + quoted)
    return head[:2] + struct.pack("!H", checked) + head[4:] + quoted


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
