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
from skep.cluster.bulletin import Bulletin
from skep.cluster.change import Change
from skep.cluster.context import Context
from skep.cluster.delta import says_nothing
from skep.cluster.state import Draft
from skep.manager.inquiries import Inquiries
from skep.manager.logs import LogHub
from skep.manager.manager import Manager
from skep.manager.settling import Settling
from skep.model.assignment import Assignment
from skep.model.errors import Forbidden, Missing, Refusal
from skep.model.messages import (
    Assign,
    Attach,
    Attached,
    Beat,
    Detach,
    FromAgent,
    Goodbye,
    Hello,
    Keys,
    Listening,
    LogPiece,
    Offers,
    Resync,
    StateAnswer,
    Status,
)
from skep.model.readings import Versions
from skep.wire.server import Session

LOST_AFTER = 5.0
"""Seconds after which a host counts as down whose session ended: a daemon that is restarted, or a
manager, is back within them."""

SILENT_AFTER = 1.0
"""The same for one that fell silent, which took `wire` seconds to notice already."""

MOURN_EVERY = 0.25
"""Seconds between looks for hosts that are to count as down."""

AWAY = 0.5
"""Seconds by which such a look may be late; if it is later, this manager itself stood still."""

GATHER = 0.01
"""Seconds in which the changes of several commits are gathered into one assignment."""

