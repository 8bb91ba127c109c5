"""What plugins answer, as far as it is used.

Source: https://github.com/moby/moby, daemon/libnetwork/docs/remote.md and ipam.md,
daemon/libnetwork/drivers/remote/api, daemon/libnetwork/ipams/remote/api.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Base: members that are left out or null are empty."""


class DriverCapabilities(Answer, frozen=True):
    """``NetworkDriver.GetCapabilities``. ``gw_alloc_checker``: it may want no gateway's address."""

    scope: str = ""
    connectivity_scope: str = ""
    gw_alloc_checker: bool = False


class GatewayCheck(Answer, frozen=True):
    """``NetworkDriver.GwAllocCheck``: the families in which no gateway's address is wanted."""

    skip_i_pv4: bool = msgspec.field(default=False, name="SkipIPv4")
    skip_i_pv6: bool = msgspec.field(default=False, name="SkipIPv6")


class Interface(Answer, frozen=True):
    """Addresses (with prefix) and MAC of an endpoint; "" for those that the plugin leaves be."""

    address: str = ""
    address6: str = msgspec.field(default="", name="AddressIPv6")
    mac: str = msgspec.field(default="", name="MacAddress")


class CreatedEndpoint(Answer, frozen=True):
    """``NetworkDriver.CreateEndpoint``."""

    interface: Interface = Interface()


class OperInfo(Answer, frozen=True):
    """``NetworkDriver.EndpointOperInfo``."""

    value: dict[str, Any] = {}


class InterfaceName(Answer, frozen=True):
    """The interface to move into the sandbox, and what its name there begins with."""

    src_name: str = ""
    dst_prefix: str = ""
    dst_name: str = ""


class StaticRoute(Answer, frozen=True):
    """A route: by ``next_hop`` (``route_type`` 0), or on the link (1)."""

    destination: str = ""
    route_type: int = 0
    next_hop: str = ""


class Joined(Answer, frozen=True):
    """``NetworkDriver.Join``."""

    interface_name: InterfaceName = InterfaceName()
    gateway: str = ""
    gateway6: str = msgspec.field(default="", name="GatewayIPv6")
    static_routes: tuple[StaticRoute, ...] = ()
    disable_gateway_service: bool = False


class IpamCapabilities(Answer, frozen=True):
    """``IpamDriver.GetCapabilities``: what it must be told with a request for an address, and
    whether it forgets with a restart."""

    requires_mac_address: bool = msgspec.field(default=False, name="RequiresMACAddress")
    requires_request_replay: bool = False


class AddressSpaces(Answer, frozen=True):
    """``IpamDriver.GetDefaultAddressSpaces``."""

    local_default_address_space: str = ""
    global_default_address_space: str = ""


class Pool(Answer, frozen=True):
    """``IpamDriver.RequestPool``: a subnet, under an id; ``data`` may name its gateway."""

    pool_id: str = msgspec.field(default="", name="PoolID")
    pool: str = ""
    data: dict[str, str] = {}


class Address(Answer, frozen=True):
    """``IpamDriver.RequestAddress``: with prefix."""

    address: str = ""
    data: dict[str, str] = {}
