"""The stream of events."""

import asyncio
import json
import time

import pytest
from api_world import happened

from skep.api.events import happening, instant
from skep.model.errors import Invalid


async def lines(client, query):
    async with client.get(f"/events?{query}") as reply:
        assert reply.status == 200
        return [json.loads(line) async for line in reply.content]


async def test_since_and_until(world, client):
    now = time.time()
    world.events.kept = [happened(f"a{n}", at=now - 100 + n) for n in range(5)]
    found = await lines(client, f"since={now - 98}&until={now - 97}")
    assert [event["Action"] for event in found] == ["a2", "a3"]


async def test_each_is_sent_at_once_and_headers_before_any(world, client):
    async with client.get("/events") as reply:
        assert reply.headers["Content-Type"] == "application/json"
        world.events.tell(happened("start", image="busybox", name="c1", podId=""))
        event = json.loads(await asyncio.wait_for(reader_line(reply), 30))
        assert (event["status"], event["from"]) == ("start", "busybox")
        assert event["Actor"] == {
            "ID": "c" * 64,
            "Attributes": {"image": "busybox", "name": "c1"},
        }
        assert event["scope"] == "local"
        assert abs(event["timeNano"] / 1e9 - time.time()) < 60


async def reader_line(reply):
    return await reply.content.readline()


@pytest.mark.parametrize(
    ("filters", "actions"),
    [
        ({"type": ["network"]}, ["create"]),
        ({"event": ["exec_start"]}, ["exec_start: ls"]),
        ({"container": ["c1"]}, ["start", "exec_start: ls"]),
        ({"container": ["cccc"]}, ["start", "exec_start: ls"]),
        ({"network": ["net"]}, ["create"]),
        ({"container": ["c1"], "network": ["net"]}, ["start", "exec_start: ls", "create"]),
        ({"label": ["k=v"]}, ["start"]),
        ({"scope": ["swarm"]}, []),
    ],
)
async def test_filters(world, client, filters, actions):
    now = time.time()
    world.events.kept = [
        happened("start", at=now, name="c1", k="v"),
        happened("exec_start: ls", at=now, name="c1"),
        happened("create", kind="network", id="n" * 25, at=now, name="net"),
    ]
    text = json.dumps(filters)
    found = await lines(client, f"since={now - 1}&until={now + 0.01}&filters={text}")
    assert [event["Action"] for event in found] == actions


async def test_a_past_end_still_gives_what_was_kept():
    async def kept():
        for n in range(50):
            yield happened("x", at=100.0 + n)
        await asyncio.Event().wait()

    assert len([event async for event in happening(kept(), 124.0)]) == 25


async def test_the_end_comes_without_events():
    async def never():
        await asyncio.Event().wait()
        yield happened("x")

    found = [event async for event in happening(never(), time.time() + 0.02)]
    assert found == []


def test_instants():
    assert instant("1700000000.250000000") == 1700000000.25
    assert instant("") is None
    with pytest.raises(Invalid):
        instant("yesterday")
