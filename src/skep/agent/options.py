"""Options of an endpoint (``--network name=…,driver-opt=…``): what users say of one interface."""

from __future__ import annotations

import re
from collections.abc import Mapping

from skep.model.errors import Invalid, Unsupported

PREFIX = "com.docker.network.endpoint."
IFNAME = PREFIX + "ifname"
SYSCTLS = PREFIX + "sysctls"
MACADDRESS = PREFIX + "macaddress"
KNOWN = frozenset({IFNAME, SYSCTLS, MACADDRESS})

INTERFACE = "IFNAME"
"""What stands for the interface's name in a sysctl."""

LINK_NAME = re.compile(r"[^\s/:]{1,15}")
SYSCTL = re.compile(
    r"net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.IFNAME\.\w+|net\.mpls\.conf\.IFNAME\.\w+"
)
MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def endpoint_options(options: Mapping[str, str], link: str) -> tuple[str, dict[str, str]]:
    """The interface's name (``link`` unless its user wants another) and its sysctls.

    Raises `Invalid`.
    """
    name = options.get(IFNAME, "") or link
    if not LINK_NAME.fullmatch(name) or name == "lo":
        raise Invalid(f"invalid interface name {name!r}: links have names of 1 to 15 characters")
    sysctls = {}
    for item in filter(None, options.get(SYSCTLS, "").split(",")):
        key, equals, value = item.partition("=")
        if not equals or not SYSCTL.fullmatch(key):
            raise Invalid(
                f"invalid {SYSCTLS}: {item!r} is not like net.ipv4.conf.{INTERFACE}.log_martians=1"
            )
        sysctls[key.replace(INTERFACE, name)] = value
    return name, sysctls


def check_known(options: Mapping[str, str]) -> None:
    """Raises `Unsupported` for an option that only a plugin could know."""
    for key in options:
        if key not in KNOWN:
            raise Unsupported(f"endpoint option {key} is not supported: leave it away")


def checked_mac(text: str) -> str:
    """A MAC as a user wrote it, in small letters. Raises `Invalid`."""
    if text and not MAC.fullmatch(text):
        raise Invalid(f"invalid mac address: {text}")
    if text and int(text[:2], 16) & 1:
        raise Invalid(f"invalid mac address: {text} is one of a group")
    return text.lower()
