"""Frames as a tap hears them, as far as a probe must be known again: also inside a tunnel.

Source: RFC 791, 792, 768, 793, 4443, 7348, 8200; IEEE 802.3.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import Protocol

import msgspec

from skep.model.inspection import End, Sighting

ETHERNET = struct.Struct("!6s6sH")
IPV4, IPV6 = 0x0800, 0x86DD
IPV6_HEADER = 40
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}
VXLAN = struct.Struct("!B3xI")
VXLAN_VALID = 0x08
"""The flag that says that the VNI counts; all other bits of the first byte are 0."""

ECHO_REQUEST = "echo request"
"""The note of a question in ICMP."""
_ICMP_WORDS = {0: "echo reply", 3: "unreachable", 8: ECHO_REQUEST, 11: "time exceeded"}
_ICMPV6_WORDS = {1: "unreachable", 2: "too big", 3: "time exceeded", 128: ECHO_REQUEST}
_ICMPV6_WORDS[129] = "echo reply"
_ECHOES = {ICMP: (0, 8), ICMPV6: (128, 129)}
_FLAGS = ((0x02, "SYN"), (0x10, "ACK"), (0x04, "RST"), (0x01, "FIN"))


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A packet: its ends (of an echo, its id for both ports), the tunnel it was in (VNI, 0 for
    none), and a word on what it is."""

    protocol: str
    source: str
    target: str
    source_port: int = 0
    target_port: int = 0
    vni: int = 0
    note: str = ""


class Wanted(Protocol):
    """Which packets are meant. Of echoes, both ports are their id."""

    def fits(self, heard: Heard) -> bool:
        """Whether this is one."""


class Token(msgspec.Struct, frozen=True):
    """A probe's packets and their answers: ``token`` is its source port, or its ICMP id."""

    protocol: str
    token: int

    def fits(self, heard: Heard) -> bool:
        """By protocol and port."""
        ports = (heard.source_port, heard.target_port)
        return heard.protocol == self.protocol and self.token in ports


class Pair(msgspec.Struct, frozen=True):
    """Real packets between two ends, both ways, in each of the forms that they take."""

    protocol: str
    ends: tuple[End, ...]

    def fits(self, heard: Heard) -> bool:
        """By protocol, addresses and the port that is asked for."""
        if heard.protocol != self.protocol:
            return False
        return self.asks(heard) or any(
            each.target == heard.source
            and each.source in ("", heard.target)
            and each.port in (0, heard.source_port)
            for each in self.ends
        )

    def asks(self, heard: Heard | Sighting) -> bool:
        """Whether it goes the way of the pair, not back."""
        if heard.protocol == "icmp" and heard.note != ECHO_REQUEST:
            return False
        return any(
            each.target == heard.target
            and each.source in ("", heard.source)
            and each.port in (0, heard.target_port)
            for each in self.ends
        )


def hear(frame: bytes, wanted: Wanted) -> Heard | None:
    """The wanted packet in a frame; None if it is another's. An ICMP error counts if it quotes
    one."""
    if len(frame) < ETHERNET.size:
        return None
    _, _, kind = ETHERNET.unpack_from(frame)
    if kind not in (IPV4, IPV6):
        return None
    try:
        return _packet(frame[ETHERNET.size :], wanted, 0)
    except (struct.error, IndexError):
        return None


def _packet(data: bytes, wanted: Wanted, vni: int) -> Heard | None:
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
        tunnelled = _tunnelled(inner[8:], wanted)
        if tunnelled is not None:
            return tunnelled
    if number in _ECHOES:
        ends = Heard(protocol="icmp", source=source, target=target, vni=vni)
        return _icmp(inner, wanted, number, ends)
    if number not in NAMES:
        return None
    ports = struct.unpack_from("!HH", inner)
    heard = Heard(
        protocol=NAMES[number],
        source=source,
        target=target,
        source_port=ports[0],
        target_port=ports[1],
        vni=vni,
        note=_flags(inner[13]) if number == TCP else "",
    )
    return heard if wanted.fits(heard) else None


def _tunnelled(payload: bytes, wanted: Wanted) -> Heard | None:
    """What a VXLAN packet carries, if it is one."""
    if len(payload) < VXLAN.size + ETHERNET.size:
        return None
    flags, number = VXLAN.unpack_from(payload)
    if flags != VXLAN_VALID:
        return None
    inner = payload[VXLAN.size :]
    if ETHERNET.unpack_from(inner)[2] not in (IPV4, IPV6):
        return None
    return _packet(inner[ETHERNET.size :], wanted, number >> 8)


def _icmp(data: bytes, wanted: Wanted, number: int, ends: Heard) -> Heard | None:
    """``ends`` with a word on what it is, if it is wanted; of either family."""
    kind = data[0]
    words = _ICMP_WORDS if number == ICMP else _ICMPV6_WORDS
    is_echo = kind in _ECHOES[number]
    ident = struct.unpack_from("!H", data, 4)[0] if is_echo else 0
    heard = msgspec.structs.replace(
        ends,
        source_port=ident,
        target_port=ident,
        note=words.get(kind, f"icmp type {kind}"),
    )
    if is_echo:
        return heard if wanted.fits(heard) else None
    return heard if _packet(data[8:], wanted, ends.vni or 1) is not None else None


def _flags(byte: int) -> str:
    return " ".join(name for bit, name in _FLAGS if byte & bit)
