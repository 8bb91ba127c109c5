"""One host's agent: starts from what is on disk and in the kernel, follows the engine's events and
the cluster's assignments, and keeps going through the loss of either."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import msgspec
import structlog

from skep.agent.applier import Applier
from skep.agent.binding import published
from skep.agent.comparing import Comparison
from skep.agent.containers import Containers
from skep.agent.converge import Converger
from skep.agent.drain import Draining
from skep.agent.finals import Finals
from skep.agent.health import Health
from skep.agent.inspection import Inspector
from skep.agent.listening import Listeners
from skep.agent.localnets import LocalNetworks
from skep.agent.locals import GATEWAY_BRIDGE, Locals
from skep.agent.logs import Logs
from skep.agent.mesh import Mesh
from skep.agent.network import Network, new_local_id
from skep.agent.opening import Opening
from skep.agent.orphans import Orphans
from skep.agent.payloads import Payloads
from skep.agent.plugging import Plugging
from skep.agent.ports import HostPorts
from skep.agent.rebooted import start_again
from skep.agent.records import Records, endpoint_of
from skep.agent.secure import Secure
from skep.agent.tasks import Clients, Tasks
from skep.agent.uplink import Uplink
from skep.agent.view import Underlay
from skep.dns.client import DnsClient
from skep.dns.supervise import ensure
from skep.engine.client import Engine
from skep.engine.events import CONNECTED, ContainerEvent
from skep.kernel import sysctl
from skep.kernel.kernel import Kernel
from skep.model.assignment import Assignment
from skep.model.cluster import TaskStatus
from skep.model.errors import Missing, Refusal
from skep.model.netstate import HOST, NETNS_DIR

WATCH = 2.0
"""Seconds between looks at whether skep-dns is alive."""

BEAT = 1.0
"""Seconds between the agent's signs of life."""

log = structlog.get_logger("skep.agent")


