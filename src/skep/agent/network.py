"""Attaching containers to networks and taking them off: addresses, sandbox, names, files, in order.

What a crash interrupts is repaired by order: the record is written before the kernel is touched,
and the kernel is made from records alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from skep.agent.addresses import Lease
from skep.agent.attaching import SETUP_FAILED, Given, attach, detach
from skep.agent.binding import exposed
from skep.agent.converge import Converger, describe
from skep.agent.cursor import Cursor
from skep.agent.etc import EtcFiles, host_resolv
from skep.agent.files import upstreams
from skep.agent.handing import MADE
from skep.agent.laying import Ground, lay_out, led_out, needs_bridge, parted, reachable
from skep.agent.locals import Locals
from skep.agent.paths import Paths
from skep.agent.ports import HostPorts
from skep.agent.records import Record, Records, Wanted
from skep.agent.remotes import (
    Remotes,
    asked_of_plugins,
    is_plugins_to_publish,
    places_of,
    remotes_of,
    replaced,
)
from skep.agent.shared import Shared
from skep.agent.uplink import Uplink
from skep.agent.view import Underlay, host_view
from skep.dns.client import DnsClient
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Task
from skep.model.errors import (
    Broken,
    Refusal,
)
from skep.model.host import Binding, Endpoint, HostView
from skep.model.ids import hex_id
from skep.model.naming import STACK_LABEL, NameTable, SandboxNames
from skep.model.options import read_options
from skep.model.secure import Pair, TunnelKey
from skep.model.spec import PortConfig
from skep.names.zones import Zones, ndots
from skep.plan.desired import namespaces_of

NO_NETWORK = ("none", "null")

log = structlog.get_logger("skep.network")


def new_local_id() -> str:
    """A fresh 64-digit id."""
    return hex_id(secrets.token_bytes(32))


class Network:
    """The networking of one host: its view, and the changes of it that containers cause."""

    def __init__(
        self,
        records: Records,
        locals_: Locals,
        converger_of: Callable[[Callable[[], HostView]], Converger],
        dns: DnsClient,
        files: Path,
    ) -> None:
        self.records = records
        self.locals = locals_
        self.shared = Shared(files.with_name("lowers.json"))
        self.assignment = Assignment()
        self.underlay = Underlay()
        self.balancer = "nft"
        self.keys: tuple[TunnelKey, ...] = ()
        self.secure_slots: dict[str, int] = {}
        self.paths = Paths(files.parent / "paths", self._narrowed)
        self.encryption: Callable[[], tuple[Pair, ...]] = lambda: ()
        self.uplink: Uplink | None = None
        self.ports: HostPorts | None = None
        self.remotes: Remotes | None = None
        self.ensure_gateway: Callable[[], Awaitable[None]] = _nothing
        self.converger = converger_of(self.view)
        self._dns = dns
        self.etc = EtcFiles(files, records, locals_)
        self._zones = Zones()
        self._layout = asyncio.Lock()
        self.cursor = Cursor(files.with_name("addresses.json"))
        self._view: HostView | None = None

    # --- what is

    def view(self) -> HostView:
        """What this host's kernel is made from, now."""
        if self._view is None:
            view = host_view(self.assignment, self.records, self.locals.bridges(), self.underlay)
            self._view = msgspec.structs.replace(
                view,
                balancer=self.balancer,
                lowers=(*self.locals.lowers(), *self.shared.lowers()),
                remotes=remotes_of(self.locals.all()),
                keys=self.keys,
                secure_slots=self.secure_slots,
                paths=self.paths.clear,
                secure_paths=self.paths.sealed,
            )
        return self._view

    def changed(self) -> None:
        """Something that the view is made of changed."""
        self._view = None

    def _narrowed(self) -> None:
        self.changed()
        self.converger.want()

    def swarm_network(self, reference: str) -> NetworkAssignment | None:
        """A swarm network that this host knows of, by id, name or unique prefix of its id."""
        networks = self.assignment.networks
        if reference in networks:
            return networks[reference]
        named = [n for n in networks.values() if n.spec.name == reference]
        found = named or [n for n in networks.values() if n.id.startswith(reference)]
        return found[0] if len(found) == 1 else None

    def names(self) -> NameTable:
        """What skep-dns should answer on this host."""
        known = self._zones.contests
        table = self._zones.table(self.view(), upstreams(host_resolv()))
        for contest in self._zones.contests - known:
            log.warning("a name is claimed by several services", **msgspec.to_builtins(contest))
        boxes = dict(table.sandboxes)
        for record in self.records:
            box = record.sandbox
            if box and box.namespace in boxes:
                boxes[box.namespace] = own_names_of(record, boxes[box.namespace])
        return msgspec.structs.replace(table, sandboxes=boxes)

    # --- what is done

    async def prepare(self, record: Record) -> None:
        """Make the container's empty sandbox and files, so that the engine can create it."""
        self.etc.write(record)
        await self._apply(record, set())

    async def join(self, record: Record, task: Task | None) -> Record:
        """Attach a container to all its networks: when it returns, packets and names flow.

        ``task`` is the service task it runs, if any: its addresses come with it. Raises the
        refusal that keeps it from attaching, after undoing what was begun.
        """
        given = await self._addresses(record, task)
        attachments = task.attachments if task else tuple(each for _, each in given.values())
        held = {network: task_id for network, (task_id, _) in given.items()}
        try:
            await self.shared.provide(self.assignment, attachments, self.used())
            self.changed()
            async with self._leased(record, record.wanted) as leases:
                async with self._layout:
                    ports = await self._choose_ports(task)
                    record = lay_out(record, task, attachments, self._ground(leases))
                    record = msgspec.structs.replace(record, attachments=held, ports=ports)
                    record = await self._bind(record)
                    self._put(record)
                record = await self._hand_over(record)
                self.etc.write(record)
                self.etc.relink(record.name)
                await self._apply(record, set())
        except Refusal:
            await detach(self.uplink, held.values())
            await self.part(msgspec.structs.replace(record, attachments={}))
            raise
        return record

    async def connect(self, record: Record, item: Wanted) -> Record:
        """Attach a container to one more network while it runs. Raises what `join` does, after
        undoing what was begun."""
        before, former = self._namespaces(record), record
        wanted = msgspec.structs.replace(record, wanted=(*record.wanted, item))
        given = await self._addresses(wanted, None, only=item)
        attachments = tuple(each for _, each in given.values())
        held = {network: task_id for network, (task_id, _) in given.items()}
        try:
            await self.shared.provide(self.assignment, attachments, self.used())
            self.changed()
            async with self._leased(record, [item]) as leases:
                async with self._layout:
                    grown = lay_out(wanted, None, attachments, self._ground(leases))
                    held_all = {**record.attachments, **held}
                    grown = msgspec.structs.replace(grown, attachments=held_all)
                    self._put(grown)
                grown = await self._hand_over(grown)
                self.etc.write(grown)
                await self._apply(grown, before)
        except Refusal:
            self._put(former)
            await self._apply(former, before)
            await detach(self.uplink, held.values())
            raise
        return grown

    async def disconnect(self, record: Record, network_id: str, wanted: tuple[Wanted, ...]) -> None:
        """Take a container off a network while it runs; ``wanted`` are those that it keeps."""
        before = self._namespaces(record)
        async with self._layout:
            left = msgspec.structs.replace(record, wanted=wanted)
            left = parted(left, network_id, self._ground())
            kept = {key: each for key, each in left.attachments.items() if key != network_id}
            left = msgspec.structs.replace(left, attachments=kept)
            self._put(left)
        self.etc.write(left)
        await self._apply(left, before)
        await self._let_go(record, left)
        if network_id in record.attachments:
            await detach(self.uplink, [record.attachments[network_id]])

    async def rejoin(self, record: Record, endpoint: Endpoint) -> None:
        """Have the plugin make anew what it made for a running container. Raises refusals."""
        assert self.remotes is not None, "a plugin made it"
        await self.remotes.debts.settle(endpoint.id, MADE)
        bare = replaced(record, msgspec.structs.replace(endpoint, handed=None))
        self._put(bare)
        record = await self._hand_over(bare)
        await self._apply(record, set())

    def is_remote(self, network_id: str) -> bool:
        """Whether a plugin makes the interfaces on a network."""
        return any(each.remote and each.id == network_id for each in self.locals.all())

    async def part(self, record: Record) -> Record:
        """Take a stopped container off its networks; its sandbox stays, empty."""
        if not record.endpoints and not record.attachments:
            return record
        before = self._namespaces(record)
        bare = msgspec.structs.replace(
            record, endpoints=(), gateway="", attachments={}, ports=(), bindings=()
        )
        self._put(bare)
        await self._apply(bare, before)
        await self._let_go(record, bare)
        await detach(self.uplink, record.attachments.values())
        return bare

    async def retire(self, record: Record) -> None:
        """The container will not run again: remove its sandbox and files, and keep its record."""
        record = await self.part(record)
        if record.sandbox_id:
            self.records.put(msgspec.structs.replace(record, sandbox_id=""))
            await self._clear(record)

    async def forget(self, record: Record) -> None:
        """The container is gone: remove its sandbox, files and record."""
        record = await self.part(record)
        self.records.drop(record.id)
        await self._clear(record)

    async def _clear(self, record: Record) -> None:
        """Remove a sandbox that is on record no more, and its files."""
        self.changed()
        if record.sandbox_id:
            await self._apply(record, set())
            self.etc.remove(record)

    async def sync_names(self) -> None:
        """Give skep-dns what it should answer; if it is away, it is told when it comes back."""
        try:
            await self._dns.sync(self.names())
        except Refusal as refusal:
            log.warning("names not updated", why=str(refusal))

    # --- how

    async def _addresses(
        self, record: Record, task: Task | None, *, only: Wanted | None = None
    ) -> Given:
        """What a manager is asked for a hand-started container (of ``only`` one network); nothing
        for a task, which has its own."""
        if task is not None:
            return {}
        wanted = []
        for item in record.wanted if only is None else (only,):
            network = self.swarm_network(item.network)
            if network is not None or not self._is_local(item.network):
                wanted.append((network.id if network else item.network, item))
        return await attach(self.uplink, record, wanted)

    def _put(self, record: Record) -> None:
        self.cursor.keep([network.id for network in self.locals.all()])
        self.records.put(record)
        self.changed()

    def used(self) -> set[str]:
        """The networks that containers of this host are on."""
        return {each.network_id for record in self.records for each in record.endpoints}

    def _ground(self, leases: Mapping[str, Lease] | None = None) -> Ground:
        sandboxes, networks = self.view().sandboxes, self.locals.all()
        return Ground(sandboxes, self.assignment, networks, self.cursor.last, leases or {})

    @contextlib.asynccontextmanager
    async def _leased(
        self, record: Record, wanted: Iterable[Wanted]
    ) -> AsyncIterator[Mapping[str, Lease]]:
        """Addresses from plugins, which they get back if the block fails."""
        asked = asked_of_plugins(record, wanted, self.locals)
        if self.remotes is None or not asked:
            yield {}
            return
        async with self.remotes.leased(record, asked) as leases:
            yield leases

    async def _hand_over(self, record: Record) -> Record:
        """Have plugins make what is theirs to make; then it shows what leads out."""
        places = places_of(record, self._ground())
        if self.remotes is None or not places:
            return record
        record = await self.remotes.hand_over(record, places)
        if needs_bridge(record, self._ground()):
            await self.ensure_gateway()
        async with self._layout:
            record = led_out(record, None, self._ground())
            record = record if record.bindings else await self._bind(record)
            self._put(record)
        await self.remotes.open(record, places)
        return record

    async def _let_go(self, before: Record, now: Record) -> None:
        """Plugins get back what they have made for endpoints that are no more."""
        if self.remotes is not None:
            left = {each.id for each in now.endpoints}
            gone = [each.id for each in before.endpoints if each.id not in left]
            await self.remotes.debts.let_go(gone)

    def living(self) -> set[str]:
        """The ids of all endpoints and networks of this host."""
        endpoints = {each.id for record in self.records for each in record.endpoints}
        return endpoints | {network.id for network in self.locals.all()}

    async def _bind(self, record: Record) -> Record:
        """Settle the ports that its user publishes. Raises `Broken`, `Unavailable`."""
        wanted = list(record.published)
        if record.publish_all:
            known = {(each.protocol, each.port) for each in wanted}
            exposed_ports = (exposed(text) for text in record.exposed_ports)
            wanted += [Binding(protocol=p, port=n) for p, n in exposed_ports if (p, n) not in known]
        networks = self.locals.all()
        if not wanted or self.ports is None or is_plugins_to_publish(record, networks):
            return record
        outward = reachable(record, self._ground(), wanted)
        bindings = await self.ports.bind(outward, self.view(), record.name)
        return msgspec.structs.replace(record, bindings=bindings)

    async def _choose_ports(self, task: Task | None) -> tuple[PortConfig, ...]:
        """The ports that this host alone is to publish for a task. Raises `Clash`."""
        if task is None or self.ports is None:
            return ()
        options, _ = read_options(task.options)
        return await self.ports.choose(task.host_ports, options.publish_address, self.view())

    def _is_local(self, reference: str) -> bool:
        return reference in NO_NETWORK or self.locals.named(reference) is not None

    def _namespaces(self, record: Record) -> set[str]:
        """The namespaces that the container's sandbox is part of, as the view is now."""
        box = record.sandbox
        return namespaces_of(self.view(), box.namespace) if box else set()

    async def _apply(self, record: Record, before: set[str]) -> None:
        """Kernel, then names. Raises `Broken` with the kernel's own sentence."""
        outcome = await self.converger.converge(self._namespaces(record) | before)
        if outcome.failures:
            first = outcome.failures[0]
            raise Broken(f"{SETUP_FAILED}: {describe(first.op)}: {first.message}")
        await self.sync_names()


def own_names_of(record: Record, box: SandboxNames) -> SandboxNames:
    """What a sandbox sees, with what the container's own user said about it."""
    return msgspec.structs.replace(
        box,
        upstreams=record.nameservers or box.upstreams,
        stack=box.stack or record.labels.get(STACK_LABEL, "").lower(),
        ndots=ndots(record.dns_options),
    )


async def _nothing() -> None:
    """What is done before anybody says what."""
