"""What a user says of a container's place on a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skep.agent.options import check_known, checked_mac, endpoint_options
from skep.agent.records import Wanted
from skep.model.errors import Invalid, Unsupported
from skep.model.host import LocalNetwork


def wanted_network(name: str, config: Mapping[str, Any]) -> Wanted:
    """A network as Docker's EndpointSettings ask for it. Raises `Invalid`, `Unsupported`.

    Whether its options are known is for `check_wanted`."""
    ipam = config.get("IPAMConfig") or {}
    if ipam.get("LinkLocalIPs"):
        raise Unsupported(f"network {name}: link-local addresses are not supported: use --ip")
    options = dict(config.get("DriverOpts") or {})
    endpoint_options(options, "eth0")
    return Wanted(
        network=name,
        address=ipam.get("IPv4Address") or "",
        address6=ipam.get("IPv6Address") or "",
        aliases=tuple(config.get("Aliases") or ()),
        mac=checked_mac(config.get("MacAddress") or ""),
        links=tuple(config.get("Links") or ()),
        options=options,
        gw_priority=int(config.get("GwPriority") or 0),
    )


def check_wanted(item: Wanted, network: LocalNetwork | None) -> None:
    """Raises `Invalid` for what the default bridge cannot have, in Docker's words, and
    `Unsupported` for options that ``network`` (None: one of the swarm's) does not know."""
    if network is None or not network.remote:
        check_known(item.options)
    if item.network not in ("default", "bridge"):
        return
    if item.address or item.address6:
        raise Invalid("user specified IP address is supported on user defined networks only")
    if item.aliases:
        raise Invalid(
            "network-scoped alias is supported only for containers in user defined networks"
        )
