"""Versions, headers, and handlers whose clients leave."""

import asyncio

import aiohttp
import pytest
from api_world import until

from skep.api import events
from skep.api.routes import ROUTES, Table
from skep.api.server import split_version


@pytest.mark.parametrize("path", ["/_ping", "/v1.43/_ping", "/v1.50/_ping/", "/_ping/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ping(client, method, path):
    async with client.request(method, path) as reply:
        assert reply.status == 200
        assert await reply.text() == ("OK" if method == "GET" else "")
        assert {
            "Api-Version": "1.50",
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Server": "Skep/0.1.0 (linux)",
            "Swarm": "inactive",
            "Builder-Version": "1",
            "Pragma": "no-cache",
        }.items() <= dict(reply.headers).items()


async def test_swarm_header(world, client):
    await world.swarm()
    async with client.head("/_ping") as reply:
        assert reply.headers["Swarm"] == "active/manager"


@pytest.mark.parametrize("path", ["/nosuch", "/v1.99/info", "/networks/nosuch", "/version"])
async def test_every_answer_has_the_headers(client, path):
    async with client.get(path) as reply:
        assert reply.headers["Api-Version"] == "1.50"
        assert reply.headers["Ostype"] == "linux"
        assert reply.headers["Content-Type"].startswith("application/json")


def test_versions():
    assert split_version("/info") == ((1, 50), "/info")
    assert split_version("/v1.41/info") == ((1, 41), "/info")
    assert split_version("/volumes") == ((1, 50), "/volumes")


def test_table():
    table = Table(ROUTES)
    found = table.find("GET", "/images/registry:5000/a/b:1/json")
    assert found is not None
    assert found[0].pattern == "/images/{name*}/json"
    assert found[1] == {"name": "registry:5000/a/b:1"}
    assert table.find("GET", "/images/json")[0].pattern == "/images/json"
    assert table.find("GET", "/containers/json/json")[1] == {"id": "json"}
    assert table.find("DELETE", "/info") is None
    assert table.find("GET", "/containers/a/b/json") is None


def test_no_two_routes_are_alike():
    keys = [(route.method, route.pattern) for route in ROUTES]
    assert len(keys) == len(set(keys))


async def test_a_change_goes_on_without_its_client(world, client):
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(name, body):
        begun.set()
        await go.wait()
        done.set()
        return "x", []

    world.host.create = slow
    request = asyncio.create_task(client.post("/containers/create", json={"Image": "busybox"}))
    await begun.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await until(lambda: not world.service.connections)
    go.set()
    await asyncio.wait_for(done.wait(), 30)


async def test_a_stream_ends_with_its_client(world, client):
    reply = await client.get("/events")
    await until(lambda: world.events.listening == 1)
    reply.close()
    await until(lambda: world.events.listening == 0)


async def test_a_text_that_is_not_utf8_is_bad_json(client):
    headers = {"Content-Type": "application/json"}
    async with client.post("/networks/create", data=b'{"Name": "\xff"}', headers=headers) as reply:
        assert reply.status == 400
        assert "invalid JSON" in await reply.text()


async def test_who_asks_and_leaves_is_no_fault(world, client, caplog, monkeypatch):
    """A connection that ends when the request was read and its answer has not begun."""

    def leaving(_):
        for each in world.service._runner.server.connections:
            each.transport.close()

    monkeypatch.setattr(events, "instant", leaving)
    with pytest.raises(aiohttp.ClientError):
        await client.get("/events")
    assert caplog.text == ""
