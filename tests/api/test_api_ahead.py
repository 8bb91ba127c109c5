"""What the engine says of itself is known before anybody asks."""

import asyncio

import pytest
from api_engine import FakeEngine, as_json
from api_world import happened, until

from skep.api import ahead as module
from skep.api.ahead import Ahead
from skep.model.errors import Broken, Unavailable


class SlowEngine(FakeEngine):
    """It takes its time over ``/info``; each answer has another number."""

    def __init__(self):
        super().__init__()
        self.count, self.go = 0, asyncio.Event()

    async def request(self, method, path, **options):
        if path != "/info":
            return await super().request(method, path, **options)
        await self.go.wait()
        self.count += 1
        return as_json({"Images": self.count})


@pytest.fixture
def engine():
    return SlowEngine()


@pytest.fixture
async def ahead(engine):
    made = Ahead(engine, "/info")
    yield made
    await made.close()


async def test_the_first_answer_is_waited_for(ahead, engine):
    asking = asyncio.ensure_future(ahead.get())
    await asyncio.sleep(0)
    assert not asking.done()
    engine.go.set()
    assert await asking == ({"Images": 1}, [])


async def test_later_ones_are_there_at_once(ahead, engine):
    engine.go.set()
    await ahead.get()
    engine.go.clear()
    ahead.changed(0.0)
    for _ in range(3):
        assert await asyncio.wait_for(ahead.get(), 30) == ({"Images": 1}, [])
    engine.go.set()
    await until(lambda: engine.count == 2)
    await until(lambda: ahead._answer == {"Images": 2})


async def test_what_changes_while_it_is_asked_is_asked_for_again(ahead, engine):
    ahead.changed(0.0)
    await asyncio.sleep(0)
    for _ in range(5):
        ahead.changed()
    engine.go.set()
    await until(lambda: engine.count >= 1)
    for _ in range(5):
        ahead.changed()
    await until(lambda: engine.count == 2)
    assert (await ahead.get())[0] == {"Images": 2}


async def test_an_old_answer_is_renewed_by_whoever_asks(ahead, engine, monkeypatch):
    engine.go.set()
    await ahead.get()
    monkeypatch.setattr(module, "OLD", 0.0)
    assert (await ahead.get())[0] == {"Images": 1}
    await until(lambda: engine.count == 2)


async def test_an_engine_that_is_away_is_told_at_once(ahead, engine):
    engine.go.set()
    await ahead.get()
    engine.broken = Unavailable("Cannot reach the container engine: gone")
    assert await ahead.get() == ({}, ["WARNING: Cannot reach the container engine: gone"])
    engine.broken = None
    assert await ahead.get() == ({"Images": 1}, [])


async def test_an_engine_that_fails_is_asked_anew(ahead, engine):
    async def fail(*_, **__):
        raise Broken("out of order")

    works, engine.request = engine.request, fail
    ahead.changed(0.0)
    assert await ahead.get() == ({}, ["WARNING: out of order"])
    engine.request = works
    engine.go.set()
    assert await ahead.get() == ({"Images": 1}, [])


async def test_containers_events_make_it_ask_again(ahead, engine, monkeypatch):
    monkeypatch.setattr(module, "SETTLE", 0.0)
    engine.go.set()

    async def events():
        yield happened("create", kind="network")
        yield happened("exec_create: ls")
        yield happened("start")

    await ahead.follow(events())
    await until(lambda: engine.count == 1)


async def test_info_does_not_wait_for_the_engine(world, client):
    await until(lambda: ("GET", "/info", {}) in world.engine.asked)
    await asyncio.sleep(0)

    async def slow(method, path, **_):
        assert path == "/_ping", "nothing else is asked for on the way"
        return as_json("OK")

    world.engine.request = slow
    async with client.get("/info") as reply:
        assert (await reply.json())["Driver"] == "overlay"
