"""What the walker says of a packet: where it came by, what was done to it, where it ended."""

from __future__ import annotations

import msgspec


class Flow(msgspec.Struct, frozen=True):
    """Protocol (tcp, udp, sctp, icmp, icmpv6), addresses and ports; a protocol without ports has
    0."""

    protocol: str
    source: str
    target: str
    source_port: int = 0
    target_port: int = 0

    def reverse(self) -> Flow:
        """The flow of the answer."""
        return Flow(self.protocol, self.target, self.source, self.target_port, self.source_port)


class Place(msgspec.Struct, frozen=True):
    """A host (by its VTEP), a namespace there, and the link a packet came in by ("": made there).

    `OUTSIDE` is the link by which the host's namespace meets the underlay. Addresses of the host
    beside its VTEP may be written down as addresses of that link.
    """

    host: str
    namespace: str
    link: str = ""


OUTSIDE = "underlay"


class Packet(msgspec.Struct, frozen=True):
    """What is sent. ``sender`` is the source MAC of a frame that arrives, "" if none is known."""

    flow: Flow
    mark: int = 0
    sender: str = ""


class RuleAt(msgspec.Struct, frozen=True):
    """Where a rule stands: table, chain, and its number in the chain, counted from 0 (a chain's
    policy is number -1)."""

    family: str
    table: str
    chain: str
    number: int


class Hop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that befell the packet at a place."""

    at: Place


class Marked(Hop, frozen=True):
    """``chain`` set the packet's mark (``target`` meta) or its connection's (ct)."""

    chain: str
    target: str
    mark: int
    rule: RuleAt | None = None


class Translated(Hop, frozen=True):
    """Addresses or ports changed, by ``chain``, or ("") as its connection's first packet was;
    without a ``rule``, a chain is the service of IPVS that did it."""

    chain: str
    before: Flow
    after: Flow
    rule: RuleAt | None = None


class Routed(Hop, frozen=True):
    """A route was chosen: the link to leave by, and the next hop ("" if on the link itself)."""

    link: str
    via: str
    table: int


class Crossed(Hop, frozen=True):
    """Over a veth pair, and the bridge it is plugged into if any, to another place."""

    to: Place


class Plugged(Hop, frozen=True):
    """Out of a veth pair at its other end, which is a port of ``bridge``. ``at`` is the port."""

    bridge: str


class Switched(Hop, frozen=True):
    """A bridge (``at``) passed it on to one of its ports. Where it came out of a tunnel, ``at`` is
    the tunnel's link."""

    port: str


class Tunnelled(Hop, frozen=True):
    """Through a VXLAN tunnel to another host. ``at`` is where the frame came onto the bridge;
    ``link`` is the tunnel's, which knew ``next_hop`` by ``mac``."""

    host: str
    vni: int
    link: str = ""
    next_hop: str = ""
    mac: str = ""


class Unread(Hop, frozen=True):
    """A rule that Skep did not write and the walker cannot judge; taken as not matching."""

    chain: str
    text: str
    rule: RuleAt | None = None


class Delivered(Hop, frozen=True):
    """The end: handed to whoever listens on the flow's target in this namespace."""

    flow: Flow
    mark: int = 0


class Departed(Hop, frozen=True):
    """The end of what is known: it leaves the host for somewhere outside the cluster."""

    flow: Flow


class Dropped(Hop, frozen=True):
    """The end: lost or refused here. ``why`` is for people; ``rule`` is who refused it, if one
    did."""

    flow: Flow
    why: str
    rule: RuleAt | None = None


End = Delivered | Departed | Dropped
Step = Marked | Translated | Routed | Crossed | Plugged | Switched | Tunnelled | Unread


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What a namespace's connection tracking remembers: the flow as it came, the answer as it will
    come, the connection's mark; and whether it was IPVS that sent it on."""

    host: str
    namespace: str
    original: Flow
    reply: Flow
    mark: int = 0
    virtual: bool = False

    @property
    def translated(self) -> bool:
        """Whether its target was changed (``ct status dnat``)."""
        return (self.reply.source, self.reply.source_port) != (
            self.original.target,
            self.original.target_port,
        )


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """A packet's whole way, and the connections that it left behind or used."""

    start: Place
    packet: Packet
    hops: tuple[Step, ...]
    end: End
    connections: tuple[Connection, ...] = ()

    def translations(self) -> list[Translated]:
        """Only the changes of addresses."""
        return [hop for hop in self.hops if isinstance(hop, Translated)]

    def places(self) -> list[tuple[str, str]]:
        """The namespaces it was in, as (host, namespace), in order."""
        found = [(self.start.host, self.start.namespace)]
        for hop in self.hops:
            if isinstance(hop, Crossed):
                found.append((hop.to.host, hop.to.namespace))
        return found
