"""The engine's client against a stand-in that says what a real engine says only sometimes."""

import asyncio
import json

import pytest
from aiohttp import web

from skep.engine.client import Engine
from skep.engine.extras import Extras
from skep.engine.transport import subject_of
from skep.model.errors import Broken, Missing, Unavailable


@pytest.fixture
async def serve(tmp_path):
    """Serves handlers by "METHOD /path"; answers a client."""
    cleanups = []

    async def made(routes):
        app = web.Application()
        for route, handler in routes.items():
            app.router.add_route(*route.split(), handler)
        runner = web.AppRunner(app)
        await runner.setup()
        socket = str(tmp_path / "engine.sock")
        await web.UnixSite(runner, socket).start()
        engine = Engine(socket)
        cleanups.extend([engine.close, runner.cleanup])
        return engine

    yield made
    for cleanup in cleanups:
        await cleanup()


@pytest.fixture
async def raw(tmp_path):
    """A server that says fixed bytes and keeps what it hears; answers a client and that."""
    servers, heard = [], bytearray()

    async def made(said, then=None):
        async def serve(reader, writer):
            heard.extend(await reader.readuntil(b"\r\n\r\n"))
            writer.write(said)
            if then:
                await then(reader, writer, heard)
            writer.close()

        socket = str(tmp_path / "raw.sock")
        servers.append(await asyncio.start_unix_server(serve, socket))
        return Engine(socket), heard

    yield made
    for server in servers:
        server.close()


def event(action, number):
    return json.dumps({"Action": action, "Actor": {"ID": f"c{number}"}, "time": number}).encode()


async def test_events_survive_the_end_of_the_stream(serve):
    asked = []
    pages = [[event("start", 7), b"\n", event("die", 9)[:10], event("die", 9)[10:], b"\n"],
             [event("remove", 9), b"\n"]]  # fmt: skip

    async def events(request):
        asked.append(request.query)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pages[len(asked) - 1]:
            await response.write(piece)
        return response

    engine = await serve({"GET /v1.41/events": events})
    stream = engine.events()
    seen = [await asyncio.wait_for(anext(stream), 30) for _ in range(5)]
    assert [(one.action, one.id) for one in seen] == [
        ("connected", ""), ("start", "c7"), ("die", "c9"), ("connected", ""), ("remove", "c9"),
    ]  # fmt: skip
    assert asked[0]["filters"] == '{"type":["container","image","volume"]}'
    assert int(asked[1]["since"]) >= int(asked[0]["since"]) > 0
    await stream.aclose()


async def test_events_wait_for_an_engine_that_is_not_there_yet(serve, tmp_path):
    engine = Engine(str(tmp_path / "engine.sock"))
    stream = engine.events()
    first = asyncio.create_task(anext(stream))
    with pytest.raises(Unavailable):
        await engine.version()

    async def nothing(request):
        return web.Response()

    await serve({"GET /v1.41/events": nothing})
    assert (await asyncio.wait_for(first, 30)).action == "connected"
    await stream.aclose()
    await engine.close()


async def test_events_go_on_after_what_makes_no_sense(serve):
    answers = [
        web.json_response({"message": "database is locked"}, status=500),
        web.Response(body=b"{\n"),
        web.Response(body=b"[]\n" + event("start", 7) + b"\n"),
        web.Response(body=event("die", 7) + b"\n"),
    ]

    async def events(request):
        return answers.pop(0)

    engine = await serve({"GET /v1.41/events": events})
    stream = engine.events()
    seen = [await asyncio.wait_for(anext(stream), 60) for _ in range(4)]
    assert [one.action for one in seen] == ["connected", "connected", "connected", "die"]
    await stream.aclose()


async def test_an_answer_that_is_no_json_is_a_sentence(serve):
    async def half(request):
        return web.Response(body=b'{"Id": ')

    engine = await serve({"GET /v1.41/containers/x/json": half})
    with pytest.raises(Broken, match="the engine's answer makes no sense"):
        await engine.inspect("x")


async def test_a_container_that_cannot_be_amended_is_none(serve, tmp_path):
    removed = []

    async def create(request):
        return web.json_response({"Id": "c1"}, status=201)

    async def nobody(request):
        return web.json_response([])

    async def remove(request):
        removed.append(request.path)
        return web.json_response([])

    engine = await serve({
        "POST /v1.41/containers/create": create, "GET /v1.41/containers/json": nobody,
        "DELETE /v4.0.0/libpod/containers/c1": remove,
    })  # fmt: skip
    (tmp_path / "file").write_text("in the way")
    engine._extras = Extras(tmp_path / "file" / "extras", tmp_path / "hooks")
    body = {"Image": "busybox", "Domainname": "dom.test", "HostConfig": {"NetworkMode": "host"}}
    with pytest.raises(Broken, match="Not a directory"):
        await engine.create("box", body)
    assert removed == ["/v4.0.0/libpod/containers/c1"]


