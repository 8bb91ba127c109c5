"""Frames as a tap hears them, as far as a probe must be known again: also inside a tunnel.

Source: RFC 791, 792, 768, 793, 4443, 7348, 8200; IEEE 802.3.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import msgspec

ETHERNET = struct.Struct("!6s6sH")
IPV4, IPV6 = 0x0800, 0x86DD
IPV6_HEADER = 40
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}
VXLAN = struct.Struct("!B3xI")
VXLAN_VALID = 0x08
"""The flag that says that the VNI counts; all other bits of the first byte are 0."""

_ICMP_WORDS = {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}
_ICMPV6_WORDS = {1: "unreachable", 2: "too big", 3: "time exceeded", 128: "echo request"}
_ICMPV6_WORDS[129] = "echo reply"
_ECHOES = {ICMP: (0, 8), ICMPV6: (128, 129)}
_FLAGS = ((0x02, "SYN"), (0x10, "ACK"), (0x04, "RST"), (0x01, "FIN"))


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A packet: its ends, the tunnel it was in (VNI, 0 for none), and a word on what it is."""

    protocol: str
    source: str
    target: str
    source_port: int = 0
    target_port: int = 0
    token: int = 0
    vni: int = 0
    note: str = ""


def hear(frame: bytes, protocol: str, token: int) -> Heard | None:
    """The probe's packet in a frame, or its answer; None if it is another's.

    ``token`` is the probe's source port, or its ICMP id. An ICMP error counts if it quotes one.
    """
    if len(frame) < ETHERNET.size:
        return None
    _, _, kind = ETHERNET.unpack_from(frame)
    if kind not in (IPV4, IPV6):
        return None
    try:
        return _packet(frame[ETHERNET.size :], protocol, token, 0)
    except (struct.error, IndexError):
        return None


def _packet(data: bytes, protocol: str, token: int, vni: int) -> Heard | None:
    if data[0] >> 4 == 6:
        length, number = IPV6_HEADER, data[6]
        source, target = (str(IPv6Address(data[at : at + 16])) for at in (8, 24))
    else:
        length, number = (data[0] & 0xF) * 4, data[9]
        source, target = (".".join(map(str, data[at : at + 4])) for at in (12, 16))
        if struct.unpack_from("!H", data, 6)[0] & 0x1FFF:
            return None  # not a packet's first fragment: no ports in it
    inner = data[length:]
    if number == UDP and not vni:
        tunnelled = _tunnelled(inner[8:], protocol, token)
        if tunnelled is not None:
            return tunnelled
    if number in _ECHOES:
        ends = Heard(protocol="icmp", source=source, target=target, token=token, vni=vni)
        return _icmp(inner, protocol, number, ends)
    if NAMES.get(number) != protocol:
        return None
    ports = struct.unpack_from("!HH", inner)
    if token not in ports:
        return None
    return Heard(
        protocol=protocol,
        source=source,
        target=target,
        source_port=ports[0],
        target_port=ports[1],
        token=token,
        vni=vni,
        note=_flags(inner[13]) if number == TCP else "",
    )


def _tunnelled(payload: bytes, protocol: str, token: int) -> Heard | None:
    """What a VXLAN packet carries, if it is one."""
    if len(payload) < VXLAN.size + ETHERNET.size:
        return None
    flags, number = VXLAN.unpack_from(payload)
    if flags != VXLAN_VALID:
        return None
    inner = payload[VXLAN.size :]
    if ETHERNET.unpack_from(inner)[2] not in (IPV4, IPV6):
        return None
    return _packet(inner[ETHERNET.size :], protocol, token, number >> 8)


def _icmp(data: bytes, protocol: str, number: int, ends: Heard) -> Heard | None:
    """``ends`` with a word on what it is, if it is the probe's; of either family."""
    kind = data[0]
    words = _ICMP_WORDS if number == ICMP else _ICMPV6_WORDS
    if kind in _ECHOES[number]:
        if protocol != "icmp" or struct.unpack_from("!H", data, 4)[0] != ends.token:
            return None
    elif _packet(data[8:], protocol, ends.token, ends.vni or 1) is None:
        return None
    return msgspec.structs.replace(ends, note=words.get(kind, f"icmp type {kind}"))


def _flags(byte: int) -> str:
    return " ".join(name for bit, name in _FLAGS if byte & bit)
