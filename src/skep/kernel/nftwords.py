"""The smallest parts of libnftables' JSON: keys, literals and types, as `skep.model.nft`. Pure.

Source: libnftables-json(5).
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, summarize_address_range
from typing import Any

import msgspec

from skep.kernel.nfttext import PROTOCOLS
from skep.model import nft
from skep.model.nft import Atom, Ct, Foreign, Key, Lookup, Meta, Payload

Json = dict[str, Any]

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

_TYPE_OF: dict[Key, str] = {
    Payload("ip", "daddr"): "ipv4_addr",
    Payload("ip6", "daddr"): "ipv6_addr",
    Payload("th", "dport"): "inet_service",
    Meta("l4proto"): "inet_proto",
    Meta("mark"): "mark",
    Payload("ether", "saddr"): "ether_addr",
    Meta("iifname"): "ifname",
    Payload("icmpv6", "taddr"): "nd_target",
}
"""The types of the expressions in `nfttext.TYPEOF`."""

_LONG = re.compile(r"0x[0-9a-f]{17,32}")
_ND_TARGET = {"base": "th", "offset": 64, "len": 128}
"""See `nfttext.ND_TARGET`."""


class Unspeakable(Exception):  # noqa: N818 - an answer, not a fault
    """The vocabulary has no word for this."""


def foreign(body: Any) -> Foreign:
    """Something that the vocabulary has no word for."""
    return Foreign(msgspec.json.encode(body).decode())


def several(said: Any) -> list[Any]:
    """A list, which newer libnftables replaces by its member if it has but one."""
    return said if isinstance(said, list) else [said]


def types_of(said: Any) -> tuple[str, ...]:
    """A set's types. libnftables names one type, lists several, or puts several into one string;
    newer ones give a ``typeof`` its expressions instead."""
    if isinstance(said, dict):
        (expression,) = only(said, "typeof")
        return tuple(_type_of(key_of(part)) for part in parts_of(expression))
    return tuple(part for each in several(said) for part in each.split(" . "))


def _type_of(key: Key) -> str:
    if isinstance(key, nft.Numgen | nft.Jhash):
        return "integer"
    kind = _TYPE_OF.get(key)
    if kind is None:
        raise Unspeakable
    return kind


def parts_of(said: Any) -> list[Any]:
    """The parts of a concatenation; of anything else, itself."""
    if isinstance(said, dict) and said.keys() == {"concat"}:
        return list(said["concat"])
    return [said]


def typed(kind: str, said: Any) -> Atom:
    """A literal of one of `nfttext.TYPEOF`'s types, or a verdict. Raises `Unspeakable`."""
    if kind == "nd_target":
        return _nd_target(said)
    if kind == "verdict":
        (target,) = only(*only(said, "goto"), "target")
        return f"goto {target}"
    atom = _atom(said)
    if kind == "inet_proto" and isinstance(atom, int):
        return _PROTOCOL_NAMES.get(atom, atom)
    return atom


def is_nd_target(said: Any) -> bool:
    """Whether an element of integers is so long that it must be an address, or a range of them."""
    if isinstance(said, dict) and said.keys() == {"range"}:
        return all(is_nd_target(end) for end in said["range"])
    return isinstance(said, str) and _LONG.fullmatch(said) is not None


def _nd_target(said: Any) -> Atom:
    ends = said["range"] if isinstance(said, dict) else [said]
    if not all(is_nd_target(end) for end in ends):
        raise Unspeakable
    first, last = (IPv6Address(int(end, 16)) for end in (ends[0], ends[-1]))
    if first == last:
        return str(first)
    networks = list(summarize_address_range(first, last))
    if len(networks) != 1:
        raise Unspeakable
    return str(networks[0])


def _atom(said: Any) -> Atom:
    if isinstance(said, dict) and said.keys() == {"prefix"}:
        return f"{said['prefix']['addr']}/{said['prefix']['len']}"
    if isinstance(said, str | int) and not isinstance(said, bool):
        return said
    raise Unspeakable


def spelled_key(said: str) -> Key:
    """A key as nft(8) spells it. Raises `Unspeakable`."""
    kind, _, field = said.partition(" ")
    if kind in ("meta", "ct"):
        return Meta(field) if kind == "meta" else Ct(field)
    if kind not in ("ip", "ip6", "th"):
        raise Unspeakable
    return Payload(kind, field)


def only(body: Any, *fields: str) -> list[Any]:
    """The values of ``fields``, if the object has these and no others. Raises `Unspeakable`."""
    if not isinstance(body, dict) or body.keys() != set(fields):
        raise Unspeakable
    return [body[field] for field in fields]


def keys_of(said: Any) -> tuple[Key, ...]:
    """A key, or a concatenation of keys. Raises `Unspeakable`."""
    return tuple(key_of(part) for part in parts_of(said))


def key_of(said: Any) -> Key:
    """A single key. Raises `Unspeakable`."""
    if not isinstance(said, dict) or len(said) != 1:
        raise Unspeakable
    ((kind, body),) = said.items()
    match kind:
        case "meta":
            return Meta(*only(body, "key"))
        case "ct":
            return Ct(*only(body, "key"))
        case "payload" if body == _ND_TARGET:
            return Payload("icmpv6", "taddr")
        case "payload":
            return Payload(*only(body, "protocol", "field"))
        case "fib":
            return _fib(body)
        case "numgen":
            mode, modulus, offset = only(body, "mode", "mod", "offset")
            if offset == 0:
                return nft.Numgen(modulus, mode)
        case "jhash":
            return _jhash(body)
    raise Unspeakable


def _jhash(body: Any) -> Key:
    modulus, seed, expression = only(body, "mod", "seed", "expr")
    key = key_of(expression)
    if not isinstance(key, Payload):
        raise Unspeakable
    return nft.Jhash(key, modulus, seed)


def _fib(body: Any) -> Key:
    result, flags = only(body, "result", "flags")
    if result != "type" or len(several(flags)) != 1:
        raise Unspeakable
    return nft.Fib(*several(flags))


def lookup_of(said: Any) -> Lookup:
    """A look-up in a named map. Raises `Unspeakable`."""
    (body,) = only(said, "map")
    key, data = only(body, "key", "data")
    if not isinstance(data, str) or not data.startswith("@"):
        raise Unspeakable
    return Lookup(keys_of(key), data[1:])
