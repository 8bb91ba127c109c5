"""``skep network``."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any

from skep.cli import acting
from skep.cli.acting import FORCE, INSPECT_FORMAT, NO_TRUNC, PRUNE_FILTER, wanted
from skep.cli.api import Refused, reference
from skep.cli.command import Call, Command, Failure
from skep.cli.flags import INTEGER, LIST, STRINGS, SWITCH, Flag, Kind, Options
from skep.cli.show.evaluate import Row
from skep.cli.show.functions import with_instants
from skep.cli.show.listing import Table, columns
from skep.cli.show.order import natural
from skep.cli.show.rows import label_fields, short_id
from skep.cli.show.times import go_time
from skep.cli.syntax.pairs import map_entry
from skep.model.errors import Invalid

MAP = Kind("map", map_entry, many=True)
_TABLE = Table(
    columns("ID", "Name", "Driver", "Scope"),
    {
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
    },
)


def rows(networks: Sequence[Mapping[str, Any]], *, full: bool) -> list[Row]:
    """The lines of a list of networks, by name."""
    return [
        Row(
            ID=network["Id"] if full else short_id(network["Id"]),
            Name=network["Name"],
            Driver=network.get("Driver", ""),
            Scope=network.get("Scope", ""),
            IPv4=str(bool(network.get("EnableIPv4"))).lower(),
            IPv6=str(bool(network.get("EnableIPv6"))).lower(),
            Internal=str(bool(network.get("Internal"))).lower(),
            CreatedAt=go_time(network.get("Created", "")),
            **label_fields(network.get("Labels")),
        )
        for network in sorted(networks, key=lambda each: natural(each["Name"]))
    ]


def _list(call: Call) -> None:
    found = call.api.get("/networks", **wanted(call.options))
    acting.print_list(call, _TABLE, rows(found, full=call.options.switch("no-trunc")))


def _inspect(call: Call) -> int:
    verbose = call.options.switch("verbose")

    def fetch(name: str) -> tuple[str, Any]:
        text = call.api.raw(f"/networks/{reference(name)}", verbose=verbose and "true")
        return text, with_instants(json.loads(text))

    return acting.inspect(call, fetch)


def ipam_config(options: Options) -> list[dict[str, Any]]:
    """What the addresses of a network are taken from. Raises `Invalid` if it does not fit."""
    entries: dict[str, dict[str, Any]] = {}
    for subnet in options.all("subnet"):
        if any(_network(subnet).overlaps(_network(other)) for other in entries
               if _network(subnet).version == _network(other).version):  # fmt: skip
            raise Invalid("multiple overlapping subnet configuration is not supported")
        entries[subnet] = {"Subnet": subnet}
    if not entries and options.has("ip-range", "gateway"):
        raise Invalid("every ip-range or gateway must have a corresponding subnet")
    for ranged in options.all("ip-range"):
        entry = _entry_of(entries, ranged, f"no matching subnet for range {ranged}")
        if "IPRange" in entry:
            raise Invalid(f"cannot configure multiple ranges ({ranged}, {entry['IPRange']}) on the "
                          f"same subnet ({entry['Subnet']})")  # fmt: skip
        entry["IPRange"] = ranged
    for gateway in options.all("gateway"):
        entry = _entry_of(entries, gateway, f"no matching subnet for gateway {gateway}")
        if "Gateway" in entry:
            raise Invalid(f"cannot configure multiple gateways ({gateway}, {entry['Gateway']}) for "
                          f"the same subnet ({entry['Subnet']})")  # fmt: skip
        entry["Gateway"] = gateway
    for name, address in dict(options.all("aux-address")).items():
        entry = _entry_of(entries, address, f"no matching subnet for aux-address {address}")
        entry.setdefault("AuxiliaryAddresses", {})[name] = address
    return list(entries.values())


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as fault:
        raise Invalid(f"invalid CIDR address: {text}") from fault


def _entry_of(entries: Mapping[str, dict[str, Any]], text: str, complaint: str) -> dict[str, Any]:
    """The subnet's entry that an address or range belongs to."""
    try:
        address = ipaddress.ip_network(text.partition("/")[0])
    except ValueError as fault:
        raise Invalid(f"invalid address: {text}") from fault
    for subnet, entry in entries.items():
        network = _network(subnet)
        if network.version == address.version and network.overlaps(address):
            return entry
    raise Invalid(complaint)


