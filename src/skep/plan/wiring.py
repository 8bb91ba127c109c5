"""Which links must go, which must be made and which only need to be set, over all namespaces.

Links are settled first and for all namespaces together, because a veth pair has its ends in two of
them, and because whatever sits on a link (addresses, routes, entries) goes with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from skep.model.netstate import GROUP, HOST, HostState, Link, Namespace
from skep.model.ops import AddLink, DelLink, ReturnLink, SetLink

Place = tuple[str, str]
"""A namespace and the name of a link in it."""

ORDER = ("wireguard", "bridge", "vlan", "vxlan", "veth", "macvlan", "ipvlan", "moved")
"""A port can only be made when its bridge is there, and what sits on a link when that is."""

LOOPBACK = "lo"


class Rewiring(msgspec.Struct, frozen=True, kw_only=True):
    """The decision. ``gone`` are links that will not survive, ``made`` those that will be new;
    a link that is replaced is in both."""

    gone: frozenset[Place]
    made: frozenset[Place]
    deletions: tuple[DelLink | ReturnLink, ...]
    additions: tuple[AddLink, ...]
    settings: tuple[SetLink, ...]


class Wires(msgspec.Struct, frozen=True):
    """The two sides of the comparison, both cut to ``scope`` (None: all namespaces)."""

    desired: HostState
    observed: HostState
    scope: frozenset[str] | None = None

    def seen(self, place: Place) -> Link | None:
        """The observed link there, if it is ours to judge."""
        namespace, name = place
        have = self.observed.get(namespace)
        link = None if have is None else have.links.get(name)
        if link is None or namespace != HOST or link.group == GROUP:
            return link
        return link if self._recognised(link) else None

    def _recognised(self, link: Link) -> bool:
        """Whether a link of the host that is outside our group is one that we made, and somebody
        has put elsewhere: a bridge by the MAC that we gave it, a port by its other end, which is
        in a namespace of ours."""
        home = self.desired.get(HOST)
        wanted = None if home is None else home.links.get(link.name)
        if wanted is None or wanted.kind != link.kind:
            return False
        if wanted.peer is None:
            return bool(wanted.mac) and _same_mac(wanted, link)
        return self.reaches(wanted.peer.namespace) and self._joined(wanted, link)

    def fits(self, place: Place, wanted: Link) -> bool:
        """Whether what is there can become ``wanted`` without being made anew."""
        link = self.seen(place)
        if wanted.source:
            return link is not None and link.source == wanted.source
        if link is None or link.kind != wanted.kind or link.vxlan != wanted.vxlan:
            return False
        if link.mode != wanted.mode:
            return False
        return wanted.peer is None or self._joined(wanted, link)

    def _joined(self, wanted: Link, link: Link) -> bool:
        """Whether ``link`` and what is at the other end's place are one pair, the wanted one.

        Every namespace counts its own indices, so they alone would also fit ends of two pairs.
        The MAC of an interface tells its network, within whose namespace indices are unique: with
        both, there is no doubt. An end outside the scope is not looked at.
        """
        assert wanted.peer is not None, f"{wanted.name} is no end of a pair"
        if not self.reaches(wanted.peer.namespace):
            return _same_mac(wanted, link)
        other = (wanted.peer.namespace, wanted.peer.name)
        peer = self.seen(other)
        if peer is None or peer.kind != "veth" or not joined(link, peer):
            return False
        return _same_mac(wanted, link) and _same_mac(self.wanted(other), peer)

    def wanted(self, place: Place) -> Link:
        """The desired link there; a pair that is desired at one end is at the other."""
        namespace, name = place
        assert namespace in self.desired, f"one end of {name} is desired without its namespace"
        return self.desired[namespace].links[name]

    def reaches(self, namespace: str) -> bool:
        """Whether ``namespace`` is in scope."""
        return self.scope is None or namespace in self.scope


def joined(one: Link, other: Link) -> bool:
    """Whether two observed links name each other as their other end."""
    return one.peer_index == other.index and other.peer_index == one.index


def _same_mac(wanted: Link, have: Link) -> bool:
    return wanted.mac.lower() in ("", have.mac.lower())


def rewire(desired: HostState, observed: HostState, scope: Collection[str] | None) -> Rewiring:
    """Compare the links of all namespaces in ``scope``."""
    wires = Wires(desired, observed, None if scope is None else frozenset(scope))
    unfit = {
        (name, link.name): link
        for name, wanted in desired.items()
        for link in wanted.links.values()
        if link.name != LOOPBACK and not wires.fits((name, link.name), link)
    }
    doomed = {place: link for place in unfit if (link := wires.seen(place)) is not None}
    doomed.update(_surplus(wires))
    additions = tuple(_additions(wires, unfit))
    return Rewiring(
        gone=frozenset(doomed),
        made=frozenset(place for each in additions for place in _ends(each)),
        deletions=tuple(_deletions(doomed)),
        additions=additions,
        settings=tuple(_settings(wires, unfit, doomed)),
    )


def _surplus(wires: Wires) -> Iterator[tuple[Place, Link]]:
    """Links of ours that nothing wants. A namespace that goes takes its links along, but later,
    and until then its tunnels would keep their VNIs from whoever needs them next; and what was
    moved there has to go back before."""
    for name, have in wires.observed.items():
        wanted = wires.desired.get(name)
        for link in have.links.values():
            if link.group != GROUP or link.name == LOOPBACK:
                continue
            leaving = link.kind == "vxlan" or bool(link.source)
            if (wanted is None and leaving and dying(have)) or (
                wanted is not None and link.name not in wanted.links
            ):
                yield (name, link.name), link


def dying(have: Namespace) -> bool:
    """Whether an observed namespace that nothing wants is ours to remove."""
    loopback = have.links.get(LOOPBACK)
    return have.name != HOST and (loopback is None or loopback.group == GROUP)


def _deletions(doomed: Mapping[Place, Link]) -> Iterator[DelLink | ReturnLink]:
    """Both ends of a pair, though the second is gone with the first: removing what is not there is
    no failure, and which two belong together cannot be told from indices alone, for every
    namespace counts its own."""
    for namespace, name in sorted(doomed):
        source = doomed[namespace, name].source
        if source:
            yield ReturnLink(ns=namespace, name=name, source=source)
        else:
            yield DelLink(ns=namespace, name=name)


def _additions(wires: Wires, unfit: Mapping[Place, Link]) -> Iterator[AddLink]:
    """Bridges, tunnels, then pairs from their owners' ends. A pair with an end outside the scope
    is left for a pass that reaches both."""
    for (namespace, _), link in sorted(unfit.items(), key=_making_order):
        if link.peer is None:
            yield AddLink(ns=namespace, link=link)
        elif link.owner and wires.reaches(link.peer.namespace):
            other = wires.wanted((link.peer.namespace, link.peer.name))
            assert other.peer is not None and not other.owner, f"{link.name}: ends do not match"
            assert (other.peer.namespace, other.peer.name) == (namespace, link.name)
            yield AddLink(ns=namespace, link=link, peer=other)


def _making_order(item: tuple[Place, Link]) -> tuple[int, Place, Place]:
    """Pairs in the order of their names in the sandbox, for ``ip link`` lists links as made."""
    place, link = item
    inner = ("", "") if link.peer is None else (link.peer.namespace, link.peer.name)
    return ORDER.index(link.kind), inner, place


def _ends(op: AddLink) -> Iterator[Place]:
    yield op.ns, op.link.name
    if op.link.peer is not None:
        yield op.link.peer.namespace, op.link.peer.name


def _settings(
    wires: Wires, unfit: Mapping[Place, Link], doomed: Mapping[Place, Link]
) -> Iterator[SetLink]:
    for name, wanted in wires.desired.items():
        for link in wanted.links.values():
            have = wires.seen((name, link.name))
            if have is None or (name, link.name) in unfit:
                continue
            if (name, have.master) in doomed:
                have = msgspec.structs.replace(have, master="")
            if not _settled(link, have):
                yield SetLink(ns=name, link=link)


def _settled(wanted: Link, have: Link) -> bool:
    return (
        wanted.up == have.up
        and wanted.mtu in (0, have.mtu)
        and _same_mac(wanted, have)
        and wanted.master == have.master
        and wanted.hairpin == have.hairpin
        and wanted.group == have.group
    )
