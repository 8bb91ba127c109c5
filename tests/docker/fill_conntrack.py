"""Run inside a host: have its kernel remember nine tenths of all connections that it can.

With the argument "forget": forget them all. Source: linux/netfilter/nfnetlink_conntrack.h.
"""

import contextlib
import socket
import struct
import sys
from pathlib import Path

NETFILTER = 12
CT_DELETE = 1 << 8 | 2
REQUEST, ACK = 1, 4


def fill():
    limit = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("127.0.0.1", 0))
    left = limit * 9 // 10
    for number in range(2, 250):
        for port in range(1, 65536):
            with contextlib.suppress(OSError):  # a refusal of an earlier one
                sender.sendto(b"", (f"127.0.0.{number}", port))
            left -= 1
            if not left:
                return


def forget():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as kernel:
        kernel.send(struct.pack("=IHHIIBBH", 20, CT_DELETE, REQUEST | ACK, 1, 0, 0, 0, 0))
        assert struct.unpack_from("=i", kernel.recv(4096), 16) == (0,)


forget() if sys.argv[1:] == ["forget"] else fill()
