"""What a sandbox is told when it asks for a name.

A name is looked up on the asker's own networks only. What it may mean, most likely first: itself;
``name.network``; ``name.stack``. Each reading is looked up in the asker's own stack on all its
networks before it is looked up network-wide, so that a stack's own short names win over another
stack's on a shared network. Known names are answered whatever the type: those we have no such
record of get an empty answer, so nobody waits for an upstream that cannot know them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from skep.model.naming import NameTable, NetworkNames, SandboxNames
from skep.names import wire
from skep.names.lookup import EVERYBODY, Found, Place, look_up, pointer
from skep.names.wire import Answer, Query

Shuffle = Callable[[list[Any]], None]
"""Puts a list into random order in place, as ``random.shuffle`` does."""

Lookup = tuple[NetworkNames, str, str]
"""Where to look what up: a network, a scope there, a name."""


class Forward(msgspec.Struct, frozen=True):
    """The question is not ours: ask the sandbox's upstreams."""


def answer(
    table: NameTable, sandbox: SandboxNames, query: Query, shuffle: Shuffle
) -> Answer | Forward:
    """The answer to ``query`` from within ``sandbox``, or that it is to be forwarded.

    What is unknown is NXDOMAIN when the sandbox has no way out. A single label that is unknown is
    empty where the user set ``ndots``, as the client then goes through its search list.
    """
    if query.klass != wire.IN or query.type in (wire.AXFR, wire.IXFR):
        return Answer(wire.REFUSED)
    networks = [table.networks[n] for n in sandbox.networks if n in table.networks]
    found = find(networks, sandbox.stack, query.name)
    if found is not None:
        return _said(found, query.type, shuffle)
    name = pointer(networks, query.name)
    if name:
        return _pointer(name, query.type)
    if sandbox.ndots and query.type in (wire.A, wire.AAAA) and "." not in query.name:
        return Answer()
    if sandbox.forward:
        return Forward()
    return Answer(wire.NXDOMAIN)


def find(networks: list[NetworkNames], stack: str, name: str) -> Found | None:
    """What a name means to a member of ``stack`` (or "") as seen from these networks.

    None if it does not exist. Of equal readings the first one with something to say counts.
    """
    for reading in _readings(networks, stack, name):
        silent: Found | None = None
        for network, scope, host in reading:
            found = look_up(network, scope, host)
            if found is not None:
                if found.addresses or found.places:
                    return found
                silent = silent or found
        if silent is not None:
            return silent
    return None


def _readings(networks: list[NetworkNames], stack: str, name: str) -> Iterator[Iterable[Lookup]]:
    """All that a name may mean, those of the same rank together."""
    scopes = (stack, EVERYBODY) if stack else (EVERYBODY,)
    for scope in scopes:
        yield [(network, scope, name) for network in networks]
    if "." not in name:
        return
    # Split at its last dot first, which is the network with the shortest name.
    scoped = [(network, head) for network in networks if (head := _head(name, network.name))]
    scoped.sort(key=lambda pair: len(pair[0].name))
    if scoped:
        for scope in scopes:
            yield [(network, scope, head) for network, head in scoped]
    whole = [(network, name) for network in networks]
    for pairs in (scoped, whole):
        yield [
            (network, other, head)
            for network, host in pairs
            if len(network.scopes) > (EVERYBODY in network.scopes)
            for head, other in _splits(host)
            if other in network.scopes
        ]


def _head(name: str, tail: str) -> str:
    """What stands before ``.tail`` in a name, "" if it does not end so."""
    head = name.removesuffix("." + tail)
    return "" if head == name else head


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A name's two parts, split at each of its dots, the last one first."""
    at = name.rfind(".")
    while at > 0:
        yield name[:at], name[at + 1 :]
        at = name.rfind(".", 0, at)


def _said(found: Found, kind: int, shuffle: Shuffle) -> Answer:
    """The records of one type of what was found."""
    if found.unknown:
        return Answer(wire.NXDOMAIN)
    if found.places is not None:
        return _places(found.places, shuffle) if kind in (wire.SRV, wire.ANY) else Answer()
    wanted = _of_type(found.addresses, kind)
    if len(wanted) > 1:
        shuffle(wanted)
    return Answer(wire.NOERROR, tuple(map(wire.address_record, wanted)))


def _of_type(addresses: tuple[str, ...], kind: int) -> list[str]:
    """Those addresses that a type of question asks for."""
    if kind == wire.ANY:
        return list(addresses)
    if kind not in (wire.A, wire.AAAA):
        return []
    six = kind == wire.AAAA
    return [address for address in addresses if wire.is_ipv6(address) is six]


def _places(places: tuple[Place, ...], shuffle: Shuffle) -> Answer:
    order = [place for place in places if wire.encode_name(place.target)]
    if len(order) > 1:
        shuffle(order)
    return Answer(
        wire.NOERROR,
        tuple(wire.service_record(place.target, place.port) for place in order),
        tuple(
            wire.address_record(address, place.target)
            for place in order
            for address in place.addresses
        ),
    )


def _pointer(name: str, kind: int) -> Answer:
    if kind not in (wire.PTR, wire.ANY):
        return Answer()
    return Answer(wire.NOERROR, (wire.pointer_record(name),))
