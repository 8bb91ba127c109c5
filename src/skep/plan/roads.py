"""Where a packet can go from a namespace: routes, other ends of links, bridges, tunnels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from skep.model.netstate import HOST, MAIN_TABLE, HostState, Link, Namespace
from skep.plan.family import family_of, is_single
from skep.plan.journey import OUTSIDE, Place
from skep.plan.layout import bare, holds
from skep.plan.wiring import joined

T = TypeVar("T", bound=msgspec.Struct)


class Way(msgspec.Struct, frozen=True):
    """A route's answer: the link to leave by, the next hop ("" if on the link), the table."""

    link: str
    via: str
    table: int


def is_local(host: str, namespace: Namespace, address: str) -> bool:
    """Whether ``address`` is the namespace's own. Of the host's namespace, only the VTEP and the
    addresses on links of ours are known."""
    own_vtep = namespace.name == HOST and address == host
    if address.startswith("127.") or address == "::1" or own_vtep:
        return True
    return any(bare(each.address) == address for each in namespace.addresses)


def route(namespace: Namespace, target: str, mark: int) -> Way | None:
    """The way to ``target``: rules for the mark first, then the main table."""
    for rule in sorted(namespace.rules, key=lambda each: each.priority):
        if rule.mark == mark and rule.family == family_of(target).name:
            way = _longest(_routes(namespace, rule.table), target)
            if way is not None:
                return way
    connected = [
        (each.address, Way(each.link, "", MAIN_TABLE)) for each in _ordered(namespace.addresses)
    ]
    return _longest([*connected, *_routes(namespace, MAIN_TABLE)], target)


def source_address(namespace: Namespace, link: str, towards: str) -> str:
    """The address that the kernel chooses to send from: the link's own one in the subnet of
    ``towards``, else its first that is not a single address; "" if it has none."""
    own = [
        each.address
        for each in _ordered(namespace.addresses)
        if each.link == link
        and not is_single(each.address)
        and not each.address.startswith("fe80:")
        and family_of(each.address) is family_of(towards)
    ]
    near = [each for each in own if holds(each, towards)]
    return bare((near or own or [""])[0])


def _ordered(items: Iterable[T]) -> list[T]:
    return sorted(items, key=str)


def _routes(namespace: Namespace, table: int) -> list[tuple[str, Way]]:
    return [
        (
            "0.0.0.0/0" if each.destination == "default" else each.destination,
            Way(each.link, each.via, table),
        )
        for each in _ordered(namespace.routes)
        if each.table == table
    ]


def _longest(ways: Iterable[tuple[str, Way]], target: str) -> Way | None:
    fitting = [
        (int(subnet.partition("/")[2] or family_of(subnet).bits), way)
        for subnet, way in ways
        if holds(subnet, target)
    ]
    return max(fitting, key=lambda each: each[0])[1] if fitting else None


def other_end(state: HostState, at: Place, link: Link) -> tuple[Place, Link] | None:
    """The other end of a veth pair on the same host; None if it is missing, or cannot be told.

    Desired links name it. Observed ones only have indices, which may fit several places.
    """
    if link.peer is not None:
        there = state.get(link.peer.namespace)
        found = None if there is None else there.links.get(link.peer.name)
        place = Place(at.host, link.peer.namespace, link.peer.name)
        return None if found is None else (place, found)
    if not link.peer_index:
        return None
    fitting = [
        (Place(at.host, name, each.name), each)
        for name, namespace in state.items()
        for each in namespace.links.values()
        if each.kind == "veth" and each is not link and joined(link, each)
    ]
    return fitting[0] if len(fitting) == 1 else None


def ports(namespace: Namespace, bridge: str, but: str) -> Iterator[Link]:
    """The links that are plugged into a bridge and up, save the one named ``but``."""
    for link in namespace.links.values():
        if link.master == bridge and link.up and link.name != but:
            yield link


def host_of(world: Mapping[str, HostState], address: str) -> str | None:
    """The host (its VTEP) that has an address on the underlay; None if none is known to."""
    if address in world:
        return address
    for host, state in world.items():
        namespace = state.get(HOST)
        if namespace is not None and owns(namespace, OUTSIDE, address):
            return host
    return None


def owns(namespace: Namespace, link: str, address: str) -> bool:
    """Whether ``link`` answers for ``address``."""
    return any(each.link == link and bare(each.address) == address for each in namespace.addresses)


def tunnel_exit(state: HostState, vni: int, port: int) -> tuple[str, Link] | None:
    """The namespace and link in which a tunnel's packets come out on a host."""
    for name, namespace in state.items():
        for link in namespace.links.values():
            if link.vxlan is not None and (link.vxlan.vni, link.vxlan.port) == (vni, port):
                return (name, link) if link.up else None
    return None
