"""Frames and tunnel packets, written byte by byte: what an attacker would send."""

import socket
import struct
from pathlib import Path

SENDER = str(Path(__file__).with_name("send_frames.py"))
"""The program that sends them from a link."""
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_of(address):
    """The MAC that an address on an overlay network goes with."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def ethernet(target, source, kind, payload):
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def datagram(source, target, port=9):
    """An IP packet with a UDP datagram in it, without its checksum, which is allowed."""
    text = b"who am I"
    udp = struct.pack("!HHHH", 40000, port, 8 + len(text), 0) + text
    ends = socket.inet_aton(source) + socket.inet_aton(target)

    def header(check):
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 7, 0, 64, 17, check) + ends

    return header(checksum(header(0))) + udp


def arp(sender_mac, sender, target):
    """An ARP answer that nobody asked for: ``sender`` is at ``sender_mac``."""
    return (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
        + mac(sender_mac) + socket.inet_aton(sender)
        + mac(EVERYBODY) + socket.inet_aton(target)
    )  # fmt: skip


def icmp6(source, target, body, hops=255):
    """An IPv6 packet with an ICMPv6 message, ``body`` without its checksum."""
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    whole = body[:2] + b"\0\0" + body[4:]
    padded = ends + struct.pack("!II", len(whole), 58) + whole + b"\0" * (len(whole) % 2)
    check = struct.pack("!H", checksum(padded))
    header = struct.pack("!IHBB", 0x60000000, len(whole), 58, hops) + ends
    return header + whole[:2] + check + whole[4:]


def advertisement(topic, at):
    """The ICMPv6 message that address ``topic`` is at the MAC ``at``, to take the place of what is
    known (RFC 4861, section 4.4)."""
    fixed = struct.pack("!BBHI", 136, 0, 0, 0x60000000)
    return fixed + socket.inet_pton(socket.AF_INET6, topic) + b"\2\1" + mac(at)


def vxlan(vni, frame):
    """A tunnel packet's payload."""
    return struct.pack("!II", 0x08000000, vni << 8) + frame
