"""Endpoints that network plugins make: created and joined, and what comes back checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import msgspec

from skep.agent.addresses import next_name
from skep.agent.binding import exposed
from skep.agent.debts import Debt, Debts
from skep.agent.leasing import MAC, wrong
from skep.agent.options import LINK_NAME, checked_mac
from skep.agent.records import Record, Wanted
from skep.kernel.moving import Candidate
from skep.model.errors import Invalid
from skep.model.host import SHORT, Endpoint, Handed, HandedRoute, LocalNetwork
from skep.model.netstate import GROUP, NETNS_DIR
from skep.plugin.calls import Declined, Unknown
from skep.plugin.plugins import Nothing, Plugins
from skep.plugin.protocol import CreatedEndpoint, Interface, Joined, OperInfo, StaticRoute

CREATE, DELETE = "NetworkDriver.CreateEndpoint", "NetworkDriver.DeleteEndpoint"
JOIN, LEAVE = "NetworkDriver.Join", "NetworkDriver.Leave"
PROGRAM = "NetworkDriver.ProgramExternalConnectivity"
REVOKE = "NetworkDriver.RevokeExternalConnectivity"
INFO = "NetworkDriver.EndpointOperInfo"

MADE = (REVOKE, LEAVE, DELETE)
"""What gives an endpoint back, but not its addresses."""

PORT_MAP = "com.docker.network.portmap"
EXPOSED = "com.docker.network.endpoint.exposedports"
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

Look = Callable[[str], Awaitable[Candidate | None]]
"""A link of the host by its name, None if there is none."""


class Place(msgspec.Struct, frozen=True):
    """What an endpoint is made for: a container, on a network, as its user wants it; addresses on
    the network that others have."""

    record: Record
    network: LocalNetwork
    item: Wanted
    taken: Collection[str] = ()


class Handing:
    """What is asked of network plugins on behalf of endpoints."""

    def __init__(self, plugins: Plugins, debts: Debts, look: Look) -> None:
        self._plugins = plugins
        self._debts = debts
        self._look = look

    async def hand_over(self, endpoint: Endpoint, place: Place) -> Endpoint:
        """The endpoint with what its plugin has made for it. Raises `Broken`, `Silent`, …; what was
        made until then is on record."""
        endpoint = await self._create(endpoint, place)
        joined = await self._join(endpoint, place)
        if not endpoint.mac:
            endpoint = msgspec.structs.replace(endpoint, mac=await self._told_mac(endpoint, place))
        link = await self._checked(joined, place)
        handed = _handed(joined, place.network.driver)
        return msgspec.structs.replace(
            endpoint, link=_name(endpoint, joined, place), handed=handed, mac=endpoint.mac or link
        )

    async def open(self, endpoint: Endpoint, place: Place) -> bool:
        """Tell the plugin that the way out leads by this endpoint, and the ports to publish; False
        if it does not know such a thing."""
        ids = _ids(endpoint, place)
        debt = self._debt(endpoint, place, REVOKE)
        self._debts.owe(debt)
        try:
            body = {**ids, "Options": _ports(place.record)}
            await self._plugins.ask(place.network.driver, PROGRAM, body, Nothing)
        except Declined as declined:
            self._debts.cancel(debt)
            if isinstance(declined, Unknown):
                return False
            raise
        return True

    async def _create(self, endpoint: Endpoint, place: Place) -> Endpoint:
        plugin = place.network.driver
        asked = {
            "Address": endpoint.address,
            "AddressIPv6": endpoint.address6,
            "MacAddress": endpoint.mac,
        }
        body = {
            **_ids(endpoint, place),
            "Options": {**_ports(place.record), **place.item.options},
            "Interface": asked if any(asked.values()) else None,
        }
        self._debts.owe(self._debt(endpoint, place, DELETE))
        made = (await self._plugins.ask(plugin, CREATE, body, CreatedEndpoint)).interface
        _check_unchanged(made, asked, plugin)
        made = msgspec.structs.replace(
            made,
            address=_address(made.address, place, 4),
            address6=_address(made.address6, place, 6),
        )
        if not (made.address or endpoint.address):
            wrong(plugin, CREATE, "it gave no address, and nobody else does on this network")
        return msgspec.structs.replace(
            endpoint,
            address=endpoint.address or made.address,
            address6=endpoint.address6 or made.address6,
            mac=endpoint.mac or _mac(made.mac, plugin, CREATE),
        )

    async def _join(self, endpoint: Endpoint, place: Place) -> Joined:
        body = {
            **_ids(endpoint, place),
            "SandboxKey": f"{NETNS_DIR}/{place.record.sandbox_id[:SHORT]}",
            "Options": _ports(place.record),
        }
        self._debts.owe(self._debt(endpoint, place, LEAVE))
        return await self._plugins.ask(place.network.driver, JOIN, body, Joined)

    async def _told_mac(self, endpoint: Endpoint, place: Place) -> str:
        """The MAC, where the plugin only tells it when it is asked for all that it knows."""
        plugin = place.network.driver
        try:
            info = await self._plugins.ask(plugin, INFO, _ids(endpoint, place), OperInfo)
        except Declined:
            return ""
        return _mac(str(info.value.get(MAC, "")), plugin, INFO)

    async def _checked(self, joined: Joined, place: Place) -> str:
        """The MAC of the interface that is to be moved. Raises `Broken` if it cannot be."""
        plugin, name = place.network.driver, joined.interface_name.src_name
        if not LINK_NAME.fullmatch(name):
            wrong(plugin, JOIN, f"it named no interface ({name!r})")
        found = await self._look(name)
        if found is None:
            wrong(plugin, JOIN, f"it named the interface {name}, which this host does not have")
        if name == "lo" or found.link.group == GROUP:
            wrong(plugin, JOIN, f"it named the interface {name}, which belongs to something else")
        if found.link.master:
            master = found.link.master
            wrong(plugin, JOIN, f"it named the interface {name}, which is a port of {master}")
        if found.addresses:
            address = found.addresses[0]
            wrong(plugin, JOIN, f"it named the interface {name}, where the host has {address}")
        return found.link.mac

    def _debt(self, endpoint: Endpoint, place: Place, call: str) -> Debt:
        body = _ids(endpoint, place)
        return Debt(owner=endpoint.id, plugin=place.network.driver, call=call, body=body)


def _ids(endpoint: Endpoint, place: Place) -> dict[str, str]:
    return {"NetworkID": place.network.id, "EndpointID": endpoint.id}


def _ports(record: Record) -> dict[str, Any]:
    """The ports of a container as plugins are told them."""
    known = (exposed(text) for text in record.exposed_ports)
    published = [
        {
            "Proto": PROTOCOLS[each.protocol],
            "IP": "",
            "Port": each.port,
            "HostIP": each.address,
            "HostPort": each.published,
            "HostPortEnd": each.last or each.published,
        }
        for each in record.published
    ]
    return {
        EXPOSED: [{"Proto": PROTOCOLS[protocol], "Port": port} for protocol, port in known],
        PORT_MAP: published,
    }


def _check_unchanged(made: Interface, asked: Mapping[str, str], plugin: str) -> None:
    """What was chosen already is not the plugin's to choose."""
    given = {"Address": made.address, "AddressIPv6": made.address6, "MacAddress": made.mac}
    for key, text in given.items():
        if text and asked[key] and text.lower() != asked[key]:
            wrong(plugin, CREATE, f"it was told {key} {asked[key]}, and changed it to {text}")


