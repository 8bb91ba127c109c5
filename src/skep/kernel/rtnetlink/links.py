"""Links: bridges, VXLAN devices and veth pairs.

Source: rtnetlink(7), linux/if_link.h, ip-link(8). Three traps: a veth peer's header must not carry
IFF_UP (it would be opened before the pair is joined: ENOTCONN); a VXLAN device belongs to the
underlay of the *sender's* namespace while IFLA_NET_NS_FD says where it lives; and everything in
one message costs a fraction of making, moving, renaming and raising a link.
"""

from __future__ import annotations

import struct
import sys

from msgspec.structs import replace

from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.model.glance import Gauge
from skep.model.netstate import GROUP as OURS
from skep.model.netstate import Link, Vxlan
from skep.model.readings import LinkTraffic

NEWLINK = 16
DELLINK = 17
GETLINK = 18
GETNSID = 90
NSID, NSID_FD = 1, 3

HEADER = struct.Struct("=BxHiII")
"""ifinfomsg: family, type, index, flags, mask of the flags to change."""

UP = 0x1

ADDRESS = 1
NAME = 3
MTU = 4
PEER_INDEX = 5
"""IFLA_LINK: a veth's peer (as numbered in the peer's namespace), another's parent."""
MASTER = 10
ALIAS = 20
"""IFLA_IFALIAS: a text for people. Ours says where a link was moved from."""
MOVED_FROM = "skep: from "
LINKINFO = 18
GROUP = 27
NAMESPACE_FD = 28
EXTENDED_MASK = 29
LINK_NAMESPACE = 37
"""IFLA_LINK_NETNSID: the other namespace that a link belongs to, by its number here."""
SKIP_STATISTICS = 8
STATISTICS = 23
"""IFLA_STATS64: rtnl_link_stats64, packets first."""
TRAFFIC = struct.Struct("=8Q")

KIND = 1
DATA = 2
SLAVE_KIND = 4
SLAVE_DATA = 5
VETH_PEER = 1

MODE = 1
"""IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE, IFLA_VLAN_ID."""
_MODES = {
    "macvlan": {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8},
    "ipvlan": {"l2": 0, "l3": 1, "l3s": 2},
}

PORT_MODE = 4
"""IFLA_BRPORT_MODE: whether a bridge's port is a hairpin."""

VXLAN_ID = 1
VXLAN_LOCAL = 4
VXLAN_LEARNING = 7
VXLAN_PROXY = 11
VXLAN_L2MISS = 13
VXLAN_L3MISS = 14
VXLAN_PORT = 15
VXLAN_LOCAL6 = 17

WIREGUARD = "skep-wg"
"""What names of our WireGuard links begin with, also of those that are tun devices."""


HERE = -2
"""No other namespace."""


class Found(Link, frozen=True, kw_only=True):
    """An observed link whose master is known by index only, as the kernel tells it."""

    master_index: int = 0
    other_namespace: int = HERE


def get(name: str) -> Request:
    """Ask for one link by name."""
    return Request(GETLINK, 0, HEADER.pack(0, 0, 0, 0, 0) + nl.text(NAME, name))


def get_all() -> Request:
    """Ask for all links (a dump)."""
    header = HEADER.pack(0, 0, 0, 0, 0)
    return Request(GETLINK, 0, header + nl.number(EXTENDED_MASK, SKIP_STATISTICS))


def get_traffic() -> Request:
    """Ask for all links, with what they have carried (a dump)."""
    return Request(GETLINK, 0, HEADER.pack(0, 0, 0, 0, 0))


def index_of(message: Message) -> int:
    """The index of the link that a link message is about."""
    index: int = HEADER.unpack_from(message.body)[2]
    return index


def create(link: Link, master: int) -> Request:
    """Create a link of any kind that needs no peer, with all its settings, in one message."""
    data = (nl.nested(DATA, *_vxlan(link.vxlan)),) if link.vxlan else ()
    return _new(link, master, nl.text(KIND, link.kind), *data)


