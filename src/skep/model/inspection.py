"""What a host says of itself when it is looked into: what `skep trace` and `skep doctor` judge.

An inquiry is asked of a host's agent, and has one kind of answer each. Instants are Unix seconds,
durations and delays seconds, sizes bytes.
"""

from __future__ import annotations

import msgspec

from skep.model.host import HostView
from skep.model.netstate import HostState
from skep.model.nft import Table
from skep.model.secure import Pair


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is told."""


# --- facts of the kernel that no plan is made of


class RuleCount(Fact, frozen=True):
    """A rule as the kernel numbers and counts it. ``number`` is its place in its chain, from 0;
    ``packets`` and ``bytes`` are -1 for a rule without a counter."""

    family: str
    table: str
    chain: str
    number: int
    handle: int
    packets: int = -1
    bytes: int = -1


class Listener(Fact, frozen=True):
    """A socket that waits: ``address`` is "0.0.0.0" for any ("::" of both families); ``peer`` is
    set on UDP sockets that are connected, and so take packets of that address alone."""

    protocol: str
    address: str
    port: int
    peer: str = ""


class Inside(Fact, frozen=True):
    """Of one namespace: all rules' handles and counters, tables that are not ours, listeners."""

    rules: tuple[RuleCount, ...] = ()
    foreign: tuple[Table, ...] = ()
    listeners: tuple[Listener, ...] = ()


class Device(Fact, frozen=True):
    """A link of the host's own namespace, whoever made it. ``carrier``: its cable is in."""

    name: str
    index: int
    mtu: int
    up: bool
    carrier: bool
    addresses: tuple[str, ...] = ()


class HostRoute(Fact, frozen=True):
    """A route of the host's main table: ``destination`` in CIDR ("0.0.0.0/0" is the default,
    "::/0" that of IPv6)."""

    destination: str
    link: str
    via: str = ""


# --- facts of the host


class PeerSight(Fact, frozen=True):
    """What the mesh knows of a peer. ``loss`` is a share of the last ``probes``; those that fill
    the underlay's MTU (``large_size``) are counted apart; where none of these gets there, packets
    of up to ``path_mtu`` bytes do (0: not known)."""

    address: str
    seen_at: float = 0.0
    rtt: float = 0.0
    loss: float = 0.0
    probes: int = 0
    large_loss: float = 0.0
    large_probes: int = 0
    large_size: int = 0
    path_mtu: int = 0


class TunnelCheck(Fact, frozen=True):
    """Echo requests sent through the ingress network's tunnel to another host's ingress sandbox.

    ``small`` and ``large`` are round trips, 0.0 if none came back; ``tcp`` is "" if a connection
    was answered (be it refused), else what happened.
    """

    node_id: str
    small: float = 0.0
    large: float = 0.0
    large_size: int = 0
    tcp: str = ""


class ManagerCheck(Fact, frozen=True):
    """An attempt to reach a manager's TCP port: "" or why it failed."""

    node_id: str
    address: str
    why: str = ""


class NameAnswer(Fact, frozen=True):
    """A question put to skep-dns from inside ``namespace``. ``expected`` is what the host was told
    to answer (None: nothing of that name), ``answered`` what came. ``code`` is DNS's, "" if no
    answer came, of which ``error`` then tells."""

    namespace: str
    name: str
    expected: tuple[str, ...] | None = None
    answered: tuple[str, ...] = ()
    code: str = ""
    seconds: float = 0.0
    error: str = ""


class Certificate(Fact, frozen=True):
    """Whose certificate, and from when to when it is good."""

    subject: str
    begins_at: float
    ends_at: float


class Disk(Fact, frozen=True):
    """The file system that a directory is on: bytes and inodes (0: it has no such limit)."""

    path: str
    total: int
    free: int
    inodes: int = 0
    inodes_free: int = 0


class StoreCheck(Fact, frozen=True):
    """The cluster's store: its file, its size, how long a read took, or why it failed."""

    path: str
    size: int = 0
    seconds: float = 0.0
    error: str = ""


class RefusedOp(Fact, frozen=True):
    """An operation that the kernel refused: in which namespace, what, why."""

    namespace: str
    what: str
    why: str


