"""The agents' sessions: what each host is told, and what its word counts for.

A host speaks only for itself: its node id comes from its certificate, and its reports touch only
tasks that are assigned to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from skep.cluster import control
from skep.cluster.assign import assign
from skep.cluster.change import Change
from skep.cluster.context import Context
from skep.cluster.delta import difference
from skep.cluster.state import Draft
from skep.manager.manager import Manager
from skep.model.assignment import Assignment
from skep.model.errors import Missing, Refusal
from skep.model.messages import (
    Assign,
    Attach,
    Attached,
    Beat,
    Detach,
    FromAgent,
    Goodbye,
    Hello,
    Resync,
    Status,
)
from skep.wire.server import Session

LOST_AFTER = 3.0
"""Seconds without a session after which a host counts as down."""

GATHER = 0.01
"""Seconds in which the changes of several commits are gathered into one assignment."""

log = structlog.get_logger("skep.sessions")


class Link:
    """One host's current session and the assignment it was last sent."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sent: Assignment | None = None
        self.lock = asyncio.Lock()


class Sessions:
    """All sessions of this manager."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._links: dict[str, Link] = {}
        self._lost: dict[str, float] = {}
        self._stale = asyncio.Event()
        manager.listen(self._changed)

    def _changed(self, _: tuple[Change, ...]) -> None:
        self._stale.set()

    async def run(self) -> None:
        """Tell hosts their assignments whenever the state changes; mark the lost as down."""
        now = time.monotonic()
        self._lost = dict.fromkeys(self._manager.state.nodes, now)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_changes())
            group.create_task(self._mourn())

    async def serve(self, session: Session) -> None:
        """Live with one agent until its session ends."""
        link = Link(session)
        old = self._links.get(session.node_id)
        self._links[session.node_id] = link
        if old is not None:
            await old.session.close("a newer session of this host took over")
        try:
            await self._change(greeted(session.node_id, session.hello))
            self._lost.pop(session.node_id, None)
            await self._publish(link)
            async for message in session:
                await self._take(link, message)
        except Refusal as refusal:
            await session.close(str(refusal))
        finally:
            if self._links.get(session.node_id) is link:
                del self._links[session.node_id]
                self._lost[session.node_id] = time.monotonic()

    async def dismiss(self, node_id: str, reason: str) -> None:
        """Tell a host that it was removed, and end its session."""
        link = self._links.pop(node_id, None)
        if link is not None:
            with contextlib.suppress(Refusal):
                await link.session.send(Goodbye(reason=reason))
            await link.session.close(reason)

    async def _take(self, link: Link, message: FromAgent) -> None:
        node_id = link.session.node_id
        match message:
            case Status(tasks=tasks):
                await self._change(lambda d, c: control.update_status(d, c, node_id, tasks))
            case Attach():
                await self._attach(link, message)
            case Detach(task_id=task_id):
                await self._change(
                    lambda d, c: control.detach(d, c, node_id=node_id, task_id=task_id)
                )
            case Resync():
                link.sent = None
                await self._publish(link)
            case Goodbye(reason=reason):
                await self._change(departed(node_id, reason))
            case Beat() | Hello():
                pass

    async def _attach(self, link: Link, request: Attach) -> None:
        node_id = link.session.node_id
        try:
            task = await self._manager.change(
                lambda d, c: control.attach(
                    d, c,
                    node_id=node_id,
                    container_id=request.container_id,
                    container_name=request.container_name,
                    networks=request.networks,
                    names=request.names,
                    aliases=request.aliases,
                )
            )  # fmt: skip
        except Refusal as refusal:
            answer = Attached(serial=request.serial, refusal=str(refusal), status=refusal.status)
        else:
            # The host must know the network before it hears of its address there.
            await self._publish(link)
            answer = Attached(serial=request.serial, task_id=task.id, attachments=task.attachments)
        await link.session.send(answer)

    async def _change(self, decide: Callable[[Draft, Context], object]) -> None:
        try:
            await self._manager.change(decide)
        except Missing as refusal:
            log.info("report about something gone", why=str(refusal))

    # --- telling

    async def _publish_changes(self) -> None:
        while True:
            await self._stale.wait()
            await asyncio.sleep(GATHER)
            self._stale.clear()
            for link in list(self._links.values()):
                with contextlib.suppress(Refusal):
                    await self._publish(link)

    async def _publish(self, link: Link) -> None:
        async with link.lock:
            if link.session.node_id not in self._manager.state.nodes:
                return
            wanted = assign(self._manager.state, link.session.node_id)
            if link.sent is not None and same(wanted, link.sent):
                return
            await link.session.send(Assign(delta=difference(link.sent, wanted)))
            link.sent = wanted

    # --- losing

    async def _mourn(self) -> None:
        while True:
            await asyncio.sleep(LOST_AFTER / 6)
            now = time.monotonic()
            for node_id, since in list(self._lost.items()):
                if now - since >= LOST_AFTER:
                    self._lost.pop(node_id)
                    await self._change(lost(node_id))


def same(one: Assignment, other: Assignment) -> bool:
    """Whether two assignments differ in nothing but the revision they were made at."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in one.__struct_fields__
        if name != "index"
    )


def greeted(node_id: str, hello: Hello) -> Callable[[Draft, Context], None]:
    """The decision that follows from a host's first message."""

    def decide(draft: Draft, context: Context) -> None:
        control.update_node_status(
            draft, context, node_id, state="ready", message="",
            description=hello.description, address=hello.address, vtep=hello.vtep,
        )  # fmt: skip

    return decide


def lost(node_id: str) -> Callable[[Draft, Context], None]:
    """The decision that follows from a host's silence."""

    def decide(draft: Draft, context: Context) -> None:
        control.update_node_status(
            draft, context, node_id, state="down", message="no session with this host"
        )

    return decide


def departed(node_id: str, reason: str) -> Callable[[Draft, Context], None]:
    """The decision that follows from a host's goodbye."""

    def decide(draft: Draft, context: Context) -> None:
        control.update_node_status(draft, context, node_id, state="down", message=reason)

    return decide
