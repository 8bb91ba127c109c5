import asyncio

from skep.agent.logs import PIECE, Logs
from skep.model.errors import Missing
from skep.model.messages import LogPiece, ReadLogs


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
    async with asyncio.timeout(5):
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
    assert pieces == [LogPiece(serial=1, end=True, refusal="No such container: gone")]


async def test_nobody_reads_on_when_nobody_listens():
    reply = FakeReply([b"line"], forever=True)
    logs = Logs(FakeEngine(reply))
    request = ReadLogs(serial=2, container_id="c", options={"follow": "1"})
    await collect(logs, request, lambda piece: piece.data == b"line")
    logs.stop(2)
    async with asyncio.timeout(5):
        await reply.closed.wait()
