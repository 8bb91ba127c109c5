"""What libnftables says in JSON, as `skep.model.nft`. Pure.

Whatever the vocabulary cannot say becomes `Foreign`: a statement in its place in the rule, or, for
what is no statement (a set with flags, a named counter, a rule's comment), a rule of a chain that
bears the thing's name. Either way the table equals nothing that Skep would write.

Source: libnftables-json(5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from skep.kernel.nfttext import BITMASKS, PROTOCOLS
from skep.model import nft
from skep.model.nft import (
    Atom,
    Chain,
    Ct,
    Foreign,
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

Json = dict[str, Any]

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

PLACE = frozenset({"family", "table", "name", "handle"})
CHAIN_FIELDS = PLACE | {"type", "hook", "prio", "policy"}
SET_FIELDS = PLACE | {"type", "map", "elem", "flags"}
RULE_FIELDS = PLACE - {"name"} | {"chain", "expr"}

VERDICTS = frozenset({"accept", "drop", "return"})


_TYPE_OF: dict[Key, str] = {
    Payload("ip", "daddr"): "ipv4_addr",
    Payload("ip6", "daddr"): "ipv6_addr",
    Payload("th", "dport"): "inet_service",
    Meta("l4proto"): "inet_proto",
    Meta("mark"): "mark",
    Payload("ether", "saddr"): "ether_addr",
    Meta("iifname"): "ifname",
}
"""The types of the expressions in `nfttext.TYPEOF`."""


class _Unspeakable(Exception):  # noqa: N818 - an answer, not a fault
    """The vocabulary has no word for this."""


def objects(output: str) -> list[tuple[str, Json]]:
    """The objects that one or more commands listed, each with its kind."""
    found = []
    for line in output.splitlines():
        for item in msgspec.json.decode(line)["nftables"]:
            found += [(kind, body) for kind, body in item.items() if kind != "metainfo"]
    return found


def table_names(output: str) -> list[tuple[str, str]]:
    """Family and name of each table of a ``list tables``."""
    return [(body["family"], body["name"]) for kind, body in objects(output) if kind == "table"]


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
        except _Unspeakable:
            strange.append(_strange(body))
    strange += [_strange(body) for bodies in found.values() for body in bodies]
    return Table(table["name"], (*chains, *strange), tuple(sets), table["family"])


def _foreign(body: Any) -> Foreign:
    return Foreign(msgspec.json.encode(body).decode())


def _strange(body: Json) -> Chain:
    shown = {key: value for key, value in body.items() if key != "handle"}
    return Chain(body["name"], (Rule((_foreign(shown),)),))


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
        statements.append(_foreign(extra))
    return Rule(tuple(statements))


def _set(body: Json) -> Set:
    flags = set(_several(body.get("flags", [])))
    if not body.keys() <= SET_FIELDS or flags - {"interval"}:
        raise _Unspeakable
    key, data = _types(body["type"]), _types(body.get("map", []))
    elements = [_element(each, key + data) for each in body.get("elem", [])]
    return Set(body["name"], key, frozenset(elements), data, bool(flags))


def _several(said: Any) -> list[Any]:
    """A list, which newer libnftables replaces by its member if it has but one."""
    return said if isinstance(said, list) else [said]


def _types(said: Any) -> tuple[str, ...]:
    """A set's types. libnftables names one type, lists several, or puts several into one string;
    newer ones give a ``typeof`` its expressions instead."""
    if isinstance(said, dict):
        (expression,) = _only(said, "typeof")
        return tuple(_type_of(_key(part)) for part in _parts(expression))
    return tuple(part for each in _several(said) for part in each.split(" . "))


def _type_of(key: Key) -> str:
    if isinstance(key, nft.Numgen | nft.Jhash):
        return "integer"
    kind = _TYPE_OF.get(key)
    if kind is None:
        raise _Unspeakable
    return kind


def _element(said: Any, types: tuple[str, ...]) -> tuple[Atom, ...]:
    parts = [part for side in said for part in _parts(side)] if _is_pair(said) else _parts(said)
    if len(parts) != len(types):
        raise _Unspeakable
    return tuple(_typed(*pair) for pair in zip(types, parts, strict=True))


def _is_pair(said: Any) -> bool:
    """Whether it is a map's element: ``[key, data]``."""
    return isinstance(said, list)


def _parts(said: Any) -> list[Any]:
    if isinstance(said, dict) and said.keys() == {"concat"}:
        return list(said["concat"])
    return [said]


def _typed(kind: str, said: Any) -> Atom:
    if kind == "verdict":
        (target,) = _only(*_only(said, "goto"), "target")
        return f"goto {target}"
    atom = _atom(said)
    if kind == "inet_proto" and isinstance(atom, int):
        return _PROTOCOL_NAMES.get(atom, atom)
    return atom


def _atom(said: Any) -> Atom:
    if isinstance(said, dict) and said.keys() == {"prefix"}:
        return f"{said['prefix']['addr']}/{said['prefix']['len']}"
    if isinstance(said, str | int) and not isinstance(said, bool):
        return said
    raise _Unspeakable


def _statement(said: Json) -> Statement:
    (kind, body), *more = said.items()
    try:
        if more:
            raise _Unspeakable
        if kind in VERDICTS:
            return nft.Verdict(kind)
        reader = _READERS.get(kind)
        if reader is None:
            raise _Unspeakable
        return reader(body)
    except _Unspeakable:
        return _foreign(said)


