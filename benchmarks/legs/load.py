"""A client that asks and asks; runs inside a host or a sandbox, and needs nothing but Python.

``python load.py ADDRESS PORT THREADS MOST RATE`` makes at most so many requests, and so many a
second, each on a connection of its own. For each line of its input it prints a line of JSON: what
was asked and what was lost since the last one. The end of the input ends it.
"""

from __future__ import annotations

import collections
import json
import socket
import sys
import threading
import time

PATIENCE = 10.0
REQUEST = b"GET / HTTP/1.0\r\nHost: web\r\n\r\n"
PIECE = 1 << 16


def ask(place: tuple[str, int]) -> str:
    """One request; "" or what went wrong."""
    try:
        with socket.create_connection(place, PATIENCE) as connection:
            connection.sendall(REQUEST)
            answer = b""
            while piece := connection.recv(PIECE):
                answer += piece
    except OSError as fault:
        return f"{type(fault).__name__}: {fault.strerror or fault}"
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    if b" 200 " not in status:
        return f"answered {status[:40]!r}"
    sizes = [int(field[15:]) for field in fields if field.lower().startswith(b"content-length:")]
    return "" if sizes in ([], [len(body)]) else f"{len(body)} of {sizes} bytes"


class Load:
    """Threads that ask, and what they count."""

    def __init__(self, place: tuple[str, int], threads: int, most: int, rate: float) -> None:
        self._place = place
        self._pause = 1 / rate
        self._due = 0.0
        self._left = iter(range(most))
        self._lock = threading.Lock()
        self._asked = 0
        self._lost: collections.Counter[str] = collections.Counter()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        self._stopped = False

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._stopped:
            with self._lock:
                if next(self._left, None) is None:
                    return
                self._due = max(self._due, time.monotonic()) + self._pause
                early = self._due - self._pause - time.monotonic()
            time.sleep(max(early, 0))
            fault = ask(self._place)
            with self._lock:
                self._asked += 1
                if fault:
                    self._lost[fault] += 1

    def taken(self) -> dict[str, object]:
        """What was asked and lost since the last call."""
        with self._lock:
            found = {"asked": self._asked, "lost": dict(self._lost)}
            self._asked = 0
            self._lost.clear()
        return found

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True


def main() -> None:
    """Do as the input says."""
    address, port, threads, most, rate = sys.argv[1:]
    load = Load((address, int(port)), int(threads), int(most), float(rate))
    load.start()
    for _ in sys.stdin:
        print(json.dumps(load.taken()), flush=True)
    load.stop()


if __name__ == "__main__":
    main()
