"""What the API needs from the rest of the daemon, as protocols. ``daemon`` plugs in the real ones.

Handlers decide nothing about the cluster: they turn JSON into specs, hand a pure decision of
``cluster.control`` to `ClusterPort.change`, and turn what comes back into JSON.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from skep.cluster.context import Context
from skep.cluster.state import Draft, State
from skep.model.assignment import NetworkAssignment
from skep.model.cluster import Cluster, Tokens
from skep.model.flows import Flows
from skep.model.flows import Wanted as WantedFlows
from skep.model.host import Container, HostView, LocalNetwork
from skep.model.messages import LogPiece
from skep.model.readings import Readings, Versions
from skep.model.secure import Pair
from skep.model.spec import NetworkSpec
from skep.topology.delays import Matrix
from skep.topology.detail import Detail
from skep.topology.fold import Wanted
from skep.topology.graph import Graph
from skep.trace.finding import Checkup
from skep.trace.follow import Followed
from skep.trace.report import Trace

T = TypeVar("T")
Json = dict[str, Any]


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """This host's place in a swarm. ``state`` is inactive, pending, error or active.

    ``managers`` maps node ids to ``host:2377`` addresses. On managers, ``cluster`` is set and
    ``join_tokens`` are the whole tokens (``SWMTKN-1-<CA digest>-<secret>``) that users hand out.
    """

    state: str = "inactive"
    node_id: str = ""
    address: str = ""
    manager: bool = False
    managers: Mapping[str, str] = {}
    cluster: Cluster | None = None
    join_tokens: Tokens = Tokens("", "")
    error: str = ""


class InitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /swarm/init``, checked and with defaults filled in. Addresses are "ip[:port]"."""

    listen_address: str = "0.0.0.0:2377"
    advertise_address: str = ""
    data_path_address: str = ""
    data_path_port: int = 4789
    address_pools: tuple[str, ...] = ()
    subnet_size: int = 24
    availability: str = "active"
    task_history: int = 5
    heartbeat: float = 5.0
    certificate_days: int = 90
    labels: Mapping[str, str] = {}


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /swarm/join``."""

    token: str
    remotes: tuple[str, ...]
    listen_address: str = "0.0.0.0:2377"
    advertise_address: str = ""
    data_path_address: str = ""
    availability: str = "active"


class ClusterPort(Protocol):
    """The swarm, as this host's manager or agent sees it."""

    def membership(self) -> Membership:
        """This host's place in a swarm."""

    def state(self) -> State:
        """The cluster's state. Raises `Unavailable` (Docker's sentence) if not a manager."""

    def versions(self) -> Mapping[str, Versions]:
        """How far each host with a session has come, by node id; nothing if not a manager."""

    async def change(self, decide: Callable[[Draft, Context], T]) -> T:
        """Run a pure decision on the latest state and commit what it changed, all or nothing.

        Raises whatever refusal ``decide`` raises; `Unavailable` if not a manager. When it returns,
        the change is durable.
        """

    def logs(self, task_id: str, options: Mapping[str, str]) -> AsyncGenerator[LogPiece, None]:
        """The log of a task's container, wherever it is, with the parameters of
        ``GET /containers/x/logs``; its last piece says why if it is not whole.

        Raises `Missing` (no such task), `Unavailable` if not a manager. Close it when done.
        """

    async def init(self, request: InitRequest) -> str:
        """Make a new swarm with this host as manager; answers the node's id."""

    async def join(self, request: JoinRequest) -> None:
        """Join the swarm that the token belongs to."""

    async def leave(self, force: bool) -> None:
        """Leave the swarm; a manager only by force."""


class Joined(msgspec.Struct, frozen=True):
    """A network that a container is attached to or taken off: of this host or of the swarm."""

    id: str
    name: str
    driver: str


class HostPort(Protocol):
    """This host: its networks and the life of its containers (their networking included)."""

    def view(self) -> HostView:
        """What the host's kernel is made from, now."""

    def local_networks(self) -> tuple[LocalNetwork, ...]:
        """The host's own networks."""

    def swarm_networks(self) -> Mapping[str, NetworkAssignment]:
        """The swarm networks that this host knows of, by id."""

    def containers(self) -> tuple[Container, ...]:
        """All containers on record."""

    def find(self, reference: str) -> Container:
        """By full id, name (with or without "/") or unique id prefix. Raises `Missing`."""

    async def create(self, name: str, body: Json) -> tuple[str, list[str]]:
        """Create a container from Docker's ``POST /containers/create`` body: id and warnings.

        Raises `Missing` (no such image, no such network), `Clash` (name in use), `Invalid`.
        """

    async def start(self, container: Container) -> bool:
        """Attach it to its networks and start it; False if it was running already."""

    async def stop(self, container: Container, timeout: int | None) -> bool:
        """Stop it (signal, wait ``timeout`` seconds, kill); False if it was stopped already."""

    async def remove(self, container: Container, *, force: bool, volumes: bool) -> None:
        """Remove it and all that its networking made. Raises `Clash` if it runs and not force."""

    async def rename(self, container: Container, name: str) -> None:
        """Give it another name, on its networks too. Raises `Clash` (in use), `Invalid`."""

    async def update(self, container: Container, body: Json) -> None:
        """Change its limits, as ``POST /containers/{id}/update`` asks. Raises `Unsupported`."""

    async def traffic(self, container: Container) -> Mapping[str, Mapping[str, int]]:
        """What each of its interfaces has carried: Docker's counters by the interface's name."""


