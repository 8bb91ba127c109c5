"""skepd: wires kernel, engine, agent, swarm and API of one host together, and runs them.

Containers, packets and names outlive it: whatever it finds at its start it adopts.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
import uvloop
from aiohttp import web

from skep import __version__, gate
from skep.agent.agent import Agent
from skep.agent.balancer import BALANCERS, LABEL, choose
from skep.agent.pools import DEFAULT, HostSubnets, bridge_address, pool
from skep.agent.records import container_of
from skep.api.facts import Facts
from skep.api.guard import Guard
from skep.api.metrics import make_metrics_app
from skep.api.ports import Joined, Ports
from skep.api.server import Service, make_app, make_page_app
from skep.cluster.change import Change
from skep.connections import Connections
from skep.describe import CPU, describe_host, generic_resource
from skep.door import listening_at, listening_on
from skep.engine.client import Engine
from skep.engine.docker import engine_at
from skep.engine.events import CONNECTED, ContainerEvent
from skep.engine.podman import PodmanService
from skep.events import Events
from skep.gate import DEFAULT as DEFAULT_PAGE
from skep.gate import Gate
from skep.happenings import of_changes, of_container, of_network, of_object
from skep.kernel.kernel import Kernel
from skep.manager.asker import Asker
from skep.manager.atlas import Atlas
from skep.manager.flowing import Flowing
from skep.manager.inspection import Looker
from skep.manager.manager import Manager
from skep.metering import Meter
from skep.model.cluster import NodeDescription
from skep.model.errors import Broken, Invalid, Refusal
from skep.model.spec import GenericResource
from skep.own import host_id, make_directory
from skep.plugin.plugins import DEADLINE
from skep.swarm import Swarm

log = structlog.get_logger("skep.daemon")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where skepd keeps its things and which sockets it serves and uses."""

    state: Path
    run: Path
    socket: Path
    engine_root: Path
    engine: str
    generic: tuple[GenericResource, ...] = ()
    metrics: tuple[str, int] | None = None
    balancer: str = "auto"
    page: str = DEFAULT_PAGE
    subnets: HostSubnets = HostSubnets()
    plugin_deadline: float = DEADLINE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skepd", description="Skep's daemon: the Docker Engine API, networks and swarm."
    )
    parser.add_argument("--state", type=Path, default=Path("/var/lib/skep"),
                        help="what must survive a reboot (default: %(default)s)")  # fmt: skip
    parser.add_argument("--run", type=Path, default=Path("/run/skep"),
                        help="what must not (default: %(default)s)")  # fmt: skip
    parser.add_argument("--socket", type=Path, default=Path("/run/docker.sock"),
                        help="the API's unix socket (default: %(default)s)")  # fmt: skip
    root = Path("/var/lib/skep/engine")
    parser.add_argument("--engine-root", type=Path, default=root,
                        help="our own engine's images (default: %(default)s)")  # fmt: skip
    parser.add_argument("--engine", default="",
                        help="use Podman or Docker Engine at unix:///…, start none")  # fmt: skip
    parser.add_argument("--node-generic-resource", action="append", default=[],
                        metavar="KIND=VALUE",
                        help="something that this host has, a number of units or one by name;"
                        " may be given several times")  # fmt: skip
    parser.add_argument("--metrics", default="127.0.0.1:9323", metavar="ADDRESS:PORT",
                        help='where Prometheus reads GET /metrics, "off" for nowhere'
                        " (default: %(default)s)")  # fmt: skip
    parser.add_argument("--balancer", choices=BALANCERS, default="auto",
                        help="what shares connections out: nftables or the kernel's IPVS"
                        " (default: %(default)s, which is nft if the kernel can)")  # fmt: skip
    parser.add_argument("--page", metavar="IP[:PORT]|off", default=DEFAULT_PAGE,
                        help="serve the page there; with a token, if that is not a loopback"
                        " address (default: %(default)s)")  # fmt: skip
    parser.add_argument("--bip", metavar="ADDRESS/PREFIX", default="",
                        help="docker0's address (default: one of the first free pool)")  # fmt: skip
    parser.add_argument("--default-address-pool", action="append", default=[],
                        metavar="base=CIDR,size=BITS",
                        help="where subnets of this host's bridges come from; may be given several"
                        " times (default: Docker's)")  # fmt: skip
    parser.add_argument("--plugin-deadline", type=positive, default=DEADLINE, metavar="SECONDS",
                        help="how long an answer may take (default: %(default)g)")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"skepd {__version__}")
    return parser


