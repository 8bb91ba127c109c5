"""A constant load of HTTP requests, none of which may be lost; runs inside a host or a sandbox, and
needs nothing but Python.

``python steady.py ADDRESS PORT COUNT RATE LANES KEPT`` asks COUNT times, RATE times a second if
that can be done, on LANES connections at once, in turn. Every other lane asks KEPT times on a
connection before it opens another, the others once. It prints "begun", and when all is done a line
of JSON: who answered how often, whom they saw, what was lost (what went wrong, and how often), and
the slowest answer in seconds.

The server is the lab's nginx, which answers with its host's name and its client's address.
"""

from __future__ import annotations

import collections
import contextlib
import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Iterator

PATIENCE = 10.0
"""Seconds until a request without an answer is lost."""
LOOK = 0.5
"""Seconds between looks for those."""

ANSWER = re.compile(rb"nginx!</h1> (\S+)\n<p>client (\S+)</p>\n$")
MEANS_WELL = re.compile(rb"HTTP/1\.[01] 200 ")


class LostError(Exception):
    """A request has no good answer."""


class Tally:
    """What became of the requests, and which one is the next."""

    def __init__(self, count: int, rate: float) -> None:
        self.left = count
        self.open = 0
        self._rate = rate
        self._begun = time.monotonic()
        self._asked = 0
        self.answered: collections.Counter[str] = collections.Counter()
        self.seen: collections.Counter[str] = collections.Counter()
        self.lost: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0

    def due(self) -> float:
        """When the next request is to be made."""
        return self._begun + self._asked / self._rate

    def take(self) -> None:
        """Ask once more."""
        self.left -= 1
        self.open += 1
        self._asked += 1

    def end(self, seconds: float) -> None:
        """A request has come to its end."""
        self.open -= 1
        self.slowest = max(self.slowest, seconds)


class Lane:
    """One connection after the other, with one request after the other on each."""

    def __init__(self, place: tuple[str, int], kept: int, selector: selectors.BaseSelector) -> None:
        self._place = place
        self._kept = kept
        self._selector = selector
        self._socket: socket.socket | None = None
        self._left = 0
        self._steps: Iterator[int] | None = None
        self.begun = 0.0

    @property
    def idle(self) -> bool:
        """Whether it can take a request."""
        return self._steps is None

    def ask(self, tally: Tally) -> None:
        """Begin a request."""
        tally.take()
        self.begun = time.monotonic()
        self._steps = self._request(tally)
        self.go_on(tally)

    def go_on(self, tally: Tally) -> None:
        """What was waited for has come: go on to where there is something to wait for again."""
        assert self._steps is not None, "only a request is waited for"
        try:
            awaited = next(self._steps, 0)
        except (OSError, LostError) as fault:
            self.give_up(tally, f"{type(fault).__name__}: {fault}")
            return
        if awaited:
            self._wait_for(awaited)
            return
        self._steps = None
        tally.end(time.monotonic() - self.begun)

    def give_up(self, tally: Tally, why: str) -> None:
        """The request is lost, and its connection with it."""
        tally.lost[why] += 1
        tally.end(time.monotonic() - self.begun)
        self._close()
        self._steps = None

    def close_idle(self) -> None:
        """No more is to come."""
        self._close()

    def _wait_for(self, events: int) -> None:
        assert self._socket is not None, "there is a connection to wait for"
        try:
            self._selector.modify(self._socket, events, self)
        except KeyError:
            self._selector.register(self._socket, events, self)

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._socket)
            self._socket.close()
        self._socket, self._left = None, 0

    def _request(self, tally: Tally) -> Iterator[int]:
        if self._socket is None:
            yield from self._connect()
        opened = self._socket
        assert opened is not None, "it was opened a moment ago"
        self._left -= 1
        last = "close" if self._left <= 0 else "keep-alive"
        opened.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nConnection: {last}\r\n\r\n".encode())
        answer = b""
        while not (found := ANSWER.search(answer)):
            yield selectors.EVENT_READ
            piece = opened.recv(4096)
            if not piece:
                raise LostError(f"the connection was closed after {len(answer)} bytes")
            answer += piece
        if not MEANS_WELL.match(answer):
            raise LostError(answer.split(b"\r\n", 1)[0].decode(errors="replace"))
        tally.answered[found[1].decode()] += 1
        tally.seen[found[2].decode()] += 1
        if last == "close":
            self._close()

    def _connect(self) -> Iterator[int]:
        family = socket.AF_INET6 if ":" in self._place[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._left = self._kept
        try:
            self._socket.connect(self._place)
        except BlockingIOError:
            yield selectors.EVENT_WRITE
        fault = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if fault:
            raise LostError(f"no connection: {fault}")


def run(place: tuple[str, int], tally: Tally, lanes: int, kept: int) -> None:
    """Ask until all is asked and answered."""
    with selectors.DefaultSelector() as selector:
        all_lanes = [Lane(place, kept if n % 2 else 1, selector) for n in range(lanes)]
        looked = time.monotonic()
        while tally.left or tally.open:
            # Whose last request was made longest ago is the next: none keeps a connection idle.
            idle = sorted((each for each in all_lanes if each.idle), key=lambda each: each.begun)
            for lane in idle:
                if not tally.left or tally.due() > time.monotonic():
                    break
                lane.ask(tally)
            pause = tally.due() - time.monotonic() if idle and tally.left else LOOK
            for key, _ in selector.select(max(0.0, min(pause, LOOK))):
                if key.data.idle:
                    # Closed by the other side between two requests, as it may.
                    key.data.close_idle()
                else:
                    key.data.go_on(tally)
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                _give_up_late(all_lanes, tally, looked)
        for lane in all_lanes:
            lane.close_idle()


def _give_up_late(lanes: list[Lane], tally: Tally, now: float) -> None:
    for lane in lanes:
        if not lane.idle and now - lane.begun > PATIENCE:
            lane.give_up(tally, f"no answer within {PATIENCE:.0f} s")


def reached(place: tuple[str, int]) -> bool:
    """Wait until the service is there: a host may hear of it a moment after it runs."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(place, timeout=PATIENCE).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def main() -> None:
    """Ask, and tell."""
    address, port, count, rate, lanes, kept = sys.argv[1:]
    if not reached((address, int(port))):
        sys.exit(f"{address}:{port} is not reached")
    tally = Tally(int(count), float(rate))
    print("begun", flush=True)
    run((address, int(port)), tally, int(lanes), int(kept))
    told = {
        "answered": tally.answered, "seen": tally.seen, "lost": tally.lost,
        "slowest": tally.slowest,
    }  # fmt: skip
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