def _address(text: str, place: Place, version: int) -> str:
    """An address that a plugin gave, checked; "" for none."""
    plugin, network = place.network.driver, place.network
    if not text:
        return ""
    try:
        found = ip_interface(text)
    except ValueError:
        wrong(plugin, CREATE, f"it gave {text!r}, which is no address")
    subnet = network.subnet if version == 4 else network.subnet6
    if found.version != version or "/" not in text:
        wrong(plugin, CREATE, f"it gave {text!r}, which is no address of IPv{version} with prefix")
    if subnet and found.ip not in ip_network(subnet):
        wrong(plugin, CREATE, f"it gave {found.ip}, which is not in {subnet}")
    if str(found.ip) in place.taken:
        wrong(plugin, CREATE, f"it gave {found.ip}, which is in use on network {network.name}")
    return str(found)


def _mac(text: str, plugin: str, call: str) -> str:
    try:
        return checked_mac(text)
    except Invalid as invalid:
        wrong(plugin, call, f"it gave an {invalid}")


def _name(endpoint: Endpoint, joined: Joined, place: Place) -> str:
    """What the interface is called inside: as its user wants, else as the plugin does."""
    plugin, names = place.network.driver, joined.interface_name
    others = [e.link for e in place.record.endpoints if e.id != endpoint.id]
    wanted = names.dst_name or f"{names.dst_prefix}0"
    if place.item.options.get("com.docker.network.endpoint.ifname") or wanted == "0":
        return endpoint.link
    if not LINK_NAME.fullmatch(wanted) or wanted == "lo" or len(wanted) > 13:
        wrong(plugin, JOIN, f"it named an interface {wanted!r}, which no link can be called")
    if names.dst_name and names.dst_name not in others:
        return names.dst_name
    return next_name(names.dst_prefix or "eth", others)


def _handed(joined: Joined, plugin: str) -> Handed:
    return Handed(
        source=joined.interface_name.src_name,
        gateway=_gateway(joined.gateway, plugin, 4),
        gateway6=_gateway(joined.gateway6, plugin, 6),
        routes=tuple(_route(each, plugin) for each in joined.static_routes),
        aside=joined.disable_gateway_service,
    )


def _gateway(text: str, plugin: str, version: int) -> str:
    if not text:
        return ""
    try:
        found = ip_address(text)
    except ValueError:
        wrong(plugin, JOIN, f"it gave the gateway {text!r}, which is no address")
    if found.version != version:
        wrong(plugin, JOIN, f"it gave the gateway {text}, which is not of IPv{version}")
    return str(found)


def _route(route: StaticRoute, plugin: str) -> HandedRoute:
    words = f"it gave a route to {route.destination!r}"
    try:
        target = ip_network(route.destination)
        via = str(ip_address(route.next_hop)) if route.next_hop else ""
    except ValueError as error:
        wrong(plugin, JOIN, f"{words} that is none: {error}")
    if route.route_type not in (0, 1) or (route.route_type == 0) != bool(via):
        wrong(plugin, JOIN, f"{words} of type {route.route_type} by {via or 'nobody'}")
    if via and ip_address(via).version != target.version:
        wrong(plugin, JOIN, f"{words} by {via}, which is of another family")
    everywhere = "default" if target.version == 4 else "::/0"
    return HandedRoute(everywhere if target.prefixlen == 0 else str(target), via)
