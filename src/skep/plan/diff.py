"""The operations that turn what a kernel contains into what it should contain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from enum import IntEnum, auto
from typing import Any, TypeVar

import msgspec

from skep.model import ops
from skep.model.netstate import GROUP, HOST, Address, Fdb, HostState, Namespace
from skep.model.nft import Chain, Foreign, Table
from skep.model.ops import CutFlows, Op
from skep.plan.family import family_of, is_single
from skep.plan.flows import cuts, stale
from skep.plan.virtualdiff import virtual_changes
from skep.plan.wiring import LOOPBACK, Rewiring, dying, rewire

T = TypeVar("T", bound=msgspec.Struct)

KERNEL_PRIORITIES = frozenset({0, 32766, 32767})
"""The routing rules (local, main, default) that every namespace is born with."""

LEAST_MTU6 = 1280
"""What a link must carry to speak IPv6 (RFC 8200)."""

OPTIONAL_SYSCTLS = ("net.bridge.",)
"""Sysctls of modules that need not be loaded: only set once an observation has shown them."""


class Phase(IntEnum):
    """The order of operations over all namespaces: what is in the way goes first, then everything
    after what it stands on. New tables precede links, so that nothing passes unguarded; tables
    that change come late, so that balancing never runs ahead of the way to a backend; and flows
    are cut when nothing sends new ones the same way any more."""

    CLEAR = auto()
    UNLINK = auto()
    UNPIN = auto()
    PIN = auto()
    TUNE = auto()
    GUARD = auto()
    LINK = auto()
    SET = auto()
    TUNE_LINKS = auto()
    ADDRESS = auto()
    ROUTE = auto()
    RULE = auto()
    ENTRY = auto()
    VIRTUAL = auto()
    TABLE = auto()
    RETIRE = auto()
    CUT = auto()


Step = tuple[Phase, Op]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One namespace's two sides. ``gone`` and ``made`` are names of links (see `Rewiring`)."""

    want: Namespace
    have: Namespace
    fresh: bool
    gone: frozenset[str]
    made: frozenset[str]

    @property
    def ns(self) -> str:
        """The namespace's name."""
        return self.want.name

    def stays(self, link: str) -> bool:
        """Whether what was observed on ``link`` is ours to judge, and outlives the links' part."""
        if link in self.gone:
            return False
        seen = self.have.links.get(link)
        return link == LOOPBACK or link in self.want.links or bool(seen and seen.group == GROUP)

    def stands(self, link: str) -> bool:
        """Whether ``link`` will be there once links are made, with what is on it known.

        What is on a link outside our group was not observed: first the link becomes ours again,
        the rest is for the next look.
        """
        seen = self.have.links.get(link)
        known = seen is not None and (seen.group == GROUP or link == LOOPBACK)
        born = self.fresh and link == LOOPBACK
        return born or link in self.made or (known and link not in self.gone)


def diff(desired: HostState, observed: HostState, only: Collection[str] | None = None) -> list[Op]:
    """The operations, in an order that succeeds, that bring ``observed`` to ``desired``.

    With ``only``, both are cut to the namespaces named there. It should hold both ends of every
    veth pair that is to be made (`skep.plan.desired.namespaces_of`); an end whose other end lies
    outside is taken as it is, and not made.
    """
    want = _within(desired, only)
    have = _within(observed, only)
    wiring = rewire(want, have, only)
    steps = [*_namespace_steps(want, have), *_link_steps(wiring)]
    for name in sorted(want):
        steps += _inner_steps(_pair(want[name], have.get(name), wiring))
    return [op for _, op in sorted(steps, key=lambda step: step[0])]


def needed_sysctls(state: HostState) -> dict[str, frozenset[str]]:
    """The sysctls that an observation must read to be compared with ``state``, by namespace."""
    return {name: frozenset(each.sysctls) for name, each in state.items()}


def _within(state: HostState, only: Collection[str] | None) -> HostState:
    return {name: each for name, each in state.items() if only is None or name in only}


def _pair(want: Namespace, have: Namespace | None, wiring: Rewiring) -> Pair:
    return Pair(
        want=want,
        have=have or Namespace(name=want.name),
        fresh=have is None and want.name != HOST,
        gone=frozenset(link for name, link in wiring.gone if name == want.name),
        made=frozenset(link for name, link in wiring.made if name == want.name),
    )


def _namespace_steps(want: HostState, have: HostState) -> Iterator[Step]:
    for name, each in sorted(have.items()):
        if name not in want and dying(each):
            yield Phase.UNPIN, ops.DelNamespace(ns=name)
    for name in sorted(want):
        if name not in have and name != HOST:
            yield Phase.PIN, ops.AddNamespace(ns=name)


def _link_steps(wiring: Rewiring) -> Iterator[Step]:
    yield from ((Phase.UNLINK, op) for op in wiring.deletions)
    yield from ((Phase.LINK, op) for op in wiring.additions)
    yield from ((Phase.SET, op) for op in wiring.settings)


