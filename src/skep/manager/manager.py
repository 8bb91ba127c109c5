"""The control loop of the cluster: one state, one writer, pure decisions, conditional commits.

A user's request and an agent's report are both decisions on a draft of the state, committed all or
nothing. After each commit ``cluster.reconcile`` decides what follows from it, and
every host whose assignment changed is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from skep.cluster.change import Change
from skep.cluster.codec import decode, encode, key
from skep.cluster.context import Context
from skep.cluster.reconcile import reconcile
from skep.cluster.state import Draft, State
from skep.model.errors import Broken, Refusal
from skep.model.ids import swarm_id
from skep.store.interface import Conflict, Delete, Put, Store

T = TypeVar("T")
Listener = Callable[[tuple[Change, ...]], None]

ENTROPY = 20
PATIENCE = 5
"""How often a decision is taken anew because somebody else committed first."""

log = structlog.get_logger("skep.manager")


def new_swarm_id() -> str:
    """A fresh 25-digit id."""
    return swarm_id(secrets.token_bytes(ENTROPY))


def context_now() -> Context:
    """The clock and the dice, as decisions receive them."""
    return Context(now=time.time(), new_id=new_swarm_id)


class Manager:
    """The cluster's state and its loop, over one store. Listeners hear every committed change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.state = State()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._listeners: list[Listener] = []
        self._unsure = False

    async def load(self) -> None:
        """Read the whole state from the store."""
        snapshot = await self._store.list("/")
        state = State()
        state.load([decode(item.key, item.value, item.revision) for item in snapshot.items],
                   snapshot.revision)  # fmt: skip
        self.state = state

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each commit with its changes, just before `state` shows them."""
        self._listeners.append(listener)

    async def change(self, decide: Callable[[Draft, Context], T]) -> T:
        """Take a decision on the latest state and commit it; durable when this returns.

        Raises the decision's refusal; `Broken` if the store cannot take it.
        """
        for _ in range(PATIENCE):
            async with self._lock:
                await self._be_sure()
                draft = Draft(self.state)
                result = decide(draft, context_now())
                try:
                    await self._commit(draft)
                except Conflict:
                    await self.load()
                    continue
            self._wake.set()
            return result
        raise Broken("the cluster's state keeps changing under this request: try again")

    async def run(self) -> None:
        """Reconcile after every change and at every instant that reconciling asked for."""
        due: float | None = 0.0
        while True:
            timeout = None if due is None else max(due - time.time(), 0.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout)
            self._wake.clear()
            try:
                due = await self._reconcile()
            except Refusal as refusal:
                log.error("cannot commit", why=str(refusal))
                due = time.time() + 1.0

    async def _reconcile(self) -> float | None:
        async with self._lock:
            await self._be_sure()
            draft = Draft(self.state)
            due = reconcile(draft, context_now())
            try:
                await self._commit(draft)
            except Conflict:
                await self.load()
                return 0.0
        return due

    async def _be_sure(self) -> None:
        if self._unsure:
            await self.load()
            self._unsure = False

    async def _commit(self, draft: Draft) -> None:
        changes = draft.changes()
        if not changes:
            return
        ops = [
            Put(key(c.kind, c.id), encode(c.record), c.expect)
            if c.record is not None
            else Delete(key(c.kind, c.id), c.expect)
            for c in changes
        ]
        try:
            revision = await self._store.commit(ops)
        except Refusal:
            # Whether it was made is unknown: what the store says next is the truth.
            self._unsure = True
            raise
        for listener in self._listeners:
            listener(changes)
        self.state.apply(changes, revision)
