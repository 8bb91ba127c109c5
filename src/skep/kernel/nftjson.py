"""What libnftables says in JSON, as `skep.model.nft`. Pure.

Whatever the vocabulary cannot say becomes `Foreign`: a statement in its place in the rule, or, for
what is no statement (a set with flags, a named counter, a rule's comment), a rule of a chain that
bears the thing's name. Either way the table equals nothing that Skep would write.

Source: libnftables-json(5).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from skep.kernel.nfttext import BITMASKS, Kept
from skep.kernel.nftwords import (
    Json,
    Unspeakable,
    foreign,
    is_nd_target,
    key_of,
    keys_of,
    lookup_of,
    only,
    parts_of,
    several,
    spelled_key,
    typed,
    types_of,
)
from skep.model import nft
from skep.model.nft import (
    Atom,
    Chain,
    Ct,
    Hook,
    Key,
    Lookup,
    Match,
    Meta,
    Payload,
    Rule,
    Set,
    Statement,
    Table,
)

PLACE = frozenset({"family", "table", "name", "handle"})
CHAIN_FIELDS = PLACE | {"type", "hook", "prio", "policy"}
SET_FIELDS = PLACE | {"type", "map", "elem", "flags"}
RULE_FIELDS = PLACE - {"name"} | {"chain", "expr"}

MAXSEG = {"tcp option": {"name": "maxseg", "field": "size"}}

VERDICTS = frozenset({"accept", "drop", "return"})


_NOTED = re.compile(r"(update|delete) @(\S+) \{ (.+?)(?: timeout ((?:\d+[dhms])+))? : (.+) \}")
_DURATION = re.compile(r"(\d+)([dhms])")
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def objects(output: str) -> list[tuple[str, Json]]:
    """The objects that one or more commands listed, each with its kind."""
    found = []
    for line in output.splitlines():
        for item in msgspec.json.decode(line)["nftables"]:
            found += [(kind, body) for kind, body in item.items() if kind != "metainfo"]
    return found


def declared_sets(output: str, table: str) -> list[Set]:
    """The sets and maps of one table in a listing, with such elements as are listed."""
    found = [body for kind, body in objects(output) if kind in ("set", "map")]
    return [_set(body) for body in found if body["table"] == table]


def parse_table(output: str) -> Table:
    """The table of a ``list table``."""
    found: dict[str, list[Json]] = defaultdict(list)
    for kind, body in objects(output):
        found["set" if kind == "map" else kind].append(body)
    (table,) = found.pop("table")
    rules: dict[str, list[Rule]] = defaultdict(list)
    for body in found.pop("rule", []):
        rules[body["chain"]].append(_rule(body))
    strange = [] if table.keys() <= PLACE else [_strange(table)]
    chains = [_chain(body, rules[body["name"]]) for body in found.pop("chain", [])]
    sets = []
    for body in found.pop("set", []):
        try:
            sets.append(_set(body))
        except Unspeakable:
            strange.append(_strange(body))
    strange += [_strange(body) for bodies in found.values() for body in bodies]
    return Table(table["name"], (*chains, *strange), tuple(sets), table["family"])


def flagged_table(family: str, name: str) -> Table:
    """What is said of a table that has a flag: that it is like no table of a plan."""
    return Table(name, (_strange({"name": name, "flags": "some"}),), (), family)


def _strange(body: Json) -> Chain:
    shown = {key: value for key, value in body.items() if key != "handle"}
    return Chain(body["name"], (Rule((foreign(shown),)),))


def _chain(body: Json, rules: list[Rule]) -> Chain:
    if not body.keys() <= CHAIN_FIELDS:
        return _strange(body)
    hook = None
    if "hook" in body:
        hook = Hook(body["type"], body["hook"], body["prio"], body["policy"])
    return Chain(body["name"], tuple(rules), hook)


def _rule(body: Json) -> Rule:
    family = body.get("family", "ip")
    statements = [_settled(_statement(each), family) for each in body.get("expr", [])]
    extra = {key: value for key, value in body.items() if key not in RULE_FIELDS}
    if extra:
        statements.append(foreign(extra))
    return Rule(tuple(statements))


def _set(body: Json) -> Set:
    flags = set(several(body.get("flags", [])))
    dynamic = "timeout" in flags and body.get("size") == nft.DYNAMIC_SIZE
    known = ({"timeout", "dynamic"}, {"size"}) if dynamic else ({"interval"}, set[str]())
    if not body.keys() <= SET_FIELDS | known[1] or flags - known[0]:
        raise Unspeakable
    key, data = types_of(body["type"]), types_of(body.get("map", []))
    found = [] if dynamic else body.get("elem", [])
    key = _with_targets(key, found)
    elements = frozenset(_element(each, key + data) for each in found)
    return Set(body["name"], key, elements, data, bool(flags) and not dynamic, dynamic)


def _with_targets(key: tuple[str, ...], found: list[Any]) -> tuple[str, ...]:
    """The types of a set's keys: of numbers libnftables 1.0.6 does not say of what they are."""
    if "integer" not in key or not found or _is_pair(found[0]):
        return key
    first = parts_of(found[0])
    if len(first) != len(key):
        raise Unspeakable
    return tuple(
        "nd_target" if kind == "integer" and is_nd_target(part) else kind
        for kind, part in zip(key, first, strict=True)
    )