def create_body(name: str, options: Options) -> dict[str, Any]:
    """The body of ``POST /networks/create``."""
    body: dict[str, Any] = {
        "Name": name,
        "Driver": options.text("driver", "bridge"),
        "Options": dict(options.all("opt")),
        "IPAM": {
            "Driver": options.text("ipam-driver", "default"),
            "Config": ipam_config(options),
            "Options": dict(options.all("ipam-opt")),
        },
        "Internal": options.switch("internal"),
        "Attachable": options.switch("attachable"),
        "Ingress": options.switch("ingress"),
        "Scope": options.text("scope"),
        "ConfigOnly": options.switch("config-only"),
        "Labels": acting.labels(options.all("label")),
    }
    for option, member in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if options.has(option):
            body[member] = options.switch(option)
    if options.text("config-from"):
        body["ConfigFrom"] = {"Network": options.text("config-from")}
    return body


def _create(call: Call) -> None:
    body = create_body(call.arguments[0], call.options)
    print(call.api.post("/networks/create", body)["Id"])


def _update(call: Call) -> None:
    """What docker has not: the API's own path says so."""
    subnets = [{"Subnet": subnet} for subnet in call.options.all("subnet-add")]
    if not subnets:
        raise Invalid("nothing to change: give --subnet-add")
    name = call.arguments[0]
    call.api.post(f"/skep/networks/{reference(name)}/update", {"AddSubnets": subnets})
    print(name)


def _remove(call: Call) -> None:
    def remove(name: str) -> bool:
        path = f"/networks/{reference(name)}"
        try:
            found = call.api.get(path)
        except Refused:
            found = {}
        if found.get("Ingress") and not acting.confirmed(call, _INGRESS_WARNING):
            return False
        try:
            call.api.delete(path)
        except Refused as refused:
            if not (refused.missing and call.options.switch("force")):
                raise
            return False
        return True

    try:
        acting.for_each(call.arguments, remove)
    except Failure as failure:
        raise Failure(f"{failure}\nexit status 1") from failure


_INGRESS_WARNING = (
    "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run "
    "the same docker engine version. Otherwise, removal may not be effective and functionality of "
    "newly create ingress networks will be impaired.\nAre you sure you want to continue?"
)


def _prune(call: Call) -> None:
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not acting.confirmed(call, f"{warning}\nAre you sure you want to continue?"):
        return
    removed = call.api.post("/networks/prune", **wanted(call.options)).get("NetworksDeleted") or ()
    if removed:
        print("Deleted Networks:\n" + "\n".join(removed) + "\n")


def endpoint_settings(options: Options) -> dict[str, Any]:
    """How a container is attached: the ``EndpointConfig`` of a connect."""
    addresses = {
        member: options.text(option)
        for option, member in (("ip", "IPv4Address"), ("ip6", "IPv6Address"))
        if options.text(option)
    }
    if options.all("link-local-ip"):
        addresses["LinkLocalIPs"] = options.all("link-local-ip")  # type: ignore[assignment]
    return {
        "IPAMConfig": addresses,
        "Links": options.all("link"),
        "Aliases": options.all("alias"),
        "DriverOpts": dict(_driver_option(word) for word in options.all("driver-opt")),
        "GwPriority": options.get("gw-priority", 0),
    }


def _driver_option(word: str) -> tuple[str, str]:
    key, value = map_entry(word)
    if not key or "=" not in word:
        raise Invalid("invalid key/value pair format in driver options")
    return key, value


def _connect(call: Call) -> None:
    network, container = call.arguments
    body = {"Container": container, "EndpointConfig": endpoint_settings(call.options)}
    call.api.post(f"/networks/{reference(network)}/connect", body)


