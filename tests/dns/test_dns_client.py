"""What the client sends, seen from a server of the test's own."""

import asyncio
import contextlib

import msgspec
import pytest
from conftest import box, table

from skep.dns import client as module
from skep.dns import frames
from skep.dns.client import DnsClient
from skep.dns.counters import Counters
from skep.dns.frames import Alive, Amend, Counted, InForce, Ping, Replace, Stale, Stats
from skep.model.errors import Unavailable
from skep.names.change import difference


class Server:
    """Answers requests as it is told to, and remembers them."""

    def __init__(self, path):
        self.path = path
        self.requests = []
        self.answers = []
        self.server = None
        self.writers = []

    async def start(self):
        self.server = await asyncio.start_unix_server(self.converse, self.path)

    async def converse(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while (request := await frames.read(reader, frames.REQUESTS)) is not None:
                self.requests.append(request)
                answer = self.answers.pop(0) if self.answers else InForce(serial=0)
                if answer is None:
                    break
                if answer != "silence":
                    answer = msgspec.structs.replace(answer, serial=request.serial)
                    writer.write(frames.pack(answer))
        writer.close()

    def drop(self):
        for writer in self.writers:
            writer.close()


@pytest.fixture
async def server(tmp_path):
    made = Server(str(tmp_path / "s"))
    await made.start()
    yield made
    made.server.close()
    made.drop()


@pytest.fixture
async def client(server):
    made = DnsClient(server.path)
    yield made
    await made.close()


ONE, TWO = table(box("a"), web="10.0.1.2"), table(box("a"), box("b"), web="10.0.1.3")


async def test_first_all_then_only_what_changed(server, client):
    for names in (ONE, TWO, TWO):
        assert await client.sync(names) == {}
    assert server.requests == [
        Replace(serial=1, table=ONE),
        Amend(serial=2, change=difference(ONE, TWO)),
        Amend(serial=3, change=difference(TWO, TWO)),
    ]


async def test_faults_are_handed_on(server, client):
    server.answers = [InForce(serial=0, faults={"a": "why"})]
    assert await client.sync(ONE) == {"a": "why"}


async def test_a_stale_change_is_followed_by_all(server, client):
    server.answers = [InForce(serial=0), Stale(serial=0), InForce(serial=0)]
    await client.sync(ONE)
    await client.sync(TWO)
    assert server.requests[2] == Replace(serial=3, table=TWO)


async def test_a_new_connection_begins_with_all(server, client):
    await client.sync(ONE)
    server.drop()
    await asyncio.wait_for(client.wait_lost(), 30)
    await client.sync(TWO)
    assert server.requests[1] == Replace(serial=2, table=TWO)


async def test_a_connection_that_ends_before_the_answer(server, client):
    server.answers = [InForce(serial=0), None]
    await client.sync(ONE)
    with pytest.raises(Unavailable, match="ended the connection"):
        await client.sync(TWO)
    await client.sync(TWO)
    assert server.requests[2] == Replace(serial=3, table=TWO)


async def test_a_server_that_does_not_answer(server, client, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    server.answers = ["silence"]
    with pytest.raises(Unavailable, match="does not answer"):
        await client.sync(ONE)
    await client.sync(TWO)
    assert server.requests[1] == Replace(serial=2, table=TWO)


async def test_a_cancelled_sync_leaves_the_next_one_in_doubt_so_it_sends_all(server, client):
    server.answers = [InForce(serial=0), "silence"]
    await client.sync(ONE)
    waiting = asyncio.create_task(client.sync(TWO))
    async with asyncio.timeout(30):
        while len(server.requests) < 2:
            await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await client.sync(TWO)
    assert server.requests[2] == Replace(serial=3, table=TWO)


async def test_many_at_once_are_done_one_after_the_other(server, client):
    await asyncio.gather(*(client.sync(names) for names in (ONE, TWO, ONE)))
    assert [type(r) for r in server.requests] == [Replace, Amend, Amend]


async def test_a_ping_is_answered_with_the_process(server, client):
    server.answers = [Alive(serial=0, pid=7), InForce(serial=0)]
    assert await client.ping() == 7
    assert server.requests == [Ping(serial=1)]
    with pytest.raises(Unavailable, match="unexpected answer: InForce"):
        await client.ping()


async def test_counters_are_asked_for(server, client):
    counts = Counters().counts(3, 1)
    server.answers = [Counted(serial=0, counts=counts), InForce(serial=0)]
    assert await client.stats() == counts
    assert server.requests == [Stats(serial=1)]
    with pytest.raises(Unavailable, match="unexpected answer: InForce"):
        await client.stats()


async def test_garbage_ends_the_connection(server, client):
    await client.connect()
    await client.sync(ONE)
    server.writers[0].write(b"\0\0\0\1\xc1")
    await asyncio.wait_for(client.wait_lost(), 30)


async def test_nobody_there(tmp_path):
    client = DnsClient(tmp_path / "nothing")
    for work in (client.connect(), client.sync(ONE), client.ping(), client.stats()):
        with pytest.raises(Unavailable, match="skep-dns is not there"):
            await work
    await client.wait_lost()
    await client.close()
