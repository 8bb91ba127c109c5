"""What one host knows of a network, looked at again and again; runs inside the host, and needs
nothing but Python and nft.

``python healing.py SANDBOX NETWORK NAME…`` prints a JSON line whenever something is another than at
the last look: when (CLOCK_MONOTONIC, which all hosts of a lab share), which part, and what it is
now. It ends with its input. No word of Skep's is taken for anything: names are asked for where
containers ask for them, the rest is read from the kernel.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 1 / 30
NAME_SERVER = ("127.0.0.11", 53)
GETNEIGH, DUMP, NEWNEIGH, PERMANENT = 30, 0x301, 28, 0x80
DESTINATION, MAC = 1, 2
TYPE_A = b"\0\1\0\1"

HEADER, NEIGHBOUR = struct.Struct("=IHHII"), struct.Struct("=BxxxiHBB")

_libc = ctypes.CDLL(None, use_errno=True)

Seen = dict[str, list[str]]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Be in another network namespace: sockets that are made here stay there. Raises OSError."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(namespace, "rb") as there:
        if _libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        try:
            yield
        finally:
            _libc.setns(home.fileno(), 0)


class Eyes:
    """Looks into a container's sandbox and into the namespace of its network."""

    def __init__(self, sandbox: str, network: str, names: list[str]) -> None:
        self._sandbox, self._names = sandbox, names
        with inside(sandbox):
            self._asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asker.settimeout(1.0)
        with inside(network):
            self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)

    def look(self) -> Seen:
        """All that is known, by part."""
        found: Seen = {f"name {name}": self._resolved(name) for name in self._names}
        found["neighbours"] = list(self._entries(socket.AF_INET))
        found["forwarding"] = list(self._entries(socket.AF_BRIDGE))
        found["backends"] = self._rules()
        return {part: sorted(each) for part, each in found.items()}

    def _resolved(self, name: str) -> list[str]:
        """The addresses that a name has; an error code as "rcode N", or "silence"."""
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        serial = os.urandom(2)
        question = labels + b"\0" + TYPE_A
        self._asker.sendto(serial + struct.pack("!5H", 0x100, 1, 0, 0, 0) + question, NAME_SERVER)
        try:
            while (answer := self._asker.recv(4096))[:2] != serial:
                pass
        except TimeoutError:
            return ["silence"]
        if code := answer[3] & 0xF:
            return [f"rcode {code}"]
        count, rest = struct.unpack_from("!H", answer, 6)[0], answer[12 + len(question) :]
        records = (rest[16 * number : 16 * number + 16] for number in range(count))
        return [socket.inet_ntoa(record[12:]) for record in records]

    def _entries(self, family: int) -> Iterator[str]:
        """Permanent neighbours, or forwarding entries that lead to another host."""
        body = NEIGHBOUR.pack(family, 0, 0, 0, 0)
        self._kernel.send(HEADER.pack(HEADER.size + len(body), GETNEIGH, DUMP, 0, 0) + body)
        while True:
            data, start = self._kernel.recv(1 << 17), 0
            while start < len(data):
                length, kind, _, _, _ = HEADER.unpack_from(data, start)
                if kind != NEWNEIGH:
                    return
                yield from _entry(data[start + HEADER.size : start + length])
                start += (length + 3) & ~3

    def _rules(self) -> list[str]:
        command = ("nsenter", f"--net={self._sandbox}", "nft", "-s", "list", "ruleset")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(
            "\n"
        )


def _entry(body: bytes) -> Iterator[str]:
    _, _, state, _, _ = NEIGHBOUR.unpack_from(body)
    attributes, start = {}, NEIGHBOUR.size
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        attributes[kind] = body[start + 4 : start + length]
        start += (length + 3) & ~3
    if state & PERMANENT and len(attributes.get(DESTINATION, b"")) == 4:
        mac = attributes[MAC].hex(":")
        yield f"{socket.inet_ntoa(attributes[DESTINATION])} {mac}"


def main() -> None:
    """Look until the input ends."""
    sandbox, network, *names = sys.argv[1:]
    eyes, last = Eyes(sandbox, network, names), Seen()
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        seen = eyes.look()
        for part, now in seen.items():
            if last.get(part) != now:
                print(json.dumps([time.monotonic(), part, now]), flush=True)
        last = seen


if __name__ == "__main__":
    main()
