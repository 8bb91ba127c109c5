"""What the walker says of a packet: where it came by, what was done to it, where it ended."""

from __future__ import annotations

import msgspec


class Flow(msgspec.Struct, frozen=True):
    """Protocol (tcp, udp, sctp, icmp), addresses and ports; a protocol without ports has 0."""

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

    `OUTSIDE` is the link by which the host's namespace meets the underlay.
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


class Hop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that befell the packet at a place."""

    at: Place


class Marked(Hop, frozen=True):
    """``chain`` set the packet's mark (``target`` meta) or its connection's (ct)."""

    chain: str
    target: str
    mark: int


class Translated(Hop, frozen=True):
    """Addresses or ports changed, by ``chain``, or ("") as its connection's first packet was."""

    chain: str
    before: Flow
    after: Flow


class Routed(Hop, frozen=True):
    """A route was chosen: the link to leave by, and the next hop ("" if on the link itself)."""

    link: str
    via: str
    table: int


class Crossed(Hop, frozen=True):
    """Over a veth pair, and the bridge it is plugged into if any, to another place."""

    to: Place


class Tunnelled(Hop, frozen=True):
    """Through a VXLAN tunnel to another host."""

    host: str
    vni: int


class Unread(Hop, frozen=True):
    """A rule that Skep did not write and the walker cannot judge; taken as not matching."""

    chain: str
    text: str


class Delivered(Hop, frozen=True):
    """The end: handed to whoever listens on the flow's target in this namespace."""

    flow: Flow
    mark: int = 0


class Departed(Hop, frozen=True):
    """The end of what is known: it leaves the host for somewhere outside the cluster."""

    flow: Flow


class Dropped(Hop, frozen=True):
    """The end: lost or refused here. ``why`` is for people."""

    flow: Flow
    why: str


End = Delivered | Departed | Dropped
Step = Marked | Translated | Routed | Crossed | Tunnelled | Unread


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What a namespace's connection tracking remembers: the flow as it came, the answer as it will
    come, the connection's mark."""

    host: str
    namespace: str
    original: Flow
    reply: Flow
    mark: int = 0

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
