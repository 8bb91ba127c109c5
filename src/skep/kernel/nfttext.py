"""Tables of `skep.model.nft` as nft text, and transactions made of it. Pure.

Text and not JSON, because libnftables 1.0.6 cannot take a ``typeof … numgen`` map as JSON.

What a rule *means* can be spelled in several ways that the kernel holds alike; read back, each
becomes one of them. The others are broken invariants here, lest a table never equal itself.

Source: nft(8).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any, NamedTuple

from skep.model import nft
from skep.model.nft import Atom, Chain, Key, Match, Meta, Payload, Rule, Set, Statement, Table
from skep.model.ops import AddChain, DelChain, SetElements

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
"""Written as numbers: nft would look the names up in /etc/protocols, which need not be there."""

REJECTS = {
    "tcp reset": "tcp reset",
    "icmp": "icmp port-unreachable",
    "icmpv6": "icmpv6 port-unreachable",
}

TRANSPORTS = frozenset({"tcp", "udp", "sctp"})

BITMASKS = frozenset({"state", "status"})
"""Keys of ct whose values are sets of flags: ``a,b`` means any of them."""

ND_TARGET = "@th,64,128"
"""``icmpv6 taddr``, for which nft before 1.0.9 has no words. Such addresses are numbers in sets."""

TYPEOF = {
    "ipv4_addr": "ip daddr",
    "ipv6_addr": "ip6 daddr",
    "inet_service": "th dport",
    "inet_proto": "meta l4proto",
    "mark": "meta mark",
    "ether_addr": "ether saddr",
    "ifname": "meta iifname",
    "nd_target": ND_TARGET,
    # Any modulus does: it only says how wide the number is.
    "integer": "numgen inc mod 65536",
}

TableChange = SetElements | AddChain | DelChain
"""An operation on a part of a table."""

NOTHING_KEPT: Mapping[str, Any] = MappingProxyType({})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD = re.compile(r"[A-Za-z0-9_.:/-]+")
_GOTO = re.compile(r"goto [A-Za-z_][A-Za-z0-9_-]*")
_QUOTED = re.compile(r"[^\"\\\x00-\x1f]+")


class Kept(NamedTuple):
    """An element of a dynamic set, with the seconds that it is given and those that are left."""

    element: tuple[Atom, ...]
    timeout: int
    left: int


def replace_table(table: Table, kept: Mapping[str, Collection[Kept]] = NOTHING_KEPT) -> str:
    """The transaction that makes a table exactly this, whatever it was. ``kept`` are elements of
    its dynamic sets, by the sets' names."""
    sets = [_set(each, kept.get(each.name, ())) for each in table.sets]
    chains = [_chain(each) for each in table.chains]
    block = "".join([f"{_table(table.family, table.name)} {{\n", *sets, *chains, "}\n"])
    return delete_table(table.family, table.name) + block


def delete_table(family: str, name: str) -> str:
    """The transaction that removes a table; content that it is not there."""
    return f"add {_table(family, name)}\ndelete {_table(family, name)}\n"


def change_table(changes: Sequence[TableChange], sets: Collection[Set]) -> str:
    """The transaction that changes parts of one table: new chains, elements (removals first), and
    last the chains that no element leads to any more.

    ``sets`` are the table's, for the types of what is written.
    """
    types = {each.name: each for each in sets}
    elements = [each for each in changes if isinstance(each, SetElements)]
    opened = [_add_chain(each) for each in changes if isinstance(each, AddChain)]
    removals = [_elements("delete", each, types[each.set], each.remove) for each in elements]
    additions = [_elements("add", each, types[each.set], each.add) for each in elements]
    closed = [_delete_chain(each) for each in changes if isinstance(each, DelChain)]
    return "".join(opened + removals + additions + closed)


def _add_chain(change: AddChain) -> str:
    assert change.chain.hook is None, f"{change.chain.name} is a base chain"
    return f"{_table(change.family, change.table)} {{\n{_chain(change.chain)}}}\n"


def _delete_chain(change: DelChain) -> str:
    return f"delete chain {change.family} {_name(change.table)} {_name(change.name)}\n"


def _elements(
    verb: str, change: SetElements, target: Set, elements: Collection[tuple[Atom, ...]]
) -> str:
    if not elements:
        return ""
    where = f"{change.family} {_name(change.table)} {_name(change.set)}"
    return f"{verb} element {where} {{ {_listed(target, elements)} }}\n"


def _table(family: str, name: str) -> str:
    return f"table {_name(family)} {_name(name)}"


def _name(name: str) -> str:
    assert _NAME.fullmatch(name), f"not a name in nft: {name!r}"
    return name


