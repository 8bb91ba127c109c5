"""Addresses, routes and routing rules of both families.

Source: rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h, linux/fib_rules.h, ip-route(8).
IPv6 addresses are added without duplicate address detection: they are given out by the cluster,
which knows who has them, and nobody should wait for them.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.model.netstate import MAIN_TABLE, Address, PolicyRule, Route

NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWRULE, DELRULE, GETRULE = 32, 33, 34

ADDRESS_HEADER = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, link."""
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_BROADCAST = 4
IFA_CACHE_INFO = 6
IFA_FLAGS = 8
NO_DUPLICATE_DETECTION = 0x02
CACHE_INFO = struct.Struct("=IIII")
"""ifa_cacheinfo: seconds preferred and valid, created and updated."""
FOREVER = 0xFFFFFFFF
LINK_LOCAL = bytes([0xFE, 0x80])
MIRRORED = LINK_LOCAL + bytes(10)
"""What a link-local address begins with if Skep gave it; those of the kernel never do."""

LONGEST_WITH_BROADCAST = 30

ROUTE_HEADER = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags."""
RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_PRIORITY = 6
RTA_PREFSRC = 7
RTA_TABLE = 15
PROTOCOL_KERNEL = 2
PROTOCOL_STATIC = 4
SCOPE_UNIVERSE = 0
SCOPE_LINK = 253
SCOPE_NOWHERE = 255
TYPE_UNICAST = 1
IPV6_METRIC = 1024
"""The metric of an IPv6 route for which none was asked."""
FAMILIES = (socket.AF_INET, socket.AF_INET6)
ONLINK = 4
CLONED = 0x200
"""RTM_F_CLONED: no route, but what the kernel learnt of one destination (its path MTU)."""

FIRST_OWN_TABLE = 0x1000000
"""Routing tables from this number on are Skep's (model: return paths of the routing mesh)."""

RULE_HEADER = struct.Struct("=BBBBBBBBI")
"""fib_rule_hdr: family, lengths of destination and source, tos, table, two spare, action, flags."""
FRA_PRIORITY = 6
FRA_FWMARK = 10
FRA_TABLE = 15
FRA_FWMASK = 16
ACTION_LOOKUP = 1
WHOLE_MARK = 0xFFFFFFFF


def _split(address: str) -> tuple[bytes, int]:
    """ "10.0.0.2/24" as bytes and prefix length. Raises ValueError."""
    host, _, length = address.partition("/")
    data = nl.ip_bytes(host)
    if not length.isdecimal() or int(length) > 8 * len(data):
        raise ValueError(f"{address!r} is not an address with a prefix length")
    return data, int(length)


def _address(kind: int, flags: int, address: Address, link: int) -> Request:
    host, length = _split(address.address)
    body = ADDRESS_HEADER.pack(nl.family_of(address.address), length, 0, 0, link)
    body += nl.attribute(IFA_LOCAL, host) + nl.attribute(IFA_ADDRESS, host)
    if len(host) == 16:
        body += _ipv6_settings(length)
    elif length <= LONGEST_WITH_BROADCAST:
        all_hosts = int.from_bytes(host, "big") | (1 << (32 - length)) - 1
        body += nl.attribute(IFA_BROADCAST, all_hosts.to_bytes(4, "big"))
    return Request(kind, flags, body)


def _ipv6_settings(length: int) -> bytes:
    """A single address (a VIP) is never chosen as a source where another one will do."""
    preferred = 0 if length == 128 else FOREVER
    return nl.number(IFA_FLAGS, NO_DUPLICATE_DETECTION) + nl.attribute(
        IFA_CACHE_INFO, CACHE_INFO.pack(preferred, FOREVER, 0, 0)
    )


def add_address(address: Address, link: int) -> Request:
    """Add an address (an IPv4 one with its broadcast address, as ``brd +``); no complaint if it
    is there."""
    return _address(NEWADDR, nl.CREATE | nl.REPLACE, address, link)


def delete_address(address: Address, link: int) -> Request:
    """Remove an address."""
    return _address(DELADDR, 0, address, link)


def get_addresses() -> Request:
    """Ask for all addresses (a dump)."""
    return Request(GETADDR, 0, ADDRESS_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0))


def parse_address(message: Message, names: Mapping[int, str]) -> Address | None:
    """The address a message describes; None if its link is not in ``names``, or it is a link-local
    one that the kernel itself gave to its link."""
    family, length, _, _, link = ADDRESS_HEADER.unpack_from(message.body)
    found = nl.attributes(message.body, ADDRESS_HEADER.size)
    host = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    if link not in names or host is None or family not in FAMILIES:
        return None
    if _is_kernels(host):
        return None
    return Address(names[link], f"{nl.as_ip(host)}/{length}")


def _is_kernels(host: bytes) -> bool:
    ipv6 = len(host) == 16 and host.startswith(LINK_LOCAL)
    return ipv6 and not host.startswith(MIRRORED)


def is_kernels_address(message: Message) -> bool:
    """Whether a message is about an address that the kernel itself gives to its link, and looks
    after for a while."""
    return _is_kernels(nl.attributes(message.body, ADDRESS_HEADER.size).get(IFA_ADDRESS, b""))