async def test_an_error_reply_is_dockers(serve):
    async def missing(request):
        said = 'no container with name or ID "x" found: no such container'
        return web.json_response({"cause": "c", "message": said, "response": 404}, status=404)

    engine = await serve({"GET /v1.41/containers/x/json": missing})
    reply = await engine.request("GET", "/containers/x/json")
    assert reply.status == 404
    assert await reply.json() == {"message": "No such container: x"}
    assert [chunk async for chunk in reply.chunks()] == [b'{"message": "No such container: x"}']
    await reply.close()


async def test_a_body_goes_through_piece_by_piece(serve):
    async def echo(request):
        response = web.StreamResponse()
        await response.prepare(request)
        async for piece in request.content.iter_any():
            await response.write(piece)
        return response

    async def pieces():
        for number in range(3):
            yield bytes([65 + number]) * 70_000

    engine = await serve({"PUT /v1.41/containers/x/archive": echo})
    reply = await engine.request("PUT", "/containers/x/archive", body=pieces())
    assert await reply.read() == b"A" * 70_000 + b"B" * 70_000 + b"C" * 70_000


async def test_an_answer_that_breaks_off(raw):
    engine, _ = await raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    reply = await engine.request("GET", "/x")
    with pytest.raises(Unavailable, match="Cannot reach the container engine"):
        await reply.read()
    await engine.close()


async def test_what_is_not_http(raw):
    engine, _ = await raw(b"hello\r\n\r\n")
    with pytest.raises(Unavailable):
        await engine.version()
    await engine.close()


@pytest.mark.parametrize("status", [b"101 UPGRADED", b"200 OK"])
async def test_hijacked_bytes_flow_both_ways(raw, status):
    async def echo(reader, writer, heard):
        heard.extend(b"|")
        while data := await reader.read(100):
            heard.extend(data)
        writer.write(b" and the end")

    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    engine, heard = await raw(head + b"first", echo)
    asked = {"stream": "1", "detachKeys": "a b"}
    stream = await engine.hijack("/containers/x/attach", params=asked, json={"Tty": True})
    assert stream.content_type == "application/vnd.docker.raw-stream"
    await stream.write(b"typed")
    await stream.write_eof()
    output = b""
    while data := await stream.read():
        output += data
    assert output == b"first and the end"
    request, _, typed = bytes(heard).partition(b"|")
    assert request.startswith(b"POST /v1.41/containers/x/attach?stream=1&detachKeys=a+b HTTP/1.1")
    assert b"Upgrade: tcp\r\n" in request
    assert typed.endswith(b"typed")
    await stream.close()


@pytest.mark.parametrize(
    "answer",
    [
        b'Content-Length: 24\r\n\r\n{"message":"it is gone"}',
        b'Transfer-Encoding: chunked\r\n\r\n10\r\n{"message":"it i\r\n8\r\ns gone"}\r\n0\r\n\r\n',
    ],
)
async def test_a_hijack_that_is_refused(raw, answer):
    engine, _ = await raw(b"HTTP/1.1 404 Not Found\r\n" + answer)
    with pytest.raises(Missing, match=r"^it is gone$"):
        await engine.hijack("/exec/x/start")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 101",
        b"HTTP\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_hijack_that_breaks_off(raw, said):
    engine, _ = await raw(said)
    with pytest.raises(Unavailable):
        await engine.hijack("/exec/x/start")


async def test_a_pull_that_works_is_passed_on_whole(serve):
    async def pull(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"status":"Pulling"}\n')
        await response.write(b'{"status":"Done"}\n{"error":"late"}\n')
        return response

    engine = await serve({"POST /v1.41/images/create": pull})
    reply = await engine.request("POST", "/images/create", params={"fromImage": "x"})
    assert reply.status == 200
    assert await reply.read() == b'{"status":"Pulling"}\n{"status":"Done"}\n{"error":"late"}\n'


async def test_a_pull_that_fails_at_once_is_an_error(serve):
    async def pull(request):
        return web.Response(body=b'{"error":"no route to registry"}\n')

    engine = await serve({"POST /v1.41/images/create": pull})
    reply = await engine.request("POST", "/images/create", params={"fromImage": "x"})
    assert (reply.status, await reply.json()) == (500, {"message": "no route to registry"})


async def test_an_older_or_other_engine_still_says_what_failed(serve):
    async def start(request):
        return web.Response(status=500, text="it broke")

    engine = await serve({"POST /v1.41/containers/x/start": start})
    with pytest.raises(Broken, match=r"^it broke$"):
        await engine.start("x")


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("/v1.41/containers/web/exec", "web"),
        ("/v4.0.0/libpod/containers/web", "web"),
        ("/v1.41/containers/a%20b/json", "a b"),
        ("/v1.41/images/json", ""),
        ("/v1.41/containers", ""),
    ],
)
def test_what_a_request_is_about(path, subject):
    assert subject_of(path) == subject


async def test_one_that_ends_while_it_is_to_be_stopped_is_stopped(serve):
    running = iter([True, True, False])

    async def inspect(_):
        state = {"Status": "running", "Running": next(running)}
        return web.json_response({"State": state})

    async def stop(_):
        said = "refusing to clean up: container state improper"
        return web.json_response({"message": said}, status=500)

    engine = await serve({
        "GET /v1.41/containers/c/json": inspect, "POST /v1.41/containers/c/stop": stop,
    })  # fmt: skip
    assert await engine.stop("c") is True