def _inner_steps(pair: Pair) -> Iterator[Step]:
    removed, added = _address_changes(pair)
    yield from ((Phase.CLEAR, ops.DelAddress(ns=pair.ns, address=each)) for each in removed)
    yield from ((Phase.ADDRESS, ops.AddAddress(ns=pair.ns, address=each)) for each in added)
    if pair.ns != HOST:
        yield from _route_steps(pair, {each.link for each in removed})
        yield from _rule_steps(pair)
    yield from _neighbour_steps(pair)
    yield from _fdb_steps(pair)
    yield from _sysctl_steps(pair)
    early, late = virtual_changes(pair.want, pair.have)
    yield from ((Phase.VIRTUAL, op) for op in early)
    yield from _table_steps(pair)
    yield from ((Phase.RETIRE, op) for op in late)
    yield from ((Phase.CUT, op) for op in _cuts(pair))


def _cuts(pair: Pair) -> list[CutFlows]:
    """The flows to forget, each once: what leads to them is taken away now, or was before."""
    have = {(each.family, each.name): each for each in pair.have.tables}
    found: list[CutFlows] = []
    for table in sorted(pair.want.tables, key=lambda each: (each.family, each.name)):
        key = table.family, table.name
        found += cuts(pair.ns, table, have[key]) if key in have else ()
    whole = {each.address for each in found if not each.port}
    left = (each for each in stale(pair.want, pair.have) if each.address not in whole)
    return list(dict.fromkeys((*found, *left)))


def _ordered(items: Iterable[T]) -> list[T]:
    """In an order of their own: equal inputs give equal operations."""
    return sorted(items, key=lambda each: [str(value) for value in msgspec.structs.astuple(each)])


def _address_changes(pair: Pair) -> tuple[list[Address], list[Address]]:
    """What to remove and what to add. A VIP stands after the link's own address, which is
    what the kernel and people take the first one for: one that would come to stand before it is
    taken off and put back."""
    have = {each for each in pair.have.addresses if pair.stays(each.link) and not _loopback(each)}
    want = {each for each in pair.want.addresses if pair.stands(each.link)}
    overtaken = {_seat(each) for each in want - have if not _single(each)}
    again = {each for each in have & want if _single(each) and _seat(each) in overtaken}
    added = sorted(_ordered(want - have | again), key=_single)
    return _ordered(have - want | again), added


def _loopback(address: Address) -> bool:
    """What the kernel itself puts on every loopback link that comes up."""
    return address.link == LOOPBACK and address.address.startswith(("127.", "::1/"))


def _single(address: Address) -> bool:
    return is_single(address.address)


def _seat(address: Address) -> tuple[str, str]:
    """Addresses of one link and family have an order; those of the two families have none."""
    return address.link, family_of(address.address).name


def _route_steps(pair: Pair, shaken: Collection[str]) -> Iterator[Step]:
    """``shaken`` are links that lose an address, with which the kernel may drop routes. A route
    that leads elsewhere is replaced in one step."""
    have = {each for each in pair.have.routes if pair.stays(each.link)}
    want = {each for each in pair.want.routes if pair.stands(each.link)}
    again = {each for each in want if each.link in shaken}
    kept = {(each.destination, each.table) for each in want}
    for each in _ordered(have - want):
        if (each.destination, each.table) in kept:
            continue
        yield Phase.CLEAR, ops.DelRoute(ns=pair.ns, route=each)
    # A gateway may be reached by a route that says on which link it is.
    for each in sorted(_ordered(want - have | again), key=lambda route: bool(route.via)):
        yield Phase.ROUTE, ops.AddRoute(ns=pair.ns, route=each)


def _rule_steps(pair: Pair) -> Iterator[Step]:
    have = {each for each in pair.have.rules if each.priority not in KERNEL_PRIORITIES}
    for each in _ordered(have - pair.want.rules):
        yield Phase.CLEAR, ops.DelRule(ns=pair.ns, rule=each)
    for each in _ordered(pair.want.rules - have):
        yield Phase.RULE, ops.AddRule(ns=pair.ns, rule=each)


def _neighbour_steps(pair: Pair) -> Iterator[Step]:
    have = {each for each in pair.have.neighbours if pair.stays(each.link)}
    want = {each for each in pair.want.neighbours if pair.stands(each.link)}
    kept = {(each.link, each.address) for each in want}
    for each in _ordered(have - want):
        if (each.link, each.address) not in kept:
            yield Phase.CLEAR, ops.DelNeighbour(ns=pair.ns, neighbour=each)
    for each in _ordered(want - have):
        yield Phase.ENTRY, ops.SetNeighbour(ns=pair.ns, neighbour=each)


