"""Which of a host's addresses the others of its swarm should use. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

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


class Reach(msgspec.Struct, frozen=True):
    """Where a host is reached, and its tunnels end; and the links whose addresses these are, which
    are followed when they change: "" for one that was asked for by itself."""

    address: str
    vtep: str
    address_link: str = ""
    vtep_link: str = ""


def reach(advertise: str, data_path: str, own: Own) -> Reach:
    """What follows from what a user wrote of both ("" for nothing). Raises `Invalid` as
    `advertised` and `own_address`."""
    address = advertised(advertise, own)
    vtep = own_address(data_path, own) or address
    return Reach(
        address,
        vtep,
        _followed(advertise, address, own),
        _followed(data_path or advertise, vtep, own),
    )


def other_end(here: Reach, own: Own) -> str:
    """The address of the other family that the link with ``here``'s address has, "" for none: for
    tunnels to hosts that have none of the first."""
    version = 4 if ":" in here.vtep else 6
    return _best(version, _link_of(here.address, own), own)


def ended(here: Reach, vtep: str, own: Own) -> Reach:
    """``here`` with tunnels that end at ``vtep``, which was the manager's choice of those that it
    was offered."""
    if vtep in ("", here.vtep):
        return here
    return msgspec.structs.replace(here, vtep=vtep, vtep_link=_followed("", vtep, own))


def _best(version: int, link: str, own: Own) -> str:
    """A link's address of a family that others can use, "" for none. One that is shared with other
    hosts has no subnet, and comes last."""
    found = [ipaddress.ip_interface(prefix) for name, prefix in own if name == link]
    fit = [each for each in found if each.version == version and not each.ip.is_link_local]
    fit.sort(key=lambda each: each.network.num_addresses == 1)
    return str(fit[0].ip) if fit else ""


def _followed(wanted: str, address: str, own: Own) -> str:
    """The link that stands for an address: as nothing else was asked for, or just that."""
    link = _link_of(address, own)
    return link if split(wanted, PORT)[0] in ("", link) else ""


def _link_of(address: str, own: Own) -> str:
    return next((link for link, prefix in own if _bare(prefix) == address), "")


def _bare(prefix: str) -> str:
    return prefix.partition("/")[0]


def still(address: str, link: str, own: Own) -> str:
    """The address that stands for a host now: ``address`` while this host has it, or ``link`` (""
    for none) has no other one of its family."""
    if not link or _link_of(address, own):
        return address
    return _best(ipaddress.ip_address(address).version, link, own) or address


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
        address = _bare(prefix)
        if wanted in (link, address):
            return address
    listed = ", ".join(f"{_bare(prefix)} on {link}" for link, prefix in own)
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
