"""Who is behind a service: its members on a network, what they weigh, and which has which place.

A place is what a turn, a random number or a hash of the client picks. Where all weigh the same,
each member has one place; else each has as many as it weighs, spread evenly over the round. A hash
of the client has a fixed number of places, each held by the member with the highest score for it
(rendezvous hashing): who leaves gives away its own places and no other changes hands, who comes
takes only those that it now holds.

Source: Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005 for weights.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat

import msgspec

from skep.model.assignment import NetworkAssignment, NetworkService
from skep.model.host import HostView
from skep.model.options import read_options, read_weight
from skep.plan.layout import bare, number

PLACES = 1024
"""The most places that weights make of a round, unless there are more members than that."""

HASHED = 256
"""Places of a hash, as long as there are two for each member; else four times as many, and so on:
at those sizes many clients move."""

Weighted = tuple[tuple[str, int], ...]


class Member(msgspec.Struct, frozen=True):
    """A task's address on a network, its host's weight, and whether new connections may go there;
    one that may not is starting, or stopping and perhaps not rid of its old ones."""

    address: str
    weight: int
    ready: bool


class Balanced(msgspec.Struct, frozen=True, kw_only=True):
    """A service whose new connections are balanced among its members, in their addresses' order.
    ``balance`` and ``affinity`` as in `skep.model.options.ServiceOptions`."""

    mark: int
    members: tuple[Member, ...]
    balance: str
    affinity: int = 0

    @property
    def backends(self) -> tuple[str, ...]:
        """The addresses that new connections go to, each once."""
        return tuple(each.address for each in self.members if each.ready and each.weight)

    @property
    def places(self) -> tuple[str, ...]:
        """The address that has each place."""
        weighted = tuple((m.address, m.weight) for m in self.members if m.ready and m.weight)
        if len(weighted) < 2:
            return self.backends
        by_client = self.balance in ("source", "sh", "mh")
        return hashed_places(weighted) if by_client else turn_places(weighted)


def members(
    view: HostView, network: NetworkAssignment, node_id: str = ""
) -> dict[str, tuple[Member, ...]]:
    """Each service's members by service id, in the addresses' own order; with ``node_id``, those
    on that host alone."""
    weights = {id: read_weight(peer.labels)[0] for id, peer in view.peers.items()}
    found: defaultdict[str, list[Member]] = defaultdict(list)
    for each in network.endpoints.values():
        if node_id in ("", each.node_id) and each.service_id and each.address:
            weight = weights.get(each.node_id, 1)
            found[each.service_id].append(Member(bare(each.address), weight, each.ready))
    return {id: tuple(sorted(each, key=_order)) for id, each in found.items()}


def balanced(service: NetworkService, members: Iterable[Member]) -> Balanced:
    """A service with its members, balanced as its options say."""
    options, _ = read_options(service.options)
    return Balanced(
        mark=service.mark,
        members=tuple(members),
        balance=options.balance,
        affinity=options.affinity,
    )


def _order(member: Member) -> int:
    return number(member.address)


@lru_cache(maxsize=4096)
def turn_places(weighted: Weighted) -> tuple[str, ...]:
    """Each address as often as it weighs, spread evenly over the round."""
    divisor = math.gcd(*(weight for _, weight in weighted))
    shares = [(address, weight // divisor) for address, weight in weighted]
    total = sum(share for _, share in shares)
    if total > PLACES:
        shares = [(address, max(1, share * PLACES // total)) for address, share in shares]
    turns = [
        ((turn + (index + 0.5) / len(shares)) / share, index, address)
        for index, (address, share) in enumerate(shares)
        for turn in range(share)
    ]
    return tuple(address for _, _, address in sorted(turns))


@lru_cache(maxsize=256)
def hashed_places(weighted: Weighted) -> tuple[str, ...]:
    """The address with the highest score for each place."""
    count = HASHED
    while count < 2 * len(weighted):
        count *= 4
    best: list[tuple[float, str]] = [(0.0, "")] * count
    alike = len({weight for _, weight in weighted}) == 1
    for address, weight in weighted:
        drawn = struct.unpack(f"<{count}I", hashlib.shake_128(address.encode()).digest(4 * count))
        # The weighted score grows with what was drawn: where all weigh the same, that is enough.
        scores = drawn if alike else [-weight / math.log((one + 0.5) / 2**32) for one in drawn]
        best = list(map(max, best, zip(scores, repeat(address), strict=False)))
    return tuple(address for _, address in best)
