"""Which of a host's addresses the others of its swarm should use. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from skep.model.errors import Invalid

PORT = 2377
"""Where managers are reached, unless another port is written."""

ANY = "0.0.0.0"
"""Stands for all of a host's addresses, and..."""
ANY6 = "::"
"""...for those of IPv6 too."""

Own = Sequence[tuple[str, str]]
"""A host's links and their addresses with prefix length."""

OURS = ("docker", "veth")
"""How the links that Skep makes in a host's namespace begin."""


def advertised(wanted: str, own: Own) -> str:
    """The address that others reach this host at: as asked, else the only one there is, of IPv4 if
    it has any.

    Raises `Invalid` with Docker's sentences if there is none, or a choice to make.
    """
    if wanted:
        return own_address(split(wanted, PORT)[0], own)
    found: dict[str, str] = {}
    for link, prefix in own:
        address = ipaddress.ip_interface(prefix).ip
        if not (address.is_loopback or address.is_link_local or link.startswith(OURS)):
            found.setdefault(str(address), link)
    found = {key: link for key, link in found.items() if ":" not in key} or found
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise Invalid("could not find the system's IP address - specify one with --advertise-addr")
    listed = " and ".join(f"{address} on {link}" for address, link in sorted(found.items()))
    raise Invalid(
        "could not choose an IP address to advertise since this system has multiple addresses "
        f"({listed}) - specify one with --advertise-addr"
    )


def own_address(wanted: str, own: Own) -> str:
    """The address that an address or an interface's name means; "" if nothing is wanted.

    Raises `Invalid` if this host has no such address or interface.
    """
    if not wanted:
        return ""
    wanted = wanted.strip("[]")
    for link, prefix in own:
        address = prefix.partition("/")[0]
        if wanted in (link, address):
            return address
    listed = ", ".join(f"{prefix.partition('/')[0]} on {link}" for link, prefix in own)
    raise Invalid(f"{wanted} is neither an address nor an interface of this host: it has {listed}")


def listening(wanted: str, own: Own) -> str:
    """Where a manager listens ("address:port"): as asked, names of interfaces made addresses.

    Raises `Invalid` as `own_address`.
    """
    host, port = split(wanted, PORT)
    return joined(host if host in (ANY, ANY6) else own_address(host, own), port)


def reached_by(listen: str, address: str) -> str:
    """Where a manager listens that others are to reach at ``address``: at all addresses of both
    families instead of those of IPv4 alone, if they come by IPv6."""
    host, port = split(listen, PORT)
    return joined(ANY6, port) if host == ANY and ":" in address else listen


def joined(host: str, port: int) -> str:
    """``host:port``; an IPv6 address is put in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(text: str, port: int) -> tuple[str, int]:
    """Host and port of "host[:port]", where an IPv6 address with a port is in brackets. Raises
    `Invalid` if the port is no number."""
    if text.count(":") > 1 and not text.startswith("["):
        return text, port
    host, colon, digits = text.rpartition(":")
    if not colon or "]" in digits:
        return text.strip("[]"), port
    if not digits.isdigit() or not 0 < int(digits) < 65536:
        raise Invalid(f"invalid port in {text!r}")
    return host.strip("[]"), int(digits)
