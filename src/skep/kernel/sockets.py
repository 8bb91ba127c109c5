"""Sockets of the network namespace that the calling thread is in: who listens, who is connected.

Source: proc(5) on /proc/net/tcp, linux/net/tcp_states.h.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Collection, Iterator
from typing import NamedTuple

ROOT = "/proc/thread-self/net/"
CHOSEN_PORTS = "/proc/sys/net/ipv4/ip_local_port_range"

UNSEEN = "another program, or the kernel"
"""Whoever holds a socket that no process shows."""

ESTABLISHED, SYN_RECEIVED, FIN_WAIT_1, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = (
    0x01, 0x03, 0x04, 0x07, 0x08, 0x09, 0x0A, 0x0B,
)  # fmt: skip
OPEN = frozenset({ESTABLISHED, SYN_RECEIVED, FIN_WAIT_1, CLOSE_WAIT, LAST_ACK, CLOSING})
"""States in which something is still to be said or to be acknowledged by the other side."""

MAPPED = bytes(10) + b"\xff\xff"
"""What precedes an IPv4 address in an IPv6 socket."""

Port = tuple[str, int]
"""Protocol (tcp or udp) and number."""


class Seen(NamedTuple):
    """A socket: its ends as (address, port), its state and the number of its file."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    inode: int


def connections(own: Collection[str]) -> int:
    """How many TCP connections others have open to servers in this namespace.

    ``own`` are the namespace's own addresses, which are not others; nor is the loopback network.
    """
    found = list(_read("tcp"))
    served = {each.local[1] for each in found if each.state == LISTEN}
    return sum(
        each.state in OPEN and each.local[1] in served and not _is_own(each.remote[0], own)
        for each in found
    )


def listeners() -> dict[Port, int]:
    """The ports that somebody listens on, at whatever address, and the number of a file by which
    the listener can be found."""
    waiting = {"tcp": LISTEN, "udp": CLOSE}
    return {
        (protocol, each.local[1]): each.inode
        for protocol, state in waiting.items()
        for each in _read(protocol)
        if each.state == state
    }


def waiting() -> Iterator[tuple[str, Seen]]:
    """Every socket that listens, or (UDP) takes packets, with its protocol."""
    for protocol, state in (("tcp", LISTEN), ("udp", CLOSE)):
        for each in _read(protocol):
            if each.state == state or (protocol == "udp" and each.state == ESTABLISHED):
                yield protocol, each


def taken() -> list[tuple[str, Seen]]:
    """Every socket that listens, with its protocol, at the cost of those alone.

    UDP sockets that the kernel gave a port of its choice are somebody's questions, and left out.
    """
    with open(CHOSEN_PORTS) as file:
        first, last = map(int, file.read().split())
    # The kernel lists TCP sockets that listen before all others.
    found = [
        ("tcp", each)
        for name in ("tcp", "tcp6")
        for each in itertools.takewhile(lambda seen: seen.state == LISTEN, _read_one(name))
    ]
    found += [
        ("udp", each)
        for each in _read("udp")
        if each.state == CLOSE and not first <= each.local[1] <= last
    ]
    return found


def holders(inodes: Collection[int]) -> dict[int, str]:
    """Who holds each of some sockets, as "nginx (pid 123)"; who cannot be seen is left out, as the
    kernel is. What several processes hold is the first one's."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, str] = {}
    for pid in sorted(filter(str.isdecimal, os.listdir("/proc")), key=int):
        if len(found) == len(wanted):
            break
        # Processes and files come and go while they are looked at.
        with contextlib.suppress(OSError):
            targets = {_target(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
            for target in targets & wanted.keys():
                with open(f"/proc/{pid}/comm") as file:
                    found.setdefault(wanted[target], f"{file.read().strip()} (pid {pid})")
    return found


def holder(inode: int) -> str:
    """Who holds a socket, as "nginx (pid 123)"."""
    return holders([inode]).get(inode, UNSEEN)


def _target(path: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""


def _is_own(address: str, own: Collection[str]) -> bool:
    return address in own or address.startswith("127.") or address == "::1"


def _read(protocol: str) -> Iterator[Seen]:
    for name in (protocol, f"{protocol}6"):
        yield from _read_one(name)


def _read_one(name: str) -> Iterator[Seen]:
    # A kernel without IPv6 has no such file.
    with contextlib.suppress(FileNotFoundError), open(ROOT + name) as file:
        next(file)
        for line in file:
            words = line.split()
            state, inode = int(words[3], 16), int(words[9])
            yield Seen(_end(words[1]), _end(words[2]), state, inode)


def _end(word: str) -> tuple[str, int]:
    """An address and port as they are written there: each 32 bits in the machine's own order."""
    address, _, port = word.partition(":")
    parts = [address[start : start + 8] for start in range(0, len(address), 8)]
    data = b"".join(int(part, 16).to_bytes(4, sys.byteorder) for part in parts)
    if data[:12] == MAPPED:
        data = data[12:]
    family = socket.AF_INET if len(data) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, data), int(port, 16)