def _set(declared: Set, kept: Collection[Kept] = ()) -> str:
    kind = "map" if declared.data else "set"
    lines = [f"{kind} {_name(declared.name)} {{", f"{_type(declared)};"]
    prefixes = any("/" in str(atom) for element in declared.elements for atom in element)
    assert declared.interval or not prefixes, f"{declared.name} holds prefixes undeclared"
    if declared.interval:
        lines.append("flags interval;")
    if declared.dynamic:
        assert not declared.elements, f"{declared.name} is filled by packets"
        lines.append(f"size {nft.DYNAMIC_SIZE}; flags dynamic,timeout;")
    listed = [_element(declared, element) for element in declared.elements]
    listed += [_kept(declared, each) for each in kept]
    if listed:
        lines.append(f"elements = {{ {', '.join(listed)} }}")
    return "\n".join([*lines, "}\n"])


def _type(declared: Set) -> str:
    """The declaration's type. Numbers have no name there, only as the type of an expression."""
    words = declared.key + declared.data
    if not {"integer", "nd_target"} & set(words):
        parts = {word: word for word in words}
        keyword = "type"
    else:
        parts = {word: TYPEOF[word] for word in words}
        keyword = "typeof"
    key = " . ".join(parts[word] for word in declared.key)
    data = " . ".join(parts[word] for word in declared.data)
    return f"{keyword} {key} : {data}" if data else f"{keyword} {key}"


def _listed(target: Set, elements: Collection[tuple[Atom, ...]]) -> str:
    return ", ".join(_element(target, element) for element in elements)


def _element(target: Set, element: tuple[Atom, ...]) -> str:
    types = target.key + target.data
    assert len(element) == len(types), f"{element} does not fit the set {target.name}"
    words = [_typed(*pair) for pair in zip(types, element, strict=True)]
    key = " . ".join(words[: len(target.key)])
    data = " . ".join(words[len(target.key) :])
    return f"{key} : {data}" if data else key


def _kept(target: Set, kept: Kept) -> str:
    key, colon, data = _element(target, kept.element).partition(" : ")
    return f"{key} timeout {kept.timeout}s expires {kept.left}s{colon}{data}"


def _typed(kind: str, atom: Atom) -> str:
    """An atom of one of the types in `TYPEOF`."""
    if kind == "inet_proto" and isinstance(atom, str):
        return str(PROTOCOLS[atom])
    if kind == "ifname":
        return _quoted(atom)
    if kind in ("nd_target", "integer") and isinstance(atom, str):
        # Of a set that is there, nft says no more than that it is of numbers.
        ends = sorted({ip_network(atom)[0], ip_network(atom)[-1]})
        return "-".join(f"{int(each):#034x}" for each in ends)
    if kind == "verdict":
        assert isinstance(atom, str) and _GOTO.fullmatch(atom), f"not a verdict: {atom!r}"
        return atom
    return _word(atom)


def _word(atom: Atom) -> str:
    word = str(atom)
    assert _WORD.fullmatch(word), f"not a literal in nft: {atom!r}"
    return word


def _quoted(atom: Atom) -> str:
    assert isinstance(atom, str) and _QUOTED.fullmatch(atom), f"not a name: {atom!r}"
    return f'"{atom}"'


def _chain(chain: Chain) -> str:
    lines = [f"chain {_name(chain.name)} {{"]
    if chain.hook is not None:
        hook = chain.hook
        priority = f"priority {hook.priority}; policy {_word(hook.policy)};"
        lines.append(f"type {_word(hook.type)} hook {_word(hook.hook)} {priority}")
    lines += [rule_text(rule) for rule in chain.rules]
    return "\n".join([*lines, "}\n"])


def rule_text(rule: Rule) -> str:
    """One rule."""
    _assert_canonical(rule.statements)
    return " ".join(_statement(each) for each in rule.statements)


def _assert_canonical(statements: tuple[Statement, ...]) -> None:
    """Refuse other spellings of what the kernel holds alike.

    Once a rule has settled the transport protocol, ``th`` is read back as ``tcp`` or ``udp``; and
    a match of the protocol alone is not read back before something that implies it.
    """
    settled = alone = False
    for each in statements:
        used = {key.protocol for key in _keys_of(each) if isinstance(key, Payload)}
        assert not (settled and "th" in used), "write tcp or udp for th: the protocol is known"
        implied = used & TRANSPORTS or each == nft.Reject("tcp reset")
        assert not (alone and implied), "leave out the match of the protocol: it is implied"
        alone = alone or _one_protocol(each)
        settled = settled or alone or bool(used & TRANSPORTS)


def _keys_of(statement: Statement) -> tuple[Key, ...]:
    match statement:
        case Match(left=keys) | nft.Vmap(keys=keys):
            return keys
        case nft.SetField(key=key):
            return (key,)
        case nft.SetMark(value=nft.Lookup(keys=keys)):
            return keys
        case nft.Update(keys=keys) | nft.Forget(keys=keys):
            return keys
        case nft.Dnat(to=to, port=port):
            return tuple(
                k for each in (to, port) if isinstance(each, nft.Lookup) for k in each.keys
            )
    return ()


