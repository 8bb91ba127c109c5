"""Run inside a host: have its kernel remember nine tenths of all connections that it can, and say
how many those are.

With the argument "forget": forget them all. Source: linux/netfilter/nfnetlink_conntrack.h.
"""

import contextlib
import itertools
import socket
import struct
import sys
import time
from pathlib import Path

KNOBS = Path("/proc/sys/net/netfilter")
WITHIN = 90
"""Seconds to fill it in."""
BATCH = 4096

NETFILTER = 12
CT_DELETE = 1 << 8 | 2
REQUEST, ACK = 1, 4


def fill():
    """Send datagrams, each to a port of its own, until the kernel's own count is high enough: not
    every one is remembered, and none for ever."""
    wanted = int((KNOBS / "nf_conntrack_max").read_text()) * 92 // 100
    (KNOBS / "nf_conntrack_udp_timeout").write_text("3600")
    ends = itertools.product(range(2, 250), range(1, 65536))
    deadline = time.monotonic() + WITHIN
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        while (count := int((KNOBS / "nf_conntrack_count").read_text())) < wanted:
            assert time.monotonic() < deadline, f"{count} of {wanted} connections only"
            for number, port in itertools.islice(ends, min(BATCH, wanted - count)):
                with contextlib.suppress(OSError):  # a refusal of an earlier one
                    sender.sendto(b"", (f"127.0.0.{number}", port))
    print(count)


def forget():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as kernel:
        kernel.send(struct.pack("=IHHIIBBH", 20, CT_DELETE, REQUEST | ACK, 1, 0, 0, 0, 0))
        assert struct.unpack_from("=i", kernel.recv(4096), 16) == (0,)


forget() if sys.argv[1:] == ["forget"] else fill()
