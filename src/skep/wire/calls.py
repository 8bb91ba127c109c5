"""The requests of a host to a manager that are no session: fetch the CA, join, renew.

All are HTTP over TLS with msgpack bodies; a refusal comes back as its status and its sentence.
"""

from __future__ import annotations

import aiohttp
import msgspec

from skep.model.cluster import NodeDescription
from skep.model.errors import (
    UNREADABLE,
    Broken,
    Clash,
    Forbidden,
    Invalid,
    Missing,
    Refusal,
    Unavailable,
    Unsupported,
)

CA_PATH = "/ca"
JOIN_PATH = "/join"
RENEW_PATH = "/renew"
SESSION_PATH = "/session"
MAX_CALL = 64 << 10
"""Bytes of a request's body, at most."""
MAX_REPLY = 1 << 20
"""Bytes of a reply, at most."""

_KINDS: dict[int, type[Refusal]] = {
    kind.status: kind
    for kind in (Invalid, Forbidden, Missing, Clash, Broken, Unsupported, Unavailable)
}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a joining host says of itself. Addresses as in `model.cluster.Node`; ``address`` "" asks
    the manager to take the one that it sees. ``other_vtep`` is where its tunnels may end instead,
    if only an address of that family fits ("" for nowhere). ``availability`` is active, pause or
    drain."""

    description: NodeDescription
    address: str = ""
    vtep: str = ""
    other_vtep: str = ""
    manager_address: str = ""
    availability: str = "active"


class JoinCall(msgspec.Struct, frozen=True):
    """``POST /join``: the token's secret, a signing request (PEM), and who asks."""

    secret: str
    csr: str
    candidate: Candidate


class RenewCall(msgspec.Struct, frozen=True):
    """``POST /renew``: a signing request (PEM) for a new key; the old certificate says whose."""

    csr: str


class Admission(msgspec.Struct, frozen=True):
    """The answer to both: a certificate (PEM), from which the host learns its id and role, the
    cluster's managers ("host:port" by node id), the host's address as far as it is known, and where
    its tunnels end."""

    certificate: str
    managers: dict[str, str]
    address: str = ""
    vtep: str = ""


class RefusalReply(msgspec.Struct, frozen=True):
    """The sentence of a refusal; its kind is the HTTP status."""

    message: str


def refusal_of(status: int, body: bytes) -> Refusal:
    """The refusal that a manager answered with."""
    kind = _KINDS.get(status, Broken)
    try:
        return kind(msgspec.msgpack.decode(body, type=RefusalReply).message)
    except UNREADABLE:
        return Broken(f"the manager answered with HTTP status {status}")


async def whole(content: aiohttp.StreamReader) -> bytes:
    """All of an answer, in however many pieces it comes. Raises `Broken` if it does not end."""
    reply = bytearray()
    async for piece in content.iter_any():
        reply += piece
        if len(reply) > MAX_REPLY:
            raise Broken(f"the manager's answer is longer than {MAX_REPLY} bytes")
    return bytes(reply)
