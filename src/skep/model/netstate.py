"""What a host's kernel contains, or should contain: namespaces, links, addresses, routes, tables.

The same types say what is desired (written by ``plan``) and what is observed (read by ``kernel``).
Fields that only the kernel knows (``index``, ``peer_index``) are 0 in desired values and are not
compared; a desired ``mac`` of "" or ``mtu`` of 0 means "whatever the kernel chose".

Source: rtnetlink(7), ip-link(8), ip-neighbour(8), bridge(8).
"""

from __future__ import annotations

import re

import msgspec

from skep.model.nft import Table

HOST = ""
"""The name of the host's own network namespace. All others are files in ``NETNS_DIR``."""

NETNS_DIR = "/run/netns"

GROUP = 0x5BEE
"""The link group (IFLA_GROUP) of every link that Skep makes; the loopback link carries it in every
namespace that Skep made. It is how ours is told from foreign, without remembering anything."""

HOST_LINK = re.compile(r"docker0|docker_gwbridge|veth[0-9a-f]{7}")
"""What links of ours in the host's own namespace are called. Others have such names too; whoever
finds one outside our group must make sure by what it is."""

MAIN_TABLE = 254


class Vxlan(msgspec.Struct, frozen=True):
    """A VXLAN device's attributes: VNI, UDP destination port, local VTEP address (IPv4 or IPv6).

    ``underlay`` is the namespace that it sends from and receives in ("?": none of those).
    proxy, l2miss and l3miss are always on, learning always off.
    """

    vni: int
    port: int
    local: str
    underlay: str = HOST


class Peer(msgspec.Struct, frozen=True):
    """The other end of a veth pair: its namespace and name."""

    namespace: str
    name: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface. ``kind`` is the kernel's (bridge, vxlan, veth; "" for
    loopback; "wireguard" also where a program does the work behind a tun device).

    Desired veth pairs are written down at both ends, each naming the other in ``peer``; the pair
    is created from the end whose ``owner`` is true (the bridge's side), in one message. A port that
    is a ``hairpin`` gets frames back that came from it. Links of kind vlan, macvlan and ipvlan sit
    on ``parent``, a link of the host; ``mode`` is a vlan's number or the others' mode. One that has
    a ``source`` was made by somebody else in the host's namespace, under that name, and is moved;
    it is never deleted, but goes back. Desired ones are of kind "moved", whatever they really are.
    """

    name: str
    kind: str = ""
    up: bool = True
    mtu: int = 0
    mac: str = ""
    master: str = ""
    vxlan: Vxlan | None = None
    peer: Peer | None = None
    owner: bool = False
    group: int = GROUP
    hairpin: bool = False
    parent: str = ""
    mode: str = ""
    source: str = ""
    index: int = 0
    peer_index: int = 0


class Address(msgspec.Struct, frozen=True):
    """An address with its prefix length ("10.0.0.2/24", "fd00::2/64") on a link. IPv6 addresses
    are written as inet_ntop(3) does. Of link-local ones only those that mirror an IPv4 address
    (fe80::10.0.0.2) are desired and observed; others are the kernel's."""

    link: str
    address: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A unicast route. ``destination`` is "default" (of IPv4; "::/0" of IPv6) or a CIDR; ``via``
    and ``source`` may be "".

    Routes that the kernel makes by itself (proto kernel) are neither desired nor observed.
    """

    destination: str
    link: str
    via: str = ""
    source: str = ""
    table: int = MAIN_TABLE
    onlink: bool = False


class PolicyRule(msgspec.Struct, frozen=True):
    """A routing rule of a ``family`` (ip, ip6): packets with firewall mark ``mark`` look up
    ``table`` (ip-rule(8))."""

    priority: int
    mark: int
    table: int
    family: str = "ip"


class Neighbour(msgspec.Struct, frozen=True):
    """A permanent neighbour (ARP or NDP) entry."""

    link: str
    address: str
    mac: str


class Fdb(msgspec.Struct, frozen=True):
    """A permanent forwarding entry of a VXLAN device: frames for ``mac`` go to ``vtep``."""

    link: str
    mac: str
    vtep: str


class Destination(msgspec.Struct, frozen=True):
    """Where IPVS sends connections of a service: new ones as often as ``weight`` says, none if 0;
    those that there are stay. ``port`` 0 is the one that was asked for; ``method`` is always masq
    (translation) in what is desired."""

    address: str
    weight: int
    port: int = 0
    method: str = "masq"


class VirtualService(msgspec.Struct, frozen=True, kw_only=True):
    """A service of IPVS: packets of a ``family`` (ip, ip6) with a firewall mark. A client stays
    with its destination for ``affinity`` seconds after its last connection, unless that is 0."""

    mark: int
    family: str = "ip"
    scheduler: str = "rr"
    affinity: int = 0
    destinations: frozenset[Destination] = frozenset()


class Timeouts(msgspec.Struct, frozen=True):
    """After how many idle seconds IPVS forgets a connection of TCP, one of TCP that one side has
    closed, and a flow of datagrams."""

    tcp: int
    tcp_fin: int
    udp: int


class SentFlow(msgspec.Struct, frozen=True):
    """A tracked flow, not of TCP, that was asked of one address and is sent on to ``address`` and
    ``port`` (0 if its protocol has none)."""

    address: str
    port: int


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of ours in one network namespace.

    ``sysctls`` maps dotted names ("net.ipv4.ip_forward") to values; the observed one holds those
    that were asked for and exist. In the host's namespace only links of our group are listed, and
    addresses, neighbours and FDB entries on them. In the others, all links are listed; addresses,
    routes, neighbours and FDB entries on links of our group (and ``lo``) are ours, all rules are.
    Only tables named ``skep…`` are listed. ``virtual`` and ``timeouts`` are those of IPVS, None
    where it is not used, or not there. ``flows`` are never desired, and observed on request.
    """

    name: str
    links: dict[str, Link] = {}
    addresses: frozenset[Address] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: frozenset[PolicyRule] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    fdb: frozenset[Fdb] = frozenset()
    tables: tuple[Table, ...] = ()
    sysctls: dict[str, str] = {}
    virtual: frozenset[VirtualService] = frozenset()
    timeouts: Timeouts | None = None
    flows: frozenset[SentFlow] = frozenset()


HostState = dict[str, Namespace]
"""A host's namespaces by name: ours, and the host's own under ``HOST``."""