def create_upon(link: Link, parent: int, namespace_fd: int) -> Request:
    """`create` of a link that sits on another one of the sender's namespace, inside a namespace."""
    mode = _MODES[link.kind][link.mode] if link.kind in _MODES else int(link.mode)
    wide = link.kind == "macvlan"
    data = nl.nested(DATA, nl.attribute(MODE, struct.pack("=I" if wide else "=H", mode)))
    request = _new(link, 0, nl.text(KIND, link.kind), data)
    body = request.body + nl.number(PEER_INDEX, parent) + nl.number(NAMESPACE_FD, namespace_fd)
    return request._replace(body=body)


def passing(link: Link) -> Link:
    """A link as it is made for another namespace: down, and under another name. Older kernels (6.1
    does) ask whether the sender's namespace has one of its name, and hosts have an eth0, too."""
    return replace(link, name=f"sk-{link.name[-12:]}", up=False)


def probe(kind: str) -> Request:
    """Ask for a link of a kind without saying what it sits on: refused in any case, and as unknown
    where the kernel has no such links."""
    return _new(Link(name="skep-probe", kind=kind, up=False), 0, nl.text(KIND, kind))


def _mode_of(kind: str, data: bytes) -> str:
    """A link's mode; of a kind that has none "" ."""
    found = nl.attributes(data, 0).get(MODE, b"") if data else b""
    if kind not in (*_MODES, "vlan") or not found:
        return ""
    number = int.from_bytes(found, sys.byteorder)
    if kind == "vlan":
        return str(number)
    return next((name for name, each in _MODES[kind].items() if each == number), "")


def create_elsewhere(link: Link, master: int, namespace_fd: int) -> Request:
    """`create` inside another namespace; ``master`` is an index there. A VXLAN device stays bound
    to the sender's namespace as its underlay."""
    request = create(link, master)
    return request._replace(body=request.body + nl.number(NAMESPACE_FD, namespace_fd))


def create_veth(link: Link, master: int, peer: Link, peer_fd: int) -> Request:
    """Create a veth pair, the peer inside the namespace ``peer_fd``, left down there."""
    end = HEADER.pack(0, 0, 0, 0, 0) + _settings(peer) + nl.number(NAMESPACE_FD, peer_fd)
    data = nl.nested(DATA, nl.attribute(VETH_PEER, end))
    return _new(link, master, nl.text(KIND, "veth"), data)


def _new(link: Link, master: int, *info: bytes) -> Request:
    flags = UP if link.up else 0
    body = HEADER.pack(0, 0, 0, flags, UP) + _settings(link) + nl.nested(LINKINFO, *info)
    if master:
        body += nl.number(MASTER, master)
    return Request(NEWLINK, nl.CREATE | nl.EXCLUSIVE, body)


def _settings(link: Link) -> bytes:
    body = nl.text(NAME, link.name) + nl.number(GROUP, link.group)
    if link.mtu:
        body += nl.number(MTU, link.mtu)
    if link.mac:
        body += nl.mac(ADDRESS, link.mac)
    return body


def _vxlan(vxlan: Vxlan) -> tuple[bytes, ...]:
    return (
        nl.number(VXLAN_ID, vxlan.vni),
        nl.ip(VXLAN_LOCAL6 if ":" in vxlan.local else VXLAN_LOCAL, vxlan.local),
        nl.attribute(VXLAN_PORT, struct.pack("!H", vxlan.port)),
        nl.attribute(VXLAN_LEARNING, b"\0"),
        nl.attribute(VXLAN_PROXY, b"\1"),
        nl.attribute(VXLAN_L2MISS, b"\1"),
        nl.attribute(VXLAN_L3MISS, b"\1"),
    )


def change(link: Link, master: int) -> Request:
    """Make an existing link's settings those of ``link``; ``master`` 0 takes it out of a bridge."""
    flags = UP if link.up else 0
    body = HEADER.pack(0, 0, 0, flags, UP) + _settings(link) + nl.number(MASTER, master)
    return Request(NEWLINK, 0, body)


