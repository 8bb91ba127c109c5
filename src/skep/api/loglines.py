"""A container's log as the engine sends it, made into what clients of a service's log need. Pure.

The engine gives raw output (of a terminal) or frames: a head of eight bytes (stream, length) and
one line each, which may come in any pieces. docker takes one frame for one line of
``TIMESTAMP LABELS TEXT``, whatever the text is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from urllib.parse import quote_plus

STDOUT, STDERR, PROBLEM = 1, 2, 3
"""Streams of a frame; clients end with an error at the third."""

HEAD = struct.Struct(">BxxxL")
LONGEST = 1 << 20
"""Bytes of a line without its end after which it is passed on as it is."""


def frame(stream: int, data: bytes) -> bytes:
    """Some output as a frame."""
    return HEAD.pack(stream, len(data)) + data


def labelled(labels: Mapping[str, str]) -> bytes:
    """The labels in front of a line: ``a=1,b=2`` in order of their names, escaped as in a URL."""
    pairs = (f"{quote_plus(name)}={quote_plus(labels[name])}" for name in sorted(labels))
    return ",".join(pairs).encode() + b" " if labels else b""


class Lines:
    """One container's log on its way: bytes in, what the client is to get out.

    ``labels`` go in front of each line (b"" for none), behind its time stamp if there are
    ``timestamps``. ``framed`` tells whether the client takes frames or raw output.
    """

    def __init__(self, labels: bytes, *, timestamps: bool, framed: bool) -> None:
        self._labels = labels
        self._timestamps = timestamps
        self._framed = framed
        self._rest = b""
        self._raw = False

    def feed(self, data: bytes, *, raw: bool) -> bytes:
        """The next bytes of the log; ``raw``: the engine does not frame it."""
        self._raw = raw
        if raw and not self._framed and not self._labels:
            return data
        found = self._raw_lines(data) if raw else self._framed_lines(data)
        return b"".join(self.line(stream, line) for stream, line in found)

    def end(self) -> bytes:
        """The log has ended: what is left of a line that has no end."""
        rest, self._rest = self._rest, b""
        # The beginning of a frame is nothing that a client could use.
        return self.line(STDOUT, rest) if rest and self._raw else b""

    def line(self, stream: int, line: bytes) -> bytes:
        """One line as the client is to get it."""
        if self._labels:
            stamp, space, text = line.partition(b" ") if self._timestamps else (b"", b"", line)
            line = stamp + space + self._labels + text
        return frame(stream, line) if self._framed else line

    def _raw_lines(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield STDOUT, line + b"\n"
        if len(rest) > LONGEST:
            yield STDOUT, rest
            rest = b""
        self._rest = rest

    def _framed_lines(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        whole = self._rest + data
        start = 0
        while len(whole) - start >= HEAD.size:
            stream, size = HEAD.unpack_from(whole, start)
            end = start + HEAD.size + size
            if end > len(whole):
                break
            yield stream, whole[start + HEAD.size : end]
            start = end
        self._rest = whole[start:]
