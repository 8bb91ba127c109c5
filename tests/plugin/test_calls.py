import asyncio
import time

import pytest
from aiohttp import web
from fakeplugin import FakePlugin, hang, running

from skep.plugin.calls import Declined, Request, Silent, Unknown, fitting, send
from skep.plugin.discovery import Place
from skep.plugin.protocol import Joined, Pool

CALL = "NetworkDriver.Join"


def request(**changes):
    fields = {"plugin": "net", "call": CALL, "body": {"A": 1}, "deadline": 30.0, "patience": 0.0}
    return Request(**fields | changes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.sock"


async def asked(path, **changes):
    return await send(Place(url=f"unix://{path}"), request(**changes))


async def test_a_call_is_a_request_and_its_answer(path):
    async with running(
        path, NetworkDriver__Join={"Gateway": None, "X": {"Y": [1, {"Z": None}]}}
    ) as net:
        assert await asked(path) == {"X": {"Y": [1, {}]}}
    assert net.asked == [(CALL, {"A": 1})]


async def test_it_goes_by_tcp_as_well():
    app = web.Application()

    async def answer(asked):
        return web.json_response({"said": (await asked.json())["A"]})

    app.router.add_post(f"/below/{CALL}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        assert await send(Place(url=f"tcp://127.0.0.1:{port}/below/"), request()) == {"said": 1}
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"Err": "no more room"}, Declined, "no more room"),
        (web.json_response({"Err": "inner"}, status=500), Declined, "inner"),
        (web.Response(status=404, text="not found"), Unknown, "does not know this call"),
        (web.Response(status=500, text="Traceback"), Silent, "status 500 ('Traceback')"),
        (web.Response(status=302, text="elsewhere"), Silent, "status 302"),
        (
            web.Response(text="<html>", content_type="text/html"),
            Silent,
            "(text/html",
        ),
        (web.Response(text='{"a": '), Silent, "is no JSON"),
        (web.Response(body=b"\xff\xfe{}"), Silent, "is no JSON"),
        ([1, 2], Silent, "is no JSON object"),
        ("word", Silent, "is no JSON object"),
        (web.Response(body=b'{"a": "' + b"x" * (1 << 20) + b'"}'), Silent, "longer than 1048576"),
    ],
)
async def test_what_is_no_answer_is_told_with_plugin_and_call(path, answer, kind, words):
    async with running(path, NetworkDriver__Join=answer):
        with pytest.raises(kind) as caught:
            await asked(path)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f'plugin "net": {CALL}: ')
    assert words in str(caught.value)


async def test_an_empty_answer_is_one(path):
    async with running(path, NetworkDriver__Join=web.Response(text="")):
        assert await asked(path) == {}


async def test_one_that_hangs_is_left_at_its_deadline(path):
    async with running(path, NetworkDriver__Join=hang):
        with pytest.raises(Silent, match=r"NetworkDriver.Join: no answer within 0.2 s"):
            await asked(path, deadline=0.2)


async def test_an_endless_answer_is_not_read_to_its_end(path):
    async def endless(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
        except OSError:
            writer.close()

    server = await asyncio.start_unix_server(endless, str(path))
    try:
        with pytest.raises(Silent, match="longer than"):
            await asked(path)
    finally:
        server.close()


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_one_that_is_no_server_is_told(path, said):
    async def wrong(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(wrong, str(path))
    try:
        with pytest.raises(Silent, match="ended the connection without an answer"):
            await asked(path)
    finally:
        server.close()


async def test_nobody_who_listens_is_told_at_once_or_waited_for(path):
    started = time.monotonic()
    with pytest.raises(Silent, match=r"cannot connect to unix://.*: No such file"):
        await asked(path)
    assert time.monotonic() - started < 30.0
    asking = asyncio.create_task(asked(path, patience=60.0, deadline=60.0))
    await asyncio.sleep(0)
    net = FakePlugin(path, NetworkDriver__Join={})
    await net.start()
    assert await asking == {}
    await net.stop()


def test_an_answer_of_another_shape_makes_no_sense():
    assert fitting(request(), {"PoolID": "a", "Pool": "b", "More": 1}, Pool).pool_id == "a"
    with pytest.raises(Silent, match=r"makes no sense: Expected `str`, got `int` - at `\$.PoolID`"):
        fitting(request(), {"PoolID": 1}, Pool)
    with pytest.raises(Silent, match="StaticRoutes"):
        fitting(request(), {"StaticRoutes": [{"RouteType": "x"}]}, Joined)
