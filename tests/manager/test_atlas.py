"""Keeping the picture up to date: who is asked when, and what onlookers get."""

import asyncio
import contextlib

import msgspec
import pytest

from skep.cluster.state import State
from skep.manager import atlas as module
from skep.manager.atlas import Atlas
from skep.model.cluster import Node, NodeDescription, Task, TaskState, TaskStatus
from skep.model.errors import Missing, Unavailable
from skep.model.glance import Gauge, Glimpse, Space
from skep.model.netstate import HOST
from skep.topology.fold import Wanted

ALL = Wanted()


def node(id, **fields):
    return Node(id=id, description=NodeDescription(hostname=id), state="ready", vtep=id, **fields)


class Hosts:
    """Hosts that answer a glance when their turn is another, or time is up; as `Asker` does."""

    def __init__(self):
        self.turns, self.carried, self.asked = {}, {}, []
        self.silent = {}
        self.moved = asyncio.Condition()
        self.clock = 0.0

    async def ask(self, node_id, what, kind, within):
        self.asked.append((node_id, what))
        assert what.seconds < within
        if node_id in self.silent:
            raise Unavailable(self.silent[node_id])
        async with self.moved:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self.moved.wait_for(lambda: self.turns.get(node_id, 0) != what.after),
                    what.seconds or 0.001,
                )
        self.clock += 1.0
        gauge = Gauge(name="eth0", ours=False, rx_bytes=self.carried.get(node_id, 0))
        return Glimpse(
            node_id=node_id, hostname=node_id, at=self.clock, turn=self.turns.get(node_id, 0),
            spaces={HOST: Space(gauges=(gauge,))},
        )  # fmt: skip

    async def move(self, node_id):
        async with self.moved:
            self.turns[node_id] = self.turns.get(node_id, 0) + 1
            self.moved.notify_all()


class World:
    def __init__(self):
        self.state = State()
        self.state.load([node("n1"), node("n2")], 1)
        self.hosts = Hosts()
        self.manages = True
        self.atlas = Atlas(self.hosts, lambda: self.state if self.manages else None)

    def put(self, *records):
        """What a commit does: listeners hear of it, then it is so."""
        self.atlas.changed()
        for record in records:
            kind = {Node: "nodes", Task: "tasks"}[type(record)]
            self.state._set(kind, record.id, record)

    def drop(self, kind, id):
        self.atlas.changed()
        self.state._set(kind, id, None)


@pytest.fixture
async def world(monkeypatch):
    monkeypatch.setattr(module, "AT_LEAST", 0.005)
    monkeypatch.setattr(module, "AGAIN", 0.02)
    monkeypatch.setattr(module, "EVERY", 0.05)
    monkeypatch.setattr(module, "LINGER", 0.05)
    made = World()
    yield made
    made.atlas.close()


def task(id, **fields):
    return Task(id=id, service_name="web", slot=1, node_id="n1",
                status=TaskStatus(state=TaskState.RUNNING), **fields)  # fmt: skip


@contextlib.asynccontextmanager
async def watching(world, wanted=ALL):
    async with contextlib.aclosing(world.atlas.watch(wanted)) as graphs:
        yield graphs


async def until(graphs, condition, seconds=60.0):
    """The first graph that fits."""
    async with asyncio.timeout(seconds):
        async for graph in graphs:
            if condition(graph):
                return graph
    raise AssertionError("the pictures ended")


async def test_who_asks_once_gets_all_hosts_and_nobody_is_asked_again(world, monkeypatch):
    monkeypatch.setattr(module, "FRESH", 600.0)
    graph = await world.atlas.graph(ALL)
    assert {"host:n1", "host:n2"} <= graph.things.keys()
    asked = len(world.hosts.asked)
    assert asked == 2
    await world.atlas.graph(ALL)
    await world.atlas.matrix()
    assert len(world.hosts.asked) == asked, "what is fresh is not asked for again"


