"""Ports that users publish for single containers (``-p``, ``-P``): read, settled at each start."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from skep.model.cluster import TakenPort
from skep.model.errors import Broken, Clash, Invalid
from skep.model.host import Binding, HostView

PROTOCOLS = ("tcp", "udp", "sctp")
HIGHEST = 65535
ANY4, ANY6 = "0.0.0.0", "::"

Taken = Iterable[TakenPort]


def asked_bindings(host: Mapping[str, Any]) -> tuple[Binding, ...]:
    """What ``HostConfig.PortBindings`` asks for. Raises `Invalid`."""
    found = []
    for key, places in (host.get("PortBindings") or {}).items():
        protocol, port = exposed(key)
        for place in places or [{}]:
            first, last = _numbers((place or {}).get("HostPort") or "")
            address = (place or {}).get("HostIp") or ""
            found.append(
                Binding(
                    protocol=protocol,
                    port=port,
                    address=_address(address),
                    published=first,
                    last=last,
                )
            )
    return tuple(found)


def exposed(text: str) -> tuple[str, int]:
    """Protocol and number of "80/tcp" or "80". Raises `Invalid`."""
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS or not number.isdecimal() or not 0 < int(number) <= HIGHEST:
        raise Invalid(f"invalid port specification: {text!r}")
    return protocol, int(number)


def _numbers(text: str) -> tuple[int, int]:
    """A port or a range of ports: first and last, (0, 0) for any."""
    first, dash, last = text.partition("-")
    parts = [first, last] if dash else [first or "0"]
    if not all(part.isdecimal() and int(part) <= HIGHEST for part in parts):
        raise Invalid(f"invalid port specification: {text!r}")
    low, high = int(parts[0]), int(parts[-1]) if dash else 0
    if dash and not 0 < low <= high:
        raise Invalid(f"invalid port specification: {text!r}")
    return low, high


def _address(text: str) -> str:
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Invalid(f"invalid IP address: {text}") from None


def overlap(one: str, other: str) -> bool:
    """Whether two addresses to publish at (or listen on) are one, or one holds the other."""
    if "" in (one, other) or one == other:
        return True
    same = (":" in one) == (":" in other)
    return same and (one in (ANY4, ANY6) or other in (ANY4, ANY6))


def settle(
    wanted: tuple[Binding, ...], held: Taken, free: Callable[[str], Iterable[int]], name: str
) -> tuple[Binding, ...]:
    """The wanted ports with their numbers. ``held`` are those taken already, ``free(protocol)``
    gives numbers to try for those who ask for any.

    Raises `Broken` in Docker's words, naming who is in the way.
    """
    taken = list(held)
    settled: list[Binding] = []
    for binding in wanted:
        try:
            number = _number(binding, taken, free)
        except Clash as clash:
            raise Broken(
                f"driver failed programming external connectivity on endpoint {name}: {clash}"
            ) from None
        settled.append(msgspec.structs.replace(binding, published=number, last=0))
        holder = f"container {name}"
        taken.append(TakenPort(binding.protocol, number, binding.address, holder))
    return tuple(settled)


def _number(binding: Binding, taken: list[TakenPort], free: Callable[[str], Iterable[int]]) -> int:
    if binding.published:
        tried: Iterable[int] = range(binding.published, (binding.last or binding.published) + 1)
    else:
        tried = free(binding.protocol)
    holder = ""
    for number in tried:
        holder = _holder(binding, number, taken)
        if not holder:
            return number
    ports = f"{binding.published}-{binding.last}" if binding.last else str(binding.published)
    if not binding.published:
        raise Clash(f"all {binding.protocol} ports for any are in use on this host")
    raise Clash(f"port {ports}/{binding.protocol} is in use on this host by {holder}")


def _holder(binding: Binding, number: int, taken: list[TakenPort]) -> str:
    found = (
        each.holder
        for each in taken
        if (each.protocol, each.port) == (binding.protocol, number)
        and overlap(each.address, binding.address)
    )
    return next(found, "")


def published(view: HostView) -> Iterator[TakenPort]:
    """What containers publish on this host now, as the manager is told of it."""
    for box in view.sandboxes:
        for each in box.bindings if box.gateway else ():
            address = "" if each.address in (ANY4, ANY6) else each.address
            holder = f"container {box.container_name}"
            yield TakenPort(each.protocol, each.published, address, holder)
