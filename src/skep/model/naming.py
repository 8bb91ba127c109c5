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


class NetworkNames(msgspec.Struct, frozen=True, kw_only=True):
    """The names of one network, all lower case.

    ``addresses`` maps a name to its IPv4 addresses (several: answered in random order).
    ``pointers`` maps an address to the full name it belongs to.
    """

    id: str
    name: str
    addresses: dict[str, tuple[str, ...]] = {}
    pointers: dict[str, str] = {}


class SandboxNames(msgspec.Struct, frozen=True, kw_only=True):
    """What one sandbox sees: its networks in order of precedence, and where all else is asked.

    ``forward`` false: names of no network here are answered with NXDOMAIN, nothing leaves.
    ``upstreams`` are IPv4 or IPv6 addresses, asked from inside the sandbox, or from the host's
    namespace if they are loopback addresses.
    """

    namespace: str
    networks: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    forward: bool = True


class NameTable(msgspec.Struct, frozen=True, kw_only=True):
    """All of a host: networks by id, sandboxes by namespace name."""

    networks: dict[str, NetworkNames] = {}
    sandboxes: dict[str, SandboxNames] = {}