def _fdb_steps(pair: Pair) -> Iterator[Step]:
    """A MAC that moved is replaced in one step, without a moment in which it is nowhere. That
    works for one destination only; of several, the wrong ones are removed."""
    have = {each for each in pair.have.fdb if pair.stays(each.link)}
    want = {each for each in pair.want.fdb if pair.stands(each.link)}
    counts = Counter((each.link, each.mac) for each in have)
    kept = {(each.link, each.mac) for each in want}

    def replaced(each: Fdb) -> bool:
        return (each.link, each.mac) in kept and counts[each.link, each.mac] == 1

    for each in _ordered(have - want):
        if not replaced(each):
            yield Phase.CLEAR, ops.DelFdb(ns=pair.ns, fdb=each)
    for each in _ordered(want - have):
        yield Phase.ENTRY, ops.SetFdb(ns=pair.ns, fdb=each)


def _sysctl_steps(pair: Pair) -> Iterator[Step]:
    """A sysctl that an observation did not find does not exist in this kernel, unless its link or
    namespace is only about to come."""
    for key, value in sorted(pair.want.sysctls.items(), key=_tuning_order):
        link = _link_of(key)
        if (
            link in pair.made
            or _widens(pair, link)
            or (pair.fresh and not link and not key.startswith(OPTIONAL_SYSCTLS))
        ):
            changed = True
        else:
            changed = pair.have.sysctls.get(key, value) != value
        if changed:
            later = link in pair.made or _widens(pair, link)
            phase = Phase.TUNE_LINKS if later else Phase.TUNE
            yield phase, ops.SetSysctl(ns=pair.ns, key=key, value=value)


def _widens(pair: Pair, link: str) -> bool:
    """Whether a link becomes wide enough for IPv6: until then it has no sysctls of it at all."""
    want, have = pair.want.links.get(link), pair.have.links.get(link)
    return want is not None and have is not None and have.mtu < LEAST_MTU6 <= want.mtu


def _tuning_order(item: tuple[str, str]) -> tuple[bool, str]:
    """Links that are to go on listening to routers are told so before forwarding is turned on,
    which would make them forget what they heard."""
    key, _ = item
    return not key.endswith(".accept_ra"), key


def _link_of(key: str) -> str:
    """The link that a sysctl is of ("net.ipv4.conf.eth0.rp_filter"), "" if of none."""
    parts = key.split(".")
    named = len(parts) == 5 and parts[2] in ("conf", "neigh")
    return parts[3] if named and parts[3] not in ("all", "default") else ""


def _table_steps(pair: Pair) -> Iterator[Step]:
    want = {(each.family, each.name): each for each in pair.want.tables}
    have = {(each.family, each.name): each for each in pair.have.tables}
    for family, name in sorted(have.keys() - want.keys()):
        yield Phase.TABLE, ops.DelTable(ns=pair.ns, family=family, name=name)
    for key, table in sorted(want.items(), key=lambda each: each[0]):
        if key not in have:
            yield Phase.GUARD, ops.ReplaceTable(ns=pair.ns, table=table)
        elif _shape(table) == _shape(have[key]) and _alike(table, have[key]):
            yield from ((Phase.TABLE, op) for op in _part_changes(pair.ns, table, have[key]))
        else:
            yield Phase.TABLE, ops.ReplaceTable(ns=pair.ns, table=table)


def _shape(table: Table) -> tuple[Any, ...]:
    """All of a table but its elements and the chains that elements lead to, and without the order
    of what has a name."""
    chains = {each.name: each for each in table.chains if not _movable(each)}
    sets = {each.name: (each.key, each.data, each.interval) for each in table.sets}
    return chains, sets


def _movable(chain: Chain) -> bool:
    """Whether a chain can come and go while the rest of the table stays."""
    strange = any(isinstance(part, Foreign) for rule in chain.rules for part in rule.statements)
    return chain.hook is None and not strange


def _alike(want: Table, have: Table) -> bool:
    """Whether the movable chains that are on both sides are the same."""
    there = {each.name: each for each in have.chains}
    return all(there.get(each.name, each) == each for each in want.chains)


def _part_changes(ns: str, want: Table, have: Table) -> Iterator[Op]:
    """Chains and elements, which the kernel changes in one transaction."""
    wanted, there = ({each.name for each in table.chains} for table in (want, have))
    place = {"ns": ns, "family": want.family, "table": want.name}
    for chain in want.chains:
        if chain.name not in there:
            yield ops.AddChain(**place, chain=chain)
    yield from _element_changes(ns, want, have)
    for name in sorted(there - wanted):
        yield ops.DelChain(**place, name=name)


def _element_changes(ns: str, want: Table, have: Table) -> Iterator[Op]:
    seen = {each.name: each.elements for each in have.sets}
    for each in sorted(want.sets, key=lambda one: one.name):
        if each.elements != seen[each.name]:
            yield ops.SetElements(
                ns=ns,
                family=want.family,
                table=want.name,
                set=each.name,
                remove=seen[each.name] - each.elements,
                add=each.elements - seen[each.name],
            )
