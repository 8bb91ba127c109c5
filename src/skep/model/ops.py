"""The operations that change a kernel: what ``plan.diff`` decides and ``kernel.apply`` performs."""

from __future__ import annotations

import msgspec

from skep.model.netstate import (
    Address,
    Destination,
    Fdb,
    Link,
    Neighbour,
    PolicyRule,
    Route,
    Timeouts,
    VirtualService,
)
from skep.model.nft import Atom, Chain, Table


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """One operation in the namespace ``ns``."""

    ns: str


class AddNamespace(Op, frozen=True):
    """Create the namespace, pinned in ``NETNS_DIR``; bring ``lo`` up and mark it as ours."""


class DelNamespace(Op, frozen=True):
    """Unpin the namespace; it goes, with all its links, when its last process has left."""


class AddLink(Op, frozen=True):
    """Create a link; a veth with its peer made inside the peer's namespace, in one message. One
    with a source is moved from the host's namespace instead.

    ``peer`` is the other end's desired link when ``link.kind`` is veth. A vxlan link is bound to
    the underlay of the host's namespace and created inside ``ns``.
    """

    link: Link
    peer: Link | None = None


class DelLink(Op, frozen=True):
    """Delete a link (a veth's peer goes with it)."""

    name: str


class ReturnLink(Op, frozen=True):
    """Give a moved link back to the host's namespace, down, under the name that it had there."""

    name: str
    source: str


class SetLink(Op, frozen=True):
    """Make an existing link's up state, MTU, MAC, master and group those of ``link``."""

    link: Link


class AddAddress(Op, frozen=True):
    """Add an address to a link."""

    address: Address


class DelAddress(Op, frozen=True):
    """Remove an address from a link."""

    address: Address


class AddRoute(Op, frozen=True):
    """Add or replace a route."""

    route: Route


class DelRoute(Op, frozen=True):
    """Remove a route."""

    route: Route


class AddRule(Op, frozen=True):
    """Add a routing rule."""

    rule: PolicyRule


class DelRule(Op, frozen=True):
    """Remove a routing rule."""

    rule: PolicyRule


class SetNeighbour(Op, frozen=True):
    """Add or replace a permanent neighbour entry."""

    neighbour: Neighbour


class DelNeighbour(Op, frozen=True):
    """Remove a neighbour entry."""

    neighbour: Neighbour


class SetFdb(Op, frozen=True):
    """Add or replace a permanent forwarding entry."""

    fdb: Fdb


class DelFdb(Op, frozen=True):
    """Remove a forwarding entry."""

    fdb: Fdb


class SetSysctl(Op, frozen=True):
    """Write a sysctl of the namespace."""

    key: str
    value: str


class ReplaceTable(Op, frozen=True):
    """Make an nftables table exactly this, whatever it was, in one transaction."""

    table: Table


class DelTable(Op, frozen=True):
    """Remove an nftables table."""

    family: str
    name: str


class SetElements(Op, frozen=True):
    """Add and remove elements of one named set or map; the rest of the table is untouched.

    All `SetElements`, `AddChain` and `DelChain` of one table in one call of ``apply`` are one
    transaction.
    """

    family: str
    table: str
    set: str
    remove: frozenset[tuple[Atom, ...]]
    add: frozenset[tuple[Atom, ...]]


class AddChain(Op, frozen=True):
    """Add a chain that is no base chain, with its rules; the rest of the table is untouched."""

    family: str
    table: str
    chain: Chain


class DelChain(Op, frozen=True):
    """Remove a chain that is no base chain, which no element leads to any more."""

    family: str
    table: str
    name: str


class SetTimeouts(Op, frozen=True):
    """Set after how long IPVS forgets connections."""

    timeouts: Timeouts


class SetVirtual(Op, frozen=True):
    """Make a service of IPVS, or change it; its destinations are set by `SetDestination`."""

    service: VirtualService


class DelVirtual(Op, frozen=True):
    """Remove a service of IPVS with its destinations."""

    service: VirtualService


class SetDestination(Op, frozen=True):
    """Add a destination to a service of IPVS, or change its weight."""

    service: VirtualService
    destination: Destination


class DelDestination(Op, frozen=True):
    """Take a destination of a service of IPVS away, and its connections with it."""

    service: VirtualService
    destination: Destination


class CutFlows(Op, frozen=True):
    """Forget the tracked flows that were sent on to ``address`` (and ``port``,
    unless 0), those of TCP excepted: what follows of them is a new flow, balanced anew."""

    address: str
    port: int = 0


class Failure(msgspec.Struct, frozen=True):
    """An operation that the kernel refused: the error number (0 if none) and its sentence."""

    op: Op
    errno: int
    message: str
