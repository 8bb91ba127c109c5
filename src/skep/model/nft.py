"""The nftables vocabulary that Skep uses: a closed set of expressions and statements.

Desired tables are written in it, observed ones are read into it, so the two compare with ``==``,
and the walker can carry a packet through either. What the kernel holds and this vocabulary cannot
say is read as `Foreign`, which equals nothing that is desired.

Source: libnftables-json(5), nft(8).
"""

from __future__ import annotations

import msgspec


class Meta(msgspec.Struct, frozen=True, tag=True):
    """``meta KEY``: mark, iifname, oifname, l4proto, protocol (ip or ip6)."""

    key: str


class Ct(msgspec.Struct, frozen=True, tag=True):
    """``ct KEY``: mark, state, direction, status."""

    key: str


class Payload(msgspec.Struct, frozen=True, tag=True):
    """``PROTOCOL FIELD``: ip saddr, ip daddr, ether saddr, ether daddr, arp saddr ip, th dport, udp
    dport, tcp dport, icmpv6 type, icmpv6 taddr (the address that neighbour discovery is about)."""

    protocol: str
    field: str


class Fib(msgspec.Struct, frozen=True, tag=True):
    """``fib FLAG type``: the routing type (local, …) of the packet's saddr or daddr."""

    flag: str


class Numgen(msgspec.Struct, frozen=True, tag=True):
    """``numgen MODE mod MODULUS``: the next number of a counter (inc), or a random one."""

    modulus: int
    mode: str = "inc"


class Jhash(msgspec.Struct, frozen=True, tag=True):
    """``jhash KEY mod MODULUS seed SEED``: a number that follows from ``key``, the same on every
    host. The seed must not be 0, which stands for one of the kernel's choice."""

    key: Payload
    modulus: int
    seed: int


Key = Meta | Ct | Payload | Fib | Numgen | Jhash
Atom = str | int
"""A literal: an address, a prefix ("10.0.0.0/8"), a port, a mark, a name; ``goto CHAIN`` as the
data of a map of verdicts."""


class Lookup(msgspec.Struct, frozen=True, tag=True):
    """``KEY [. KEY …] map @NAME``."""

    keys: tuple[Key, ...]
    map: str


class Match(msgspec.Struct, frozen=True, tag=True):
    """``LEFT [. LEFT …] OP RIGHT``. ``right`` starts with ``@`` for a named set; a tuple is a list.

    A list has no order in the kernel, so it is kept sorted; a list of one is that one.
    """

    left: tuple[Key, ...]
    right: Atom | tuple[Atom, ...]
    op: str = "=="

    def __post_init__(self) -> None:
        if isinstance(self.right, tuple):
            ordered = sorted(set(self.right), key=lambda atom: (isinstance(atom, str), atom))
            alone = ordered[0] if len(ordered) == 1 else tuple(ordered)
            msgspec.structs.force_setattr(self, "right", alone)


class SetMark(msgspec.Struct, frozen=True, tag=True):
    """``meta mark set VALUE`` or ``ct mark set VALUE`` (``target`` is "meta" or "ct")."""

    target: str
    value: int | Lookup | Meta | Ct


class SetField(msgspec.Struct, frozen=True, tag=True):
    """``PROTOCOL FIELD set VALUE``: an address in the packet itself, whatever its connection."""

    key: Payload
    value: str


class SetSegment(msgspec.Struct, frozen=True, tag=True):
    """``tcp option maxseg size set SIZE``: who opens a connection is told of segments (bytes) no
    larger than this. The kernel never makes it more, and leaves other packets alone."""

    size: int


class Dnat(msgspec.Struct, frozen=True, tag=True):
    """``dnat ip to …`` (``family`` ip6: ``dnat ip6 to …``): a literal address or a map look-up, and
    a port (0 for unchanged) or a look-up of its own.

    A look-up in a map whose data has two parts (address . port) sets both. An address of "" stays
    what it is, and only a port that is looked up is set.
    """

    to: str | Lookup
    port: int | Lookup = 0
    family: str = "ip"


