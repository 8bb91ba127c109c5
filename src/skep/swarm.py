"""This host's place in a swarm: making one, joining one, leaving it, resuming it after a restart.

The identity on disk (``wire.identity``) is what makes a host a member: it is written last when
entering and removed first when leaving, so a crash in between leaves a host that is not a member,
and whatever else was made is removed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from skep.advertise import (
    PORT,
    ended,
    joined,
    listening,
    other_end,
    reach,
    reached_by,
    split,
)
from skep.agent.agent import Agent
from skep.api.ports import InitRequest, JoinRequest, Membership
from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.state import Draft, State
from skep.founding import found
from skep.kernel.kernel import Kernel
from skep.kernel.rousing import rouse
from skep.manager.asker import Cluster
from skep.manager.manager import Manager
from skep.manager.readings import read_cluster
from skep.model.cluster import NodeDescription, Tokens
from skep.model.errors import Broken, Refusal, Unavailable
from skep.model.messages import FromAgent, Hello, LogPiece
from skep.model.readings import ClusterReadings, Versions
from skep.seat import Seat, remove_store, set_store_aside
from skep.upkeep import Upkeep
from skep.wire import identity as identities
from skep.wire.calls import Candidate
from skep.wire.client import AgentConnection, join
from skep.wire.identity import Identity
from skep.wire.tokens import format_token

T = TypeVar("T")

MANAGE_AGAIN = 5.0
"""Seconds until a manager whose store could not be used tries it again."""

SETTLED_WITHIN = 20.0
"""Seconds that init and join wait for the host's first assignment."""

NOT_A_MEMBER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect '
    "this node to swarm and try again."
)
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager."
)
ALREADY_A_MEMBER = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join '
    "another one."
)
LAST_MANAGER = (
    "You are attempting to leave the swarm on a node that is participating as a manager. Removing "
    "the last manager erases all current state of the swarm. Use `--force` to ignore this message."
)

log = structlog.get_logger("skep.swarm")


