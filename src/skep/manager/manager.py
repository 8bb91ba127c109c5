"""The control loop of the cluster: one state, one writer, pure decisions, conditional commits.

A user's request and an agent's report are both decisions on a draft of the state, committed all or
nothing. After each commit ``cluster.reconcile`` decides what follows from it, and
every host whose assignment changed is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import TypeVar

import structlog

from skep.cluster.change import Change
from skep.cluster.codec import decode, encode, key
from skep.cluster.context import Context
from skep.cluster.keeper import Keeper, changes_between
from skep.cluster.state import Draft, State
from skep.manager.clock import Clock
from skep.model.cluster import Record
from skep.model.errors import UNREADABLE, Broken, Refusal
from skep.model.ids import swarm_id
from skep.store.interface import Conflict, Delete, Item, Op, Put, Store

T = TypeVar("T")
Listener = Callable[[tuple[Change, ...]], None]

ENTROPY = 20
RETRY = 1.0
"""Seconds until the loop tries again what the store could not take."""

PATIENCE = 5
"""How often a decision is taken anew because somebody else committed first."""

log = structlog.get_logger("skep.manager")


def new_swarm_id() -> str:
    """A fresh 25-digit id."""
    return swarm_id(secrets.token_bytes(ENTROPY))


class Manager:
    """The cluster's state and its loop, over one store. Listeners hear every committed change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keeper = Keeper()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._listeners: list[Listener] = []
        self._unsure = False
        self._clock = Clock()

    @property
    def state(self) -> State:
        """The cluster's state, as far as it was committed."""
        return self._keeper.state

    async def load(self) -> None:
        """Read the whole state from the store. Listeners hear what they did not hear before.

        Raises `Broken` if something in it cannot be understood.
        """
        snapshot = await self._store.list("/")
        state = State()
        state.load([_understood(item) for item in snapshot.items], snapshot.revision)
        if changes := changes_between(self.state, state):
            self._tell(changes)
        self._keeper.adopt(state)
        self._clock.passed(max((task.updated_at for task in state.tasks.values()), default=0.0))
        self._wake.set()

    def _context(self) -> Context:
        """The clock and the dice, as decisions receive them."""
        return Context(now=self._clock.now(), new_id=new_swarm_id)

    async def reread(self) -> None:
        """Read the whole store, and nothing more. Raises `Broken`, `Unavailable` if it cannot."""
        await self._store.list("/")

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each commit with its changes, just before `state` shows them."""
        self._listeners.append(listener)

    def _tell(self, changes: tuple[Change, ...]) -> None:
        for listener in self._listeners:
            listener(changes)

    async def change(self, decide: Callable[[Draft, Context], T]) -> T:
        """Take a decision on the latest state and commit it; durable when this returns.

        Raises the decision's refusal; `Broken` if the store cannot take it.
        """
        for _ in range(PATIENCE):
            async with self._lock:
                await self._be_sure()
                draft = Draft(self.state)
                result = decide(draft, self._context())
                if await self._commit(draft):
                    return result
        raise Broken("the cluster's state keeps changing under this request: try again")

    async def run(self) -> None:
        """Decide what follows, after every change and whenever something is due."""
        not_before = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._timeout(not_before))
            self._wake.clear()
            try:
                await self._settle()
            except Refusal as refusal:
                log.error("cannot commit", why=str(refusal))
                not_before = self._clock.now() + RETRY

    def _timeout(self, not_before: float) -> float | None:
        due = 0.0 if self._unsure else self._keeper.due
        return None if due is None else max(max(due, not_before) - self._clock.now(), 0.0)

    async def _settle(self) -> None:
        async with self._lock:
            await self._be_sure()
            draft, dues = self._keeper.settle(self._context())
            if await self._commit(draft):
                self._keeper.settled(dues)

    async def _be_sure(self) -> None:
        if self._unsure:
            await self.load()
            self._unsure = False

    async def _commit(self, draft: Draft) -> bool:
        """Commit and take over; False if the state in the store turned out to be another one."""
        changes = draft.changes()
        if not changes:
            return True
        # What comes of a commit that fails, or is not waited for, is not known: from then on only
        # what the store says is the truth. The loop asks it, should nobody else.
        self._unsure = True
        self._wake.set()
        try:
            revision = await self._store.commit([_op(change) for change in changes])
        except Conflict:
            return False
        self._unsure = False
        self._tell(changes)
        self._keeper.take(changes, revision)
        return True


def _understood(item: Item) -> Record:
    try:
        return decode(item.key, item.value, item.revision)
    except UNREADABLE as error:
        raise Broken(
            f"the cluster store cannot be understood: {item.key} is damaged ({error}); restore the"
            " store from a backup"
        ) from error


def _op(change: Change) -> Op:
    name = key(change.kind, change.id)
    if change.record is None:
        return Delete(name, change.expect)
    return Put(name, encode(change.record), change.expect)
