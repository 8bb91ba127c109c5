"""What else a namespace shows to somebody who looks for a fault: handles and counters of rules,
other people's tables, who listens; and of the host, all its links and routes.

None of it is planned, so none of it is part of an observation.

Source: libnftables-json(5), proc(5) on /proc/net/route.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from skep.kernel import nftjson, sockets
from skep.kernel.handles import Handle
from skep.kernel.nftables import TABLE_PREFIX, Library, Nftables
from skep.kernel.nftlist import Listed, listed
from skep.kernel.observing import all_links
from skep.kernel.rtnetlink import inet, links
from skep.model.inspection import TRACER, Device, HostRoute, Inside, Listener, RuleCount
from skep.model.netstate import HOST
from skep.model.nft import Chain, Foreign, Hook, Rule, Table

ROUTES = "/proc/thread-self/net/route"
ROUTES6 = "/proc/thread-self/net/ipv6_route"
LOWER_UP = 0x10000
"""IFF_LOWER_UP: there is a carrier."""
REJECTED = 0x200
"""RTF_REJECT: an unreachable route."""
OF_THE_KERNEL = 0x80300000
"""RTF_LOCAL, RTF_ANYCAST, RTF_PCPU: an address of the host itself."""
STRANGERS = {("ip", "input"): "stranger", ("ip6", "input"): "stranger"}
SPOOFERS = {("bridge", "spoofed"): "spoofed"}
"""The chains of ours, with their families, whose rules drop and count: those of the host's
namespace, and those of overlays'."""
READABLE = frozenset({"ip", "ip6", "inet", "bridge"})
"""Families of tables that a walk can judge; others are only named."""


def look(handle: Handle, library: Library) -> Inside:
    """What is known of a namespace beside its observation. Raises OSError, `nftables.Rejected`."""
    with handle.entered():
        tables = listed()
        with library.opened() as nft:
            plain = [each for each in tables if not each.flags]
            counts = [c for each in plain for c in _counts(nftjson.objects(nft.rules(each)))]
            foreign = tuple(_foreign(tables, nft))
        return Inside(rules=tuple(counts), foreign=foreign, listeners=tuple(_waiting()))


def refusals(handle: Handle, library: Library) -> Counter[str]:
    """The packets that our rules have dropped in a namespace for their sender, by why. Raises
    OSError, `nftables.Rejected`."""
    chains = STRANGERS if handle.name == HOST else SPOOFERS
    found: Counter[str] = Counter()
    with handle.entered():
        ours = [each for each in listed() if each.name == TABLE_PREFIX and not each.flags]
        with library.opened() as nft:
            for table in ours:
                if not any(family == table.family for family, _ in chains):
                    continue
                for each in _counts(nftjson.objects(nft.rules(table))):
                    if (each.family, each.chain) in chains:
                        found[chains[each.family, each.chain]] += max(each.packets, 0)
    return found


def _counts(objects: list[tuple[str, dict[str, Any]]]) -> Iterator[RuleCount]:
    numbers: dict[tuple[str, str, str], int] = {}
    for kind, body in objects:
        if kind != "rule":
            continue
        place = (body["family"], body["table"], body["chain"])
        number = numbers[place] = numbers.get(place, -1) + 1
        counter = next((e["counter"] for e in body.get("expr", []) if "counter" in e), None)
        counted = counter if isinstance(counter, dict) else {}
        yield RuleCount(
            family=place[0],
            table=place[1],
            chain=place[2],
            number=number,
            handle=body["handle"],
            packets=counted.get("packets", -1),
            bytes=counted.get("bytes", -1),
        )


def _foreign(tables: list[Listed], nft: Nftables) -> Iterator[Table]:
    """Tables that are not ours and not asleep, as far as the vocabulary goes."""
    for each in tables:
        if each.name.startswith(TABLE_PREFIX) or each.name == TRACER or each.sleeps:
            continue
        if each.family in READABLE and not each.flags:
            try:
                yield nftjson.parse_table(nft.listing(each))
                continue
            except (KeyError, ValueError, msgspec.MsgspecError):
                # Written by who knows whom, with who knows what: a word for it is all we have.
                pass
        yield _named_only(each, nftjson.objects(nft.chains()))


def _named_only(table: Listed, objects: list[tuple[str, dict[str, Any]]]) -> Table:
    """A table with its hooks alone: what its rules do cannot be read."""
    chains = []
    for kind, body in objects:
        here = kind == "chain" and (body["family"], body["table"]) == (table.family, table.name)
        if here:
            hook = None
            if "hook" in body and isinstance(body.get("prio"), int):
                hook = Hook(
                    body.get("type", ""), body["hook"], body["prio"], body.get("policy", "")
                )
            chains.append(Chain(body["name"], (Rule((Foreign("{}"),)),), hook))
    return Table(table.name, tuple(chains), (), table.family)


def _waiting() -> Iterator[Listener]:
    """Sockets that wait."""
    for protocol, seen in sockets.waiting():
        address, port = seen.local
        remote = seen.remote[0]
        yield Listener(
            protocol=protocol,
            address=address,
            port=port,
            peer="" if remote in ("0.0.0.0", "::") else remote,
        )


def devices(handle: Handle) -> tuple[Device, ...]:
    """All links of the host's namespace but the loopback one. Raises OSError."""
    flags = {}
    for message in handle.socket.dump(links.get_all()):
        header = links.HEADER.unpack_from(message.body)
        flags[header[2]] = header[3]
    found = all_links(handle)
    names = {link.index: name for name, link in found.items()}
    addresses = [
        each
        for message in handle.socket.dump(inet.get_addresses())
        if (each := inet.parse_address(message, names)) is not None
    ]
    return tuple(
        Device(
            name=link.name,
            index=link.index,
            mtu=link.mtu,
            up=link.up,
            carrier=bool(flags.get(link.index, 0) & LOWER_UP),
            addresses=tuple(each.address for each in addresses if each.link == link.name),
        )
        for link in found.values()
        if link.name != "lo"
    )


def routes() -> tuple[HostRoute, ...]:
    """The main table's routes, in the namespace that the calling thread is in."""
    found = []
    with open(ROUTES) as file:
        next(file, None)  # the heading, which a namespace without routes leaves out
        for line in file:
            link, target, via, flags, _, _, _, mask, *_ = line.split()
            if not int(flags, 16) & REJECTED:
                length = int(mask, 16).bit_count()
                found.append(
                    HostRoute(
                        destination=f"{_ip(target)}/{length}",
                        link=link,
                        via="" if int(via, 16) == 0 else _ip(via),
                    )
                )
    return (*found, *_routes6())


def _routes6() -> Iterator[HostRoute]:
    with contextlib.suppress(FileNotFoundError), open(ROUTES6) as file:
        for line in file:
            target, length, _, _, via, _, _, _, flags, link = line.split()
            unusual = int(flags, 16) & (REJECTED | OF_THE_KERNEL)
            # Those of the host itself, of groups, and of each link alone lead nowhere else.
            if not unusual and not target.startswith(("ff", "fe80")):
                yield HostRoute(
                    destination=f"{_ip6(target)}/{int(length, 16)}",
                    link=link,
                    via="" if int(via, 16) == 0 else _ip6(via),
                )


def _ip6(word: str) -> str:
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(word))


def _ip(word: str) -> str:
    """An address as it is written there: 32 bits in the machine's own order."""
    return socket.inet_ntoa(struct.pack("=I", int(word, 16)))
