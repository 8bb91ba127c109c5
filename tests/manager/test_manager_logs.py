"""Reading logs from hosts: pieces by serial, what a host may send, what becomes of lost ones."""

import asyncio
import contextlib

import pytest

from skep.manager.logs import LogHub
from skep.model.cluster import Node, NodeDescription, Task, TaskStatus
from skep.model.errors import Unavailable
from skep.model.messages import LOG_WINDOW, LogPiece, MoreLogs, ReadLogs, StopLogs

TASK = Task(id="t1", node_id="n1", status=TaskStatus(container_id="c1"))
OTHER = Task(id="t2", node_id="n2", status=TaskStatus(container_id="c2"))


class FakeSession:
    def __init__(self, node_id):
        self.node_id, self.sent, self.ended = node_id, [], False

    async def send(self, message):
        if self.ended:
            raise Unavailable("the session has ended")
        self.sent.append(message)


class FakeManager:
    """As much of a manager as a hub looks at."""

    def __init__(self):
        node = Node(id="n1", description=NodeDescription(hostname="h1"))
        self.state = self
        self.nodes = {"n1": node}


class Rig:
    def __init__(self):
        self.sessions = {"n1": FakeSession("n1"), "n2": FakeSession("n2")}
        self.hub = LogHub(FakeManager(), self.sessions.get)

    def serial(self, node_id="n1"):
        (request,) = [m for m in self.sessions[node_id].sent if isinstance(m, ReadLogs)]
        return request.serial

    def give(self, data=b"", node_id="n1", **details):
        piece = LogPiece(serial=self.serial(node_id), data=data, **details)
        self.hub.take(self.sessions[node_id], piece)

    @contextlib.asynccontextmanager
    async def reading(self, task=TASK, **options):
        """A reader that has asked for its first piece."""
        async with contextlib.aclosing(self.hub.read(task, options)) as pieces:
            reader = Reader(pieces)
            await asyncio.sleep(0)
            yield reader
            await reader.stop()


class Reader:
    def __init__(self, pieces):
        self._pieces = pieces
        self._next = asyncio.ensure_future(anext(pieces))

    async def next(self):
        async with asyncio.timeout(30):
            piece = await self._next
        if not piece.end:
            self._next = asyncio.ensure_future(anext(self._pieces))
            await asyncio.sleep(0)
        return piece

    async def stop(self):
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)


@pytest.fixture
def rig():
    return Rig()


async def test_a_host_is_asked_and_its_pieces_come_in_order(rig):
    async with rig.reading(tail="5", follow="1") as reader:
        (request,) = rig.sessions["n1"].sent
        assert (request.container_id, request.options) == ("c1", {"tail": "5", "follow": "1"})
        rig.give(b"one", tty=True)
        rig.give(b"two")
        rig.give(end=True)
        assert [(await reader.next()).data for _ in range(2)] == [b"one", b"two"]
        assert (await reader.next()).end
    assert rig.sessions["n1"].sent == [request], "a log that ended needs no stop"


async def test_who_listens_no_more_tells_the_host(rig):
    async with rig.reading() as reader:
        rig.give(b"one")
        await reader.next()
        serial = rig.serial()
    assert rig.sessions["n1"].sent[-1] == StopLogs(serial=serial)
    rig.give(b"late")


async def test_two_logs_do_not_mix(rig):
    async with rig.reading() as one, rig.reading(OTHER) as two:
        assert rig.serial("n1") != rig.serial("n2")
        rig.give(b"of two", "n2")
        rig.give(b"of one", "n1")
        assert ((await one.next()).data, (await two.next()).data) == (b"of one", b"of two")


async def test_a_host_cannot_speak_for_another(rig):
    async with rig.reading() as reader:
        forged = LogPiece(serial=rig.serial("n1"), data=b"lie", end=True)
        rig.hub.take(rig.sessions["n2"], forged)
        rig.give(b"truth")
        assert (await reader.next()).data == b"truth"


async def test_a_node_without_a_session_is_said_by_name(rig):
    del rig.sessions["n1"]
    async with rig.reading() as reader:
        last = await reader.next()
    assert (last.end, last.status, last.refusal) == (True, 503, "node h1 is not available")


async def test_a_session_that_ends_ends_its_logs_after_what_had_come(rig):
    async with rig.reading() as reader, rig.reading(OTHER) as other:
        rig.give(b"one")
        rig.hub.lost(rig.sessions["n1"])
        rig.sessions["n1"].ended = True
        assert (await reader.next()).data == b"one"
        assert (await reader.next()).refusal == "node h1 is not available"
        rig.give(b"still there", "n2")
        assert (await other.next()).data == b"still there"


async def test_a_session_that_ends_while_it_is_asked(rig):
    rig.sessions["n1"].ended = True
    async with rig.reading() as reader:
        assert (await reader.next()).refusal == "node h1 is not available"


async def test_a_node_that_was_removed_is_said_by_id(rig):
    async with rig.reading(OTHER) as reader:
        rig.hub.lost(rig.sessions["n2"])
        assert (await reader.next()).refusal == "node n2 is not available"


async def test_what_was_read_is_asked_for_again_in_large_steps(rig):
    piece = LogPiece(serial=0, data=b"x" * 30_000)
    async with rig.reading() as reader:
        serial, given = rig.serial(), 0
        for _ in range(40):
            rig.give(piece.data)
            given += piece.weight
            await reader.next()
        more = [m for m in rig.sessions["n1"].sent if isinstance(m, MoreLogs)]
    assert all(m.serial == serial and m.weight >= LOG_WINDOW // 2 for m in more)
    assert given - sum(m.weight for m in more) < LOG_WINDOW, "the host never runs dry"
    assert len(more) < 10


async def test_nothing_is_asked_for_while_nobody_reads(rig):
    async with rig.reading():
        for _ in range(8):
            rig.give(b"x" * 20_000)
        await asyncio.sleep(0)
        assert not [m for m in rig.sessions["n1"].sent if isinstance(m, MoreLogs)]


async def test_a_host_that_floods_is_not_buffered_for(rig):
    async with rig.reading() as reader:
        for _ in range(40):
            rig.give(b"x" * 60_000)
        pieces = []
        while not pieces or not pieces[-1].end:
            pieces.append(await reader.next())
    assert pieces[-1].refusal == "node n1 sends more of a log than it was asked for"
    assert sum(len(piece.data) for piece in pieces) <= 2 * LOG_WINDOW
    assert isinstance(rig.sessions["n1"].sent[-1], StopLogs)