AT_ONCE = 50
"""How many hosts are told before others get a turn on the processor."""

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
        self._bulletin = Bulletin()
        self._links: dict[str, Link] = {}
        self._lost: dict[str, float] = {}
        self._stale = asyncio.Event()
        self._settling = Settling()
        self.logs = LogHub(manager, self._session_of)
        self.inquiries = Inquiries(self._session_of)
        manager.listen(self._changed)

    def behind(self) -> dict[str, int]:
        """Each host with a session, and how far it is behind what it was told, in revisions."""
        return self._settling.behind()

    def versions(self) -> dict[str, Versions]:
        """What each host with a session was told last, and has applied."""
        return self._settling.versions()

    def _session_of(self, node_id: str) -> Session | None:
        link = self._links.get(node_id)
        return link.session if link else None

    def _changed(self, changes: tuple[Change, ...]) -> None:
        self._bulletin.note(changes, self._manager.state)
        self._stale.set()

    async def run(self) -> None:
        """Tell hosts their assignments whenever the state changes; mark the lost as down."""
        now = time.monotonic()
        self._lost = dict.fromkeys(self._manager.state.nodes, now + LOST_AFTER)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_changes(group))
            group.create_task(self._mourn())

    async def serve(self, session: Session) -> None:
        """Live with one agent until its session ends."""
        link = Link(session)
        old = self._links.get(session.node_id)
        self._links[session.node_id] = link
        self._settling.connected(session.node_id)
        if old is not None:
            await old.session.close("a newer session of this host took over")
        try:
            await self._change(greeted(session.node_id, session.hello))
            if self._links.get(session.node_id) is link:
                self._lost.pop(session.node_id, None)
            await self._publish(link)
            async for message in session:
                await self._take(link, message)
        except Refusal as refusal:
            await session.close(str(refusal))
        finally:
            self.logs.lost(session)
            self.inquiries.lost(session)
            if self._links.get(session.node_id) is link:
                del self._links[session.node_id]
                self._settling.lost(session.node_id)
                self._stale.set()
                grace = SILENT_AFTER if session.silent else LOST_AFTER
                self._lost[session.node_id] = time.monotonic() + grace

    async def dismiss(self, node_id: str, reason: str) -> None:
        """Tell a host that it was removed, and end its session."""
        link = self._links.pop(node_id, None)
        if link is not None:
            self._settling.lost(node_id)
            with contextlib.suppress(Refusal):
                await link.session.send(Goodbye(reason=reason))
            await link.session.close(reason)

    async def _take(self, link: Link, message: FromAgent) -> None:
        node_id = link.session.node_id
        match message:
            case Status(tasks=tasks):
                await self._change(lambda d, c: control.update_status(d, c, node_id, tasks))
            case Listening(ports=ports):
                await self._change(lambda d, c: control.report_ports(d, c, node_id, ports))
            case Offers(grounds=grounds):
                await self._change(lambda d, c: control.report_grounds(d, c, node_id, grounds))
            case Keys(keys=keys):
                await self._change(lambda d, c: control.report_keys(d, c, node_id, keys))
            case Attach():
                await self._attach(link, message)
            case Detach(task_id=task_id):
                await self._change(
                    lambda d, c: control.detach(d, c, node_id=node_id, task_id=task_id)
                )
            case StateAnswer():
                await self.inquiries.take(link.session, message)
            case LogPiece():
                self.logs.take(link.session, message)
            case Resync():
                link.sent = None
                await self._publish(link)
            case Goodbye(reason=reason):
                await self._change(departed(node_id, reason))
            case Beat(applied=applied):
                if self._settling.applied(node_id, applied):
                    await self._tell_settled()
            case Hello():
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
                    networks6=request.networks6,
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

    async def _publish_changes(self, leavings: asyncio.TaskGroup) -> None:
        while True:
            await self._stale.wait()
            await asyncio.sleep(GATHER)
            self._stale.clear()
            for node_id in [id for id in self._links if id not in self._manager.state.nodes]:
                # Its end may take a while, which the others need not wait for.
                leavings.create_task(self.dismiss(node_id, "removed from the swarm"))
            for number, node_id in enumerate(self._bulletin.stale(), 1):
                link = self._links.get(node_id)
                if link is None:
                    self._bulletin.forget(node_id)
                    continue
                with contextlib.suppress(Refusal):
                    await self._publish(link)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await self._tell_settled()

    async def _tell_settled(self) -> None:
        """Tell hosts that have a task to stop how far all others have come, if that is news."""
        for node_id in self._settling.waiting():
            link = self._links.get(node_id)
            if link is not None:
                with contextlib.suppress(Refusal):
                    await self._publish(link)

    async def _publish(self, link: Link) -> None:
        """Tell a host its assignment, unless it was told that already."""
        node_id, state = link.session.node_id, self._manager.state
        async with link.lock:
            if node_id not in state.nodes or self._links.get(node_id) is not link:
                # A session that was taken over must not swallow what its successor is to hear.
                return
            made = self._bulletin.of(state, node_id)
            wanted = self._settling.noted(made, state.revision, self._bulletin.stale)
            if wanted is link.sent:
                return
            delta = self._bulletin.difference(link.sent, wanted)
            if not says_nothing(link.sent, delta):
                self._settling.told(node_id, wanted)
                await link.session.send(Assign(delta=delta))
                link.sent = wanted

    # --- losing

    async def _mourn(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(MOURN_EVERY)
            away = time.monotonic() - begun - MOURN_EVERY
            if away > AWAY:  # nobody could have come back meanwhile
                self._lost = {node_id: due + away for node_id, due in self._lost.items()}
            for node_id, due in list(self._lost.items()):
                if time.monotonic() < due:
                    continue
                del self._lost[node_id]
                try:
                    await self._change(self._lost_now(node_id))
                except Refusal as refusal:
                    log.error("cannot note that a host is lost", why=str(refusal))
                    self._lost.setdefault(node_id, due)

    def _lost_now(self, node_id: str) -> Callable[[Draft, Context], None]:
        """The decision that follows from a host's silence, if it is silent still."""

        def decide(draft: Draft, context: Context) -> None:
            if node_id not in self._links:
                lost(node_id)(draft, context)

        return decide


def greeted(node_id: str, hello: Hello) -> Callable[[Draft, Context], None]:
    """The decision that follows from a host's first message. It raises `Forbidden` for one that
    claims the tunnels of another that is there."""

    def decide(draft: Draft, context: Context) -> None:
        for other in draft.nodes.values():
            if other.id != node_id and other.vtep == hello.vtep and other.state == "ready":
                raise Forbidden(
                    f"{hello.vtep} is where the tunnels of {other.description.hostname} end: give "
                    "this host another --data-path-addr"
                )
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
