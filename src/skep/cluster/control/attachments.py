"""Requests of agents for containers that users started by hand on attachable networks."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Required, TypedDict, Unpack

from skep.cluster import rpc
from skep.cluster.allocate import (
    Addresses,
    exhausted,
    exhausted_beside,
    free_beside,
    free_sixth,
    prefixed,
    take_address,
)
from skep.cluster.context import Context
from skep.cluster.filters import no_bridge_port
from skep.cluster.needs import bare
from skep.cluster.parents import kept_back
from skep.cluster.state import Draft
from skep.cluster.subnets import parsed
from skep.model.cluster import Attachment, Network, Task, TaskState, TaskStatus
from skep.model.errors import Forbidden, Invalid, Unavailable
from skep.model.host import SHORT


class AttachRequest(TypedDict, total=False):
    """A container and what it wants.

    ``networks`` maps network ids or names to a wanted address ("" for any), ``networks6`` to a
    wanted IPv6 address; ``names`` are the container's own, valid on all networks, ``aliases`` those
    per network.
    """

    node_id: Required[str]
    container_id: Required[str]
    container_name: Required[str]
    networks: Required[Mapping[str, str]]
    names: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]
    networks6: Mapping[str, str]


def attach(draft: Draft, context: Context, **request: Unpack[AttachRequest]) -> Task:
    """Give a container addresses on networks: the task that holds them, running from the start.

    Raises `Missing` (network, node), `Forbidden` (not attachable, address taken), `Invalid`
    (address outside), `Unavailable` (network full).
    """
    node_id = request["node_id"]
    if node_id not in draft.nodes:
        raise rpc.absent(f"node {node_id} not found")
    known = filter(None, (_network(draft, target) for target in request["networks"]))
    crowded = no_bridge_port(draft, [network.id for network in known], draft.load_of(node_id))
    if crowded:
        raise Unavailable(crowded)
    attachments = tuple(
        _attachment(draft, request, target, wanted)
        for target, wanted in request["networks"].items()
    )
    task = Task(
        id=context.new_id(),
        created_at=context.now,
        updated_at=context.now,
        node_id=node_id,
        container_name=request["container_name"],
        status=TaskStatus(
            state=TaskState.RUNNING,
            timestamp=context.now,
            message="attached",
            container_id=request["container_id"],
        ),
        attachments=attachments,
    )
    draft.put(task)
    return task


def _network(draft: Draft, target: str) -> Network | None:
    return draft.networks.get(target) or draft.network_named(target)


def _attachment(draft: Draft, request: AttachRequest, target: str, wanted: str) -> Attachment:
    network = _network(draft, target)
    if network is None:
        raise rpc.absent(f"network {target} not found")
    if not network.spec.attachable:
        raise rpc.denied(f"network {network.spec.name} not manually attachable")
    wanted6 = request.get("networks6", {}).get(target, "")
    found = _wanted(draft, network, wanted, wanted6)
    if found is None:
        raise Unavailable(exhausted(network))
    address, address6 = found
    own = (request["container_name"], request["container_id"][:SHORT])
    names = [name for name in request.get("names", ()) if name not in own]
    aliases = dict.fromkeys([*names, *request.get("aliases", {}).get(target, ())])
    return Attachment(
        network_id=network.id, address=address, address6=address6, aliases=tuple(aliases)
    )


def _wanted(draft: Draft, network: Network, wanted: str, wanted6: str) -> Addresses | None:
    """The addresses that were asked for, the others chosen beside them; None if none is left."""
    if not wanted and not wanted6:
        return take_address(draft, network.id)
    if wanted6 and not network.spec.enable_i_pv6:
        raise Invalid(f"network {network.spec.name} has no IPv6: {wanted6} cannot be an address")
    places = {_place(draft, network, each) for each in (wanted, wanted6) if each}
    if len(places) > 1:
        raise Invalid(f"{wanted} and {wanted6} lie in subnets that are not side by side")
    subnet = network.subnets[places.pop()]
    address = bare(wanted) or free_beside(draft, network, subnet)
    address6 = str(ip_address(bare(wanted6))) if wanted6 else free_sixth(draft, network, subnet)
    if not address or address6 is None:
        raise Unavailable(exhausted_beside(network, subnet))
    return prefixed(address, subnet.config), prefixed(address6, subnet.config6)


def _place(draft: Draft, network: Network, text: str) -> int:
    """The position of the subnet that a wanted address lies in, if it is free."""
    try:
        address = ip_address(bare(text))
    except ValueError:
        raise Invalid(f"invalid IP address: {text}") from None
    for position, subnet in enumerate(network.subnets):
        config = subnet.config if address.version == 4 else subnet.config6
        if config is None or address not in parsed(config.subnet):
            continue
        space = parsed(config.subnet)
        edges = (space.network_address, space.broadcast_address)
        kept = int(address) in kept_back(draft, network, config)
        if address in edges or kept or draft.in_use(network, str(address)):
            raise Forbidden(f"Address already in use: {address} on network {network.spec.name}")
        return position
    raise Invalid(f"Invalid address {text}: It does not belong to any of this network's subnets")


def detach(draft: Draft, _context: Context, *, node_id: str, task_id: str) -> None:
    """Take back the addresses of a container that is gone. Done already is done.

    Raises `Forbidden` if the attachment is another node's.
    """
    task = draft.tasks.get(task_id)
    if task is None:
        return
    if task.node_id != node_id or task.service_id:
        raise rpc.denied(f"attachment {task_id} doesn't belong to this node")
    draft.delete(task)
