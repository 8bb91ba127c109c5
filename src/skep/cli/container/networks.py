"""The networks of a new container."""

from __future__ import annotations

from typing import Any

from skep.cli.flags import Options
from skep.model.errors import Invalid

Json = dict[str, Any]
# Options of the first network that may also be given on their own.
_ALSO = (
    ("network-alias", "Aliases", "network-scoped aliases"),
    ("net-alias", "Aliases", "network-scoped aliases"),
    ("link", "Links", "links"),
    ("ip", "IPv4Address", "IPv4 address"),
    ("ip6", "IPv6Address", "IPv6 address"),
    ("mac-address", "MacAddress", "MAC address"),
    ("link-local-ip", "LinkLocalIPs", "link-local IP addresses"),
)
_PREDEFINED = ("bridge", "host", "none", "default")


def networking(options: Options) -> tuple[Json, str]:
    """The ``NetworkingConfig`` and the ``NetworkMode``. Raises `Invalid` for contradictions."""
    wanted = [dict(each) for each in (*options.all("network"), *options.all("net"))]
    first = wanted[0] if wanted else {"Target": "default"}
    _take_also(first, options)
    endpoints: dict[str, Json] = {}
    for each in wanted or [first]:
        name = each["Target"]
        _check(each, alone=len(wanted) < 2)
        if name in endpoints:
            raise Invalid(f'network "{name}" is specified multiple times')
        endpoints[name] = _endpoint(each)
    return {"EndpointsConfig": endpoints}, first["Target"]


def _take_also(first: Json, options: Options) -> None:
    for option, member, words in _ALSO:
        value = options.get(option)
        if not value or (option == "link" and not _is_user_defined(first["Target"])):
            continue
        if first.get(member) and option not in ("net-alias",):
            raise Invalid(f"conflicting options: cannot specify both --{option} and "
                          f"per-network {words}")  # fmt: skip
        first[member] = value


def _is_user_defined(name: str) -> bool:
    return name not in _PREDEFINED and not name.startswith("container:")


def _check(each: Json, *, alone: bool) -> None:
    name = each["Target"]
    if not _is_user_defined(name) and each.get("Aliases"):
        raise Invalid("network-scoped aliases are only supported for user-defined networks")
    if not alone and (name in ("host", "none") or name.startswith("container:")):
        raise Invalid("conflicting options: cannot attach both user-defined and non-user-defined "
                      "network-modes")  # fmt: skip


def _endpoint(each: Json) -> Json:
    kept = ("Aliases", "Links", "DriverOpts", "MacAddress", "GwPriority")
    found: Json = {member: each[member] for member in kept if each.get(member)}
    addresses = {member: each[member] for member in ("IPv4Address", "IPv6Address", "LinkLocalIPs")
                 if each.get(member)}  # fmt: skip
    if addresses:
        found["IPAMConfig"] = addresses
    return found
