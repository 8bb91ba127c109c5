"""Who is let in, and who is sent away for others."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from skep import door as module
from skep.door import LOG, Door, listening_at, listening_on
from skep.wire.authority import Authority, Subject, make_key_and_csr
from skep.wire.tls import Credentials, blind_context, server_context

AUTHORITY = Authority.create(time.time())


def context():
    key, csr = make_key_and_csr()
    subject = Subject(node_id="n" * 25, role="manager", cluster_id="c" * 25)
    certificate = AUTHORITY.sign(csr, subject, days=1, now=time.time())
    return server_context(
        Credentials(certificate=certificate, key=key, ca=AUTHORITY.certificate_pem)
    )


class House:
    """An application behind a door; /stay answers when it is told to, on a connection that is kept,
    /linger likewise on one that is not."""

    def __init__(self):
        self.leave = asyncio.Event()
        self.inside = 0

    async def hello(self, _):
        return web.Response(text="hello")

    async def stay(self, request):
        with self.door.keeping(request):
            return await self.linger(request)

    async def linger(self, _):
        self.inside += 1
        await self.leave.wait()
        return web.Response(text="gone")

    async def late(self, request):
        request.transport.close()
        await web.StreamResponse().prepare(request)

    @asynccontextmanager
    async def opened(self, secret=None, **limits):
        self.door = Door(**limits)
        app = web.Application()
        for each in (self.hello, self.stay, self.linger, self.late):
            app.router.add_get(f"/{each.__name__}", each)
        runner = web.AppRunner(app, keepalive_timeout=60.0, shutdown_timeout=0.1, logger=LOG)
        await runner.setup()
        listener = listening_at("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.door.open(runner.server, listener, secret)
        try:
            yield self
        finally:
            await self.door.close()
            await runner.cleanup()

    async def asked(self, path="hello", **options):
        scheme = "https" if options else "http"
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{scheme}://127.0.0.1:{self.port}/{path}", **options) as response,
        ):
            return await response.text()

    async def silent(self, count, said=b""):
        """Connections on which nothing more is said."""
        opened = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(count)]
        for _, writer in opened:
            writer.write(said)
        return opened


async def ended(opened):
    """How many of these connections were ended by the other side."""
    over = 0
    for reader, _ in opened:
        try:
            async with asyncio.timeout(0.01):
                over += await reader.read(1) == b""
        except TimeoutError:
            continue
        except ConnectionError:
            over += 1
    return over


async def until(condition):
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [b"", b"GET /hello HTTP/1.1\r\nHost: "])
async def test_the_silent_make_room_for_others(said):
    async with House().opened(waiting=5) as house:
        opened = await house.silent(20, said)
        assert await house.asked() == "hello"

        async def mostly_gone():
            return await ended(opened) >= 15

        await until(mostly_gone)
        assert await house.asked() == "hello"


async def test_those_in_a_handshake_make_room_for_others():
    async with House().opened(context(), waiting=5) as house:
        opened = await house.silent(20, b"\x16\x03")

        async def mostly_gone():
            return await ended(opened) >= 15

        await until(mostly_gone)
        assert await house.asked(ssl=blind_context()) == "hello"


async def test_a_handshake_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(module, "HANDSHAKE", 0.05)
    async with House().opened(context()) as house:
        (only,) = await house.silent(1)
        async with asyncio.timeout(30):
            assert await only[0].read() == b""


async def test_noise_instead_of_tls_ends_a_connection_and_nothing_else():
    async with House().opened(context()) as house:
        (only,) = await house.silent(1, b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(30):
            await only[0].read()
        assert await house.asked(ssl=blind_context()) == "hello"


async def test_garbled_requests_are_refused_and_leave_no_line_in_the_log(caplog):
    async with House().opened() as house:
        (only,) = await house.silent(1, b"GET / HTTP/\xff\r\n\r\n")
        async with asyncio.timeout(30):
            assert (await only[0].read()).startswith(b"HTTP/1.0 400 ")
        LOG.error("something else")
    assert [each.getMessage() for each in caplog.records] == ["something else"]


async def test_who_has_left_before_a_stream_begins_leaves_no_line_in_the_log(caplog):
    async with House().opened() as house:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await house.asked("late")
    assert caplog.text == ""


async def test_what_is_being_answered_is_kept():
    async with House().opened(waiting=3) as house:
        staying = [asyncio.create_task(house.asked("stay")) for _ in range(6)]
        async with asyncio.timeout(30):
            while house.inside < 6:
                await asyncio.sleep(0.01)
        await house.silent(10)
        assert await house.asked() == "hello"
        house.leave.set()
        assert await asyncio.gather(*staying) == ["gone"] * 6


async def test_what_is_not_worth_keeping_makes_room():
    async with House().opened(waiting=3) as house, asyncio.timeout(30):
        (lingering,) = await house.silent(1, b"GET /linger HTTP/1.1\r\nHost: x\r\n\r\n")
        while not house.inside:
            await asyncio.sleep(0.01)
        await house.silent(10)
        assert await lingering[0].read() == b""


async def test_beyond_the_most_nobody_new_is_let_in():
    async with House().opened(kept=2) as house:
        staying = [asyncio.create_task(house.asked("stay")) for _ in range(2)]
        async with asyncio.timeout(30):
            while house.inside < 2:
                await asyncio.sleep(0.01)
            with pytest.raises(aiohttp.ClientError):
                await house.asked()
            house.leave.set()
            await asyncio.gather(*staying)
        assert await house.asked() == "hello"


async def test_it_goes_on_after_the_system_refused(monkeypatch):
    """Without descriptors it does not spin, and lets in whoever waited."""
    monkeypatch.setattr(module, "PAUSE", 0.05)
    async with House().opened() as house:
        loop = asyncio.get_running_loop()
        accept, refused = loop.sock_accept, []

        async def refusing(listener):
            connection, address = await accept(listener)
            if len(refused) < 3:
                refused.append(address)
                connection.close()
                raise OSError(24, "Too many open files")
            return connection, address

        monkeypatch.setattr(loop, "sock_accept", refusing)
        for _ in range(4):  # one is waited for already, by what was there before
            with_answer = await asyncio.gather(house.asked(), return_exceptions=True)
        assert with_answer == ["hello"] or len(refused) == 3
        assert await house.asked() == "hello"


async def test_a_socket_takes_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "socket"
    path.write_text("left over")
    with listening_on(path, 0o600):
        assert path.is_socket() and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="No such file"):
        listening_on(tmp_path / "nowhere" / "socket", 0o600)
