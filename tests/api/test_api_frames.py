import struct

import pytest

from skep.api.frames import STDERR, STDOUT, Chosen


class Source:
    def __init__(self, data, size):
        self.pieces = [data[at : at + size] for at in range(0, len(data), size)]

    async def read(self):
        return self.pieces.pop(0) if self.pieces else b""


def frame(stream, text):
    return struct.pack(">BxxxI", stream, len(text)) + text


@pytest.mark.parametrize("size", [1, 3, 8, 9, 1000])
@pytest.mark.parametrize("wanted", [STDOUT, STDERR])
async def test_only_the_wanted_frames_come_however_they_are_cut(size, wanted):
    frames = [frame(STDOUT, b"out"), frame(STDERR, b"wrong"), frame(STDOUT, b""),
              frame(STDERR, b"x" * 300), frame(STDOUT, b"more")]  # fmt: skip
    chosen, said = Chosen(Source(b"".join(frames), size), [wanted]), b""
    while piece := await chosen.read():
        said += piece
    assert said == b"".join(each for each in frames if each[0] == wanted)
