"""What one network says to a name, within one scope: the network's own, or a stack's.

web  www  box  web.1.abc     a service, its alias, a container, a task
tasks.web                    the ready tasks of a service, whatever VIP it has
tasks-all.web                those that are not ready too
_80._tcp.web  _http._tcp.web where a port of a service is: by number, or by its published name
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

import msgspec

from skep.model.naming import NetworkNames, ServiceNames

EVERYBODY = ""
"""The scope of what names mean network-wide."""

TASKS = "tasks."
"""What precedes a service's name or alias to mean its ready tasks instead of its VIP."""

ALL_TASKS = "tasks-all."
"""What precedes it to mean all of its tasks, those not ready (any more) included."""

PROTOCOLS = ("_tcp", "_udp", "_sctp")
HIGHEST_PORT = 65535

REVERSE_IPV4 = ".in-addr.arpa"
REVERSE_IPV6 = ".ip6.arpa"
_NIBBLES = 32


class Place(msgspec.Struct, frozen=True):
    """Where a task serves a port: its full name, the port, its addresses."""

    target: str
    port: int
    addresses: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A name that is ours. ``places`` is set for names of ports, which have no addresses.

    ``unknown``: it is below a name of ours, but does not exist.
    """

    addresses: tuple[str, ...] = ()
    places: tuple[Place, ...] | None = None
    unknown: bool = False


def look_up(network: NetworkNames, scope: str, host: str) -> Found | None:
    """What a name, without network and stack, means in a scope; None if it is not known there."""
    known = network.scopes.get(scope)
    if known:
        if host in known:
            return _found(network, known[host])
        if host.startswith(_PREFIXES):
            found = _part(network, known, host)
            if found:
                return found
    if scope == EVERYBODY and host in network.addresses:
        return Found(addresses=network.addresses[host])
    return None


def pointer(networks: Iterable[NetworkNames], name: str) -> str:
    """The name of the address that a reverse name spells; "" if it is none of ours."""
    address = reversed_address(name)
    for network in networks if address else ():
        if address in network.pointers:
            return network.pointers[address]
    return ""


def reversed_address(name: str) -> str:
    """The address that a reverse name spells, "" if it spells none."""
    if name.endswith(REVERSE_IPV4):
        return ".".join(reversed(name.removesuffix(REVERSE_IPV4).split(".")))
    if not name.endswith(REVERSE_IPV6):
        return ""
    nibbles = name.removesuffix(REVERSE_IPV6).split(".")
    if len(nibbles) != _NIBBLES:
        return ""
    try:
        return str(ipaddress.IPv6Address(int("".join(reversed(nibbles)), 16)))
    except ValueError:
        return ""


def _found(network: NetworkNames, meant: Sequence[str]) -> Found:
    """Whoever is meant; a container does not become a service by being called like its id."""
    return Found(
        addresses=_joined(
            _own(network.services[one])
            if one in network.services
            else network.addresses.get(one, ())
            for one in meant
        )
    )


def _services(network: NetworkNames, meant: Iterable[str]) -> list[ServiceNames]:
    return [network.services[ident] for ident in meant if ident in network.services]


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for part in parts for address in part))


def _ready(service: ServiceNames) -> tuple[str, ...]:
    return tuple(task.address for task in service.tasks)


def _own(service: ServiceNames) -> tuple[str, ...]:
    return service.virtual or _ready(service)


def _all(service: ServiceNames) -> tuple[str, ...]:
    return (*_ready(service), *service.waiting)


_ASPECTS: dict[str, Callable[[ServiceNames], tuple[str, ...]]] = {TASKS: _ready, ALL_TASKS: _all}
_PREFIXES = (TASKS, ALL_TASKS, "_")


def _part(network: NetworkNames, known: dict[str, tuple[str, ...]], host: str) -> Found | None:
    """What a prefixed name of a service means."""
    for prefix, addresses_of in _ASPECTS.items():
        if host.startswith(prefix):
            services = _services(network, known.get(host.removeprefix(prefix), ()))
            return Found(addresses=_joined(map(addresses_of, services))) if services else None
    return _port(network, known, host)


def _port(network: NetworkNames, known: dict[str, tuple[str, ...]], host: str) -> Found | None:
    """Where a port of a service is: one place per ready task."""
    label, protocol, name = (*host.split(".", 2), "", "")[:3]
    services = _services(network, known.get(name, ()))
    if protocol not in PROTOCOLS or not services:
        return None
    places: list[Place] = []
    unknown = True
    for service in services:
        port = service.ports.get(f"{label}.{protocol}") or _number(label[1:])
        if port:
            unknown = False
            places += _places(network, service, port)
    return Found(places=tuple(places), unknown=unknown)


def _number(text: str) -> int:
    """A port's number, 0 if it is none."""
    number = int(text) if text.isdecimal() else 0
    return number if number <= HIGHEST_PORT else 0


def _places(network: NetworkNames, service: ServiceNames, port: int) -> Iterable[Place]:
    tasks: dict[str, list[str]] = {}
    for task in service.tasks:
        tasks.setdefault(task.name, []).append(task.address)
    for name, addresses in tasks.items():
        yield Place(f"{name}.{network.name}", port, tuple(addresses))
