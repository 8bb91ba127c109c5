"""Paths between hosts that carry less than the links at their ends: who opens a TCP connection
over one is told of smaller segments, at both ends, by either host.

A network's MTU follows from the host's own link. Packets larger than a path would get lost on it
without a word, so connections would open and then hang as soon as much is sent. What is not TCP
is not helped by this: the kernel cuts it up (`skep.kernel.pathmtu`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from skep.model.assignment import NetworkAssignment
from skep.model.host import HostView
from skep.model.nft import Chain, Hook, Match, Meta, Rule, SetSegment, Table
from skep.model.secure import is_encrypted
from skep.plan.encrypt import inside
from skep.plan.grammar import MANGLE, RECEIVER, SENDER, TABLE, base, is_, named_set, rule
from skep.plan.layout import overlay_mtu, tunnel_overhead

HEADERS, HEADERS6 = 40, 60
"""Bytes of IP and TCP headers that a segment is less than its packet."""


def segments(
    view: HostView, network: NetworkAssignment, remotes: Iterable[tuple[str, str]]
) -> Iterator[Table]:
    """The table of the network's namespace, if there are narrow paths; ``remotes`` are the MACs of
    what is elsewhere with the VTEPs of their hosts."""
    sizes = _sizes(view, network)
    macs = defaultdict(set)
    for mac, vtep in remotes:
        if vtep in sizes:
            macs[sizes[vtep]].add(mac)
    if not macs:
        return
    sets = [named_set(_name(size), "ether_addr", macs[size]) for size in sorted(macs)]
    six = any(each.config6 for each in network.subnets)
    yield Table(TABLE, tuple(_chains(sorted(macs), six=six)), tuple(sets), family="bridge")


def _sizes(view: HostView, network: NetworkAssignment) -> Mapping[str, int]:
    """By VTEP, the largest packets of the network that get there, where not all do."""
    paths = inside(view) if is_encrypted(network.spec.options) else view.paths
    whole = overlay_mtu(view, network)
    found = {
        view.peers[node_id].vtep: path - tunnel_overhead(view)
        for node_id, path in paths.items()
        if node_id in view.peers
    }
    return {vtep: size for vtep, size in found.items() if HEADERS6 < size < whole}


def _name(size: int) -> str:
    return f"narrow_{size}"


def _chains(sizes: Iterable[int], *, six: bool) -> Iterator[Chain]:
    """What is sent there and what comes from there: an answer tells of segments, too."""
    for hook, key in (("prerouting", SENDER), ("postrouting", RECEIVER)):
        rules: list[Rule] = []
        for size in sizes:
            near = Match((key,), f"@{_name(size)}")
            rules.append(rule(near, is_(Meta("protocol"), "ip"), SetSegment(size - HEADERS)))
            if six:
                rules.append(rule(near, is_(Meta("protocol"), "ip6"), SetSegment(size - HEADERS6)))
        yield base(f"segments_{hook}", Hook("filter", hook, MANGLE), rules)
