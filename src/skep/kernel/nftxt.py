"""Rules that iptables made, as native ones. Pure.

What iptables has no native words for it hands to the kernel as extensions of its own ("xt"), of
which libnftables says the name alone in JSON. In text it says what they mean, if it was built with
libxtables, as Debian's is: what is found there takes the place of the name.

Source: libnftables-json(5), nft(8); iptables-extensions(8) for what the extensions match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

Json = dict[str, Any]

_HANDLE = re.compile(r"\s+(.*) # handle (\d+)$")
_CHAIN = re.compile(r"\s+chain (\S+) \{")


def speaks(output: str) -> bool:
    """Whether a table's JSON names such extensions."""
    return '"xt"' in output


def spoken(output: str, text: str) -> str:
    """The JSON of a table, ``output``, with what ``text``, the same table in text with handles,
    says of extensions. One that is not known stays as it is."""
    said = _by_handle(text)
    lines = []
    for line in output.splitlines():
        listing = msgspec.json.decode(line, type=Json)
        for item in listing["nftables"]:
            rule = item.get("rule")
            if rule is not None:
                _settle(rule, said.get((rule["chain"], rule["handle"]), ""))
        lines.append(msgspec.json.encode(listing).decode())
    return "\n".join(lines)


def _by_handle(text: str) -> dict[tuple[str, int], str]:
    """The rules' words, by chain and handle."""
    found = {}
    chain = ""
    for line in text.splitlines():
        if begun := _CHAIN.match(line):
            chain = begun[1]
        elif rule := _HANDLE.match(line):
            found[chain, int(rule[2])] = rule[1]
    return found


def _settle(rule: Json, words: str) -> None:
    rule["expr"] = [each for part in rule.get("expr", []) for each in _native(part, rule, words)]


def _native(part: Any, rule: Json, words: str) -> list[Any]:
    extension = part.get("xt") if isinstance(part, dict) else None
    if not isinstance(extension, dict):
        return [part]
    pattern, read = _EXTENSIONS.get(extension.get("name", ""), _UNKNOWN)
    found = list(pattern.finditer(words))
    # Two of a kind in one rule cannot be told apart.
    return [read(found[0], rule["family"])] if len(found) == 1 else [part]


def _match(left: Json, op: str, right: Any) -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _address_type(found: re.Match[str], _family: str) -> Json:
    left = {"fib": {"result": "type", "flags": found[1]}}
    return _match(left, "!=" if found[2] else "==", found[3])


def _state(found: re.Match[str], _family: str) -> Json:
    states = found[2].split(",")
    return _match({"ct": {"key": "state"}}, "!=" if found[1] else "in", states)


def _icmp(found: re.Match[str], _family: str) -> Json:
    return _match({"payload": {"protocol": found[1], "field": "type"}}, "==", found[2])


def _reject(found: re.Match[str], family: str) -> Json:
    if found[1] == "tcp reset":
        return {"reject": {"type": "tcp reset"}}
    kind = "icmpv6" if family == "ip6" else "icmp"
    return {"reject": {"type": kind, "expr": (found[2] or "port-unreachable")}}


def _log(_found: re.Match[str], _family: str) -> Json:
    return {"log": None}


def _masquerade(_found: re.Match[str], _family: str) -> Json:
    return {"masquerade": None}


_ICMP = re.compile(r"\b(icmp|icmpv6) type (\S+)")
_REJECT = re.compile(r"\breject(?: with (?:(tcp reset)|\S+ (?:type )?(\S+)))?$")

_Reader = Callable[[re.Match[str], str], Json]

_EXTENSIONS: dict[str, tuple[re.Pattern[str], _Reader]] = {
    "addrtype": (re.compile(r"\bfib (saddr|daddr) type (!= )?(\w+)(?= |$)"), _address_type),
    "conntrack": (re.compile(r"\bct state (!= )?([a-z,]+)"), _state),
    "icmp": (_ICMP, _icmp),
    "icmp6": (_ICMP, _icmp),
    "LOG": (re.compile(r"\blog\b.*$"), _log),
    "REJECT": (_REJECT, _reject),
    "MASQUERADE": (re.compile(r"\bmasquerade$"), _masquerade),
}
_UNKNOWN: tuple[re.Pattern[str], _Reader] = (re.compile(r"(?!)"), _log)
"""No words of it are known."""
