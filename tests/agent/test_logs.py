import asyncio

from skep.agent.logs import PIECE, Logs
from skep.model.errors import Missing
from skep.model.messages import LOG_WINDOW, LogPiece, ReadLogs


class FakeReply:
    def __init__(self, chunks, forever=False):
        self._chunks = chunks
        self._forever = forever
        self.closed = asyncio.Event()

    async def chunks(self):
        for chunk in self._chunks:
            yield chunk
        if self._forever:
            await asyncio.Event().wait()

    async def close(self):
        self.closed.set()


class FakeEngine:
    def __init__(self, reply, tty=False):
        self.reply = reply
        self.tty = tty
        self.asked = None

    async def inspect(self, container_id):
        if container_id == "gone":
            raise Missing("No such container: gone")
        return {"Config": {"Tty": self.tty}}

    async def request(self, method, path, *, params=None):
        self.asked = (method, path, params)
        return self.reply


async def collect(logs, request, until):
    pieces = []
    done = asyncio.Event()

    async def send(piece):
        pieces.append(piece)
        if until(piece):
            done.set()
        return True

    logs.read(request, send)
    async with asyncio.timeout(30):
        await done.wait()
    return pieces


async def test_a_log_is_sent_in_pieces_and_ended():
    engine = FakeEngine(FakeReply([b"x" * (PIECE + 1), b"y"]), tty=True)
    request = ReadLogs(serial=4, container_id="c", options={"tail": "5"})
    pieces = await collect(Logs(engine), request, lambda piece: piece.end)
    assert [len(piece.data) for piece in pieces] == [PIECE, 1, 1, 0]
    assert all(piece.serial == 4 and piece.tty for piece in pieces)
    assert engine.asked == ("GET", "/containers/c/logs", {"tail": "5"})
    assert engine.reply.closed.is_set()


async def test_a_log_that_cannot_be_read_says_why():
    request = ReadLogs(serial=1, container_id="gone", options={})
    pieces = await collect(Logs(FakeEngine(None)), request, lambda piece: piece.end)
    refusal = "No such container: gone"
    assert pieces == [LogPiece(serial=1, end=True, refusal=refusal, status=404)]


async def test_nobody_reads_on_when_nobody_listens():
    reply = FakeReply([b"line"], forever=True)
    logs = Logs(FakeEngine(reply))
    request = ReadLogs(serial=2, container_id="c", options={"follow": "1"})
    await collect(logs, request, lambda piece: piece.data == b"line")
    logs.stop(2)
    async with asyncio.timeout(30):
        await reply.closed.wait()


async def test_no_more_is_sent_than_the_reader_keeps_up_with():
    whole = 4 * LOG_WINDOW
    reply = FakeReply([b"x" * 4096] * (whole // 4096))
    logs, pieces, done = Logs(FakeEngine(reply)), [], asyncio.Event()

    async def send(piece):
        pieces.append(piece)
        if piece.end:
            done.set()
        return True

    def under_way():
        return sum(piece.weight for piece in pieces)

    logs.read(ReadLogs(serial=7, container_id="c", options={}), send)
    async with asyncio.timeout(30):
        read = 0
        while not done.is_set():
            for _ in range(200):  # far more turns than it takes to send all
                await asyncio.sleep(0)
            assert under_way() - read < LOG_WINDOW + 4096 + 512
            logs.more(6, LOG_WINDOW)
            logs.more(7, under_way() - read)
            read = under_way()
    assert sum(len(piece.data) for piece in pieces) == whole


async def test_many_small_pieces_weigh_too():
    reply = FakeReply([b"."] * 5000, forever=True)
    logs, pieces = Logs(FakeEngine(reply)), []

    async def send(piece):
        pieces.append(piece)
        return True

    logs.read(ReadLogs(serial=1, container_id="c", options={}), send)
    for _ in range(6000):
        await asyncio.sleep(0)
    assert 0 < len(pieces) < 1000
    logs.stop_all()
    async with asyncio.timeout(30):
        await reply.closed.wait()
