"""What a sandbox is told when it asks for a name.

A name is looked up on the asker's own networks only, first as it is, then split at each dot from
the last to the first into ``name.network``. Known names are answered whatever the type: those we
have no such record of get an empty answer, so nobody waits for an upstream that cannot know them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from skep.model.naming import NameTable, NetworkNames, SandboxNames
from skep.names import wire
from skep.names.wire import Answer, Query

Shuffle = Callable[[list[Any]], None]
"""Puts a list into random order in place, as ``random.shuffle`` does."""

REVERSE = ".in-addr.arpa"
"""The zone of the names that IPv4 addresses are asked for by."""


class Forward(msgspec.Struct, frozen=True):
    """The question is not ours: ask the sandbox's upstreams."""


def answer(
    table: NameTable, sandbox: SandboxNames, query: Query, shuffle: Shuffle
) -> Answer | Forward:
    """The answer to ``query`` from within ``sandbox``, or that it is to be forwarded.

    A name that ends in one of the asker's networks and is not there is NXDOMAIN, and so is
    everything unknown when the sandbox has no way out.
    """
    if query.klass != wire.IN or query.type in (wire.AXFR, wire.IXFR):
        return Answer(wire.REFUSED)
    networks = [table.networks[n] for n in sandbox.networks if n in table.networks]
    addresses = find(networks, query.name)
    if addresses is not None:
        return _addresses(addresses, query.type, shuffle)
    pointer = find_pointer(networks, query.name)
    if pointer:
        return _pointer(pointer, query.type)
    if sandbox.forward:
        return Forward()
    return Answer(wire.NXDOMAIN)


def find(networks: Sequence[NetworkNames], name: str) -> tuple[str, ...] | None:
    """The addresses of a name as seen from these networks, in order of precedence.

    None if it does not exist; empty if it exists and has no ready container anywhere.
    """
    found: tuple[str, ...] | None = None
    for network, host in _readings(networks, name):
        addresses = network.addresses.get(host)
        if addresses:
            return addresses
        found = addresses if found is None else found
    return found


def find_pointer(networks: Sequence[NetworkNames], name: str) -> str:
    """The name of the address that a reverse name spells; "" if it is none of ours."""
    if not name.endswith(REVERSE):
        return ""
    address = ".".join(reversed(name.removesuffix(REVERSE).split(".")))
    for network in networks:
        if address in network.pointers:
            return network.pointers[address]
    return ""


def _readings(networks: Sequence[NetworkNames], name: str) -> Iterator[tuple[NetworkNames, str]]:
    """All that a name may mean: itself on each network, then ``name.network``, split at its last
    dot first, which is the network with the shortest name."""
    for network in networks:
        yield network, name
    if "." in name:
        for network in sorted(networks, key=lambda n: len(n.name)):
            head = _head(name, network.name)
            if head:
                yield network, head


def _head(name: str, network: str) -> str:
    """What stands before ``.network`` in a name, "" if it does not end so."""
    head = name.removesuffix("." + network)
    return "" if head == name else head


def _addresses(addresses: tuple[str, ...], kind: int, shuffle: Shuffle) -> Answer:
    if kind not in (wire.A, wire.ANY) or not addresses:
        return Answer()
    order = list(addresses)
    if len(order) > 1:
        shuffle(order)
    return Answer(wire.NOERROR, tuple(map(wire.address_record, order)))


def _pointer(name: str, kind: int) -> Answer:
    if kind not in (wire.PTR, wire.ANY):
        return Answer()
    return Answer(wire.NOERROR, (wire.pointer_record(name),))
