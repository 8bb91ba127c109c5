"""Frames that a tap hears, built by hand."""

import struct

import pytest

from skep.model.inspection import End
from skep.trace.frames import Pair, Token, hear

TOKEN = 24643


def ip(number, source, target, payload, offset=0):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, offset, 64, number, 0)
    return head + bytes(map(int, source.split("."))) + bytes(map(int, target.split("."))) + payload


def ether(payload, kind=0x0800):
    return bytes(12) + struct.pack("!H", kind) + payload


def tcp(source, target, flags=0x02):
    return struct.pack("!HHIIBBHHH", source, target, 0, 0, 5 << 4, flags, 0, 0, 0)


def udp(source, target, payload=b""):
    return struct.pack("!HHHH", source, target, 8 + len(payload), 0) + payload


def icmp(kind, ident, rest=b""):
    return struct.pack("!BBHHH", kind, 0, 0, ident, 1) + rest


def vxlan(vni, frame):
    return struct.pack("!B3xI", 0x08, vni << 8) + frame


def heard(frame, protocol="tcp", token=TOKEN):
    return hear(frame, Token(protocol, token))


def test_a_probe_and_its_answer_are_known_by_the_port():
    asked = heard(ether(ip(6, "10.0.1.5", "10.0.1.3", tcp(TOKEN, 80))))
    assert (asked.source, asked.target) == ("10.0.1.5", "10.0.1.3")
    assert (asked.source_port, asked.target_port, asked.note) == (TOKEN, 80, "SYN")
    answered = heard(ether(ip(6, "10.0.1.3", "10.0.1.5", tcp(80, TOKEN, 0x12))))
    assert (answered.target_port, answered.note) == (TOKEN, "SYN ACK")


def test_what_is_inside_a_tunnel_is_known_too():
    inner = ether(ip(6, "10.0.1.5", "10.0.1.3", tcp(TOKEN, 80)))
    outer = ether(ip(17, "192.168.0.1", "192.168.0.2", udp(5000, 4789, vxlan(4097, inner))))
    found = heard(outer)
    assert (found.vni, found.source) == (4097, "10.0.1.5")


def test_echoes_are_known_by_their_id_and_errors_by_what_they_quote():
    assert heard(ether(ip(1, "10.0.0.1", "10.0.0.2", icmp(8, TOKEN))), "icmp").note == (
        "echo request"
    )
    assert heard(ether(ip(1, "10.0.0.1", "10.0.0.2", icmp(0, TOKEN))), "icmp").note == "echo reply"
    quoted = ip(17, "10.0.0.1", "10.0.0.2", udp(TOKEN, 53))
    error = ether(ip(1, "10.0.0.2", "10.0.0.1", icmp(3, 0, quoted)))
    assert heard(error, "udp").note == "unreachable"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        ether(b"", 0x0806),
        ether(b"\x45"),
        ether(ip(6, "10.0.0.1", "10.0.0.2", tcp(1, 2))),
        ether(ip(17, "10.0.0.1", "10.0.0.2", udp(TOKEN, 80))),
        ether(ip(6, "10.0.0.1", "10.0.0.2", tcp(TOKEN, 80), offset=100)),
        ether(ip(1, "10.0.0.1", "10.0.0.2", icmp(8, TOKEN))),
        ether(ip(17, "1.1.1.1", "2.2.2.2", udp(1, 4789, b"\x08" + bytes(7)))),
    ],
)
def test_everything_else_is_another_s(frame):
    assert heard(frame) is None


PAIR = Pair("tcp", (End(source="10.0.1.5", target="10.0.1.2", port=80),
                    End(source="", target="10.0.1.3", port=8080)))  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "ports", "asks"),
    [
        ("10.0.1.5", "10.0.1.2", (4000, 80), True),
        ("10.0.1.2", "10.0.1.5", (80, 4000), False),
        ("9.9.9.9", "10.0.1.3", (4000, 8080), True),
        ("10.0.1.3", "9.9.9.9", (8080, 4000), False),
    ],
)
def test_a_pair_is_known_both_ways_in_each_of_its_forms(source, target, ports, asks):
    found = hear(ether(ip(6, source, target, tcp(*ports))), PAIR)
    assert PAIR.asks(found) == asks


@pytest.mark.parametrize(
    ("source", "target", "ports"),
    [("10.0.1.6", "10.0.1.2", (4000, 80)), ("10.0.1.5", "10.0.1.2", (4000, 81)),
     ("10.0.1.5", "10.0.1.4", (4000, 80))],
)  # fmt: skip
def test_others_are_no_part_of_a_pair(source, target, ports):
    assert hear(ether(ip(6, source, target, tcp(*ports))), PAIR) is None


def test_echoes_of_a_pair_go_there_and_back():
    pair = Pair("icmp", (End(source="10.0.0.1", target="10.0.0.2"),))
    asked = hear(ether(ip(1, "10.0.0.1", "10.0.0.2", icmp(8, 5))), pair)
    answered = hear(ether(ip(1, "10.0.0.2", "10.0.0.1", icmp(0, 5))), pair)
    assert (asked.source_port, pair.asks(asked)) == (5, True)
    assert not pair.asks(answered)
