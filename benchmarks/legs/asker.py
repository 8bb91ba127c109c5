"""Asks a service who its client is; runs inside a host, and needs nothing but Python.

``python asker.py tcp ADDRESS PORT`` asks over a connection of its own, ``udp ADDRESS PORT`` by a
datagram; they print whom the server saw. ``hold ADDRESS PORT`` opens a connection, prints "open",
and asks over that one connection for each line of its input. The server is ``python asker.py serve
PORT``, which answers whatever comes over TCP or UDP with its sender's address, until its input
ends.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

PATIENCE = 5.0


def tcp(address: str, port: str) -> str:
    """Whom the server saw."""
    with socket.create_connection((address, int(port)), timeout=PATIENCE) as opened:
        return asked(opened)


def udp(address: str, port: str) -> str:
    """Whom the server saw."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.settimeout(PATIENCE)
        opened.connect((address, int(port)))
        return asked(opened)


def asked(opened: socket.socket) -> str:
    """One question and its answer; what went wrong, if something did."""
    try:
        opened.send(b"?")
        return opened.recv(512).decode() or "the connection was closed"
    except OSError as error:
        return f"no answer: {error}"


def hold(address: str, port: str) -> str:
    """Ask over one connection again and again."""
    with socket.create_connection((address, int(port)), timeout=PATIENCE) as opened:
        print("open", flush=True)
        for _ in sys.stdin:
            print(asked(opened), flush=True)
    os._exit(0)


def serve(port: str) -> str:
    """Answer until standard input ends."""
    listener = socket.create_server(("0.0.0.0", int(port)))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", int(port)))
    for work in (_accept, _answer_datagrams):
        opened = listener if work is _accept else datagrams
        threading.Thread(target=work, args=(opened,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


def _accept(listener: socket.socket) -> None:
    while True:
        connection, client = listener.accept()
        threading.Thread(target=_answer, args=(connection, client[0]), daemon=True).start()


def _answer(connection: socket.socket, client: str) -> None:
    with connection:
        while connection.recv(512):
            connection.send(client.encode())


def _answer_datagrams(opened: socket.socket) -> None:
    while True:
        _, client = opened.recvfrom(512)
        opened.sendto(client[0].encode(), client)


if __name__ == "__main__":
    try:
        ways = {"tcp": tcp, "udp": udp, "hold": hold, "serve": serve}
        print(ways[sys.argv[1]](*sys.argv[2:]))
    except OSError as error:
        print(f"no answer: {error}")
