"""Choosing addresses and interface names on this host's own bridges and sandboxes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

import msgspec

from skep.cluster.subnets import endpoint_range, reserved
from skep.model.errors import Forbidden, Invalid, Unavailable
from skep.model.spec import IpamConfig


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of an endpoint, with prefix ("" for none yet), and the MAC that a plugin was
    told with them."""

    address: str = ""
    address6: str = ""
    mac: str = ""


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


def free_address(config: IpamConfig, taken: Collection[str], after: str, network_name: str) -> str:
    """The next free address of a network after ``after`` ("" for the first), with its prefix.

    Freed addresses rest: the search goes round its range. Raises `Unavailable` when all are taken.
    """
    room, kept = endpoint_range(config), reserved(config)
    subnet = ipaddress.ip_network(config.subnet)
    make = ipaddress.IPv4Address if subnet.version == 4 else ipaddress.IPv6Address
    start = int(make(after)) + 1 - room.start if after else 0
    tried = 0
    for step in range(len(room)):
        number = room[(start + step) % len(room)]
        if number in kept:
            continue
        tried += 1
        address = str(make(number))
        if address not in taken:
            return f"{address}/{subnet.prefixlen}"
    raise Unavailable(f"network {network_name}: {tried} of {tried} addresses in use")


def given_address(
    config: IpamConfig, wanted: str, taken: Collection[str], network_name: str
) -> str:
    """The address that a user wants, with its prefix; "" if none is wanted.

    Raises `Invalid` (no address of the network), `Forbidden` (taken).
    """
    if not wanted:
        return ""
    subnet = ipaddress.ip_network(config.subnet)
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        raise Invalid(f"invalid IP address: {wanted}") from None
    if address not in subnet:
        raise Invalid(
            f"invalid endpoint settings:\nno configured subnet contains IP address {wanted}"
        )
    edges = (subnet.network_address, subnet.broadcast_address)
    if address in edges or int(address) in reserved(config) or str(address) in taken:
        raise Forbidden(f"Address already in use: {address} on network {network_name}")
    return f"{address}/{subnet.prefixlen}"


def next_name(stem: str, taken: Iterable[str]) -> str:
    """``stem`` with the lowest number that is free: eth0, eth1, …"""
    used = set(taken)
    number = 0
    while f"{stem}{number}" in used:
        number += 1
    return f"{stem}{number}"