class Agent:
    """One host. ``tell`` is called with every event of the engine, for the API's event stream."""

    def __init__(
        self, kernel: Kernel, engine: Engine, state: Path, run: Path,
        tell: Callable[[ContainerEvent], None],
    ) -> None:  # fmt: skip
        self._kernel = kernel
        self._engine = engine
        self._state = state
        self._run = run
        self._tell = tell
        self._dns = DnsClient(str(run / "dns.sock"))
        records = Records(state / "containers")
        self.network = Network(
            records,
            Locals(state / "networks.json"),
            lambda view: Converger(kernel, view),
            self._dns,
            state / "sandboxes",
        )
        self.containers = Containers(self.network, engine)
        self.networks = LocalNetworks(self.containers, self.network, kernel)
        self.plugging = Plugging(kernel, self.network, self.containers, state)
        self.network.ensure_gateway = self._ensure_gateway
        logs = Logs(engine)
        self.uplink = Uplink(state / "assignment", self._assigned, self._removed, logs)
        self.health = Health(engine, self._health_changed, self.containers.health_check)
        self.containers.health = self.health.statuses
        payloads = Payloads(run / "payloads")
        clients = Clients(Opening(kernel.listeners), Draining(kernel.connections))
        self._finals = Finals(state / "finals")
        self.tasks = Tasks(self.containers, self.health, payloads, clients, self._report)
        self._listeners = Listeners(
            kernel.taken, kernel.holders, self.uplink.listening,
            lambda: published(self.network.view()),
        )  # fmt: skip
        self.network.ports = HostPorts(kernel.listeners, self._listeners.look)
        self.network.ports.addresses = kernel.addresses
        self.applier = Applier(self._apply, self.uplink.beat)
        self.inspector = Inspector(kernel, self.network, self._dns, state, run)
        self.inspector.mesh = lambda: self.mesh
        self.uplink.on_read_state = self.inspector.read
        self.uplink.on_stop_state = self.inspector.stop
        self._stirred = asyncio.Event()
        self.network.converger.on_notice = self._host_changed
        self._orphans = Orphans(records, self.uplink, self.containers.is_busy)
        self._comparison = Comparison(self.containers, self.network, engine, self._ended)
        self.mesh: Mesh | None = None
        self.secure = Secure(kernel, self.network, state / "tunnel-keys", self.uplink.keys)
        self.network.encryption = self.secure.pairs
        self.on_removed: Callable[[str], Any] | None = None
        self.on_stirred: Callable[[], None] = lambda: None

    async def load(self) -> None:
        """Read what is on disk. Raises `Broken` if it cannot be read.

        Nothing is touched before `adopt`: what a host is depends on whether it is in a swarm.
        """
        for directory in (self._state, self._run):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        finals = self._finals.load()
        self.tasks.statuses.update(finals)
        # Nobody may have heard them: what is never said again keeps the addresses of its task.
        self.uplink.statuses.update(finals)
        self.network.records.load()
        for line in self.network.records.unreadable:
            log.error("record set aside", file=line)
        self.network.locals.load()
        self.network.shared.load()
        self.plugging.load()
        self.network.cursor.load()
        self.network.locals.ensure_defaults(new_local_id, time.time(), await self._prefixes())
        self._readdress()

    def _readdress(self) -> None:
        """Give docker0 the address that this host was told, once no container has one of the old
        subnet."""
        new = self.network.locals.readdressed()
        if new is None:
            return
        held = [r.name for r in self.network.records if endpoint_of(r, new.id) is not None]
        if held:
            log.warning("docker0 keeps its address: containers are on it", containers=held)
        else:
            self.network.locals.replace(new)

    async def adopt(self) -> None:
        """Take over what runs: containers, kernel, names. Changes only what differs."""
        in_swarm = any(record.task_id or record.attachments for record in self.network.records)
        if self.network.uplink is not None and in_swarm:
            await self.uplink.have_assignment()
        await self._check(await self._comparison.begin())
        self.network.etc.drop_surplus()
        self.network.changed()
        await self._ensure_names()
        outcome = await self.network.converger.converge()
        log.info("started", kernel_changes=len(outcome.ops), refused=len(outcome.failures))
        await self.network.sync_names()

    async def run(self) -> None:
        """Follow the kernel, the engine and the clock until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.network.converger.run())
            group.create_task(self.applier.run())
            group.create_task(self.health.run())
            group.create_task(self.tasks.run())
            group.create_task(self._follow_engine())
            group.create_task(self._comparison.run())
            group.create_task(start_again(self.containers, self._engine))
            group.create_task(self._keep_names())
            group.create_task(self._beat())
            group.create_task(self._follow_underlay())
            group.create_task(self._listeners.run())
            group.create_task(self.secure.run())
            group.create_task(self.plugging.run())

    # --- the swarm

    async def enter(self, vtep: str) -> None:
        """This host is in a swarm, its tunnels end at ``vtep``: take up the last assignment."""
        self.network.underlay = await self._underlay(vtep)
        await self._ensure_gateway()
        self.network.uplink = self.uplink
        await self.networks.offer()
        self.mesh = Mesh("::" if self.network.underlay.ipv6 else "0.0.0.0")
        self.mesh.mtu, self.mesh.own = self.network.underlay.mtu, vtep
        self.network.paths.load()
        self.mesh.recall(self.network.paths.clear)
        self.mesh.on_narrow = self.network.paths.found
        await self.mesh.start()
        self.uplink.load()
        await self.secure.enter()
        if self.uplink.assignment.index:
            self._take_up(self.uplink.assignment)
        with contextlib.suppress(Refusal):
            await self.secure.look()

    async def _ensure_gateway(self) -> None:
        """Have docker_gwbridge."""
        self.network.locals.ensure_gateway(new_local_id, time.time(), await self._prefixes())
        self.network.changed()

    async def _underlay(self, vtep: str) -> Underlay:
        """What there is of the host's own network when it enters a swarm."""
        ipv6, heard = await self._kernel.within(HOST, sysctl.ipv6)
        # Containers are no routers: on links of ours their advertisements are not to be heard.
        ours = (await self._kernel.observe({HOST}))[HOST].links
        try:
            mtu = await self._kernel.mtu_of(vtep)
        except Missing as missing:
            # A host comes up before its links do: what most of them carry, until it is known.
            log.warning("no underlay", why=str(missing))
            mtu = Underlay().mtu
        return Underlay(
            vtep=vtep,
            mtu=mtu,
            ipv6=ipv6,
            advertised_to=tuple(link for link in heard if link not in ours),
        )

    def _host_changed(self, namespaces: Collection[str]) -> None:
        if HOST in namespaces:
            self._stirred.set()
            self.on_stirred()

    async def _follow_underlay(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            if self.network.underlay.vtep:
                await self._remeasure(self.network.underlay)

    async def _remeasure(self, underlay: Underlay) -> None:
        """If the MTU under the tunnels is another one now, the networks follow."""
        try:
            mtu = await self._kernel.mtu_of(underlay.vtep)
        except Refusal as refusal:
            # The link or its address is gone for now: the networks stay as they are.
            log.warning("no underlay", why=str(refusal))
            return
        if mtu != underlay.mtu:
            log.info("underlay changed", mtu=mtu, was=underlay.mtu)
            self._stand(msgspec.structs.replace(underlay, mtu=mtu))

    def _stand(self, underlay: Underlay) -> None:
        self.network.underlay = underlay
        self.network.changed()
        self.network.converger.want()
        if self.mesh is not None:
            self.mesh.mtu, self.mesh.own = underlay.mtu, underlay.vtep

    async def move(self, vtep: str) -> None:
        """This host's tunnels end at another address from now on."""
        self._stand(msgspec.structs.replace(self.network.underlay, vtep=vtep))
        await self._remeasure(self.network.underlay)

    async def depart(self) -> None:
        """This host left its swarm: stop its tasks, take its overlays and names away."""
        await self._assigned(Assignment())
        for record in list(self.network.records):
            if record.task_id or record.attachments:
                container = self.containers.find(record.id)
                try:
                    await self.containers.stop(container, 0)
                    if record.task_id:
                        await self.containers.remove(container, force=True, volumes=True)
                except Refusal as refusal:
                    log.warning("container not stopped", id=record.id, why=str(refusal))
        await self.secure.leave()
        self.uplink.forget()
        self.network.uplink = None
        self.network.underlay = Underlay()
        gateway = self.network.locals.named(GATEWAY_BRIDGE)
        # A container on a plugin's network may still go out by it.
        if gateway is None or all(endpoint_of(r, gateway.id) is None for r in self.network.records):
            self.network.locals.drop_gateway()
        self._leave_links()
        self.network.changed()
        if self.mesh is not None:
            await self.mesh.close()
            self.mesh = None
        self.network.paths.forget()
        await self.network.converger.converge()

    async def _assigned(self, assignment: Assignment) -> None:
        self._take_up(assignment)
        await self.secure.assigned(assignment)
        self.applier.assigned(assignment.index)

    async def _report(self, statuses: dict[str, TaskStatus]) -> None:
        self._finals.note(statuses)
        await self.uplink.report(statuses)

    async def _apply(self) -> bool:
        outcome = await self.network.converger.catch_up()
        await self.network.sync_names()
        return not outcome.failures

    def _take_up(self, assignment: Assignment) -> None:
        self.network.assignment = assignment
        self._leave_links()
        self._finals.keep_only(assignment.tasks)
        self.tasks.assigned(assignment)
        if self.mesh is not None:
            others = {peer.id: peer.address for peer in assignment.peers.values()}
            ends = {peer.id: peer.vtep for peer in assignment.peers.values()}
            self.mesh.set_peers(assignment.node_id, assignment.mesh_key, others, ends)

    def _leave_links(self) -> None:
        """Forget on which links networks were that are gone, or not this host's business now."""
        self.network.shared.keep_only(self.network.used() | self.network.assignment.networks.keys())
        self.network.changed()

    async def _removed(self, reason: str) -> None:
        log.warning("removed from the swarm", why=reason)
        if self.on_removed is not None:
            self.on_removed(reason)

    # --- following

    async def _follow_engine(self) -> None:
        async for event in self._engine.events():
            self._tell(event)
            if event.action == CONNECTED:
                await self._survive(self._compare())
                continue
            if event.kind != "container":
                continue
            if event.action == "start":
                await self._survive(self.containers.revived(event.id))
                await self._survive(self.health.started(event.id))
            elif event.action == "die":
                await self._ended(event.id)
            elif event.action == "remove":
                await self._survive(self.containers.vanished(event.id))

    async def _ended(self, container_id: str) -> None:
        self.health.ended(container_id)
        self.tasks.heard(container_id)
        await self._survive(self.containers.died(container_id))

    async def _health_changed(self, container_id: str, status: str) -> None:
        self.tasks.heard(container_id)
        self._tell(
            ContainerEvent(id=container_id, action=f"health_status: {status}", time=time.time())
        )

    async def _survive(self, work: Any) -> None:
        try:
            await work
        except Refusal as refusal:
            log.warning("not cleaned up yet", why=str(refusal))
            self.network.converger.want()

    async def _keep_names(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            await self._ensure_names()
            await self.network.sync_names()

    async def _ensure_names(self) -> None:
        """Have skep-dns. All else goes on without it, until the next look."""
        try:
            await ensure(self._run / "dns.sock", self._run / "dns.log", NETNS_DIR)
        except Refusal as refusal:
            log.error("skep-dns does not start", why=str(refusal))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self.uplink.beat(self.applier.applied)
            await self._orphans.give_back()

    # --- adopting

    async def _compare(self) -> None:
        """Bring the records to what the engine has."""
        await self._check(await self._comparison.compare())

    async def _check(self, running: Collection[str]) -> None:
        """Take up the checks of those that run."""
        for container_id in running:
            await self._survive(self.health.started(container_id))

    async def _prefixes(self) -> list[str]:
        """The prefixes that this host's links have and that it has routes to, our own bridges'
        aside."""
        ours = {bridge.name for bridge in self.network.locals.bridges()}
        found = (*await self._kernel.addresses(), *await self._kernel.routed())
        return [prefix for link, prefix in found if link not in ours]
