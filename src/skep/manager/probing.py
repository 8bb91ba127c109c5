"""Looking at packets on their way: sending a probe while all hosts on the way listen, and following
real traffic."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any

from skep.manager.asker import ANSWER_WITHIN, Asker
from skep.manager.inquiries import Remote
from skep.model.errors import Refusal
from skep.model.inspection import Echo, Listen, Sightings, Watch
from skep.trace import live
from skep.trace.follow import Followed, Follower
from skep.trace.report import Trace
from skep.trace.survey import Evidence
from skep.trace.trace import Case

READY_WITHIN = 3.0
"""Seconds until all taps listen; those that do not then are missed."""
SETTLE = 0.15
"""Seconds after a probe's answer in which its last packets are still on their way."""
AT_A_TIME = 3600.0
"""Seconds that real traffic is followed at most."""
EVERY = 1.0
"""Seconds between two reports of it."""


# --- probing


async def probed(asker: Asker, case: Case) -> Trace:
    """The trace of the way that a real probe takes."""
    token = live.FIRST_TOKEN + secrets.randbelow(live.TOKENS)
    plan = await asyncio.to_thread(live.plan, case, token)
    if plan is None:
        return live.unsent(await asyncio.to_thread(case.trace), live.CANNOT_SEND)
    talks = {node: Remote() for node in plan.listening}
    ears = {
        node: asyncio.create_task(_listen(asker, node, what, talks[node]))
        for node, what in plan.listening.items()
    }
    try:
        await _all_ready(talks)
        try:
            echo = await asker.ask(plan.node, plan.probe, Echo, ANSWER_WITHIN)
        except Refusal as refusal:
            echo = Echo(answered=False, words=f"the probe was not sent: {refusal}")
        await asyncio.sleep(SETTLE)
        await _stop(talks)
        heard = dict(zip(ears, await asyncio.gather(*ears.values()), strict=True))
    finally:
        await _end(ears)
    evidence = Evidence(
        echo=echo,
        sightings={n: each for n, each in heard.items() if isinstance(each, Sightings)},
        unheard={n: each for n, each in heard.items() if isinstance(each, str)},
    )
    return await asyncio.to_thread(live.prove, case, token, evidence)


async def _listen(asker: Asker, node: str, what: Listen, talk: Remote) -> Sightings | str:
    try:
        return await asker.ask(node, what, Sightings, ANSWER_WITHIN, talk)
    except Refusal as refusal:
        return str(refusal)
    finally:
        talk.listening.set()


async def _all_ready(talks: dict[str, Remote]) -> None:
    waiting = [asyncio.create_task(each.listening.wait()) for each in talks.values()]
    if waiting:
        await asyncio.wait(waiting, timeout=READY_WITHIN)
    for each in waiting:
        each.cancel()


async def _stop(talks: dict[str, Remote]) -> None:
    for each in talks.values():
        with contextlib.suppress(Refusal):
            await each.stop()


async def _end(tasks: dict[str, asyncio.Task[Any]]) -> None:
    """Whatever became of it, nobody listens any longer."""
    for each in tasks.values():
        each.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


# --- following


class _Watcher(Remote):
    """What one host sees, gathered until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Sightings] = []

    async def heard(self, seen: Sightings) -> None:
        """Keep it."""
        self.seen.append(seen)

    def taken(self) -> list[Sightings]:
        """What was kept, once."""
        seen, self.seen = self.seen, []
        return seen


async def followed(asker: Asker, case: Case) -> AsyncGenerator[Followed, None]:
    """What passes on the way of a case, as it passes."""
    follower = await asyncio.to_thread(Follower, case)
    watchers = {node: _Watcher() for node in follower.taps}
    silent: dict[str, str] = {}

    async def watch(node: str) -> None:
        what = Watch(
            taps=follower.taps[node],
            protocol=case.goal.protocol,
            ends=follower.ends,
            seconds=AT_A_TIME,
        )
        try:
            await asker.ask(node, what, Sightings, AT_A_TIME + ANSWER_WITHIN, watchers[node])
        except Refusal as refusal:
            silent[node] = str(refusal)
        finally:
            watchers[node].listening.set()

    tasks = {node: asyncio.create_task(watch(node)) for node in watchers}
    try:
        await _all_ready(dict(watchers))
        while not all(each.done() for each in tasks.values()):
            await asyncio.sleep(EVERY)
            seen = {node: each.taken() for node, each in watchers.items()}
            yield await asyncio.to_thread(follower.take, time.time(), seen, dict(silent))
    finally:
        await _stop(dict(watchers))
        await _end(tasks)