def _settled(statement: Statement, family: str) -> Statement:
    """A statement with what its table's family implies: a translation does not say it."""
    if isinstance(statement, nft.Dnat) and not statement.family:
        return msgspec.structs.replace(statement, family=family)
    return statement


def _only(body: Any, *fields: str) -> list[Any]:
    """The values of ``fields``, if the object has these and no others."""
    if not isinstance(body, dict) or body.keys() != set(fields):
        raise _Unspeakable
    return [body[field] for field in fields]


def _match(body: Any) -> Statement:
    op, left, right = _only(body, "op", "left", "right")
    keys = _keys(left)
    bitmask = isinstance(keys[0], Ct) and keys[0].key in BITMASKS
    if bitmask and op == "in":
        op = "=="
    elif bitmask and op == "==":
        raise _Unspeakable
    return Match(keys, _right(keys[-1], right), op)


def _right(key: Key, said: Any) -> Atom | tuple[Atom, ...]:
    members = _flags(said)
    if isinstance(said, dict) and said.keys() == {"set"}:
        members = said["set"]
    kind = "inet_proto" if key == Meta("l4proto") else ""
    if not isinstance(members, list):
        return _typed(kind, said)
    return tuple(_typed(kind, member) for member in members)


def _flags(said: Any) -> Any:
    """Flags joined with ``|``, which libnftables nests two by two after ``!=``, as the list that
    it gives elsewhere."""
    if isinstance(said, dict) and said.keys() == {"|"}:
        return [flag for side in said["|"] for flag in _several(_flags(side))]
    return said


def _keys(said: Any) -> tuple[Key, ...]:
    return tuple(_key(part) for part in _parts(said))


def _key(said: Any) -> Key:
    if not isinstance(said, dict) or len(said) != 1:
        raise _Unspeakable
    ((kind, body),) = said.items()
    match kind:
        case "meta":
            return Meta(*_only(body, "key"))
        case "ct":
            return Ct(*_only(body, "key"))
        case "payload":
            return Payload(*_only(body, "protocol", "field"))
        case "fib":
            return _fib(body)
        case "numgen":
            mode, modulus, offset = _only(body, "mode", "mod", "offset")
            if offset == 0:
                return nft.Numgen(modulus, mode)
        case "jhash":
            return _jhash(body)
    raise _Unspeakable


def _jhash(body: Any) -> Key:
    modulus, seed, expression = _only(body, "mod", "seed", "expr")
    key = _key(expression)
    if not isinstance(key, Payload):
        raise _Unspeakable
    return nft.Jhash(key, modulus, seed)


def _fib(body: Any) -> Key:
    result, flags = _only(body, "result", "flags")
    if result != "type" or len(_several(flags)) != 1:
        raise _Unspeakable
    return nft.Fib(*_several(flags))


def _lookup(said: Any) -> Lookup:
    (body,) = _only(said, "map")
    key, data = _only(body, "key", "data")
    if not isinstance(data, str) or not data.startswith("@"):
        raise _Unspeakable
    return Lookup(_keys(key), data[1:])


def _mangle(body: Any) -> Statement:
    key, value = _only(body, "key", "value")
    target = _key(key)
    if not isinstance(target, Meta | Ct) or target.key != "mark":
        raise _Unspeakable
    return nft.SetMark("meta" if isinstance(target, Meta) else "ct", _mark(value))


def _mark(said: Any) -> int | Lookup | Meta | Ct:
    if isinstance(said, int):
        return said
    if isinstance(said, dict) and "map" in said:
        return _lookup(said)
    value = _key(said)
    if not isinstance(value, Meta | Ct):
        raise _Unspeakable
    return value


def _dnat(body: Any) -> Statement:
    fields: Mapping[str, Any] = dict(body)
    family = fields.get("family", "")
    if not fields.keys() <= {"family", "addr", "port"} or family not in ("", "ip", "ip6"):
        raise _Unspeakable
    address, port = fields.get("addr"), fields.get("port", 0)
    if isinstance(address, dict):
        if isinstance(port, dict):
            return nft.Dnat(_lookup(address), _lookup(port), family)
        if port:
            raise _Unspeakable
        return nft.Dnat(_lookup(address), family=family)
    if not isinstance(address, str) or not isinstance(port, int):
        raise _Unspeakable
    return nft.Dnat(address, port, family)


def _redirect(body: Any) -> Statement:
    (port,) = _only(body, "port")
    if not isinstance(port, int):
        raise _Unspeakable
    return nft.Redirect(port)


def _masquerade(body: Any) -> Statement:
    if body is not None:
        raise _Unspeakable
    return nft.Masquerade()


def _counter(body: Any) -> Statement:
    _only(body, "packets", "bytes")
    return nft.Counter()


def _reject(body: Any) -> Statement:
    if body == {"type": "tcp reset"}:
        return nft.Reject("tcp reset")
    for how in ("icmp", "icmpv6"):
        if body == {"type": how, "expr": "port-unreachable"}:
            return nft.Reject(how)
    raise _Unspeakable


def _jump(body: Any) -> Statement:
    return nft.Verdict("jump", *_only(body, "target"))


def _vmap(body: Any) -> Statement:
    found = _lookup({"map": body})
    return nft.Vmap(found.keys, found.map)


_READERS: dict[str, Callable[[Any], Statement]] = {
    "match": _match,
    "mangle": _mangle,
    "dnat": _dnat,
    "redirect": _redirect,
    "masquerade": _masquerade,
    "counter": _counter,
    "reject": _reject,
    "jump": _jump,
    "vmap": _vmap,
}
