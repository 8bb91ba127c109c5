"""One end of measured TCP connections; runs inside a host, and needs nothing but Python.

``python peer.py serve`` answers on `PORT`. ``python peer.py ask`` reads lines ``WORK ADDRESS
SECONDS`` and prints a number for each: how much of that work was done per second.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

PORT = 7700
BULK, PINGS, CONNECTS, QUICK = "bulk", "pings", "connects", "quick"
"""Bytes carried; single bytes sent to and fro; connections opened, used for a request and closed.
The first byte on a connection tells the server which. QUICK is like CONNECTS, but answers with how
many there would be a second if all were as quick as the quickest quarter: those that no other
program of the machine got in the way of."""

PIECE = 1 << 18
REQUEST = 64
TOTAL = struct.Struct("!Q")
PATIENCE = 10.0
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: close at once, leaving no state behind that would use the ports up."""


def serve() -> None:
    """Answer one connection after the other, as long as standard input is open."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    listener = socket.create_server(("0.0.0.0", PORT), backlog=128)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                answer(connection)
            except ConnectionError:
                continue


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def answer(connection: socket.socket) -> None:
    """Do our part of the work that the client asks for. Raises ConnectionError."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    first = connection.recv(1)
    if first == CONNECTS[:1].encode():
        connection.recv(REQUEST - 1, socket.MSG_WAITALL)
        connection.sendall(bytes(REQUEST))
        connection.recv(1)
    elif first == PINGS[:1].encode():
        while byte := connection.recv(1):
            connection.sendall(byte)
    elif first:
        total, room = len(first), bytearray(PIECE)
        while taken := connection.recv_into(room):
            total += taken
        connection.sendall(TOTAL.pack(total))


def connected(address: str) -> socket.socket:
    """A connection to a server. Raises OSError."""
    connection = socket.create_connection((address, PORT), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def bulk(address: str, seconds: float) -> float:
    """Bytes per second, counted by the receiver."""
    with connected(address) as connection:
        piece = BULK[:1].encode() * PIECE
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        (total,) = TOTAL.unpack(connection.recv(TOTAL.size, socket.MSG_WAITALL))
        return float(total / (time.perf_counter() - begun))


def pings(address: str, seconds: float) -> float:
    """Round trips per second on one connection."""
    with connected(address) as connection:
        connection.sendall(PINGS[:1].encode())
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            connection.sendall(b"x")
            connection.recv(1)
            count += 1
        return count / (time.perf_counter() - begun)


def connects(address: str, seconds: float) -> float:
    """Connections per second, each with a request and its answer."""
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        _connect(address)
        count += 1
    return count / (time.perf_counter() - begun)


def quick(address: str, seconds: float) -> float:
    """The same per second, of the quickest quarter."""
    begun = now = time.perf_counter()
    taken = []
    while now - begun < seconds:
        _connect(address)
        before, now = now, time.perf_counter()
        taken.append(now - before)
    return 1 / sorted(taken)[len(taken) // 4]


def _connect(address: str) -> None:
    with connected(address) as connection:
        connection.sendall(CONNECTS[:1].encode().ljust(REQUEST))
        connection.recv(REQUEST, socket.MSG_WAITALL)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)


WORK: dict[str, Callable[[str, float], float]] = {
    BULK: bulk, PINGS: pings, CONNECTS: connects, QUICK: quick,
}  # fmt: skip


def ask() -> None:
    """Do what is asked for on standard input until that ends."""
    for line in sys.stdin:
        work, address, seconds = line.split()
        done = WORK[work](address, float(seconds))
        try:
            print(done, flush=True)
        except BrokenPipeError:  # whoever asked was interrupted
            os._exit(0)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]]()
