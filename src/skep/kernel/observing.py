"""Reading a namespace into `skep.model.netstate.Namespace`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import msgspec

from skep.kernel import sysctl
from skep.kernel.generation import generation
from skep.kernel.handles import Handle
from skep.kernel.ipvs import Ipvs
from skep.kernel.nftables import Library
from skep.kernel.rtnetlink import inet, links, neighbours
from skep.kernel.rtnetlink.message import Message, Request
from skep.model.netstate import (
    GROUP,
    HOST,
    HOST_LINK,
    Fdb,
    Link,
    Namespace,
    PolicyRule,
    Route,
    Timeouts,
    VirtualService,
)
from skep.model.nft import Table

T = TypeVar("T")

UNKNOWN = "?"
"""A namespace that tunnels should not send from."""


def observe(
    handle: Handle,
    library: Library,
    sysctls: Collection[str],
    ipvs: Ipvs | None = None,
    underlays: Collection[Handle] = (),
) -> Namespace:
    """All of ours in a namespace, and of the host's links those with names that we use, too.
    ``underlays`` are the namespaces that tunnels may send from. Raises OSError, or
    `nftables.Rejected`."""
    everything = _with_underlays(handle, underlays)
    ours = {name: link for name, link in everything.items() if link.group == GROUP}
    names = {link.index: name for name, link in ours.items()}
    tables, values = _inside(handle, library, sysctls)
    virtual, timeouts = _balanced(handle, ipvs)
    socket = handle.socket
    return Namespace(
        name=handle.name,
        links=_judged(everything) if handle.name == HOST else everything,
        addresses=_read(socket.dump(inet.get_addresses()), _on(names, inet.parse_address)),
        routes=_routes(handle, names),
        rules=_rules(handle),
        neighbours=_read(
            socket.dump(neighbours.get_neighbours()), _on(names, neighbours.parse_neighbour)
        ),
        fdb=_fdb(handle, ours.values(), names),
        tables=tables,
        sysctls=values,
        virtual=virtual,
        timeouts=timeouts,
    )


def _judged(links: Mapping[str, Link]) -> dict[str, Link]:
    """The links of the host's namespace that may be ours: by group, or by name at least."""
    return {
        name: link
        for name, link in links.items()
        if link.group == GROUP or HOST_LINK.fullmatch(name)
    }


def all_links(handle: Handle) -> dict[str, Link]:
    """All links of a namespace by name, whoever made them. Raises OSError."""
    return links.named([links.parse(each) for each in handle.socket.dump(links.get_all())])


def _with_underlays(handle: Handle, underlays: Collection[Handle]) -> dict[str, Link]:
    found = [links.parse(each) for each in handle.socket.dump(links.get_all())]
    named = links.named(found)
    tunnels = {each.name: each.other_namespace for each in found if each.vxlan}
    if not tunnels:
        return named
    names = {number: other.name for other in underlays if (number := _number(handle, other)) >= 0}
    names[links.HERE] = handle.name
    for name, number in tunnels.items():
        vxlan = named[name].vxlan
        assert vxlan is not None, "it was a tunnel"
        vxlan = msgspec.structs.replace(vxlan, underlay=names.get(number, UNKNOWN))
        named[name] = msgspec.structs.replace(named[name], vxlan=vxlan)
    return named


def _number(handle: Handle, other: Handle) -> int:
    with other.descriptor() as opened:
        (answer,) = handle.socket.ask([links.get_number(opened)])
    return links.number_of(answer) if isinstance(answer, Message) else links.HERE


def _read(found: list[Message], parse: Callable[[Message], T | None]) -> frozenset[T]:
    parsed = (parse(each) for each in found)
    return frozenset(each for each in parsed if each is not None)


def _on(
    names: Mapping[int, str], parse: Callable[[Message, Mapping[int, str]], T | None]
) -> Callable[[Message], T | None]:
    return lambda message: parse(message, names)


def _routes(handle: Handle, names: Mapping[int, str]) -> frozenset[Route]:
    if handle.name == HOST:
        return frozenset()
    return _read(_dump(handle, inet.get_routes()), _on(names, inet.parse_route))


def _rules(handle: Handle) -> frozenset[PolicyRule]:
    if handle.name == HOST:
        return frozenset()
    return _read(_dump(handle, inet.get_rules()), inet.parse_rule)


def _fdb(handle: Handle, ours: Collection[Link], names: Mapping[int, str]) -> frozenset[Fdb]:
    tunnels = [link for link in ours if link.kind == "vxlan"]
    found = [each for link in tunnels for each in _dump(handle, neighbours.get_fdb(link.index))]
    return _read(found, _on(names, neighbours.parse_fdb))


def _dump(handle: Handle, request: Request) -> list[Message]:
    return handle.socket.dump(request)


def _balanced(
    handle: Handle, ipvs: Ipvs | None
) -> tuple[frozenset[VirtualService], Timeouts | None]:
    """What IPVS has in a namespace of ours; the host's own is others' business."""
    if ipvs is None or handle.name == HOST:
        return frozenset(), None
    with handle.entered():
        return ipvs.services(), ipvs.timeouts()


def _inside(
    handle: Handle, library: Library, sysctls: Collection[str]
) -> tuple[tuple[Table, ...], dict[str, str]]:
    """What can only be read from within."""
    with handle.entered():
        return _tables(handle, library), sysctl.read(sysctls)


def _tables(handle: Handle, library: Library) -> tuple[Table, ...]:
    """Our tables: as read before, if the kernel says that nothing was changed since."""
    now = generation()
    if handle.tables is None or handle.tables[0] != now:
        with library.opened() as nft:
            handle.tables = now, nft.tables()
    return handle.tables[1]
