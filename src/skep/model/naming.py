"""What a host's name server must answer: per network the names, per sandbox what it may see."""

from __future__ import annotations

import msgspec

RESOLVER = "127.0.0.11"
"""The address that every sandbox's resolv.conf names."""

RESOLVER_PORT = 1011
"""Where skep-dns really listens inside a sandbox; port 53 of `RESOLVER` is redirected there, so
that containers may bind port 53 themselves."""

TTL = 5
"""Seconds that an answer about a container or service may be kept."""

STACK_LABEL = "com.docker.stack.namespace"
"""The label by which docker says which stack something belongs to."""


class TaskName(msgspec.Struct, frozen=True, array_like=True):
    """A ready task's own name (lower case) and one of its addresses."""

    name: str
    address: str


class ServiceNames(msgspec.Struct, frozen=True, kw_only=True):
    """A service on a network: what its names, those of its tasks and of its ports answer.

    ``virtual`` are its VIPs, none for DNS round robin. ``tasks`` are ready, ``waiting`` are the
    addresses of those that are not. ``ports`` maps a port's name as SRV questions spell it
    (``_http._tcp``) to its number inside the network.
    """

    virtual: tuple[str, ...] = ()
    tasks: tuple[TaskName, ...] = ()
    waiting: tuple[str, ...] = ()
    ports: dict[str, int] = {}


class NetworkNames(msgspec.Struct, frozen=True, kw_only=True):
    """The names of one network, all lower case. Addresses are of either family.

    ``services`` are by id. ``scopes`` holds, for each stack, what its own services' names and
    aliases and its containers' names mean to its members: ids of ``services``, or names in
    ``addresses``; the scope "" is what service names and aliases mean to everybody.
    ``addresses`` maps a container's name to its addresses (several: answered in random order).
    ``pointers`` maps an address to the full name it belongs to.
    """

    id: str
    name: str
    services: dict[str, ServiceNames] = {}
    scopes: dict[str, dict[str, tuple[str, ...]]] = {}
    addresses: dict[str, tuple[str, ...]] = {}
    pointers: dict[str, str] = {}


class SandboxNames(msgspec.Struct, frozen=True, kw_only=True):
    """What one sandbox sees: its networks in order of precedence, and where all else is asked.

    ``forward`` false: names of no network here are answered with NXDOMAIN, nothing leaves.
    ``upstreams`` are IPv4 or IPv6 addresses, asked from inside the sandbox, or from the host's
    namespace if they are loopback addresses. ``stack`` is the stack it belongs to, "" for none.
    ``ndots`` is the number of dots from which its user wants names asked for as they are before
    the search list (resolv.conf(5)); above 0, an unknown name without a dot is not forwarded.
    """

    namespace: str
    networks: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    forward: bool = True
    stack: str = ""
    ndots: int = 0


class NameTable(msgspec.Struct, frozen=True, kw_only=True):
    """All of a host: networks by id, sandboxes by namespace name."""

    networks: dict[str, NetworkNames] = {}
    sandboxes: dict[str, SandboxNames] = {}
