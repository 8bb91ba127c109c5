"""Messages in frames."""

import asyncio

import msgspec
import pytest
from conftest import box, table

from skep.dns import frames
from skep.dns.counters import Counters
from skep.dns.frames import (
    Alive,
    Amend,
    Counted,
    Garbled,
    InForce,
    Ping,
    Replace,
    Stale,
    Stats,
)  # fmt: skip
from skep.model.naming import NameTable
from skep.names.change import difference

NAMES = table(box("a", "192.0.2.1"), web="10.0.1.2 10.0.1.3")


async def read(data, decoder):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await frames.read(reader, decoder)


@pytest.mark.parametrize(
    ("message", "decoder"),
    [
        (Replace(serial=1, table=NAMES), frames.REQUESTS),
        (Amend(serial=2, change=difference(NameTable(), NAMES)), frames.REQUESTS),
        (Ping(serial=3), frames.REQUESTS),
        (Stats(serial=3), frames.REQUESTS),
        (InForce(serial=4, faults={"a": "why"}), frames.ANSWERS),
        (Stale(serial=5), frames.ANSWERS),
        (Alive(serial=6, pid=7, format=2), frames.ANSWERS),
        (Counted(serial=7, counts=Counters().counts(3, 1)), frames.ANSWERS),
    ],
)
async def test_there_and_back(message, decoder):
    assert await read(frames.pack(message), decoder) == message


@pytest.mark.parametrize("cut", [0, 3, 4, 8])
async def test_the_other_side_left(cut):
    assert await read(frames.pack(Ping(serial=1))[:cut], frames.REQUESTS) is None


@pytest.mark.parametrize("noise", [b"\xff" * 5, b"\0\0\0\1\xc1", b"\0\0\0\0"])
async def test_noise(noise):
    with pytest.raises(Garbled):
        await read(noise, frames.REQUESTS)


async def test_a_server_from_before_formats_were_told_has_the_first():
    old = msgspec.msgpack.encode({"type": "Alive", "serial": 1, "pid": 7})
    alive = await read(len(old).to_bytes(4, "big") + old, frames.ANSWERS)
    assert alive == Alive(serial=1, pid=7, format=1)
    assert frames.FORMAT > 1