def set_port(link: Link) -> Request:
    """Make a link's settings as a bridge's port those of ``link``. It must be one already."""
    mode = nl.attribute(PORT_MODE, b"\1" if link.hairpin else b"\0")
    port = nl.nested(LINKINFO, nl.text(SLAVE_KIND, "bridge"), nl.nested(SLAVE_DATA, mode))
    return Request(NEWLINK, 0, HEADER.pack(0, 0, 0, 0, 0) + nl.text(NAME, link.name) + port)


def claim_loopback(group: int) -> Request:
    """Bring ``lo`` up and put it into ``group``."""
    body = HEADER.pack(0, 0, 0, UP, UP) + nl.text(NAME, "lo") + nl.number(GROUP, group)
    return Request(NEWLINK, 0, body)


def claim(index: int, name: str) -> Request:
    """Take a link that is about to be moved into our group, and write its name into its alias."""
    body = nl.number(GROUP, OURS) + nl.attribute(ALIAS, f"{MOVED_FROM}{name}".encode())
    return Request(NEWLINK, 0, HEADER.pack(0, 0, index, 0, 0) + body)


def move(index: int, name: str, namespace_fd: int) -> Request:
    """Move a link into another namespace, where it gets a name."""
    body = nl.text(NAME, name) + nl.number(NAMESPACE_FD, namespace_fd)
    return Request(NEWLINK, 0, HEADER.pack(0, 0, index, 0, 0) + body)


def lower(index: int) -> Request:
    """Bring a link down."""
    return Request(NEWLINK, 0, HEADER.pack(0, 0, index, 0, UP))


def rename(index: int, name: str) -> Request:
    """Give a link another name."""
    return Request(NEWLINK, 0, HEADER.pack(0, 0, index, 0, 0) + nl.text(NAME, name))


def release(index: int, namespace_fd: int | None) -> Request:
    """Let a link be nobody's again, in another namespace unless that is None."""
    body = b"" if namespace_fd is None else nl.number(NAMESPACE_FD, namespace_fd)
    body += nl.number(GROUP, 0) + nl.attribute(ALIAS, b"")
    return Request(NEWLINK, 0, HEADER.pack(0, 0, index, 0, 0) + body)


def _source(alias: bytes) -> str:
    """The name that a moved link had, "" for others."""
    text = alias.rstrip(b"\0").decode("utf-8", "replace")
    return text.removeprefix(MOVED_FROM) if text.startswith(MOVED_FROM) else ""


def raise_link(name: str) -> Request:
    """Bring a link up, nothing else."""
    return Request(NEWLINK, 0, HEADER.pack(0, 0, 0, UP, UP) + nl.text(NAME, name))


def delete(name: str) -> Request:
    """Delete a link."""
    return Request(DELLINK, 0, HEADER.pack(0, 0, 0, 0, 0) + nl.text(NAME, name))


def parse(message: Message) -> Found:
    """The link that a RTM_NEWLINK message describes."""
    _, _, index, flags, _ = HEADER.unpack_from(message.body)
    found = nl.attributes(message.body, HEADER.size)
    info = nl.attributes(found.get(LINKINFO, b""), 0)
    name, kind = nl.as_text(found[NAME]), nl.as_text(info.get(KIND, b""))
    if kind == "tun" and name.startswith(WIREGUARD):
        kind = "wireguard"
    port = nl.attributes(info.get(SLAVE_DATA, b""), 0)
    return Found(
        name=name,
        kind=kind,
        up=bool(flags & UP),
        mtu=nl.as_number(found.get(MTU, b"")),
        mac=nl.as_mac(found.get(ADDRESS, b"")),
        group=nl.as_number(found.get(GROUP, b"")),
        index=index,
        peer_index=nl.as_number(found.get(PEER_INDEX, b"")) if kind == "veth" else 0,
        vxlan=_parse_vxlan(info.get(DATA, b"")) if kind == "vxlan" else None,
        master_index=nl.as_number(found.get(MASTER, b"")),
        hairpin=info.get(SLAVE_KIND) == b"bridge\0" and port.get(PORT_MODE) == b"\1",
        mode=_mode_of(kind, info.get(DATA, b"")),
        source=_source(found.get(ALIAS, b"")),
        other_namespace=as_namespace(found.get(LINK_NAMESPACE)),
    )


