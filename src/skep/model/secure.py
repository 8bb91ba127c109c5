"""Encrypted tunnels between hosts: their keys, what a WireGuard link should be, and what one is.

A host has two links, of which each serves one of two consecutive generations of keys, so that keys
change while the other link carries on. Source: wg(8).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

SECURE = "skep-secure"
"""The namespace that the tunnels of encrypted networks send from. Nothing but WireGuard leads out
of it: where WireGuard fails there is no way, rather than a clear one."""

SLOTS = (0, 1)

ENCRYPTED_OPTION = "encrypted"
ON = frozenset({"", "true", "1", "yes", "on"})
OFF = frozenset({"false", "0", "no", "off"})

WIREGUARD_OVERHEAD = 60
"""Bytes that an outer IPv4, UDP and WireGuard header and the seal take; an outer IPv6 header takes
20 more."""
WIREGUARD_OVERHEAD6 = 80
WIREGUARD_GRAIN = 16
"""WireGuard fills packets up to multiples of so many bytes."""

KEEPALIVE = 25
"""Seconds after which an idle tunnel speaks, so that its keys stay proven."""

PROVEN_FOR = 240.0
"""Seconds that a handshake proves a tunnel: it is repeated every 120, and void after 180."""


def is_encrypted(options: Mapping[str, str]) -> bool:
    """Whether a network's options ask for encryption (Docker takes any value for yes; here "false"
    is no)."""
    value = options.get(ENCRYPTED_OPTION)
    return value is not None and value.lower() not in OFF


def link_of(slot: int) -> str:
    """The name of a WireGuard link."""
    return f"skep-wg{slot}"


class TunnelKey(msgspec.Struct, frozen=True):
    """The public half of a host's key of one generation (base64), and the UDP port it is for."""

    generation: int
    public: str
    port: int

    @property
    def slot(self) -> int:
        """Which of a host's two links it belongs to."""
        return self.generation % len(SLOTS)


class OwnKey(msgspec.Struct, frozen=True):
    """A host's own key, with the private half (base64), which never leaves it."""

    generation: int
    private: str
    public: str
    port: int

    @property
    def told(self) -> TunnelKey:
        """What others may know of it."""
        return TunnelKey(self.generation, self.public, self.port)


class TunnelPeer(msgspec.Struct, frozen=True):
    """Another host at the far end: its public key, its UDP endpoint ("192.0.2.1:51830"), and the
    one address (with prefix) that it may send from and is sent to."""

    public: str
    endpoint: str
    address: str


class Tunnel(msgspec.Struct, frozen=True):
    """What a WireGuard link should be."""

    link: str
    key: OwnKey
    peers: tuple[TunnelPeer, ...] = ()


class SeenPeer(msgspec.Struct, frozen=True):
    """A peer as WireGuard has it. ``handshake`` is in Unix seconds, 0.0 for none yet."""

    public: str
    endpoint: str
    address: str
    handshake: float = 0.0
    received: int = 0
    sent: int = 0


class SeenTunnel(msgspec.Struct, frozen=True):
    """A WireGuard link as it is."""

    public: str
    port: int
    peers: tuple[SeenPeer, ...] = ()


class Pair(msgspec.Struct, frozen=True):
    """What is known of the encryption between this host and another one.

    ``encrypted``: the other host has answered a probe that went through the tunnel, just now; if
    not, ``why``. ``generation`` is of the keys in use, ``handshake`` their last one, in Unix
    seconds (0.0: none).
    """

    node_id: str
    hostname: str
    encrypted: bool
    why: str = ""
    generation: int = 0
    handshake: float = 0.0
