"""Requests of agents for containers that users started by hand on attachable networks."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Required, TypedDict, Unpack

from skep.cluster import rpc
from skep.cluster.allocate import exhausted, take_address
from skep.cluster.context import Context
from skep.cluster.needs import bare
from skep.cluster.state import Draft
from skep.cluster.subnets import reserved
from skep.model.cluster import Attachment, Network, Task, TaskState, TaskStatus
from skep.model.errors import Forbidden, Invalid, Unavailable
from skep.model.host import SHORT


class AttachRequest(TypedDict, total=False):
    """A container and what it wants.

    ``networks`` maps network ids or names to a wanted address ("" for any); ``names`` are the
    container's own, valid on all networks, ``aliases`` those per network.
    """

    node_id: Required[str]
    container_id: Required[str]
    container_name: Required[str]
    networks: Required[Mapping[str, str]]
    names: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]


def attach(draft: Draft, context: Context, **request: Unpack[AttachRequest]) -> Task:
    """Give a container addresses on networks: the task that holds them, running from the start.

    Raises `Missing` (network, node), `Forbidden` (not attachable, address taken), `Invalid`
    (address outside), `Unavailable` (network full).
    """
    node_id = request["node_id"]
    if node_id not in draft.nodes:
        raise rpc.absent(f"node {node_id} not found")
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


def _attachment(draft: Draft, request: AttachRequest, target: str, wanted: str) -> Attachment:
    network = draft.networks.get(target) or draft.network_named(target)
    if network is None:
        raise rpc.absent(f"network {target} not found")
    if not network.spec.attachable:
        raise rpc.denied(f"network {network.spec.name} not manually attachable")
    address = _wanted(draft, network, wanted) if wanted else take_address(draft, network.id)
    if address is None:
        raise Unavailable(exhausted(network))
    own = (request["container_name"], request["container_id"][:SHORT])
    names = [name for name in request.get("names", ()) if name not in own]
    aliases = dict.fromkeys([*names, *request.get("aliases", {}).get(target, ())])
    return Attachment(network_id=network.id, address=address, aliases=tuple(aliases))


def _wanted(draft: Draft, network: Network, text: str) -> str:
    try:
        address = IPv4Address(bare(text))
    except ValueError:
        raise Invalid(f"invalid IPv4 address: {text}") from None
    for subnet in network.subnets:
        space = IPv4Network(subnet.config.subnet)
        if address not in space:
            continue
        edges = (space.network_address, space.broadcast_address)
        kept_back = int(address) in reserved(subnet.config)
        if address in edges or kept_back or draft.in_use(network, str(address)):
            raise Forbidden(f"Address already in use: {address} on network {network.spec.name}")
        return f"{address}/{space.prefixlen}"
    raise Invalid(f"Invalid address {address}: It does not belong to any of this network's subnets")


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
