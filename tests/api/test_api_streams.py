"""Hijacked connections, byte by byte on the socket."""

import asyncio
import json
import struct

import pytest
from api_world import until

from skep.api.streams import MULTIPLEXED, RAW, media_type
from skep.model.errors import Invalid


async def connect(world):
    return await asyncio.open_unix_connection(world.socket)


async def send(writer, path, body=None, *, upgrade=True):
    payload = b"" if body is None else json.dumps(body).encode()
    extra = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{extra}"
        f"Content-Length: {len(payload)}\r\n\r\n".encode()
        + payload
    )
    await writer.drain()


async def head_of(reader):
    text = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
    first, *lines = text.strip().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines)


async def frame(reader):
    kind, size = struct.unpack(">BxxxI", await asyncio.wait_for(reader.readexactly(8), 30))
    return kind, await reader.readexactly(size)


async def exec_of(world, client, command, *, tty=False):
    async with client.post("/containers/create?name=c", json={"Image": "busybox"}) as reply:
        container = (await reply.json())["Id"]
    await client.post(f"/containers/{container}/start")
    async with client.post("/containers/c/exec", json={"Cmd": command, "Tty": tty}) as reply:
        assert reply.status == 201
        return (await reply.json())["Id"]


def test_media_types():
    assert media_type((1, 50), tty=False) == MULTIPLEXED
    assert media_type((1, 50), tty=True) == RAW
    assert media_type((1, 41), tty=False) == RAW


async def test_half_closed_input_with_upgrade(world, client):
    id = await exec_of(world, client, ["cat"])
    reader, writer = await connect(world)
    await send(writer, f"/v1.50/exec/{id}/start", {"Detach": False, "Tty": False})
    first, headers = await head_of(reader)
    assert first == "HTTP/1.1 101 UPGRADED"
    assert headers["Content-Type"] == MULTIPLEXED
    assert headers["Connection"] == "Upgrade"
    assert headers["Upgrade"] == "tcp"
    assert headers["Api-Version"] == "1.50"
    writer.write(b"hello")
    assert await frame(reader) == (1, b"hello")
    writer.write_eof()
    assert await frame(reader) == (1, b"end of input\n")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    await until(lambda: world.engine.streams[-1].closed)
    writer.close()
    async with client.get(f"/exec/{id}/json") as reply:
        assert (await reply.json())["ExitCode"] == 0


async def test_terminal_is_raw(world, client):
    id = await exec_of(world, client, ["echo", "hi"], tty=True)
    reader, writer = await connect(world)
    await send(writer, f"/exec/{id}/start", {"Tty": True})
    _, headers = await head_of(reader)
    assert headers["Content-Type"] == RAW
    assert await asyncio.wait_for(reader.read(), 30) == b"hi\n"
    writer.close()


async def test_without_upgrade(world, client):
    id = await exec_of(world, client, ["echo", "hi"])
    reader, writer = await connect(world)
    await send(writer, f"/exec/{id}/start", {}, upgrade=False)
    first, headers = await head_of(reader)
    assert first == "HTTP/1.1 200 OK"
    assert headers["Content-Type"] == RAW
    assert await frame(reader) == (1, b"hi\n")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_the_connection_before_was_an_ordinary_one(world, client):
    id = await exec_of(world, client, ["echo", "hi"])
    reader, writer = await connect(world)
    writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
    _, headers = await head_of(reader)
    assert await reader.readexactly(int(headers["Content-Length"])) == b"OK"
    await send(writer, f"/exec/{id}/start", {})
    assert (await head_of(reader))[0] == "HTTP/1.1 101 UPGRADED"
    assert await frame(reader) == (1, b"hi\n")
    writer.close()


@pytest.mark.parametrize("id", ["nosuch"])
async def test_refused_before_the_stream(world, client, id):
    reader, writer = await connect(world)
    await send(writer, f"/exec/{id}/start", {})
    first, headers = await head_of(reader)
    assert first.startswith("HTTP/1.1 404")
    body = await reader.readexactly(int(headers["Content-Length"]))
    assert json.loads(body) == {"message": "No such exec instance: nosuch"}
    writer.close()


