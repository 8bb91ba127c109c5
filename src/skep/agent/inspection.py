"""Looking into this host: answers the inquiries of `skep.model.inspection`, to its own API and to a
manager that asks over the session."""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from skep.agent import asking, glancing, sending, tapping, watching
from skep.agent.converge import SWEEP, describe
from skep.agent.etc import host_resolv
from skep.agent.files import upstreams
from skep.agent.mesh import Mesh
from skep.agent.network import Network
from skep.agent.readings import read_host
from skep.agent.uplink import Send
from skep.dns.client import DnsClient
from skep.kernel import sysctl
from skep.kernel.kernel import Kernel
from skep.model.errors import Broken, Clash, Refusal
from skep.model.host import INGRESS_SANDBOX, HostView
from skep.model.inspection import (
    AskNames,
    Certificate,
    Conversations,
    Disk,
    Glance,
    Held,
    Hold,
    Inspect,
    Inspection,
    Listen,
    ManagerCheck,
    NameAnswer,
    PeerSight,
    Probe,
    Question,
    RefusedOp,
    Repair,
    Repaired,
    Sightings,
    TunnelCheck,
    Watch,
)
from skep.model.messages import ReadState, StateAnswer
from skep.model.netstate import HOST, HostState
from skep.model.ops import Failure
from skep.model.readings import HostReadings
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.plan.layout import bare, endpoint_on
from skep.talk import Talk
from skep.wire import identity as identities
from skep.wire.authority import validity

PIECE = 256 << 10
"""Bytes of an answer in one message, at most."""
SETTLE = 1.0
"""Seconds after which a difference counts: until then skepd may be just about to repair it."""
MOST_NAMES = 24
"""Names that are asked in one sandbox, and..."""
MOST_BOXES = 40
"""...sandboxes in which names are asked, in one deep inspection."""
CONNECT_WITHIN = 2.0
DNS_WITHIN = 2.0


class Dictation(Talk):
    """An inquiry that a manager made: what is to be said goes to it in pieces."""

    def __init__(self, serial: int, send: Send) -> None:
        super().__init__()
        self.serial = serial
        self.send = send

    async def begun(self) -> None:
        """Say so."""
        await self.send(StateAnswer(serial=self.serial))

    async def heard(self, seen: Sightings) -> None:
        """Send it as an answer by itself."""
        await self.say(seen, last=False)

    async def say(self, found: object, *, last: bool) -> None:
        """Send an answer; whoever has no session any more needs none."""
        data = await asyncio.to_thread(pack, found)
        for start in range(0, len(data), PIECE):
            whole = start + PIECE >= len(data)
            piece = StateAnswer(
                serial=self.serial,
                data=data[start : start + PIECE],
                end=whole and last,
                part=whole and not last,
            )
            if not await self.send(piece):
                self.enough.set()
                return