def as_namespace(data: bytes | None) -> int:
    """A namespace's number (s32)."""
    return HERE if data is None else int.from_bytes(data, sys.byteorder, signed=True)


def get_number(namespace_fd: int) -> Request:
    """Ask for the number of another namespace (RTM_GETNSID)."""
    return Request(GETNSID, 0, bytes(4) + nl.number(NSID_FD, namespace_fd))


def number_of(message: Message) -> int:
    """The number in an answer to `get_number`, -1 if it has none here."""
    return as_namespace(nl.attributes(message.body, 4).get(NSID))


def parse_traffic(message: Message, namespace: str) -> tuple[str, LinkTraffic]:
    """A link's kind, and what it has carried, of an answer to `get_traffic`."""
    found = nl.attributes(message.body, HEADER.size)
    info = nl.attributes(found.get(LINKINFO, b""), 0)
    packets_in, packets_out, bytes_in, bytes_out, errors_in, errors_out, lost_in, lost_out = (
        TRAFFIC.unpack_from(found[STATISTICS])
    )
    return nl.as_text(info.get(KIND, b"")), LinkTraffic(
        namespace=namespace,
        link=nl.as_text(found[NAME]),
        received_bytes=bytes_in,
        sent_bytes=bytes_out,
        received_packets=packets_in,
        sent_packets=packets_out,
        received_errors=errors_in,
        sent_errors=errors_out,
        received_dropped=lost_in,
        sent_dropped=lost_out,
    )


def gauge(found: Link, message: Message) -> Gauge:
    """What the link that was ``found`` in a message has carried, by the same message."""
    counted = nl.attributes(message.body, HEADER.size).get(STATISTICS, bytes(TRAFFIC.size))
    rx, tx, rx_bytes, tx_bytes, rx_bad, tx_bad, rx_lost, tx_lost = TRAFFIC.unpack_from(counted)
    return Gauge(
        name=found.name,
        kind=found.kind,
        index=found.index,
        peer_index=found.peer_index,
        mtu=found.mtu,
        up=found.up,
        mac=found.mac,
        rx_bytes=rx_bytes,
        tx_bytes=tx_bytes,
        rx_packets=rx,
        tx_packets=tx,
        dropped=rx_lost + tx_lost,
        errors=rx_bad + tx_bad,
        vni=found.vxlan.vni if found.vxlan else 0,
        ours=found.group == OURS,
    )


def _parse_vxlan(data: bytes) -> Vxlan | None:
    """None for one that differs from ours in what `Vxlan` takes for granted."""
    found = nl.attributes(data, 0)
    switches = (VXLAN_LEARNING, VXLAN_PROXY, VXLAN_L2MISS, VXLAN_L3MISS)
    if [found.get(key) for key in switches] != [b"\0", b"\1", b"\1", b"\1"]:
        return None
    local = found.get(VXLAN_LOCAL) or found.get(VXLAN_LOCAL6)
    if local is None:
        return None
    (port,) = struct.unpack("!H", found[VXLAN_PORT])
    return Vxlan(nl.as_number(found[VXLAN_ID]), port, nl.as_ip(local))


def named(found: list[Found]) -> dict[str, Link]:
    """Observed links by name, with their masters' names filled in."""
    names = {link.index: link.name for link in found}
    return {link.name: _plain(link, names.get(link.master_index, "")) for link in found}


def _plain(found: Found, master: str) -> Link:
    return Link(
        name=found.name,
        kind=found.kind,
        up=found.up,
        mtu=found.mtu,
        mac=found.mac,
        master=master,
        vxlan=found.vxlan,
        group=found.group,
        hairpin=found.hairpin,
        mode=found.mode,
        source=found.source,
        index=found.index,
        peer_index=found.peer_index,
    )