async def test_a_slow_reader_slows_the_engine_down(world, client):
    id = await exec_of(world, client, ["flood", "2000"])
    reader, writer = await connect(world)
    await send(writer, f"/exec/{id}/start", {})
    await head_of(reader)
    process = world.engine.execs[id]
    await until(process.ended.done)
    for _ in range(200):
        await asyncio.sleep(0)
    assert process.output.qsize() > 1000, "the output was read though nobody takes it"
    total = 0
    while data := await asyncio.wait_for(reader.read(1 << 20), 30):
        total += len(data)
    assert total == 2000 * (65536 + 8)
    writer.close()


async def test_a_client_that_leaves_ends_the_engines_stream(world, client):
    id = await exec_of(world, client, ["sleep"])
    reader, writer = await connect(world)
    await send(writer, f"/exec/{id}/start", {})
    await head_of(reader)
    writer.transport.abort()
    stream = world.engine.streams[-1]
    await until(lambda: stream.ended_input)
    world.engine.execs[id].say(b"to nobody")
    world.engine.execs[id].say(b"to nobody")
    await until(lambda: stream.closed)


async def test_attach_before_start_loses_nothing(world, client):
    body = {"Image": "busybox", "Cmd": ["fail", "7"]}
    async with client.post("/containers/create?name=c", json=body) as reply:
        assert reply.status == 201
    reader, writer = await connect(world)
    await send(writer, "/containers/c/attach?stream=1&stdout=1&stderr=1")
    assert (await head_of(reader))[0] == "HTTP/1.1 101 UPGRADED"
    waiting = await client.post("/containers/c/wait?condition=next-exit")
    assert waiting.status == 200, "headers come before the container runs"
    assert not world.host.started.is_set()
    path = f"/containers/{world.host.find('c').id}/wait"
    assert world.engine.asked[-1] == ("POST", path, {"condition": "next-exit"})
    async with client.post("/containers/c/start") as reply:
        assert reply.status == 204
    assert await frame(reader) == (1, b"out\n")
    assert await frame(reader) == (2, b"err\n")
    assert (await waiting.json())["StatusCode"] == 7
    writer.close()


async def test_what_cannot_begin_is_told_by_the_start_also_of_one_that_is_gone(world, client):
    """An engine that begins a container to attach to it may remove it when that fails (--rm)."""
    async with client.post("/containers/create?name=c", json={"Image": "busybox"}) as reply:
        container = (await reply.json())["Id"]

    async def unable(*_, **__):
        raise Invalid('exec: "nosuch": executable file not found in $PATH')

    world.engine.hijack = unable
    reader, writer = await connect(world)
    await send(writer, f"/containers/{container}/attach?stream=1&stdout=1")
    assert (await head_of(reader))[0] == "HTTP/1.1 101 UPGRADED"
    del world.host.records[container], world.engine.containers[container]
    async with client.post(f"/containers/{container}/wait?condition=removed") as reply:
        assert (reply.status, await reply.json()) == (200, {"StatusCode": 0})
    async with client.post(f"/containers/{container}/start") as reply:
        assert reply.status == 400
        assert "not found in $PATH" in (await reply.json())["message"]
    async with client.post(f"/containers/{container}/start") as reply:
        assert reply.status == 404, "it is told once"
    writer.close()


async def test_detached_exec(world, client):
    id = await exec_of(world, client, ["sleep"])
    async with client.post(f"/exec/{id}/start", json={"Detach": True}) as reply:
        assert reply.status == 200


async def test_wait_is_given_up_with_its_client(world, client):
    async with client.post("/containers/create?name=c", json={"Image": "busybox"}) as reply:
        assert reply.status == 201
    replies = []
    request = world.engine.request

    async def noting(*arguments, **options):
        replies.append(await request(*arguments, **options))
        return replies[-1]

    world.engine.request = noting
    waiting = await client.post("/containers/c/wait")
    waiting.close()
    await until(lambda: replies[-1].closed)