class Redirect(msgspec.Struct, frozen=True, tag=True):
    """``redirect to :PORT``."""

    port: int


class Masquerade(msgspec.Struct, frozen=True, tag=True):
    """``masquerade``."""


class Snat(msgspec.Struct, frozen=True, tag=True):
    """``snat to ADDRESS``."""

    to: str


class Update(msgspec.Struct, frozen=True, tag=True):
    """``update @MAP { KEY [. KEY …] timeout SECONDSs : DATA }``: write down, in a map that is
    `Set.dynamic`, what is forgotten after so many seconds. If the key is there, only its time
    starts anew."""

    map: str
    keys: tuple[Key, ...]
    seconds: int
    data: Key


class Forget(msgspec.Struct, frozen=True, tag=True):
    """``delete @MAP { KEY [. KEY …] : DATA }``: strike what was written down, whatever its data
    is."""

    map: str
    keys: tuple[Key, ...]
    data: Key


class Counter(msgspec.Struct, frozen=True, tag=True):
    """``counter``. Its packets and bytes are observations, not part of the rule."""


class Reject(msgspec.Struct, frozen=True, tag=True):
    """``reject`` with ``tcp reset`` or, for "icmp" (in a table of IPv6 "icmpv6"), port
    unreachable."""

    how: str


class Verdict(msgspec.Struct, frozen=True, tag=True):
    """``accept``, ``drop``, ``return``, or ``jump CHAIN`` with ``chain`` set. ``goto CHAIN`` is in
    other people's tables alone."""

    kind: str
    chain: str = ""


class Vmap(msgspec.Struct, frozen=True, tag=True):
    """``KEY [. KEY …] vmap @MAP``: go on in the chain that a map of verdicts names, if it has the
    key; what is met there is the end of this chain."""

    keys: tuple[Key, ...]
    map: str


class Foreign(msgspec.Struct, frozen=True, tag=True):
    """Something observed that Skep would never write. ``text`` is libnftables' JSON for it."""

    text: str


Statement = (
    Match
    | SetMark
    | SetField
    | SetSegment
    | Dnat
    | Redirect
    | Masquerade
    | Snat
    | Update
    | Forget
    | Counter
    | Reject
    | Verdict
    | Vmap
    | Foreign
)


class Rule(msgspec.Struct, frozen=True):
    """One rule: its statements in order."""

    statements: tuple[Statement, ...]


class Hook(msgspec.Struct, frozen=True):
    """What makes a chain a base chain: type (filter, nat, route), hook, priority and policy."""

    type: str
    hook: str
    priority: int
    policy: str = "accept"


class Chain(msgspec.Struct, frozen=True):
    """A chain and its rules, a base chain if it has a hook."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


class Set(msgspec.Struct, frozen=True):
    """A named set, or a map if ``data`` is not empty.

    ``key`` and ``data`` are the parts' types in nft's words (``ipv4_addr``, ``ipv6_addr``,
    ``inet_service``, ``inet_proto``, ``mark``, ``ether_addr``, ``integer``; ``verdict`` as data).
    ``elements`` holds one tuple of atoms each: the key's parts, then the data's parts. Only a set
    with ``interval`` holds prefixes, which must not overlap. One that is ``dynamic`` is filled by
    packets (see `Update`), with up to `DYNAMIC_SIZE` elements: what is in it is neither desired nor
    observed, and stays when its table is replaced.
    """

    name: str
    key: tuple[str, ...]
    elements: frozenset[tuple[Atom, ...]]
    data: tuple[str, ...] = ()
    interval: bool = False
    dynamic: bool = False


DYNAMIC_SIZE = 65536


class Table(msgspec.Struct, frozen=True):
    """A table of family ``ip``, ``ip6``, ``inet`` or ``bridge`` with all it holds."""

    name: str
    chains: tuple[Chain, ...]
    sets: tuple[Set, ...] = ()
    family: str = "ip"
