"""Output of containers: two streams in one, in frames of a head of eight bytes."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from skep.cli.command import Failure

_HEAD = struct.Struct(">BxxxI")
_STDERR, _FAULT = 2, 3


def frames(read: Callable[[], bytes]) -> Iterator[tuple[int, bytes]]:
    """The frames in what ``read`` answers piece by piece: stream (1 output, 2 errors) and bytes.

    What is left when it ends within a frame is dropped. Raises `Failure` for a report of failure.
    """
    buffer = b""
    while piece := read():
        buffer += piece
        while len(buffer) >= _HEAD.size:
            stream, size = _HEAD.unpack_from(buffer)
            end = _HEAD.size + size
            if len(buffer) < end:
                break
            content, buffer = buffer[_HEAD.size : end], buffer[end:]
            if stream == _FAULT:
                raise Failure(f"error from daemon in stream: {content.decode(errors='replace')}")
            yield stream, content


def copy_output(read: Callable[[], bytes], *, multiplexed: bool) -> None:
    """Write everything to our own output and errors as it comes."""
    if multiplexed:
        for stream, content in frames(read):
            _write(sys.stderr.buffer if stream == _STDERR else sys.stdout.buffer, content)
        return
    while piece := read():
        _write(sys.stdout.buffer, piece)


def _write(sink: BinaryIO, content: bytes) -> None:
    sink.write(content)
    sink.flush()