async def test_a_worker_draws_nothing(world):
    world.manages = False
    for asked in (world.atlas.graph(ALL), world.atlas.matrix(), world.atlas.detail("host:n1")):
        with pytest.raises(Unavailable, match="no manager"):
            await asked
    with pytest.raises(Unavailable, match="no manager"):
        await anext(world.atlas.watch(ALL))


async def test_what_the_manager_decides_is_seen_at_once(world):
    async with watching(world) as graphs:
        await anext(graphs)
        world.put(task("t1"))
        graph = await until(graphs, lambda graph: "box:t1" in graph.things)
        assert graph.boxes == 1


async def test_what_changes_on_a_host_is_seen_at_once(world, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 60.0)
    monkeypatch.setattr(module, "WITHIN", 120.0)
    async with watching(world) as graphs:
        await anext(graphs)
        await asyncio.sleep(0)
        world.hosts.silent["n2"] = "it sleeps"
        await world.hosts.move("n2")
        await until(graphs, lambda graph: graph.things["host:n2"].state == "unknown")
        del world.hosts.silent["n2"]
        graph = await until(graphs, lambda graph: graph.things["host:n2"].state == "ok")
        assert graph.things["host:n2"].note == ""


async def test_rates_come_while_somebody_looks(world):
    async with watching(world) as graphs:
        await anext(graphs)

        def grown(graph):
            world.hosts.carried["n1"] = world.hosts.carried.get("n1", 0) + 5000
            return "host:n1" in graph.rates

        assert (await until(graphs, grown)).rates["host:n1"][0] > 0
        assert "host:n2" not in (await anext(graphs)).rates


async def test_hosts_come_and_go(world):
    async with watching(world) as graphs:
        await anext(graphs)
        world.put(node("n3"))
        await until(graphs, lambda graph: graph.things.get("host:n3") is not None)
        async with asyncio.timeout(30):
            while not any(node_id == "n3" for node_id, _ in world.hosts.asked):
                await asyncio.sleep(0.005)
        world.drop("nodes", "n3")
        await until(graphs, lambda graph: "host:n3" not in graph.things)
        async with asyncio.timeout(30):
            while "n3" in world.atlas._following:
                await asyncio.sleep(0.005)


async def test_nobody_is_asked_when_nobody_looks(world):
    async with watching(world) as graphs:
        await anext(graphs)
        assert world.atlas._following
    async with asyncio.timeout(30):
        while world.atlas._following:
            await asyncio.sleep(0.005)


async def test_a_slow_onlooker_gets_the_newest_picture_alone(world):
    async with watching(world) as graphs:
        await anext(graphs)
        for number in range(50):
            world.put(task(f"t{number:02}"))
        graph = await until(graphs, lambda graph: graph.boxes)
        assert graph.boxes == 50


async def test_onlookers_are_not_without_number(world, monkeypatch):
    monkeypatch.setattr(module, "ONLOOKERS", 2)
    async with watching(world) as one, watching(world) as two:
        await anext(one)
        await anext(two)
        with pytest.raises(Unavailable, match="2 onlookers"):
            await anext(world.atlas.watch(ALL))
    async with watching(world) as three:
        assert await anext(three)


async def test_of_a_host_that_is_down_nothing_old_is_shown(world):
    async with watching(world) as graphs:
        await until(graphs, lambda graph: graph.things["host:n1"].parts)
        world.put(msgspec.structs.replace(node("n1"), state="down", message="gone"))
        graph = await until(graphs, lambda graph: graph.things["host:n1"].state == "broken")
        assert graph.things["host:n1"].note == "down: gone"
        assert graph.things["host:n1"].parts == ()


async def test_details_have_counters_and_surroundings(world):
    world.hosts.carried["n1"] = 77
    detail = await world.atlas.detail("host:n1")
    assert detail.gauges["eth0"].rx_bytes == 77
    with pytest.raises(Missing, match="nothing called host:n9"):
        await world.atlas.detail("host:n9")