def _disconnect(call: Call) -> None:
    network, container = call.arguments
    body = {"Container": container, "Force": call.options.switch("force")}
    call.api.post(f"/networks/{reference(network)}/disconnect", body)


_CREATE_FLAGS = (
    Flag("attachable", "Enable manual container attachment", SWITCH),
    Flag("aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver", MAP),
    Flag("config-from", "The network from which to copy the configuration"),
    Flag("config-only", "Create a configuration only network", SWITCH),
    Flag("driver", 'Driver to manage the Network (default "bridge")', short="d"),
    Flag("gateway", "IPv4 or IPv6 Gateway for the master subnet", STRINGS),
    Flag("ingress", "Create swarm routing-mesh network", SWITCH),
    Flag("internal", "Restrict external access to the network", SWITCH),
    Flag("ip-range", "Allocate container ip from a sub-range", STRINGS),
    Flag("ipam-driver", 'IP Address Management Driver (default "default")'),
    Flag("ipam-opt", "Set IPAM driver specific options", MAP),
    Flag("ipv4", "Enable or disable IPv4 address assignment (default true)", SWITCH),
    Flag("ipv6", "Enable or disable IPv6 address assignment", SWITCH),
    Flag("label", "Set metadata on a network", LIST),
    Flag("opt", "Set driver specific options", MAP, "o"),
    Flag("scope", "Control the network's scope"),
    Flag("subnet", "Subnet in CIDR format that represents a network segment", STRINGS),
)
_CONNECT_FLAGS = (
    Flag("alias", "Add network-scoped alias for the container", STRINGS),
    Flag("driver-opt", "driver options for the network", STRINGS),
    Flag("gw-priority", "Highest gw-priority provides the default gateway", INTEGER),
    Flag("ip", 'IPv4 address (e.g., "172.30.100.104")'),
    Flag("ip6", 'IPv6 address (e.g., "2001:db8::33")'),
    Flag("link", "Add link to another container", LIST),
    Flag("link-local-ip", "Add a link-local address for the container", STRINGS),
)
COMMANDS = (
    Command(name="connect", usage="[OPTIONS] NETWORK CONTAINER", run=_connect, least=2, most=2,
            summary="Connect a container to a network", flags=_CONNECT_FLAGS, completes="network"),
    Command(name="create", usage="[OPTIONS] NETWORK", run=_create, least=1, most=1,
            summary="Create a network", flags=_CREATE_FLAGS),
    Command(name="disconnect", usage="[OPTIONS] NETWORK CONTAINER", run=_disconnect, least=2,
            most=2, summary="Disconnect a container from a network", completes="network",
            flags=(Flag("force", "Force the container to disconnect", SWITCH, "f"),)),
    Command(name="inspect", usage="[OPTIONS] NETWORK [NETWORK...]", run=_inspect, least=1,
            most=None, summary="Display detailed information on one or more networks",
            completes="network", flags=(
                INSPECT_FORMAT, Flag("verbose", "Verbose output for diagnostics", SWITCH, "v"))),
    Command(name="ls", usage="[OPTIONS]", run=_list, summary="List networks", aliases=("list",),
            flags=acting.list_flags(NO_TRUNC)),
    Command(name="prune", usage="[OPTIONS]", run=_prune, summary="Remove all unused networks",
            flags=(PRUNE_FILTER, FORCE)),
    Command(name="rm", usage="NETWORK [NETWORK...]", run=_remove, least=1, most=None,
            summary="Remove one or more networks", aliases=("remove",), completes="network",
            flags=(Flag("force", "Do not error if the network does not exist", SWITCH, "f"),)),
    Command(name="update", usage="[OPTIONS] NETWORK", run=_update, least=1, most=1,
            summary="Give a network more room while it is in use", completes="network",
            flags=(Flag("subnet-add", "A further subnet in CIDR format", STRINGS),)),
)  # fmt: skip
