import asyncio
import contextlib

import pytest

from skep.agent import applier
from skep.agent.applier import Applier


class Rig:
    def __init__(self):
        self.said = []
        self.outcomes = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.applied = 0
        self.applier = Applier(self.apply, self.say)

    async def apply(self):
        self.applied += 1
        await self.gate.wait()
        return self.outcomes.pop(0) if self.outcomes else True

    async def say(self, index):
        self.said.append(index)

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def rig(monkeypatch):
    monkeypatch.setattr(applier, "RETRY", 0.01)
    rig = Rig()
    running = asyncio.create_task(rig.applier.run())
    yield rig
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_is_assigned_is_applied_and_then_said(rig):
    rig.applier.assigned(7)
    await rig.until(lambda: rig.said == [7])
    assert rig.applier.applied == 7


async def test_of_several_only_the_last_and_never_too_early(rig):
    rig.gate.clear()
    rig.applier.assigned(7)
    await rig.until(lambda: rig.applied == 1)
    rig.applier.assigned(8)
    rig.applier.assigned(9)
    assert (rig.said, rig.applier.applied) == ([], 0)
    rig.gate.set()
    await rig.until(lambda: rig.said == [7, 9])
    assert rig.applied == 2


async def test_what_the_kernel_refuses_is_tried_again_before_it_is_said(rig):
    rig.outcomes = [False, False, True]
    rig.applier.assigned(7)
    await rig.until(lambda: rig.said == [7])
    assert rig.applied == 3
