"""What a user writes for FROM and TO, taken apart."""

from __future__ import annotations

import re
from ipaddress import ip_address

import msgspec

from skep.model.errors import Invalid

OUTSIDE_PREFIX = "outside:"
PORTED = ("tcp", "udp", "sctp")

_SUFFIX = re.compile(r"(?P<name>.*)/(?P<protocol>tcp|udp|sctp|icmp)(?::(?P<port>\d+))?")
_PORTED = re.compile(r"(?P<name>[^:]*|\[[^\]]*\]):(?P<port>\d+)")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """TO: a name or an address ("" for the host that FROM is, or enters by), a protocol ("" if none
    was said) and a port (0 if none)."""

    name: str
    protocol: str = ""
    port: int = 0

    @property
    def is_address(self) -> bool:
        """Whether it needs no name server."""
        return is_address(self.name)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """FROM: a name; or, from outside, an address and the host it enters by ("" for any)."""

    name: str = ""
    outside: str = ""
    entry: str = ""


def is_address(text: str) -> bool:
    """Whether it is an address, of either family."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _written(text: str) -> str:
    """An address in the one way to write it, without brackets; any other name as it is."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return str(ip_address(bare)) if is_address(bare) else text


def parse_source(text: str) -> Source:
    """FROM. Raises `Invalid`."""
    if not text:
        raise Invalid("say where from: a container, task, service, host or outside:ADDRESS")
    if not text.startswith(OUTSIDE_PREFIX):
        return Source(name=text)
    address, _, entry = text.removeprefix(OUTSIDE_PREFIX).partition("@")
    address = _written(address)
    if not is_address(address):
        raise Invalid(f'"{text}": outside takes an address, as in outside:203.0.113.7')
    return Source(outside=address, entry=_written(entry))


def parse_target(text: str) -> Target:
    """TO: ``NAME``, ``ADDRESS``, ``HOST:PORT`` or ``:PORT``, with ``/tcp:PORT``, ``/udp:PORT`` or
    ``/icmp`` behind it; an IPv6 address before a port is in brackets. Raises `Invalid`."""
    if not text:
        raise Invalid("say where to: a name, a service, a container, an address or a port")
    protocol, port = "", 0
    found = _SUFFIX.fullmatch(text)
    if found:
        text, protocol = found["name"], found["protocol"]
        port = _port(found["port"] or "0")
        if port and protocol == "icmp":
            raise Invalid("icmp has no ports")
    if text.isdecimal():
        text = f":{text}"
    ported = _PORTED.fullmatch(text)
    if ported:
        if port:
            raise Invalid(f'"{text}" and /{protocol}:{port} name two ports: say one')
        text, port = ported["name"], _port(ported["port"])
    if port and protocol == "icmp":
        raise Invalid("icmp has no ports")
    return Target(name=_written(text), protocol=protocol or ("tcp" if port else ""), port=port)


def _port(text: str) -> int:
    number = int(text)
    if number > 65535:
        raise Invalid(f"{text} is no port: they end at 65535")
    return number
