import asyncio
import time

import pytest

from skep.agent import drain
from skep.agent.drain import Draining


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(drain, "LOOK", 0.005)
    monkeypatch.setattr(drain, "SETTLE", 0.2)


class Rig:
    def __init__(self, *counts):
        self.counts = list(counts)
        self.looks = []
        self.living = True
        self.draining = Draining(self.connections)

    async def connections(self, namespace):
        self.looks.append(namespace)
        return self.counts.pop(0) if self.counts else 0

    async def alive(self):
        return self.living

    def drain(self, since=0, seconds=600.0):
        return asyncio.create_task(self.draining.drain("box", since, seconds, self.alive))


async def test_with_nothing_open_it_is_over_at_the_second_look():
    rig = Rig()
    await rig.drain()
    assert rig.looks == ["box", "box"]


async def test_nothing_is_counted_before_every_host_confirmed(monkeypatch):
    monkeypatch.setattr(drain, "SETTLE", 600)
    rig = Rig()
    rig.draining.settled(4)
    draining = rig.drain(since=5)
    await asyncio.sleep(0.03)
    assert rig.looks == []
    rig.draining.settled(5)
    await asyncio.wait_for(draining, 30)
    assert rig.looks != []


async def test_hosts_that_do_not_confirm_are_waited_for_only_so_long():
    rig = Rig()
    begun = time.monotonic()
    await rig.drain(since=5)
    assert 0.2 <= time.monotonic() - begun < 30


async def test_open_connections_are_waited_for():
    rig = Rig(3, 2, 0, 1, 0, 0)
    await rig.drain()
    assert rig.counts == []


async def test_but_not_longer_than_they_may():
    rig = Rig(*[1] * 100_000)
    begun = time.monotonic()
    await rig.drain(seconds=0.1)
    assert 0.1 <= time.monotonic() - begun < 30


async def test_a_task_that_died_is_not_waited_for():
    rig = Rig(*[1] * 1_000_000)
    draining = rig.drain(seconds=600)
    await asyncio.sleep(0.02)
    rig.living = False
    await asyncio.wait_for(draining, 30)


async def test_no_time_is_no_time():
    rig = Rig(1)
    await asyncio.wait_for(rig.drain(seconds=0.0), 30)
    assert len(rig.looks) == 1