class NetworksPort(Protocol):
    """This host's own networks, as users change them."""

    async def create(self, spec: NetworkSpec) -> str:
        """Make a network of this host; its id. Raises refusals."""

    async def remove(self, network: LocalNetwork) -> None:
        """Remove one that nothing uses. Raises `Forbidden`, `Missing`."""

    async def connect(self, container: Container, network: Joined, config: Json) -> None:
        """Attach a container to one more network, as Docker's EndpointSettings ask for it, at once
        if it runs. Raises refusals."""

    async def disconnect(self, container: Container, network: Joined) -> None:
        """Take a container off a network. Raises `Forbidden` if it is not on it."""

    def drivers(self) -> tuple[str, ...]:
        """The plugins that are network drivers on this host."""


class EngineReply(Protocol):
    """An answer of the engine whose body is read as it comes."""

    status: int
    headers: Mapping[str, str]

    async def json(self) -> Any:
        """The whole body, decoded."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as the engine sends it."""

    async def close(self) -> None:
        """Give the connection back."""


class RawStream(Protocol):
    """A hijacked connection to the engine: bytes both ways, each side closed on its own."""

    async def read(self) -> bytes:
        """Some bytes, b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the other side is slow."""

    async def write_eof(self) -> None:
        """End our side; the other's output goes on."""

    async def close(self) -> None:
        """Close both sides."""


class EnginePort(Protocol):
    """The container engine's Docker-compatible REST interface, with its differences from Docker
    already smoothed where they concern the transport."""

    def showing(self, headers: Mapping[str, str]) -> EnginePort:
        """The same engine, with these headers on all requests: what registries are shown."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> EngineReply:
        """One request ("/containers/json", no version). Any status is an answer.

        Raises `Unavailable` when the engine cannot be reached.
        """

    async def hijack(
        self, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> RawStream:
        """``POST`` with ``Upgrade: tcp``. Raises the refusal that the engine's status maps to."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, for ``GET /events``. ``time`` in Unix seconds.

    ``kind`` is container, network, service, node, image, …; ``scope`` local or swarm.
    """

    kind: str
    action: str
    id: str
    attributes: Mapping[str, str]
    time: float
    scope: str = "local"


class EventsPort(Protocol):
    """The daemon's stream of events."""

    def subscribe(self, since: float | None) -> AsyncIterator[Event]:
        """Events from now on, preceded by those kept since ``since``."""

    def tell(self, event: Event) -> None:
        """Something happened that only a handler knows of."""


class InspectionPort(Protocol):
    """What looks into hosts: into all of them on a manager, else into this one."""

    async def trace(self, source: str, target: str, probe: bool) -> Trace:
        """The path from FROM to TO, with a real packet if ``probe``. Raises refusals."""

    def follow(self, source: str, target: str) -> AsyncGenerator[Trace | Followed, None]:
        """The path from FROM to TO, then what passes on it, until closed. Raises refusals."""

    async def examine(self, hosts: tuple[str, ...], repair: bool) -> Checkup:
        """All that is wrong with these hosts (none: all), after a repair if wanted."""

    async def hold(self, host: str, seconds: float) -> float:
        """Leave a host's kernel as it is for so long; until when, in Unix seconds (0.0: it is
        repaired again)."""


class MetricsPort(Protocol):
    """What measures this daemon."""

    async def readings(self) -> Readings:
        """Everything, now."""


class TopologyPort(Protocol):
    """What draws the cluster. Every method raises `Unavailable` on a host that is no manager."""

    async def graph(self, wanted: Wanted) -> Graph:
        """The picture now."""

    async def matrix(self) -> Matrix:
        """How hosts reach each other."""

    async def detail(self, id: str) -> Detail:
        """A thing of it, closely. Raises `Missing`."""

    def watch(self, wanted: Wanted) -> AsyncGenerator[Graph, None]:
        """The picture, and again whenever it may have changed. Close it when done."""


class FlowsPort(Protocol):
    """Who knows who talks to whom."""

    async def flows(self, wanted: WantedFlows) -> Flows:
        """On all hosts if this one is a manager, else on this one."""


class PageAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the page is served: its URL, "" if it is not, and ``why``; with the ``token`` that it
    takes (in the URL's query), "" for none, and the SHA-256 of the certificate that it shows."""

    url: str = ""
    token: str = ""
    fingerprint: str = ""
    why: str = ""


class PagePort(Protocol):
    """What serves the page."""

    def address(self) -> PageAddress:
        """Where it is."""


class Ports(msgspec.Struct, frozen=True):
    """All of them, as handlers receive them."""

    cluster: ClusterPort
    host: HostPort
    engine: EnginePort
    events: EventsPort
    inspection: InspectionPort | None = None
    metrics: MetricsPort | None = None
    topology: TopologyPort | None = None
    page: PagePort | None = None
    networks: NetworksPort | None = None
    flows: FlowsPort | None = None
    encryption: Callable[[], tuple[Pair, ...]] = lambda: ()


__all__ = [
    "ClusterPort",
    "Container",
    "EnginePort",
    "EngineReply",
    "Event",
    "EventsPort",
    "FlowsPort",
    "HostPort",
    "InspectionPort",
    "InitRequest",
    "JoinRequest",
    "Joined",
    "Json",
    "LocalNetwork",
    "LogPiece",
    "Membership",
    "NetworkSpec",
    "NetworksPort",
    "PageAddress",
    "PagePort",
    "Ports",
    "RawStream",
    "TopologyPort",
]