class Swarm:
    """The membership of one host. Implements the API's ``ClusterPort``."""

    def __init__(
        self, agent: Agent, kernel: Kernel, state: Path, describe: Callable[[], NodeDescription]
    ) -> None:
        self._agent = agent
        self._describe = describe
        self._kernel = kernel
        self._state = state
        self._home = state / "swarm"
        self._identity: Identity | None = None
        self._seat: Seat | None = None
        self._connection: AgentConnection | None = None
        self._running: list[asyncio.Task[None]] = []
        self._busy = asyncio.Lock()
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error = ""
        self._unable = ""
        self.on_manager: Callable[[Manager], None] = lambda _: None
        self.on_identity: Callable[[Identity | None], None] = lambda _: None
        self._upkeep = Upkeep(
            kernel, lambda: self._identity, self._managers, self._adopt, self._moved
        )
        agent.on_removed = lambda _: asyncio.create_task(self._thrown_out())
        agent.on_stirred = self._upkeep.stir

    # --- what is

    def membership(self) -> Membership:
        """This host's place in a swarm."""
        identity = self._identity
        if identity is None:
            return Membership(error=self._error)
        cluster = self._seat.manager.state.cluster if self._seat else None
        tokens = Tokens("", "")
        if cluster is not None:
            tokens = Tokens(
                worker=format_token(cluster.ca_certificate, cluster.tokens.worker),
                manager=format_token(cluster.ca_certificate, cluster.tokens.manager),
            )
        return Membership(
            state="active",
            error=self._unable,
            node_id=identity.subject.node_id,
            address=identity.address,
            manager=self._seat is not None,
            managers=self._managers(identity),
            cluster=cluster,
            join_tokens=tokens,
        )

    def _managers(self, identity: Identity) -> dict[str, str]:
        peers = self._agent.uplink.assignment.peers.values()
        known = {peer.id: peer.manager_address for peer in peers if peer.manager_address}
        # Where this host is itself, nobody knows better.
        own = {key: at for key, at in identity.managers.items() if key == identity.subject.node_id}
        return {**known, **own} or dict(identity.managers)

    def state(self) -> State:
        """The cluster's state. Raises `Unavailable` if this host is not a manager."""
        return self._must().manager.state

    def known(self) -> State | None:
        """The cluster's state; None if this host is not a manager."""
        return self._seat.manager.state if self._seat else None

    async def change(self, decide: Callable[[Draft, Context], T]) -> T:
        """Take a decision and commit it. Raises its refusal; `Unavailable` if not a manager."""
        seat = self._must()
        nodes = set(seat.manager.state.nodes)
        result = await seat.manager.change(decide)
        for node_id in nodes - set(seat.manager.state.nodes):
            await seat.sessions.dismiss(node_id, "removed from the swarm")
        return result

    def logs(self, task_id: str, options: Mapping[str, str]) -> AsyncGenerator[LogPiece, None]:
        """The log of a task's container, from the host it runs on. Raises `Missing`,
        `Unavailable` if this host is not a manager."""
        seat = self._must()
        return seat.sessions.logs.read(seat.manager.state.find_task(task_id), options)

    def _must(self) -> Seat:
        if self._seat is None:
            why = NOT_A_MANAGER if self._identity else NOT_A_MEMBER
            raise Unavailable(self._unable or why)
        return self._seat

    def readings(self) -> ClusterReadings | None:
        """What a manager measures; None if this host is none."""
        seat = self._seat
        return read_cluster(seat.manager.state, seat.sessions.behind()) if seat else None

    def versions(self) -> Mapping[str, Versions]:
        """How far each host with a session has come, by node id; nothing if not a manager."""
        return self._seat.sessions.versions() if self._seat else {}

    def looking(self) -> Cluster | None:
        """What a manager looks into the cluster with; None if this host is none."""
        seat = self._seat
        return Cluster(seat.manager, seat.sessions.inquiries, seat.path) if seat else None

    # --- making, joining, leaving

    async def init(self, request: InitRequest) -> str:
        """Make a new swarm with this host as its manager; answers the node's id."""
        async with self._busy:
            if self._identity is not None:
                raise Unavailable(ALREADY_A_MEMBER)
            own = await self._kernel.addresses()
            here = reach(request.advertise_address, request.data_path_address, own)
            listen = reached_by(listening(request.listen_address, own), here.address)
            settled = msgspec.structs.replace(request, listen_address=listen)
            new = found(settled, self._describe(), here)
            identity = new.identity
            try:
                seat = await self._sit_down()
                await seat.manager.change(
                    lambda d, c: control.init_cluster(d, c, cluster=new.cluster, node=new.node)
                )
                await self._serve(seat, identity)
                identities.save(self._home, identity)
                await self._enter(identity)
            except BaseException:
                await self._tear_down()
                raise
            return identity.subject.node_id

    async def join(self, request: JoinRequest) -> None:
        """Join the swarm that the token belongs to."""
        async with self._busy:
            if self._identity is not None:
                raise Unavailable(ALREADY_A_MEMBER)
            own = await self._kernel.addresses()
            here = reach(request.advertise_address, request.data_path_address, own)
            candidate = Candidate(
                description=self._describe(),
                address=here.address,
                vtep=here.vtep,
                other_vtep="" if request.data_path_address else other_end(here, own),
                availability=request.availability,
            )
            taken = await join(request.remotes, request.token, candidate)
            identity = Identity(
                credentials=taken.credentials,
                managers=taken.managers,
                **msgspec.structs.asdict(ended(here, taken.vtep, own)),
            )
            identities.save(self._home, identity)
            try:
                await self._enter(identity)
            except BaseException:
                await self._tear_down()
                raise

    async def leave(self, force: bool) -> None:
        """Leave the swarm; the last manager only by force."""
        async with self._busy:
            if self._identity is None:
                raise Unavailable("This node is not part of a swarm")
            if _is_manager(self._identity) and not force:
                raise Unavailable(LAST_MANAGER)
            await self._agent.uplink.goodbye("this host left the swarm")
            await self._tear_down()

    async def _thrown_out(self) -> None:
        async with self._busy:
            if self._identity is not None and not _is_manager(self._identity):
                await self._tear_down()
                self._error = "this node was removed from its swarm by a manager"

    async def resume(self) -> None:
        """Take up the membership that is on disk, if there is one."""
        identity = identities.load(self._home)
        if identity is None:
            set_store_aside(self._state)
            return
        identity = await self._upkeep.located(identity)
        manages = not _is_manager(identity) or await self._resume_manager(identity)
        await self._enter(identity, wait=False)
        if not manages:
            self._spawn(self._manage_later(identity))

    async def _resume_manager(self, identity: Identity) -> bool:
        """Manage the swarm again; False if that cannot be, which its users are told."""
        try:
            seat = await self._sit_down()
            if seat.manager.state.cluster is None:
                raise Broken(f"the cluster store {seat.path} is empty; restore it from a backup")
            await seat.moved(identity, identity.listen_address)
            await self._serve(seat, identity)
        except Refusal as refusal:
            await self._stand_up()
            self._unable = f"this host cannot manage its swarm now: {refusal}"
            log.error("cannot manage the swarm", why=str(refusal))
            return False
        self._unable = ""
        return True

    async def _manage_later(self, identity: Identity) -> None:
        """Room is made on a disk, or a file restored: then go on. The host serves on meanwhile."""
        await asyncio.sleep(MANAGE_AGAIN)
        while not await self._resume_manager(identity):
            await asyncio.sleep(MANAGE_AGAIN)

    async def close(self) -> None:
        """Stop taking part, staying a member."""
        if self._connection is not None:
            await self._connection.close("this host's daemon is stopping")
            self._connection = None
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        await self._stand_up()

    # --- how

    async def _sit_down(self) -> Seat:
        self._seat = await Seat.open(self._state)
        self.on_manager(self._seat.manager)
        return self._seat

    async def _serve(self, seat: Seat, identity: Identity) -> None:
        for work in await seat.serve(identity):
            self._spawn(work)

    async def _stand_up(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None:
            await seat.close()

    async def _enter(self, identity: Identity, *, wait: bool = True) -> None:
        self._identity = identity
        self._error = ""
        self.on_identity(identity)
        await self._agent.enter(identity.vtep)
        if self._agent.mesh is not None:
            self._agent.mesh.on_elsewhere = self._seen_elsewhere
        self._connection = AgentConnection(
            identity.credentials, self._managers(identity), self._greeting, rouse
        )
        self._spawn(self._upkeep.keep())
        self._spawn(self._upkeep.follow())
        self._spawn(self._agent.uplink.run(self._connection))
        if wait:
            await self._settle()

    def _greeting(self) -> list[FromAgent]:
        me = self._identity
        assert me is not None, "a session is a member's"
        hello = Hello(description=self._describe(), address=me.address, vtep=me.vtep)
        return self._agent.uplink.greeting(hello)

    async def _settle(self) -> None:
        """Wait for the first assignment, and for the kernel to follow it."""
        try:
            async with asyncio.timeout(SETTLED_WITHIN):
                while not self._agent.uplink.assignment.index:
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise Unavailable("the manager accepted this host but sent it no assignment") from error
        await self._agent.network.converger.converge()

    async def _tear_down(self) -> None:
        """Undo membership, as far as it got."""
        identities.remove(self._home)
        self._identity = None
        self.on_identity(None)
        self._unable = ""
        await self.close()
        remove_store(self._state)
        with contextlib.suppress(Refusal):
            await self._agent.depart()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._running.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by an exception is a bug of ours: the daemon must end with it."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not self._fault.done():
            self._fault.set_exception(fault)

    # --- keeping

    async def watch(self) -> None:
        """Raise the exception that a part of the membership ended with, if ever."""
        await asyncio.shield(self._fault)

    def _adopt(self, identity: Identity) -> None:
        identities.save(self._home, identity)
        self._identity = identity
        self.on_identity(identity)
        if self._connection is not None:
            self._connection.renewed(identity.credentials)
            self._connection.update_managers(identity.managers)
        if self._seat is not None:
            self._seat.renewed(identity.credentials)

    async def _moved(self, identity: Identity) -> None:
        """This host has other addresses: its tunnels, the managers and its session follow."""
        if self._seat is not None and self._identity is not None:
            await self._seat.moved(identity, self._identity.listen_address)
        self._adopt(identity)
        await self._agent.move(identity.vtep)
        if self._connection is not None:
            await self._connection.again("this host has another address")

    def _seen_elsewhere(self, node_id: str, address: str) -> None:
        """A member was heard from where it is not known to be: a manager may have moved."""
        known = self._managers(self._identity) if self._identity else {}
        if node_id in known and self._connection is not None:
            self._connection.hint(joined(address, split(known[node_id], PORT)[1]))


def _is_manager(identity: Identity) -> bool:
    """Whether the host's certificate says that it manages the swarm."""
    return identity.subject.role == "manager"
