"""Bodies that never end, come drop by drop, are too large, too deep or too many; and those that are
right, however slowly they come."""

import asyncio
import gzip
import json
import os
import resource

import pytest
from api_world import until

from skep.api import arriving
from skep.api.arriving import LARGEST
from skep.api.schema import DEEPEST

CREATE = "POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def hasty(monkeypatch):
    """Bodies get a second instead of half a minute."""
    monkeypatch.setattr(arriving, "PATIENCE", 1.0)
    monkeypatch.setattr(arriving, "PROMPT", 0.1)


async def opened(world):
    return await asyncio.open_unix_connection(world.socket)


async def answer(reader):
    """Status and message of an answer."""
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
    return int(head.split()[1]), body["message"]


async def said(world, *pieces):
    """The answer to something, and that it ends with it."""
    reader, writer = await opened(world)
    for each in pieces:
        writer.write(each if isinstance(each, bytes) else each.encode())
    try:
        return await answer(reader)
    finally:
        writer.close()


@pytest.mark.parametrize("path", [
    "/networks/create", "/containers/create", "/exec/1234/start", "/services/create",
    "/containers/none/attach", "/swarm/init", "/auth",
])  # fmt: skip
async def test_a_body_that_never_comes(hasty, world, client, path):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    status, message = await said(world, head, "Content-Length: 900\r\n\r\n{")
    assert (status, message) == (408, "the request's body did not arrive within 1 seconds")


async def test_a_body_that_comes_drop_by_drop(hasty, world, client):
    """What comes now and then does not begin the time anew."""
    reader, writer = await opened(world)
    writer.write(f"{CREATE}Content-Length: 900\r\n\r\n".encode())
    waiting = asyncio.create_task(answer(reader))
    while not waiting.done():
        writer.write(b" ")
        await asyncio.wait([waiting], timeout=0.05)
    assert (await waiting)[0] == 408
    writer.close()


async def test_a_body_that_is_announced_too_large(world, client):
    status, message = await said(world, CREATE, "Content-Length: 10000000000\r\n\r\n")
    assert (status, message) == (413, "http: request body too large: at most 4 MiB")


def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def test_a_body_that_turns_out_too_large(world, client):
    """It is refused as soon as that is seen, and never kept."""
    reader, writer = await opened(world)
    writer.write(f"{CREATE}Transfer-Encoding: chunked\r\n\r\n".encode())
    waiting = asyncio.create_task(answer(reader))
    before = memory()
    piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    for _ in range(100):
        writer.write(piece)
        await writer.drain()
    assert (await waiting)[0] == 413
    assert memory() - before < 50 << 20
    writer.close()


async def test_a_body_that_unpacks_to_too_much(world, client):
    packed = gzip.compress(bytes(LARGEST * 20))
    head = f"{CREATE}Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    assert (await said(world, head, packed))[0] == 413


@pytest.mark.parametrize("depth", [DEEPEST + 1, 600, 2000, 1_000_000])
@pytest.mark.parametrize("path", ["/networks/create", "/containers/create", "/services/create"])
async def test_a_body_that_is_too_deep(world, client, path, depth):
    body = '{"A":' + "[" * depth + "]" * depth + "}"
    head = {"Content-Type": "application/json"}
    async with client.post(path, data=body, headers=head) as reply:
        assert reply.status == 400
        said = (await reply.json())["message"]
    assert said.startswith("invalid JSON: ") and "\n" not in said
    async with client.get("/_ping") as reply:
        assert reply.status == 200


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**400])
async def test_a_number_that_is_too_large(world, client, number):
    body = f'{{"Name": "n", "IPAM": {{"Config": [{{"x": {number}}}]}}}}'
    head = {"Content-Type": "application/json"}
    async with client.post("/networks/create", data=body, headers=head) as reply:
        assert reply.status == 400
        said = (await reply.json())["message"]
    assert said == "invalid JSON: a number in it has more than 64 bits"


async def test_too_many_at_once(world, client, monkeypatch):
    """Together they take so much and no more; who comes after them is served."""
    monkeypatch.setattr(arriving, "AT_ONCE", 3 << 20)
    held = [await opened(world) for _ in range(4)]
    for _, writer in held:
        writer.write(f"{CREATE}Content-Length: {2 << 20}\r\n\r\n".encode() + bytes(1 << 20))
    answers = [asyncio.create_task(answer(reader)) for reader, _ in held]
    done, waiting = await asyncio.wait(answers, timeout=60, return_when="FIRST_COMPLETED")
    assert [task.result()[0] for task in done] == [503] * len(done)
    for task in waiting:
        task.cancel()
    for _, writer in held:
        writer.close()
    arrivals = world.arrivals
    await until(lambda: arrivals.held == 0)
    async with client.post("/networks/create", json={"Name": "after", "Driver": "bridge"}) as reply:
        assert reply.status == 201, await reply.text()


async def test_half_bodies_keep_nobody_out(world, client, monkeypatch):
    """More of them than there are connections at all: the oldest make room."""
    monkeypatch.setattr(arriving, "PROMPT", 0.1)
    held = [await opened(world) for _ in range(1200)]
    for _, writer in held:
        writer.write(f"{CREATE}Content-Length: 900\r\n\r\n{{".encode())
    async with asyncio.timeout(60):
        reader, writer = await opened(world)
        writer.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await reader.readline()
    for _, other in [*held, (reader, writer)]:
        other.close()


async def test_who_leaves_amid_a_body_is_no_fault(world, client, caplog):
    _, writer = await opened(world)
    writer.write(f"{CREATE}Content-Length: 900\r\n\r\n{{".encode())
    arrivals = world.arrivals
    await until(lambda: arrivals.held == 1)
    writer.close()
    await until(lambda: arrivals.held == 0)
    async with client.get("/_ping") as reply:
        assert reply.status == 200
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_chunk_that_is_none(world, client):
    reader, writer = await opened(world)
    writer.write(f"{CREATE}Transfer-Encoding: chunked\r\n\r\n3\r\n{{}} \r\nzz\r\n".encode())
    async with asyncio.timeout(60):
        assert b" 400 " in await reader.readline()
    writer.close()


async def test_many_requests_at_once_on_one_connection(world, client):
    """All are answered in their order, however many are written ahead."""
    reader, writer = await opened(world)
    count = 2000

    async def write():
        for _ in range(count):
            writer.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            await writer.drain()

    writing = asyncio.create_task(write())
    async with asyncio.timeout(60):
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            await reader.readexactly(2)
    await writing
    writer.close()


async def test_an_upload_may_take_its_time(hasty, world, client):
    """An archive is no body of JSON: it comes as it comes."""
    tail = asyncio.Event()
    content = os.urandom(LARGEST + 1000)

    async def pieces():
        yield content
        async with asyncio.timeout(30):
            await tail.wait()
        yield b"end"

    sending = asyncio.create_task(client.post("/images/load", data=pieces()))
    # More than what a body of JSON would get.
    await asyncio.wait([sending], timeout=1.5)
    assert not sending.done()
    tail.set()
    async with await sending as reply:
        assert reply.status == 200, await reply.text()
