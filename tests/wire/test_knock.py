"""Waiting for a host to be heard of again."""

import asyncio
import errno
import socket

import pytest

from skep.wire import knock
from skep.wire.knock import until_heard


@pytest.fixture
def address():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        yield opened.getsockname()


class Road:
    """What TCP does, while there is no way: some attempts fail at once, some never end."""

    def __init__(self, monkeypatch):
        self.begun, self.cancelled, self.blocked = 0, 0, True
        self._open = asyncio.open_connection
        monkeypatch.setattr(asyncio, "open_connection", self.open)

    async def open(self, host, port):
        self.begun += 1
        if not self.blocked:
            return await self._open(host, port)
        if self.begun % 2:
            raise OSError(errno.EHOSTUNREACH, "no route to host")
        try:
            return await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_an_answer_is_heard(address):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with asyncio.timeout(60):
        await until_heard([server.sockets[0].getsockname()], lambda _: None)
    server.close()


async def test_a_refusal_is_an_answer(address):
    async with asyncio.timeout(60):
        await until_heard([address], lambda _: None)


async def test_it_goes_on_until_there_is_a_way(address, monkeypatch):
    monkeypatch.setattr(knock, "EVERY", 0.01)
    road, roused = Road(monkeypatch), []
    waiting = asyncio.create_task(until_heard([address], roused.append))
    async with asyncio.timeout(60):
        while road.begun < 9:
            await asyncio.sleep(0.005)
        assert not waiting.done()
        road.blocked = False
        await waiting
    assert set(roused) == {"127.0.0.1"}
    assert len(roused) == road.begun
    # None of the attempts is left over.
    assert road.cancelled >= 4


async def test_whoever_gives_up_leaves_no_attempt_behind(address, monkeypatch):
    road = Road(monkeypatch)
    waiting = asyncio.create_task(until_heard([address, address], lambda _: None))
    async with asyncio.timeout(60):
        while road.begun < 2:
            await asyncio.sleep(0.005)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert road.cancelled == 1
    assert len(asyncio.all_tasks()) == 1
