"""How Go prints the structs that the API's JSON was made from: ``{10.0.1.0/24  10.0.1.1 map[]}``.

JSON does not say which objects were structs, so those that people print whole are known here by
their members; everything else is printed as a map, as docker itself does where it has no type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Shape(msgspec.Struct, frozen=True):
    """A struct: its members in Go's order with their zero values, and the one that marks it."""

    members: Mapping[str, Any]
    mark: str


SHAPES = (
    Shape({"Subnet": "", "IPRange": "", "Gateway": "", "AuxiliaryAddresses": {}}, "Subnet"),
    Shape({"Driver": "", "Options": {}, "Config": []}, "Config"),
    Shape({"NetworkID": "", "Addr": ""}, "NetworkID"),
    Shape({"Name": "", "IP": ""}, "IP"),
    Shape({"NodeID": "", "Addr": ""}, "NodeID"),
    Shape({"Network": ""}, "Network"),
    Shape(
        {"Name": "", "Protocol": "", "TargetPort": 0, "PublishedPort": 0, "PublishMode": ""},
        "TargetPort",
    ),
    Shape({"Target": "", "Aliases": [], "DriverOpts": {}}, "Target"),
    Shape({"HostIp": "", "HostPort": ""}, "HostPort"),
    Shape({"Architecture": "", "OS": ""}, "Architecture"),
    Shape(
        {"Type": "", "Name": "", "Source": "", "Destination": "", "Driver": "", "Mode": "",
         "RW": False, "Propagation": ""},
        "Destination",
    ),
)  # fmt: skip


def struct_values(value: Mapping[str, Any]) -> list[Any] | None:
    """The values of a known struct in Go's order, None if it is none."""
    for shape in SHAPES:
        if shape.mark in value and value.keys() <= shape.members.keys():
            return [
                zero if value.get(name) is None else value[name]
                for name, zero in shape.members.items()
            ]
    return None