def parse(arguments: Sequence[str]) -> Options:
    """The command line."""
    parser = _parser()
    found = parser.parse_args(arguments)
    if found.engine and not found.engine.startswith("unix:///"):
        parser.error(f"--engine takes unix:///path/to/socket, not {found.engine}")
    try:
        generic = tuple(generic_resource(text) for text in found.node_generic_resource)
        metrics = listening_place(found.metrics)
        gate.parsed(found.page)
        pools = tuple(map(pool, found.default_address_pool)) or DEFAULT
        subnets = HostSubnets(bridge_address(found.bip), pools)
    except Invalid as invalid:
        parser.error(str(invalid))
    return Options(
        state=found.state,
        run=found.run,
        socket=found.socket,
        engine_root=found.engine_root,
        engine=found.engine.removeprefix("unix://"),
        generic=generic,
        metrics=metrics,
        balancer=found.balancer,
        page=found.page,
        subnets=subnets,
        plugin_deadline=found.plugin_deadline,
    )


def positive(text: str) -> float:
    """A number of seconds. Raises ValueError."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


class Daemon:
    """All of one host's parts, in the order in which they start and stop."""

    def __init__(self, options: Options, engine: Engine | None = None) -> None:
        self._options = options
        run = options.run
        self._podman = (
            None
            if options.engine
            else PodmanService(
                root=str(options.engine_root / "storage"),
                runroot=str(run / "engine"),
                socket=str(run / "engine.sock"),
                state=str(options.engine_root),
            )
        )
        extras = self._podman.extras if self._podman else None
        self._engine = engine or Engine(str(run / "engine.sock"), extras)
        self._kernel = Kernel()
        self._events = Events()
        self._connections = Connections()
        self._agent = Agent(self._kernel, self._engine, options.state, run, self._tell)
        self._agent.network.locals.subnets = options.subnets
        self._agent.plugging.plugins.deadline = options.plugin_deadline
        self._agent.networks.tell = self._tell_of_network
        self._swarm = Swarm(self._agent, self._kernel, options.state, self._describe)
        self._swarm.on_manager = self._follow
        self._meter = Meter(
            describe_host().hostname, self._agent.inspector.readings, self._swarm.readings
        )
        agent, swarm = self._agent, self._swarm
        self._looker = Looker(agent.inspector, agent.network.view, swarm.looking)
        asker = Asker(agent.inspector, agent.network.view, swarm.looking)
        self._atlas = Atlas(asker, swarm.known)
        self._flows = Flowing(asker, swarm.known)
        self._gate = Gate(
            options.page, options.state / "page.token", self._page, describe_host().hostname
        )
        self._swarm.on_identity = self._gate.member

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, serve until ``stop``, leave containers running. Raises refusals."""
        for directory in (self._options.state, self._options.run, self._options.engine_root):
            make_directory(directory)
        if self._podman is not None:
            await self._podman.start()
        api = Service(make_app(self._ports(), facts=self._facts()))
        metrics = Service(make_metrics_app(self._meter))
        try:
            self._agent.network.balancer = await choose(self._kernel, self._options.balancer)
            await self._agent.load()
            await self._swarm.resume()
            await self._agent.adopt()
            await open_socket(api, self._options.socket)
            await open_metrics(metrics, self._options.metrics)
            await self._gate.start()
            async with asyncio.TaskGroup() as group:
                parts = [
                    group.create_task(self._agent.run()),
                    group.create_task(self._swarm.watch()),
                ]
                group.create_task(self._until(stop, parts))
        except BaseExceptionGroup as group:
            refused = group.subgroup(Refusal)
            raise group if refused is None else first_of(refused) from group
        finally:
            self._atlas.close()
            await self._gate.close()
            await api.close()
            await metrics.close()
            await self._swarm.close()
            await self._engine.close()
            if self._podman is not None:
                await self._podman.stop()
            await self._kernel.close()

    def _describe(self) -> NodeDescription:
        labels = {LABEL: self._agent.network.balancer}
        return describe_host(self._options.generic, labels)

    def _ports(self) -> Ports:
        return Ports(
            cluster=self._swarm,
            host=self._agent.containers,
            engine=self._engine,
            events=self._events,
            inspection=self._looker,
            metrics=self._meter,
            topology=self._atlas,
            page=self._gate,
            networks=self._agent.networks,
            flows=self._flows,
            encryption=self._agent.secure.pairs,
        )

    def _page(self, guard: Guard) -> web.Application:
        return make_page_app(self._ports(), facts=self._facts(), guard=guard)

    def _facts(self) -> Facts:
        host = describe_host()
        return Facts(
            id=host_id(self._options.state / "id"),
            hostname=host.hostname,
            version=__version__,
            architecture=host.platform.architecture,
            kernel_version=platform.release(),
            operating_system=operating_system(),
            cpus=host.nano_cpus // CPU,
            memory_bytes=host.memory_bytes,
            root_directory=str(self._options.state),
            python=platform.python_version(),
            address_pools=self._options.subnets.chosen,
        )

    async def _until(self, stop: asyncio.Event, parts: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        for part in parts:
            part.cancel()

    def _tell(self, event: ContainerEvent) -> None:
        """The engine's events, with our names in them, to whoever listens."""
        if event.action == CONNECTED:
            self._connections.forget()
            return
        if event.kind != "container":
            for told in of_object(event, time.time()):
                self._events.tell(told)
            return
        drivers = {network.id: network.driver for network in self._agent.network.locals.all()}
        record = self._agent.network.records.get(event.id)
        container = container_of(record) if record is not None else None
        events = of_container(event, container, drivers, time.time())
        for told in self._connections.news(event, events):
            self._events.tell(told)

    def _tell_of_network(self, action: str, network: Joined, container_id: str) -> None:
        event = of_network(action, network, container_id, time.time())
        if self._connections.is_new(event):
            self._events.tell(event)

    def _follow(self, manager: Manager) -> None:
        def tell(changes: tuple[Change, ...]) -> None:
            for event in of_changes(changes, manager.state, time.time()):
                self._events.tell(event)
            self._atlas.changed()

        manager.listen(tell)


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first refusal in a group of them."""
    for fault in group.exceptions:
        return first_of(fault) if isinstance(fault, BaseExceptionGroup) else fault
    raise AssertionError("an exception group is never empty")


async def open_socket(api: Service, path: Path) -> None:
    """Serve on a unix socket that root and its group may use. Raises `Broken`."""
    try:
        await api.open(listening_on(path, 0o660))
    except OSError as error:
        raise Broken(f"cannot serve the API on {path}: {error.strerror or error}") from error


async def open_metrics(metrics: Service, place: tuple[str, int] | None) -> None:
    """Serve readings by TCP, if wanted. A daemon that cannot be measured still does its work."""
    if place is None:
        return
    try:
        await metrics.open(listening_at(*place))
    except OSError as error:
        address, port = place
        log.warning("no metrics", address=address, port=port, why=error.strerror or str(error))


def listening_place(text: str) -> tuple[str, int] | None:
    """The address and port of an option; None for "off". Raises `Invalid`."""
    if text == "off":
        return None
    address, _, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise Invalid(f'invalid address {text!r}: it must be ADDRESS:PORT or "off"')
    return address, number


def operating_system() -> str:
    """The distribution's name as it calls itself."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def configure_log() -> None:
    """One line an event on standard error, for the journal."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


async def serve(options: Options) -> int:
    """Run the daemon until SIGTERM or SIGINT; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        engine = await engine_at(options.engine) if options.engine else None
        await Daemon(options, engine).run(stop)
    except Refusal as refusal:
        print(f"skepd: {refusal}", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``skepd``."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if os.geteuid() != 0:
        print("skepd: it configures networks, so it must run as root", file=sys.stderr)
        return 1
    configure_log()
    return uvloop.run(serve(options))


if __name__ == "__main__":
    sys.exit(main())