def _route(kind: int, flags: int, route: Route, link: int, scope: int) -> Request:
    destination = "0.0.0.0/0" if route.destination == "default" else route.destination
    network, length = _split(destination)
    table = route.table if route.table < 256 else 0
    body = ROUTE_HEADER.pack(
        nl.family_of(destination),
        length,
        0,
        0,
        table,
        PROTOCOL_STATIC if kind == NEWROUTE else 0,
        scope,
        TYPE_UNICAST,
        ONLINK if route.onlink else 0,
    )
    body += nl.attribute(RTA_DST, network) if length else b""
    body += nl.number(RTA_OIF, link) + nl.number(RTA_TABLE, route.table)
    body += nl.ip(RTA_GATEWAY, route.via) if route.via else b""
    body += nl.ip(RTA_PREFSRC, route.source) if route.source else b""
    return Request(kind, flags, body)


def add_route(route: Route, link: int) -> Request:
    """Add a route, in place of another to the same destination in the same table."""
    scope = SCOPE_UNIVERSE if route.via or ":" in route.destination else SCOPE_LINK
    return _route(NEWROUTE, nl.CREATE | nl.REPLACE, route, link, scope)


def delete_route(route: Route, link: int) -> Request:
    """Remove a route, whoever made it."""
    return _route(DELROUTE, 0, route, link, SCOPE_NOWHERE)


def get_routes() -> Request:
    """Ask for all routes (a dump)."""
    return Request(GETROUTE, 0, ROUTE_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0))


def parse_route(message: Message, names: Mapping[int, str]) -> Route | None:
    """The route a message describes, None if it is none of ours: of the kernel's own making, in
    another table, on a link that is not in ``names``, or of a sort that `Route` cannot say (not
    unicast, several hops, with a metric or for a tos: Skep never writes those)."""
    header = ROUTE_HEADER.unpack_from(message.body)
    family, length, _, tos, low_table, protocol, _, kind, flags = header
    if family not in FAMILIES or protocol == PROTOCOL_KERNEL or tos or flags & CLONED:
        return None
    found = nl.attributes(message.body, ROUTE_HEADER.size)
    table = nl.as_number(found[RTA_TABLE]) if RTA_TABLE in found else low_table
    link = names.get(nl.as_number(found.get(RTA_OIF, b"")))
    usual = IPV6_METRIC if family == socket.AF_INET6 else 0
    if link is None or nl.as_number(found.get(RTA_PRIORITY, b"")) != usual:
        return None
    if kind != TYPE_UNICAST or (table != MAIN_TABLE and table < FIRST_OWN_TABLE):
        return None
    all_ = "default" if family == socket.AF_INET else "::/0"
    return Route(
        destination=f"{nl.as_ip(found[RTA_DST])}/{length}" if RTA_DST in found else all_,
        link=link,
        via=nl.as_ip(found[RTA_GATEWAY]) if RTA_GATEWAY in found else "",
        source=nl.as_ip(found[RTA_PREFSRC]) if RTA_PREFSRC in found else "",
        table=table,
        onlink=bool(flags & ONLINK),
    )


def destination(message: Message) -> tuple[int, str] | None:
    """The index of the link and the prefix that a unicast route of the main table leads to, whoever
    made it; None for other routes, default routes and those of link-local addresses."""
    family, length, _, _, table, _, _, kind, flags = ROUTE_HEADER.unpack_from(message.body)
    found = nl.attributes(message.body, ROUTE_HEADER.size)
    usual = family in FAMILIES and kind == TYPE_UNICAST and table == MAIN_TABLE
    if not usual or flags & CLONED or RTA_DST not in found or found[RTA_DST][:2] == LINK_LOCAL:
        return None
    return nl.as_number(found.get(RTA_OIF, b"")), f"{nl.as_ip(found[RTA_DST])}/{length}"


def _rule(kind: int, flags: int, rule: PolicyRule) -> Request:
    low_table = rule.table if rule.table < 256 else 0
    family = socket.AF_INET6 if rule.family == "ip6" else socket.AF_INET
    body = RULE_HEADER.pack(family, 0, 0, 0, low_table, 0, 0, ACTION_LOOKUP, 0)
    body += nl.number(FRA_PRIORITY, rule.priority) + nl.number(FRA_TABLE, rule.table)
    body += nl.number(FRA_FWMARK, rule.mark) + nl.number(FRA_FWMASK, WHOLE_MARK)
    return Request(kind, flags, body)


def add_rule(rule: PolicyRule) -> Request:
    """Add a rule; refused with EEXIST if there is one just like it."""
    return _rule(NEWRULE, nl.CREATE | nl.EXCLUSIVE, rule)


def delete_rule(rule: PolicyRule) -> Request:
    """Remove a rule."""
    return _rule(DELRULE, 0, rule)


def get_rules() -> Request:
    """Ask for all rules (a dump)."""
    return Request(GETRULE, 0, RULE_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0))


def parse_rule(message: Message) -> PolicyRule | None:
    """The rule a message describes, None unless it sends a firewall mark to a table."""
    header = RULE_HEADER.unpack_from(message.body)
    family, low_table, action = header[0], header[4], header[7]
    found = nl.attributes(message.body, RULE_HEADER.size)
    mask = nl.as_number(found[FRA_FWMASK]) if FRA_FWMASK in found else WHOLE_MARK
    if action != ACTION_LOOKUP or FRA_FWMARK not in found or mask != WHOLE_MARK:
        return None
    if family not in FAMILIES:
        return None
    table = nl.as_number(found[FRA_TABLE]) if FRA_TABLE in found else low_table
    priority = nl.as_number(found.get(FRA_PRIORITY, b""))
    words = "ip6" if family == socket.AF_INET6 else "ip"
    return PolicyRule(priority, nl.as_number(found[FRA_FWMARK]), table, words)