class Inspector:
    """Looks into one host."""

    def __init__(
        self, kernel: Kernel, network: Network, dns: DnsClient, state: Path, run: Path
    ) -> None:
        self._kernel = kernel
        self._network = network
        self._dns = dns
        self._state = state
        self._run = run
        self._answering: dict[int, tuple[asyncio.Task[None], Talk]] = {}
        self.mesh: Callable[[], Mesh | None] = lambda: None

    # --- over the session

    def read(self, message: ReadState, send: Send) -> None:
        """Answer a manager's inquiry, in pieces, as soon as possible."""
        serial = message.serial
        talk = Dictation(serial, send)
        task = asyncio.create_task(self._answer(message, talk))
        self._answering[serial] = task, talk
        task.add_done_callback(lambda _: self._answering.pop(serial, None))

    def stop(self, serial: int) -> None:
        """The manager wants no more of this answer."""
        if serial in self._answering:
            self._answering[serial][1].enough.set()

    async def _answer(self, message: ReadState, talk: Dictation) -> None:
        try:
            found = await self.ask(message.what, talk)
        except Refusal as refusal:
            await talk.send(StateAnswer(serial=talk.serial, end=True, refusal=str(refusal)))
            return
        await talk.say(found, last=True)

    async def ask(self, what: Question, talk: Talk) -> object:
        """The answer to an inquiry; ``talk`` is told when it listens. Raises refusals."""
        match what:
            case Inspect(deep=deep):
                return await self.inspect(deep=deep)
            case AskNames(namespace=namespace, names=names):
                return await asking.ask(self._kernel, self._network.names(), namespace, names)
            case Listen():
                return await tapping.listen(self._kernel, what, talk)
            case Watch():
                return await watching.watch(self._kernel, what, talk)
            case Probe():
                return await sending.send(self._kernel, what)
            case Repair():
                return await self._repair()
            case Glance() | Conversations():
                return await glancing.look(self._kernel, self._network, what, self._sights())
            case Hold(seconds=seconds):
                return Held(until=self._network.converger.hold(seconds))

    # --- what is

    async def inspect(self, *, deep: bool) -> Inspection:
        """All that this host is. Raises `Broken` if its kernel cannot be read."""
        begun = time.time()
        view, state = await self._settled()
        insides = {name: await self._kernel.inside(name) for name in state}
        found = Inspection(
            node_id=view.node_id,
            hostname=glancing.own_name(view),
            begun_at=begun,
            done_at=begun,
            view=view,
            state=state,
            insides=insides,
            devices=await self._kernel.devices(),
            routes=await self._kernel.routes(),
            mesh=self._sights(),
            repairs=self._network.converger.tally.changes,
            failures=refused(self._network.converger.failures),
            sweep=SWEEP,
            held_until=self._network.converger.held_until,
            encryption=self._network.encryption(),
        )
        if deep:
            found = await self._deepened(found)
        return msgspec.structs.replace(found, done_at=time.time())

    async def _settled(self) -> tuple[HostView, HostState]:
        """View and kernel when nothing is under way between them: what differs still is not just
        about to be repaired."""
        view, state = await self._network.converger.survey()
        if self._network.converger.held_until:
            return view, state
        if await asyncio.to_thread(lambda: diff(desired(view), state)):
            await asyncio.sleep(SETTLE)
            view, state = await self._network.converger.survey()
        return view, state

    async def readings(self) -> HostReadings:
        """What is measured here."""
        return await read_host(self._kernel, self._network, self._dns, self._sights())

    def _sights(self) -> dict[str, PeerSight]:
        mesh = self.mesh()
        if mesh is None:
            return {}
        return {
            node_id: PeerSight(
                address=each.address,
                seen_at=each.seen_at,
                rtt=each.rtt_smoothed,
                loss=each.loss,
                probes=each.probes,
                large_loss=each.large_loss,
                large_probes=each.large_probes,
                large_size=each.large_size,
                path_mtu=each.path_mtu,
            )
            for node_id, each in mesh.snapshot().items()
        }

    async def _deepened(self, found: Inspection) -> Inspection:
        """What takes longer, all at once."""
        certificates, identity_error = await asyncio.to_thread(self._certificates)
        dns_error, tunnels, managers, features, values, disks = await asyncio.gather(
            self._dns_error(),
            self._tunnels(found.view),
            self._managers(found.view),
            self._kernel.features(),
            self._sysctls(found),
            asyncio.to_thread(disks_of, (self._state, self._run)),
        )
        return msgspec.structs.replace(
            found,
            features=features,
            sysctls=values,
            resolvers=upstreams(host_resolv()),
            # One that does not even answer skepd would be waited for in every sandbox.
            names=() if dns_error else await self._names(found.view),
            dns_error=dns_error,
            tunnels=tunnels,
            managers=managers,
            certificates=certificates,
            identity_error=identity_error,
            disks=disks,
        )

    async def _names(self, view: HostView) -> tuple[NameAnswer, ...]:
        """The names of each sandbox's networks, asked as its container would."""
        table = self._network.names()
        found: list[NameAnswer] = []
        for box in view.sandboxes[:MOST_BOXES]:
            wanted = names_seen(view, [e.network_id for e in box.endpoints])
            if box.id != INGRESS_SANDBOX and wanted:
                found += await asking.ask(self._kernel, table, box.namespace, wanted)
        return tuple(found)

    async def _dns_error(self) -> str:
        try:
            async with asyncio.timeout(DNS_WITHIN):
                await self._dns.ping()
        except TimeoutError:
            return f"it does not answer within {DNS_WITHIN:.0f} s"
        except Refusal as refusal:
            return str(refusal)
        return ""

    async def _tunnels(self, view: HostView) -> tuple[TunnelCheck, ...]:
        box = next((each for each in view.sandboxes if each.id == INGRESS_SANDBOX), None)
        endpoint = endpoint_on(box, view.ingress_network) if box else None
        if endpoint is None:
            return ()
        state = await self._kernel.observe({INGRESS_SANDBOX})
        links = state[INGRESS_SANDBOX].links if INGRESS_SANDBOX in state else {}
        mtu = links[endpoint.link].mtu if endpoint.link in links else 0
        others = {
            peer.id: bare(peer.ingress_address)
            for peer in view.peers.values()
            if peer.id != view.node_id and peer.ingress_address
        }
        return await sending.check_tunnels(self._kernel, INGRESS_SANDBOX, others, mtu or 1450)

    async def _managers(self, view: HostView) -> tuple[ManagerCheck, ...]:
        checks = (
            check_manager(peer.id, peer.manager_address)
            for peer in view.peers.values()
            if peer.manager_address
        )
        return tuple(await asyncio.gather(*checks))

    async def _sysctls(self, found: Inspection) -> dict[str, str]:
        underlay = [
            device.name
            for device in found.devices
            if found.view.vtep in (bare(each) for each in device.addresses)
        ]
        keys = [*SYSCTLS, *(f"net.ipv4.conf.{name}.rp_filter" for name in underlay)]
        return await self._kernel.within(HOST, lambda: sysctl.read(keys))

    def _certificates(self) -> tuple[tuple[Certificate, ...], str]:
        """This host's and its cluster's, or why they cannot be read."""
        try:
            identity = identities.load(self._state / "swarm")
        except Broken as broken:
            return (), str(broken)
        if identity is None:
            return (), ""
        found = []
        for subject, pem in (
            ("this host", identity.credentials.certificate),
            ("the cluster's CA", identity.credentials.ca),
        ):
            good = validity(pem)
            found.append(Certificate(subject=subject, begins_at=good.begin, ends_at=good.end))
        return tuple(found), ""

    async def _repair(self) -> Repaired:
        if self._network.converger.held_until:
            raise Clash("it is held, and left as it is: skep hold --release lets it go")
        outcome = await self._network.converger.converge()
        await self._network.sync_names()
        return Repaired(changed=len(outcome.ops), failures=refused(outcome.failures))


SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.bridge.bridge-nf-call-iptables",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
    "net.ipv4.neigh.default.gc_thresh3",
    "fs.inotify.max_user_instances",
)


def refused(failures: Collection[Failure]) -> tuple[RefusedOp, ...]:
    """What the kernel refused, in words."""
    return tuple(
        RefusedOp(namespace=each.op.ns, what=describe(each.op), why=each.message)
        for each in failures
    )


def names_seen(view: HostView, networks: Collection[str]) -> list[str]:
    """Names that somebody on these networks may ask: services, then containers."""
    services: dict[str, None] = {}
    containers: dict[str, None] = {}
    for network_id in networks:
        network = view.networks.get(network_id)
        if network is None or network.spec.ingress:
            continue
        for service in network.services.values():
            services |= {service.name: None, f"tasks.{service.name}": None}
        for endpoint in network.endpoints.values():
            containers |= dict.fromkeys(endpoint.names[:1])
    return [*services, *containers][:MOST_NAMES]


def disks_of(paths: Collection[Path]) -> tuple[Disk, ...]:
    """The file systems that directories are on."""
    found = []
    for path in paths:
        try:
            seen = os.statvfs(path)
        except OSError:
            continue
        found.append(
            Disk(
                path=str(path),
                total=seen.f_blocks * seen.f_frsize,
                free=seen.f_bavail * seen.f_frsize,
                inodes=seen.f_files,
                inodes_free=seen.f_favail,
            )
        )
    return tuple(found)


async def check_manager(node_id: str, address: str) -> ManagerCheck:
    """Whether a manager's port can be reached."""
    host, _, port = address.rpartition(":")
    why = ""
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except TimeoutError:
        why = f"no answer within {CONNECT_WITHIN:.0f} s"
    except OSError as error:
        why = (os.strerror(error.errno) if error.errno else str(error)).lower()
    return ManagerCheck(node_id=node_id, address=address, why=why)


def pack(found: object) -> bytes:
    """An answer as it travels: names and addresses repeat a lot."""
    return zlib.compress(msgspec.msgpack.encode(found), 1)
