"""Attaching containers to networks and taking them off: addresses, sandbox, names, files, in order.

What a crash interrupts is repaired by order: the record is written before the kernel is touched,
and the kernel is made from records alone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from skep.agent.converge import Converger, describe
from skep.agent.files import hosts_file, resolv_conf, upstreams
from skep.agent.locals import DEFAULT_BRIDGE, GATEWAY_BRIDGE, Locals
from skep.agent.ports import HostPorts
from skep.agent.records import Record, Records, Wanted, write_atomically
from skep.agent.uplink import Uplink
from skep.agent.view import Layout, Underlay, host_view
from skep.dns.client import DnsClient
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Attachment, Task
from skep.model.errors import (
    Broken,
    Clash,
    Forbidden,
    Invalid,
    Missing,
    Refusal,
    Unavailable,
)
from skep.model.host import Bridge, Endpoint, HostView
from skep.model.ids import hex_id
from skep.model.messages import Attach
from skep.model.naming import STACK_LABEL, NameTable, SandboxNames
from skep.model.options import read_options
from skep.model.spec import PortConfig
from skep.names.zones import Zones, ndots
from skep.plan.desired import namespaces_of

NO_NETWORK = ("none", "null")

SETUP_FAILED = "failed to set up container networking"

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
        self.assignment = Assignment()
        self.underlay = Underlay()
        self.balancer = "nft"
        self.uplink: Uplink | None = None
        self.ports: HostPorts | None = None
        self.converger = converger_of(self.view)
        self._dns = dns
        self._files = files
        self._zones = Zones()
        self._layout = asyncio.Lock()
        self._cursor: dict[str, str] = {}
        self._view: HostView | None = None

    # --- what is

    def view(self) -> HostView:
        """What this host's kernel is made from, now."""
        if self._view is None:
            view = host_view(self.assignment, self.records, self.locals.bridges(), self.underlay)
            self._view = msgspec.structs.replace(view, balancer=self.balancer)
        return self._view

    def changed(self) -> None:
        """Something that the view is made of changed."""
        self._view = None

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

    def file(self, record: Record, name: str) -> Path:
        """Where the container's own hosts or resolv.conf is kept."""
        return self._files / record.sandbox_id / name

    # --- what is done

    async def prepare(self, record: Record) -> None:
        """Make the container's empty sandbox and files, so that the engine can create it."""
        self._write_files(record)
        await self._apply(record, set())

    async def join(self, record: Record, task: Task | None) -> Record:
        """Attach a container to all its networks: when it returns, packets and names flow.

        ``task`` is the service task it runs, if any: its addresses come with it. Raises the
        refusal that keeps it from attaching, after undoing what was begun.
        """
        attachment, attachments = await self._addresses(record, task)
        try:
            async with self._layout:
                ports = await self._choose_ports(task)
                record = self._lay_out(record, task, attachments)
                record = msgspec.structs.replace(record, attachment=attachment, ports=ports)
                self.records.put(record)
                self.changed()
            self._write_files(record)
            await self._apply(record, set())
        except Refusal:
            if attachment and self.uplink:
                await self.uplink.detach(attachment)
            await self.part(record)
            raise
        return record

    async def part(self, record: Record) -> Record:
        """Take a stopped container off its networks; its sandbox stays, empty."""
        if not record.endpoints and not record.attachment:
            return record
        before = self._namespaces(record)
        bare = msgspec.structs.replace(record, endpoints=(), gateway="", attachment="", ports=())
        self.records.put(bare)
        self.changed()
        await self._apply(bare, before)
        if record.attachment and self.uplink:
            await self.uplink.detach(record.attachment)
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
            for name in ("hosts", "resolv.conf"):
                self.file(record, name).unlink(missing_ok=True)
            if self.file(record, "hosts").parent.is_dir():
                self.file(record, "hosts").parent.rmdir()

    async def sync_names(self) -> None:
        """Give skep-dns what it should answer; if it is away, it is told when it comes back."""
        try:
            await self._dns.sync(self.names())
        except Refusal as refusal:
            log.warning("names not updated", why=str(refusal))

    # --- how

    async def _addresses(
        self, record: Record, task: Task | None
    ) -> tuple[str, tuple[Attachment, ...]]:
        """The swarm attachments: a task's own, or asked of a manager for a hand-started one."""
        if task is not None:
            return "", task.attachments
        wanted = {}
        for item in record.wanted:
            network = self.swarm_network(item.network)
            if network is not None:
                wanted[network.id] = item
            elif not self._is_local(item.network):
                raise self._unknown(item.network)
            elif item.address6:
                raise Invalid(
                    f"{SETUP_FAILED}: network {item.network} of this host has no IPv6: "
                    f"{item.address6} cannot be an address"
                )
        if not wanted:
            return "", ()
        if self.uplink is None:
            raise Unavailable("this host is not in a swarm: its networks are out of reach")
        try:
            answer = await self.uplink.attach(lambda serial: attach_request(serial, record, wanted))
        except (Missing, Forbidden, Invalid, Clash) as refusal:
            names = ", ".join(item.network for item in wanted.values())
            raise Broken(
                f"{SETUP_FAILED}: Could not attach to network {names}: {refusal}"
            ) from None
        return answer.task_id, answer.attachments

    def _unknown(self, name: str) -> Refusal:
        """Docker's sentences for a network that is not there, in a swarm and outside one."""
        if self.uplink is None:
            return Missing(f"{SETUP_FAILED}: network {name} not found")
        return Broken(
            f"{SETUP_FAILED}: Could not attach to network {name}: "
            f"rpc error: code = NotFound desc = network {name} not found"
        )

    async def _choose_ports(self, task: Task | None) -> tuple[PortConfig, ...]:
        """The ports that this host alone is to publish for a task. Raises `Clash`."""
        if task is None or self.ports is None:
            return ()
        options, _ = read_options(task.options)
        return await self.ports.choose(task.host_ports, options.publish_address, self.view())

    def _is_local(self, reference: str) -> bool:
        return reference in NO_NETWORK or self.locals.named(reference) is not None

    def _lay_out(
        self, record: Record, task: Task | None, attachments: tuple[Attachment, ...]
    ) -> Record:
        layout = Layout(record.sandbox_id, self.view().sandboxes)
        internal = True
        for attachment in attachments:
            network = self.assignment.networks.get(attachment.network_id)
            if network is None:
                raise Unavailable(f"network {attachment.network_id} is not known to this host yet")
            internal = internal and network.spec.internal
            layout.overlay(network, attachment, self._own_vips(network, task), attachment.aliases)
        gateway = ""
        bridge = self._way_out(record, overlay=bool(attachments), internal=internal)
        if task is not None and task.host_ports:
            bridge = self._way_in(overlay=bool(attachments), internal=internal)
        if bridge is not None:
            endpoint = layout.bridge(bridge, self._cursor.get(bridge.name, ""))
            self._cursor[bridge.name] = endpoint.address.partition("/")[0]
            gateway = endpoint.id
        return msgspec.structs.replace(record, endpoints=tuple(layout.endpoints), gateway=gateway)

    def _own_vips(self, network: NetworkAssignment, task: Task | None) -> tuple[str, ...]:
        service = network.services.get(task.service_id) if task else None
        vips = (service.vip, service.vip6) if service else ()
        return tuple(vip.partition("/")[0] for vip in vips if vip)

    def _way_out(self, record: Record, *, overlay: bool, internal: bool) -> Bridge | None:
        """The bridge with the default route: docker0 if asked for (a task on no network is), else
        docker_gwbridge beside overlays, none when all of them are internal."""
        bridges = {bridge.name: bridge for bridge in self.locals.bridges()}
        local = [self.locals.named(item.network) for item in record.wanted]
        wants_default = any(network and network.bridge == DEFAULT_BRIDGE for network in local)
        if wants_default or (record.task_id and not overlay):
            return bridges[DEFAULT_BRIDGE]
        if overlay and not internal:
            return bridges[GATEWAY_BRIDGE]
        return None

    def _way_in(self, *, overlay: bool, internal: bool) -> Bridge:
        """The bridge by which ports in mode host are reached. Raises `Unavailable`."""
        if overlay and internal:
            raise Unavailable("ports in mode host cannot be reached: all networks are internal")
        return next(b for b in self.locals.bridges() if b.name == GATEWAY_BRIDGE)

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

    def _write_files(self, record: Record) -> None:
        if not record.sandbox_id:
            return
        directory = self.file(record, "hosts").parent
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Broken(f"cannot make {directory}: {error.strerror}") from error
        host = host_resolv()
        for name, text in (
            ("hosts", hosts_file(record)),
            ("resolv.conf", resolv_conf(record, host)),
        ):
            rewrite(self.file(record, name), text)


