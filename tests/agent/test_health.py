import asyncio
import contextlib

import pytest

from skep.agent.health import Health, check_of, pause
from skep.model.errors import Unavailable

SECOND = 1_000_000_000


class FakeEngine:
    def __init__(self, outcomes, check):
        self.outcomes = list(outcomes)
        self.check = check

    async def inspect(self, container_id):
        return {"Config": {"Healthcheck": self.check}}

    async def probe_health(self, container_id):
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@contextlib.asynccontextmanager
async def running(engine):
    heard = asyncio.Queue()

    async def changed(container_id, status):
        await heard.put((container_id, status))

    health = Health(engine, changed, lambda _: {})
    runner = asyncio.create_task(health.run())
    await asyncio.sleep(0)
    try:
        yield health, heard
    finally:
        runner.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await runner


CHECK = {"Test": ["CMD", "true"], "Interval": SECOND // 1000}


async def test_every_change_of_health_is_told_once():
    outcomes = ["starting", Unavailable("engine away"), "healthy", "healthy", "unhealthy"]
    async with running(FakeEngine(outcomes, CHECK)) as (health, heard):
        await health.started("c")
        assert health.statuses == {"c": "starting"}
        async with asyncio.timeout(30):
            assert await heard.get() == ("c", "healthy")
            assert await heard.get() == ("c", "unhealthy")
        assert health.statuses == {"c": "unhealthy"}
        health.ended("c")
        assert health.statuses == {}


async def test_a_container_without_a_check_is_left_alone():
    async with running(FakeEngine(["healthy"], {})) as (health, _):
        await health.started("c")
        assert health.statuses == {}


@pytest.mark.parametrize(
    "check, found",
    [(CHECK, CHECK), ({"Test": ["NONE"]}, None), ({"Test": []}, None), (None, None)],
)
def test_which_containers_have_a_check(check, found):
    assert check_of({"Config": {"Healthcheck": check}}) == found


def test_checks_are_closer_together_while_starting():
    check = {"Interval": 30 * SECOND, "StartPeriod": 60 * SECOND, "StartInterval": 2 * SECOND}
    assert pause(check, "starting") == 2.0
    assert pause(check, "healthy") == 30.0
    assert pause({"Interval": 30 * SECOND}, "starting") == 30.0
    assert pause({}, "healthy") == 30.0