def _one_protocol(statement: Statement) -> bool:
    if not isinstance(statement, Match) or isinstance(statement.right, tuple):
        return False
    named = str(statement.right).startswith("@")
    return statement.left == (Meta("l4proto"),) and statement.op == "==" and not named


def _key(key: Key) -> str:
    match key:
        case Meta(key=name):
            return f"meta {_word(name)}"
        case nft.Ct(key=name):
            return f"ct {_word(name)}"
        case Payload(protocol="icmpv6", field="taddr"):
            return ND_TARGET
        case Payload(protocol=protocol, field=field):
            # What is said of ARP has two words: "saddr ip".
            return " ".join(_word(each) for each in (protocol, *field.split(" ")))
        case nft.Fib(flag=flag):
            return f"fib {_word(flag)} type"
        case nft.Numgen(modulus=modulus, mode=mode):
            return f"numgen {_word(mode)} mod {modulus}"
        case nft.Jhash(key=hashed, modulus=modulus, seed=seed):
            assert seed, "a seed of 0 stands for one of the kernel's choice"
            return f"jhash {_key(hashed)} mod {modulus} seed {seed}"


def _keys(keys: tuple[Key, ...]) -> str:
    return " . ".join(_key(key) for key in keys)


def _lookup(lookup: nft.Lookup) -> str:
    return f"{_keys(lookup.keys)} map @{_name(lookup.map)}"


def _literal(key: Key, atom: Atom) -> str:
    """An atom that is compared with ``key``."""
    if isinstance(key, Meta) and key.key == "l4proto":
        return _typed("inet_proto", atom)
    if isinstance(key, Meta) and key.key in ("iifname", "oifname"):
        return _quoted(atom)
    return _word(atom)


def _right(match: Match) -> str:
    if isinstance(match.right, str) and match.right.startswith("@"):
        return f"@{_name(match.right[1:])}"
    assert len(match.left) == 1, "several keys are only matched with a named set"
    key = match.left[0]
    if not isinstance(match.right, tuple):
        return _literal(key, match.right)
    merged = any("/" in str(atom) for atom in match.right)
    assert not merged, "put prefixes into a named set: in a list, neighbouring ones are merged"
    words = [_literal(key, atom) for atom in match.right]
    if isinstance(key, nft.Ct) and key.key in BITMASKS:
        return ",".join(words)
    return f"{{ {', '.join(words)} }}"


def _statement(statement: Statement) -> str:
    match statement:
        case Match(left=left, op=op):
            # An explicit == on a bit mask would mean "exactly these bits".
            return f"{_keys(left)} {'' if op == '==' else f'{op} '}{_right(statement)}"
        case nft.SetMark(target=target, value=value):
            return f"{_word(target)} mark set {_mark(value)}"
        case nft.SetField(key=key, value=address):
            return f"{_key(key)} set {_word(address)}"
        case nft.SetSegment(size=size):
            return f"tcp option maxseg size set {size}"
        case nft.Dnat(to="", port=nft.Lookup() as port):
            return f"dnat to :{_lookup(port)}"
        case nft.Dnat():
            return f"dnat {_word(statement.family)} to {_target(statement)}"
        case nft.Redirect(port=port):
            return f"redirect to :{port}"
        case nft.Masquerade():
            return "masquerade"
        case nft.Snat(to=to):
            return f"snat to {_word(to)}"
        case nft.Update():
            keys, data = _keys(statement.keys), _key(statement.data)
            fate = f"timeout {statement.seconds}s : {data}"
            return f"update @{_name(statement.map)} {{ {keys} {fate} }}"
        case nft.Forget():
            keys, data = _keys(statement.keys), _key(statement.data)
            return f"delete @{_name(statement.map)} {{ {keys} : {data} }}"
        case nft.Counter():
            return "counter"
        case nft.Reject(how=how):
            return f"reject with {REJECTS[how]}"
        case nft.Verdict(kind="jump", chain=chain):
            return f"jump {_name(chain)}"
        case nft.Verdict(kind=kind):
            return _word(kind)
        case nft.Vmap(keys=keys, map=name):
            return f"{_keys(keys)} vmap @{_name(name)}"
        case nft.Foreign():
            raise AssertionError(f"{statement!r} is observed, never written")


def _mark(value: int | nft.Lookup | Meta | nft.Ct) -> str:
    if isinstance(value, int):
        return str(value)
    return _lookup(value) if isinstance(value, nft.Lookup) else _key(value)


def _target(dnat: nft.Dnat) -> str:
    if isinstance(dnat.to, nft.Lookup):
        assert not isinstance(dnat.port, int) or not dnat.port, "a port beside a look-up is one too"
        if isinstance(dnat.port, nft.Lookup):
            return f"{_lookup(dnat.to)} : {_lookup(dnat.port)}"
        return _lookup(dnat.to)
    assert isinstance(dnat.port, int), "a look-up of the port beside an address that is none"
    address = f"[{_word(dnat.to)}]" if ":" in dnat.to and dnat.port else _word(dnat.to)
    return f"{address}:{dnat.port}" if dnat.port else address