def rewrite(path: Path, text: str) -> None:
    """Write a file that containers have bind-mounted: in place, so that they see it.

    A new one is made atomically. Raises `Broken` if it cannot be written.
    """
    if not path.exists():
        write_atomically(path, text.encode())
        path.chmod(0o644)
    elif path.read_text() != text:
        try:
            path.write_text(text)
        except OSError as error:
            raise Broken(f"cannot write {path}: {error.strerror}") from error


def own_names_of(record: Record, box: SandboxNames) -> SandboxNames:
    """What a sandbox sees, with what the container's own user said about it."""
    return msgspec.structs.replace(
        box,
        upstreams=record.nameservers or box.upstreams,
        stack=box.stack or record.labels.get(STACK_LABEL, "").lower(),
        ndots=ndots(record.dns_options),
    )


def host_resolv() -> str:
    """The host's own resolv.conf, "" if it has none."""
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def attach_request(serial: int, record: Record, wanted: dict[str, Wanted]) -> Attach:
    """The request that a hand-started container's record makes of the manager."""
    host_names = (record.hostname,) if record.hostname else ()
    return Attach(
        serial=serial,
        container_id=record.id,
        container_name=record.name,
        networks={network_id: item.address for network_id, item in wanted.items()},
        networks6={id: item.address6 for id, item in wanted.items() if item.address6},
        names=(record.name, record.id[:12], *host_names),
        aliases={network_id: item.aliases for network_id, item in wanted.items()},
    )


def endpoint_of(record: Record, network_id: str) -> Endpoint | None:
    """The container's endpoint on a network."""
    for endpoint in record.endpoints:
        if endpoint.network_id == network_id:
            return endpoint
    return None
