"""What is attached to containers: networks, secrets and configs, resources, limits, hosts."""

from __future__ import annotations

import csv
import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from skep.cli.syntax.numbers import integer, natural
from skep.model.errors import Invalid

_DEFAULT_MODE = 0o444
_DRIVER_OPTION = "driver-opt"
_ULIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip


def network(text: str) -> dict[str, Any]:
    """A network to attach to: ``name``, or ``name=net,alias=a,driver-opt=k=v,ip=…``."""
    if "=" not in text:
        return {"Target": text}
    found: dict[str, Any] = {"Target": ""}
    single = {"name": "Target", "ip": "IPv4Address", "ip6": "IPv6Address",
              "mac-address": "MacAddress"}  # fmt: skip
    for field in next(csv.reader([text])):
        key, given, value = field.partition("=")
        if not given or not key:
            raise Invalid(f"invalid field {field}")
        key, value = key.strip().lower(), value.strip()
        if key in single:
            found[single[key]] = value
        elif key == "alias":
            found.setdefault("Aliases", []).append(value)
        elif key == "link-local-ip":
            found.setdefault("LinkLocalIPs", []).append(value)
        elif key == "gw-priority":
            found["GwPriority"] = _priority(value)
        elif key == _DRIVER_OPTION:
            name, has_value, option = value.partition("=")
            if not has_value or not name:
                raise Invalid("invalid key value pair format in driver options")
            found.setdefault("DriverOpts", {})[name.strip().lower()] = option.strip()
        else:
            raise Invalid(f"invalid field key {key}")
    if not found["Target"]:
        raise Invalid("network name/id is not specified")
    return found


def _priority(value: str) -> int:
    try:
        return integer(value)
    except Invalid as fault:
        raise Invalid(f"invalid gw-priority: {value}") from fault


def payload(text: str) -> dict[str, Any]:
    """A secret or config as a file: ``name``, or ``source=name,target=/path,uid=1,mode=0400``."""
    fields = next(csv.reader([text]), [])
    found: dict[str, Any] = {"Source": "", "Name": "", "UID": "0", "GID": "0",
                             "Mode": _DEFAULT_MODE}  # fmt: skip
    if len(fields) == 1 and "=" not in fields[0]:
        return {**found, "Source": fields[0], "Name": fields[0]}
    for field in fields:
        key, given, value = field.partition("=")
        key = key.lower()
        if not given:
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        if key in ("source", "src"):
            found["Source"] = value
        elif key == "target":
            found["Name"] = value
        elif key in ("uid", "gid"):
            found[key.upper()] = value
        elif key == "mode":
            found["Mode"] = _mode(value)
        else:
            raise Invalid(f"invalid field in secret request: {key}")
    if not found["Source"]:
        raise Invalid("source is required")
    return {**found, "Name": found["Name"] or found["Source"]}


def _mode(value: str) -> int:
    try:
        return natural(value)
    except Invalid as fault:
        raise Invalid(f"invalid mode specified: {fault}") from fault


def preference(text: str) -> dict[str, Any]:
    """A placement preference: ``spread=node.labels.zone``."""
    fields = text.split("=")
    if len(fields) != 2:
        raise Invalid('placement preference must be of the format "<strategy>=<arg>"')
    if fields[0] != "spread":
        raise Invalid(f"unsupported placement preference {fields[0]} (only spread is supported)")
    return {"Spread": {"SpreadDescriptor": fields[1]}}


def generic_resource(text: str) -> str:
    """A resource that only users know, as given. Raises `Invalid`."""
    if "=" not in text:
        raise Invalid(f"invalid generic-resource format `{text}` expected `name=value`")
    return text


def generic_resources(words: Iterable[str]) -> list[dict[str, Any]]:
    """``gpu=2`` or ``gpu=uuid1``: numbers and names of resources that only users know."""
    found = []
    for word in words:
        kind, _, value = word.partition("=")
        if not re.fullmatch(r"-?\d+", value):
            raise Invalid("invalid generic-resource request `" + word + "`, Named Generic "
                          "Resources is not supported for service create or update")  # fmt: skip
        found.append({"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}})
    return found


def ulimit(text: str) -> dict[str, Any]:
    """``nofile=1024:2048``: soft and hard; the soft one is the hard one too if it is alone."""
    name, given, limits = text.partition("=")
    if not given:
        raise Invalid(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise Invalid(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise Invalid(f"too many limit value arguments - {limits}, can only have up to two, "
                      "`soft[:hard]`")  # fmt: skip
    soft = integer(parts[0])
    hard = integer(parts[1]) if len(parts) > 1 else soft
    if hard != -1 and (soft == -1 or soft > hard):
        shown = "-1 (unlimited)" if soft == -1 else str(soft)
        raise Invalid(f"ulimit soft limit must be less than or equal to hard limit: {shown} > "
                      f"{hard}")  # fmt: skip
    return {"Name": name, "Soft": soft, "Hard": hard}


def extra_host(text: str) -> str:
    """A name and its address: ``name:1.2.3.4`` or ``name=1.2.3.4``, as the former."""
    key, given, address = text.partition("=")
    if not given:
        key, given, address = text.partition(":")
    if not given or not key:
        raise Invalid(f'bad format for add-host: "{text}"')
    inner = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
    if address != "host-gateway":
        try:
            ipaddress.ip_address(inner)
        except ValueError as fault:
            raise Invalid(f'invalid IP address in add-host: "{address}"') from fault
    return f"{key}:{inner}"


def swarm_host(text: str) -> str:
    """The same in a service's spec: address first."""
    name, _, address = text.partition(":")
    return f"{address} {name}"


def ip_address(text: str) -> str:
    """An address, as given. Raises `Invalid`."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError as fault:
        raise Invalid(f"IP address is not correctly formatted: {text}") from fault


def search_domain(text: str) -> str:
    """A DNS search domain. Raises `Invalid`."""
    value = text.strip(" ")
    if value == ".":
        return value
    if not re.fullmatch(r"(:?(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9]))"
                        r"(:?\.(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])))*)\.?\s*",
                        value) or len(value) > 255:  # fmt: skip
        raise Invalid(f"{text} is not a valid domain")
    return value


def capabilities(add: Iterable[str], drop: Iterable[str]) -> tuple[list[str], list[str]]:
    """Capabilities to add and to drop: in full, sorted, what is added is not dropped.
    Source: docker/cli EffectiveCapAddCapDrop."""
    added, dropped = {capability(name) for name in add}, {capability(name) for name in drop}
    if "ALL" in added:
        added = {"ALL"}
    if "ALL" in dropped:
        dropped = {"ALL"}
    return sorted(added), sorted(dropped - added)


def capability(name: str) -> str:
    """A capability's full name: "net_admin" -> "CAP_NET_ADMIN"."""
    word = name.strip().upper()
    return word if word in ("ALL", "RESET") or word.startswith("CAP_") else f"CAP_{word}"


def restart_policy(text: str) -> dict[str, Any]:
    """A container's restart policy: ``always``, ``on-failure:3``, …"""
    name, given, count = text.partition(":")
    if not text:
        return {}
    if given and not name:
        raise Invalid("invalid restart policy format: no policy provided before colon")
    if ":" in count:
        raise Invalid("invalid restart policy format: more than one colon")
    if given and not re.fullmatch(r"-?\d+", count):
        raise Invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count)} if given else {"Name": name}