def kept(output: str, declared: Set) -> list[Kept]:
    """The elements of a dynamic map in a listing that will stay for a while."""
    found = [body for kind, body in objects(output) if kind == "map"]
    elements = [_kept(each, declared) for body in found for each in body.get("elem", [])]
    return [each for each in elements if each.left > 0]


def _kept(said: Any, declared: Set) -> Kept:
    key, data = said
    whole = key["elem"]
    element = _element([whole["val"], data], declared.key + declared.data)
    return Kept(element, whole["timeout"], whole["expires"])


def _element(said: Any, types: tuple[str, ...]) -> tuple[Atom, ...]:
    parts = [part for side in said for part in parts_of(side)] if _is_pair(said) else parts_of(said)
    if len(parts) != len(types):
        raise Unspeakable
    return tuple(typed(*pair) for pair in zip(types, parts, strict=True))


def _is_pair(said: Any) -> bool:
    """Whether it is a map's element: ``[key, data]``."""
    return isinstance(said, list)


def _statement(said: Json | str) -> Statement:
    try:
        if isinstance(said, str):
            return _spelled(said)
        (kind, body), *more = said.items()
        if more:
            raise Unspeakable
        if kind in VERDICTS:
            return nft.Verdict(kind)
        reader = _READERS.get(kind)
        if reader is None:
            raise Unspeakable
        return reader(body)
    except Unspeakable:
        return foreign(said)


def _spelled(said: str) -> Statement:
    """What libnftables 1.0.6 has no JSON for, it says as nft(8) would."""
    found = _NOTED.fullmatch(said)
    if found is None:
        raise Unspeakable
    op, name, words, duration, data = found.groups()
    keys = tuple(map(spelled_key, words.split(" . ")))
    if (op == "update") != bool(duration):
        raise Unspeakable
    if not duration:
        return nft.Forget(name, keys, spelled_key(data))
    seconds = sum(int(n) * _UNITS[unit] for n, unit in _DURATION.findall(duration))
    return nft.Update(name, keys, seconds, spelled_key(data))


def _settled(statement: Statement, family: str) -> Statement:
    """A statement with what its table's family implies: a translation does not say it."""
    if isinstance(statement, nft.Dnat) and not statement.family:
        return msgspec.structs.replace(statement, family=family)
    return statement


def _match(body: Any) -> Statement:
    op, left, right = only(body, "op", "left", "right")
    keys = keys_of(left)
    bitmask = isinstance(keys[0], Ct) and keys[0].key in BITMASKS
    if bitmask and op == "in":
        op = "=="
    elif bitmask and op == "==":
        raise Unspeakable
    return Match(keys, _right(keys[-1], right), op)


