"""Choosing addresses and interface names on this host's own bridges and sandboxes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from skep.model.errors import Unavailable


def next_address(subnet: str, taken: Collection[str], after: str, network_name: str) -> str:
    """The next free address of ``subnet`` after ``after`` ("" for the first), with its prefix.

    Freed addresses rest: the search goes round the subnet. Raises `Unavailable` when all are taken.
    """
    network = ipaddress.IPv4Network(subnet)
    size = network.num_addresses
    start = int(ipaddress.IPv4Address(after)) - int(network.network_address) if after else 0
    for step in range(1, size + 1):
        offset = (start + step) % size
        if offset in (0, size - 1):
            continue
        address = str(network.network_address + offset)
        if address not in taken:
            return f"{address}/{network.prefixlen}"
    raise Unavailable(f"network {network_name}: {size - 2} of {size - 2} addresses in use")


def next_name(stem: str, taken: Iterable[str]) -> str:
    """``stem`` with the lowest number that is free: eth0, eth1, …"""
    used = set(taken)
    number = 0
    while f"{stem}{number}" in used:
        number += 1
    return f"{stem}{number}"
