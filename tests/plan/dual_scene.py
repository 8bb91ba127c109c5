"""The web scene with IPv6 beside IPv4: 10.0.1.11 also is fd00:a:0:1::b, on the same bridges."""

from __future__ import annotations

from ipaddress import IPv6Address

import msgspec
from plan_scene import BRIDGES, GATEWAY, Scene, vtep, web_scene

from skep.model.cluster import Subnet
from skep.model.host import HostView
from skep.model.netstate import HOST, Address, HostState
from skep.model.spec import IpamConfig
from skep.plan.desired import desired
from skep.plan.journey import OUTSIDE
from skep.plan.layout import bare


def six(address: str, length: str = "") -> str:
    """The IPv6 address that goes with an IPv4 one, with the prefix length of a /64 if asked for."""
    one, two, three, four = (int(part) for part in bare(address).split("."))
    return str(IPv6Address(f"fd00:{one:x}:{two:x}:{three:x}::{four:x}")) + length


def host6(host: str) -> str:
    """A host's own IPv6 address on the underlay."""
    return f"2001:db8::{host[1:]}"


def dual(view: HostView) -> HostView:
    """A view with IPv6 beside IPv4 wherever there can be any (docker0 has none)."""
    return msgspec.structs.replace(
        view,
        peers={
            key: msgspec.structs.replace(peer, ingress_address6=six(peer.ingress_address, "/64"))
            for key, peer in view.peers.items()
        },
        networks={key: _network(network) for key, network in view.networks.items()},
        sandboxes=tuple(map(_sandbox, view.sandboxes)),
        bridges=tuple(
            msgspec.structs.replace(bridge, address6=six(bridge.address, "/64"))
            if bridge.network_id == GATEWAY
            else bridge
            for bridge in BRIDGES
        ),
        advertised_to=("uplink",),
    )


def _network(network):
    return msgspec.structs.replace(
        network,
        subnets=tuple(map(_subnet, network.subnets)),
        endpoints={
            key: msgspec.structs.replace(each, address6=six(each.address))
            for key, each in network.endpoints.items()
        },
        services={
            key: msgspec.structs.replace(each, vip6=six(each.vip) if each.vip else "")
            for key, each in network.services.items()
        },
    )


def _subnet(subnet: Subnet) -> Subnet:
    gateway = six(subnet.config.gateway)
    config = IpamConfig(subnet=gateway.rpartition(":")[0] + ":/64", gateway=gateway)
    return msgspec.structs.replace(subnet, config6=config)


def _sandbox(box):
    return msgspec.structs.replace(
        box,
        endpoints=tuple(
            msgspec.structs.replace(
                each,
                address6=six(each.address, "/64"),
                vips=(*each.vips, *map(six, each.vips)),
            )
            for each in box.endpoints
        ),
    )


def dual_world(scene: Scene | None = None) -> dict[str, HostState]:
    """What the scene's hosts should contain, and their own addresses beside the VTEP."""
    scene = scene or web_scene()
    return {vtep(host): _addressed(host, desired(dual(scene.view(host)))) for host in scene.hosts}


def _addressed(host: str, state: HostState) -> HostState:
    own = Address(OUTSIDE, f"{host6(host)}/64")
    here = msgspec.structs.replace(state[HOST], addresses=state[HOST].addresses | {own})
    return {**state, HOST: here}