class Inspection(Fact, frozen=True):
    """One host. ``begun_at`` and ``done_at`` are by its own clock. ``failures`` are what the kernel
    refused when skepd last tried, ``sweep`` is how often it looks at everything, ``held_until``
    until when it repairs nothing (0.0: it does).

    From ``features`` on, only a deep inspection fills in: a feature's name maps to "" or to why it
    does not work. ``identity_error`` is why the host's credentials cannot be read.
    """

    node_id: str
    hostname: str
    begun_at: float
    done_at: float
    view: HostView
    state: HostState
    insides: dict[str, Inside] = {}
    devices: tuple[Device, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    mesh: dict[str, PeerSight] = {}
    repairs: int = 0
    failures: tuple[RefusedOp, ...] = ()
    sweep: float = 30.0
    held_until: float = 0.0
    features: dict[str, str] = {}
    sysctls: dict[str, str] = {}
    resolvers: tuple[str, ...] = ()
    names: tuple[NameAnswer, ...] = ()
    dns_error: str = ""
    tunnels: tuple[TunnelCheck, ...] = ()
    managers: tuple[ManagerCheck, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    identity_error: str = ""
    disks: tuple[Disk, ...] = ()
    store: StoreCheck | None = None
    encryption: tuple[Pair, ...] = ()


# --- evidence of a probe under way


class Tap(Fact, frozen=True):
    """A link to listen on."""

    namespace: str
    link: str


class Sighting(Fact, frozen=True):
    """A packet, or an answer, seen at a tap. ``at`` is by the host's own clock; ``vni`` is 0 out
    of tunnels. ``note`` says more: TCP flags, ICMP type. ``packets`` of the same ends may be one
    sighting. Of echoes, the ports are their id."""

    tap: Tap
    at: float
    protocol: str
    source: str
    target: str
    source_port: int = 0
    target_port: int = 0
    vni: int = 0
    outgoing: bool = False
    note: str = ""
    packets: int = 1


TRACER = "trace_of_skep"
"""The nftables table that marks a probe's packets while it is under way."""


class RuleHit(Fact, frozen=True):
    """A rule (``handle`` 0: its chain's policy) that a probe's packet met, and its verdict there.
    ``asked``: the packet was the probe's, not an answer."""

    family: str
    table: str
    chain: str
    handle: int
    verdict: str
    asked: bool
    namespace: str = ""


class LinkCount(Fact, frozen=True):
    """By how much a link's counters grew while taps listened; ``dropped`` and ``failed`` are
    packets that it threw away or could not send or receive."""

    namespace: str
    link: str
    received: int = 0
    sent: int = 0
    dropped: int = 0
    failed: int = 0


class Sightings(Fact, frozen=True):
    """All that was seen; ``deaf`` are taps that could not be listened on (tap: why), ``watched``
    the namespaces whose rules were watched, ``untraced`` those where that failed (name: why)."""

    seen: tuple[Sighting, ...] = ()
    deaf: tuple[tuple[Tap, str], ...] = ()
    rules: tuple[RuleHit, ...] = ()
    counts: tuple[LinkCount, ...] = ()
    watched: tuple[str, ...] = ()
    untraced: tuple[tuple[str, str], ...] = ()


class Echo(Fact, frozen=True):
    """What came of a probe: ``answered`` within ``seconds``, or why not, in ``words``."""

    answered: bool
    seconds: float = 0.0
    words: str = ""


class Repaired(Fact, frozen=True):
    """What converging now did: operations performed, and those that the kernel refused."""

    changed: int
    failures: tuple[RefusedOp, ...] = ()


class Held(Fact, frozen=True):
    """Until when (Unix seconds) a host's kernel is left as it is; 0.0 if it is not."""

    until: float


# --- inquiries


class Inquiry(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of what an agent can be asked."""


class Inspect(Inquiry, frozen=True):
    """Say all that you are: `Inspection`. ``deep`` takes longer and sends packets of its own."""

    deep: bool = False


class AskNames(Inquiry, frozen=True):
    """Ask skep-dns these names from inside a sandbox: a tuple of `NameAnswer`."""

    namespace: str
    names: tuple[str, ...]


class Listen(Inquiry, frozen=True):
    """Watch links for ``seconds``, for packets of ``protocol`` with this port or ICMP id, and the
    rules that they meet in ``traced`` namespaces: say "listening" by an empty piece, then
    `Sightings`. ``tunnel`` is the port of VXLAN tunnels."""

    taps: tuple[Tap, ...]
    protocol: str
    token: int
    seconds: float
    traced: tuple[str, ...] = ()
    tunnel: int = 4789


class End(Fact, frozen=True):
    """One form that the packets of a pair take on their way: from (""  for anybody), to, and the
    port that they are for (0 for any)."""

    source: str
    target: str
    port: int = 0


class Watch(Inquiry, frozen=True):
    """Watch links for real packets of a pair, both ways, for ``seconds``: say "listening" by an
    empty piece, then `Sightings` as they come, and nothing at the end."""

    taps: tuple[Tap, ...]
    protocol: str
    ends: tuple[End, ...]
    seconds: float


class Probe(Inquiry, frozen=True):
    """Send one probe from inside a namespace, with ``token`` as its source port or ICMP id:
    `Echo`."""

    namespace: str
    protocol: str
    target: str
    port: int
    token: int
    seconds: float
    source: str = ""


class Repair(Inquiry, frozen=True):
    """Converge now: `Repaired`. Refused while the host is held."""


class Hold(Inquiry, frozen=True):
    """Repair nothing for so many ``seconds``; with 0, repair again from now on: `Held`."""

    seconds: float


class Glance(Inquiry, frozen=True):
    """Say what is seen at a glance: a `skep.model.glance.Glimpse`. As soon as the host's ``turn``
    is another than ``after``, at the latest in ``seconds``."""

    after: int = -1
    seconds: float = 0.0


class Conversations(Inquiry, frozen=True):
    """Say who talks to whom here: a tuple of `skep.model.flows.Flow`."""


Question = Conversations | Inspect | AskNames | Listen | Watch | Probe | Repair | Hold | Glance
