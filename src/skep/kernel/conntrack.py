"""Connection tracking of the network namespace that the calling thread is in: reading and
forgetting flows.

A flow without end marks (UDP) keeps its translation for as long as its packets come, though what
it was sent on to may be gone. Forgotten, its next packet is a first one.

Source: linux/netfilter/nfnetlink_conntrack.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Mapping

from skep.kernel import sysctl
from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Socket
from skep.model.flows import Tracked
from skep.model.netstate import SentFlow

NETLINK_NETFILTER = 12

HEADER = struct.Struct("=BBH")
"""nfgenmsg: family, version, resource."""

GET, DELETE = 0x101, 0x102
"""Message types of the subsystem 1, conntrack."""

ORIGINAL, REPLY, ID, FILTER = 1, 2, 12, 25
TUPLE_IP, TUPLE_PROTOCOL = 1, 2
IP_SOURCE, IP_TARGET = 1, 2
IP6_SOURCE, IP6_TARGET = 3, 4
PROTOCOL_NUMBER, SOURCE_PORT, TARGET_PORT = 1, 2, 3
STATUS, PROTOCOL_INFO, SENT, RECEIVED = 3, 4, 9, 10
PACKETS, BYTES = 1, 2
INFO_TCP, TCP_STATE = 1, 1
SEEN_REPLY = 1 << 1
REPLY_FLAGS = 2
BY_SOURCE = 1

TCP = 6

TCP_STATES = ("", "opening", "opening", "open", "closing", "closing", "closing", "closed", "closed",
              "opening")  # fmt: skip
"""Source: linux/netfilter/nf_conntrack_tcp.h, enum tcp_conntrack."""

COUNT = "net.netfilter.nf_conntrack_count"
"""How many flows the namespace has."""


class Half:
    """One direction of a tracked flow, read from its attribute."""

    def __init__(self, data: bytes) -> None:
        parts = nl.attributes(data, 0)
        address = nl.attributes(parts[TUPLE_IP], 0)
        protocol = nl.attributes(parts[TUPLE_PROTOCOL], 0)
        source = address.get(IP_SOURCE) or address[IP6_SOURCE]
        target = address.get(IP_TARGET) or address[IP6_TARGET]
        self.source = source, protocol.get(SOURCE_PORT, b"")
        self.target = target, protocol.get(TARGET_PORT, b"")
        self.protocol = nl.as_number(protocol[PROTOCOL_NUMBER])


def cut(address: str, port: int) -> None:
    """Forget all flows that were sent on to ``address``, and ``port`` unless that is 0, save those
    of TCP. A flow that was made for ``address`` itself is left alone. Raises OSError."""
    with contextlib.closing(Socket(NETLINK_NETFILTER)) as opened:
        found = opened.dump(_answered_by(address))
        doomed = [_deletion(each) for each in found if _concerns(each, address, port)]
        for refused in opened.send(doomed):
            # One that ended by itself is as good as forgotten.
            if refused is not None and refused.errno != errno.ENOENT:
                raise OSError(refused.errno, refused.sentence)


def sent() -> frozenset[SentFlow]:
    """Where all flows are sent on to, save those of TCP. Raises OSError."""
    return frozenset(
        SentFlow(nl.as_ip(reply.source[0]), int.from_bytes(reply.source[1], "big"))
        for original, reply in map(_halves, _all())
        if reply.protocol != TCP and original.target != reply.source
    )


def tracked() -> tuple[Tracked, ...]:
    """All conversations of the namespace, of both families. Raises OSError."""
    return tuple(_tracked(nl.attributes(each.body, HEADER.size)) for each in _all())


def _all() -> list[Message]:
    """The namespace's flows.

    The kernel looks through a table of all namespaces' flows for that, which takes it 3 ms; it
    knows at once whether there are any.
    """
    if not _counted():
        return []
    with contextlib.closing(Socket(NETLINK_NETFILTER)) as opened:
        return opened.dump(Request(GET, 0, HEADER.pack(0, 0, 0)))


def _tracked(parts: Mapping[int, bytes]) -> Tracked:
    original, reply = Half(parts[ORIGINAL]), Half(parts[REPLY])
    status = int.from_bytes(parts.get(STATUS, b""), "big")
    sent_, received = (_counts(parts.get(kind)) for kind in (SENT, RECEIVED))
    return Tracked(
        protocol=original.protocol,
        source=nl.as_ip(original.source[0]),
        source_port=int.from_bytes(original.source[1], "big"),
        target=nl.as_ip(original.target[0]),
        target_port=int.from_bytes(original.target[1], "big"),
        answerer=nl.as_ip(reply.source[0]),
        answerer_port=int.from_bytes(reply.source[1], "big"),
        answered=bool(status & SEEN_REPLY),
        state=_tcp_state(parts.get(PROTOCOL_INFO)),
        sent_packets=sent_[0],
        sent_bytes=sent_[1],
        received_packets=received[0],
        received_bytes=received[1],
    )


def _counts(data: bytes | None) -> tuple[int, int]:
    """Packets and bytes; -1 where the namespace does not count (nf_conntrack_acct)."""
    if data is None:
        return -1, -1
    parts = nl.attributes(data, 0)
    return int.from_bytes(parts[PACKETS], "big"), int.from_bytes(parts[BYTES], "big")


def _tcp_state(data: bytes | None) -> str:
    if data is None:
        return ""
    parts = nl.attributes(nl.attributes(data, 0).get(INFO_TCP, b""), 0)
    number = nl.as_number(parts[TCP_STATE]) if TCP_STATE in parts else 0
    return TCP_STATES[number] if number < len(TCP_STATES) else str(number)


def _counted() -> int:
    try:
        return int(sysctl.read([COUNT]).get(COUNT, "0"))
    except ValueError:
        return 0


def _halves(flow: Message) -> tuple[Half, Half]:
    found = nl.attributes(flow.body, HEADER.size)
    return Half(found[ORIGINAL]), Half(found[REPLY])


def _answered_by(address: str) -> Request:
    """The dump of the flows whose answers come from ``address``; of IPv6, of all flows, as the
    kernel has its filter's comparison the wrong way round (ctnetlink_filter_match_tuple)."""
    header = HEADER.pack(nl.family_of(address), 0, 0)
    if ":" in address:
        return Request(GET, 0, header)
    source = nl.nested(TUPLE_IP, nl.ip(IP_SOURCE, address))
    wanted = nl.nested(FILTER, nl.number(REPLY_FLAGS, BY_SOURCE))
    return Request(GET, 0, header + nl.nested(REPLY, source) + wanted)


def _concerns(flow: Message, address: str, port: int) -> bool:
    """Kernels before 5.8 know no filter, so nothing is taken on trust."""
    original, reply = _halves(flow)
    wanted = nl.ip_bytes(address), port.to_bytes(2, "big") if port else reply.source[1]
    translated = original.target != reply.source
    return reply.protocol != TCP and reply.source == wanted and translated


def _deletion(flow: Message) -> Request:
    """By its own first half and number: another that has taken its place is spared."""
    found = nl.attributes(flow.body, HEADER.size)
    half = nl.attribute(ORIGINAL | nl.NESTED, found[ORIGINAL])
    header = flow.body[: HEADER.size]
    return Request(DELETE, 0, header + half + nl.attribute(ID, found[ID]))
