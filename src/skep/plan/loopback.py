"""Published ports at ::1, as clients on the host itself ask for them who mean localhost.

IPv6 has no ``route_localnet``. A packet that is answered to ::1 from another link is thrown away
before any hook, and where bridges consult the IP rules, its translation is undone even before that.
So a request to a published port of ::1 is made one to a stand-in, an address of the bridge's, on
its way out and before connection tracking sees it; and what is answered to the stand-in is made an
answer of ::1 after all else, right before its socket.
"""

from __future__ import annotations

from collections.abc import Iterable

from skep.model.host import Bridge
from skep.model.nft import Chain, Ct, Hook, Match, Set, SetField
from skep.model.ula import mirrored
from skep.plan.family import IP, IP6
from skep.plan.grammar import PORT, PROTOCOL, RAW, SNAT, TRANSLATED, base, is_, joined_set, rule
from skep.plan.layout import bare, subnet_of
from skep.plan.publish import Door

ROOM = 96
"""The longest prefix that leaves room for an IPv4 address."""

LATER = SNAT + 50
"""A priority after that at which sources are translated back."""


def stand_in(inward: Bridge) -> str:
    """The address that stands for ::1: in the bridge's subnet, it mirrors 127.0.0.1."""
    return bare(mirrored(subnet_of(_sixth(inward)), IP.loopback))


def carrier(inward: Iterable[Bridge]) -> Bridge | None:
    """The first bridge by which ports are reached whose IPv6 subnet has room for the stand-in, None
    for none: then nothing is published at ::1."""
    wide = (each for each in inward if ":" in _sixth(each) and _length(each) <= ROOM)
    return next(wide, None)


def _sixth(inward: Bridge) -> str:
    return inward.address6 or inward.address


def _length(inward: Bridge) -> int:
    return int(_sixth(inward).partition("/")[2])


def ports(doors: Iterable[Door]) -> Set:
    """The ports that are published at every address, or at ::1."""
    places = ("", "::", IP6.loopback)
    everywhere = {(each.protocol, each.port) for each in doors if each.address in places}
    return joined_set("loopback", ("inet_proto", "inet_service"), everywhere)


def chains(inward: Bridge) -> tuple[Chain, ...]:
    """Out to the stand-in, and back. Only answers to translated requests come back as ::1: nobody
    else can reach what listens there."""
    other = stand_in(inward)
    between = (is_(IP6.source, IP6.loopback), is_(IP6.target, IP6.loopback))
    out = rule(*between, Match((PROTOCOL, PORT), "@loopback"), *_exchange(other))
    answered = (is_(IP6.source, other), is_(IP6.target, other), is_(Ct("direction"), "reply"))
    back = rule(*answered, TRANSLATED, *_exchange(IP6.loopback))
    return (
        base("loopback-out", Hook("filter", "output", RAW), [out]),
        base("loopback-in", Hook("filter", "input", LATER), [back]),
    )


def _exchange(address: str) -> tuple[SetField, SetField]:
    return SetField(IP6.source, address), SetField(IP6.target, address)
