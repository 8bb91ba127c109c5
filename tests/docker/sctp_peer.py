"""The first two packets of an SCTP association, by hand: kernels need not know SCTP to carry it.

``ask ADDRESS PORT OWN_PORT`` sends an INIT, and prints the address and port that the INIT ACK
came from.
``serve PORT`` answers INITs, and prints the address of each client.

Source: RFC 9260, sections 3.1, 3.3.2 and 3.3.3, and appendix A (CRC32c).
"""

import socket
import struct
import sys

PROTOCOL = 132
INIT, INIT_ACK = 1, 2
TAG, OTHER_TAG = 0x1234, 0x4321
COOKIE = struct.pack("!HHI", 7, 8, 0)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def packet(ports, tag, kind, own_tag, more=b""):
    body = struct.pack("!IIHHI", own_tag, 1 << 16, 1, 1, 1) + more
    chunk = struct.pack("!BBH", kind, 0, 4 + len(body)) + body
    head = struct.pack("!HHI", *ports, tag)
    checksum = struct.pack("<I", crc32c(head + bytes(4) + chunk))
    return head + checksum + chunk


def received(opened, port, kind):
    """The next packet of a kind to a port: its sender's address and port, its target's address."""
    while True:
        data, (sender, _) = opened.recvfrom(2048)
        reached = socket.inet_ntoa(data[16:20])
        data = data[(data[0] & 15) * 4 :]
        source, target = struct.unpack_from("!HH", data)
        if target == port and data[12] == kind:
            return sender, source, reached


def ask(address, port, own_port):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as opened:
        opened.settimeout(60)
        opened.sendto(packet((int(own_port), int(port)), 0, INIT, TAG), (address, 0))
        print(*received(opened, int(own_port), INIT_ACK)[:2])


def serve(port):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as opened:
        print("ready", flush=True)
        while True:
            sender, source, reached = received(opened, int(port), INIT)
            print(sender, flush=True)
            answer = packet((int(port), source), TAG, INIT_ACK, OTHER_TAG, COOKIE)
            # A server of SCTP answers from the address that it was reached at.
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as answering:
                answering.bind((reached, 0))
                answering.sendto(answer, (sender, 0))


if __name__ == "__main__":
    {"ask": ask, "serve": serve}[sys.argv[1]](*sys.argv[2:])