def _right(key: Key, said: Any) -> Atom | tuple[Atom, ...]:
    members = _flags(said)
    if isinstance(said, dict) and said.keys() == {"set"}:
        members = said["set"]
    kind = "inet_proto" if key == Meta("l4proto") else ""
    if not isinstance(members, list):
        return typed(kind, said)
    return tuple(typed(kind, member) for member in members)


def _flags(said: Any) -> Any:
    """Flags joined with ``|``, which libnftables nests two by two after ``!=``, as the list that
    it gives elsewhere."""
    if isinstance(said, dict) and said.keys() == {"|"}:
        return [flag for side in said["|"] for flag in several(_flags(side))]
    return said


def _mangle(body: Any) -> Statement:
    key, value = only(body, "key", "value")
    if key == MAXSEG and isinstance(value, int):
        return nft.SetSegment(value)
    target = key_of(key)
    if isinstance(target, Payload) and isinstance(value, str):
        return nft.SetField(target, value)
    if not isinstance(target, Meta | Ct) or target.key != "mark":
        raise Unspeakable
    return nft.SetMark("meta" if isinstance(target, Meta) else "ct", _mark(value))


def _mark(said: Any) -> int | Lookup | Meta | Ct:
    if isinstance(said, int):
        return said
    if isinstance(said, dict) and "map" in said:
        return lookup_of(said)
    value = key_of(said)
    if not isinstance(value, Meta | Ct):
        raise Unspeakable
    return value


def _dnat(body: Any) -> Statement:
    fields: Mapping[str, Any] = dict(body)
    family = fields.get("family", "")
    if not fields.keys() <= {"family", "addr", "port"} or family not in ("", "ip", "ip6"):
        raise Unspeakable
    address, port = fields.get("addr"), fields.get("port", 0)
    if address is None and isinstance(port, dict):
        return nft.Dnat("", lookup_of(port), family)
    if isinstance(address, dict):
        if isinstance(port, dict):
            return nft.Dnat(lookup_of(address), lookup_of(port), family)
        if port:
            raise Unspeakable
        return nft.Dnat(lookup_of(address), family=family)
    if not isinstance(address, str) or not isinstance(port, int):
        raise Unspeakable
    return nft.Dnat(address, port, family)


def _update(body: Any) -> Statement:
    """As libnftables from 1.0.7 on has it."""
    op, elem, data, name = only(body, "op", "elem", "data", "map")
    if op == "delete":
        return nft.Forget(name.removeprefix("@"), keys_of(elem), key_of(data))
    value, seconds = only(*only(elem, "elem"), "val", "timeout")
    if op != "update":
        raise Unspeakable
    return nft.Update(name.removeprefix("@"), keys_of(value), seconds, key_of(data))


def _redirect(body: Any) -> Statement:
    (port,) = only(body, "port")
    if not isinstance(port, int):
        raise Unspeakable
    return nft.Redirect(port)


def _masquerade(body: Any) -> Statement:
    if body is not None:
        raise Unspeakable
    return nft.Masquerade()


def _snat(body: Any) -> Statement:
    (address,) = only(body, "addr")
    if not isinstance(address, str):
        raise Unspeakable
    return nft.Snat(address)


def _counter(body: Any) -> Statement:
    only(body, "packets", "bytes")
    return nft.Counter()


def _reject(body: Any) -> Statement:
    if body == {"type": "tcp reset"}:
        return nft.Reject("tcp reset")
    for how in ("icmp", "icmpv6"):
        if body == {"type": how, "expr": "port-unreachable"}:
            return nft.Reject(how)
    raise Unspeakable


def _jump(body: Any) -> Statement:
    return nft.Verdict("jump", *only(body, "target"))


def _vmap(body: Any) -> Statement:
    found = lookup_of({"map": body})
    return nft.Vmap(found.keys, found.map)


_READERS: dict[str, Callable[[Any], Statement]] = {
    "match": _match,
    "mangle": _mangle,
    "dnat": _dnat,
    "redirect": _redirect,
    "masquerade": _masquerade,
    "snat": _snat,
    "counter": _counter,
    "reject": _reject,
    "jump": _jump,
    "vmap": _vmap,
    "map": _update,
}
