"""Run inside a host: have its kernel remember nine tenths of all connections that it can."""

import contextlib
import socket
from pathlib import Path

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
            raise SystemExit
