"""Requests about nodes, and what managers learn of them."""

from __future__ import annotations

from typing import Required, TypedDict, Unpack

from msgspec.structs import replace

from skep.cluster import rpc
from skep.cluster.believed import check_addresses, check_key
from skep.cluster.context import Context
from skep.cluster.entries import with_ingress_address
from skep.cluster.lives import is_dead, is_placed
from skep.cluster.options import check_node_options
from skep.cluster.parents import extended
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import (
    Grounds,
    Node,
    NodeDescription,
    TakenPort,
    Task,
    TaskState,
    TaskStatus,
)
from skep.model.errors import Clash, Invalid, OutOfSequence, Unsupported
from skep.model.secure import SLOTS, TunnelKey
from skep.model.spec import NodeSpec

AVAILABILITIES = ("active", "pause", "drain")
STATES = ("unknown", "down", "ready", "disconnected")


class NodeReport(TypedDict, total=False):
    """What is known of a node now: whether it is there, why not, and what it says of itself."""

    state: Required[str]
    message: str
    description: NodeDescription
    address: str
    vtep: str


def add_node(draft: Draft, context: Context, node: Node) -> Node:
    """Take a new node in; it gets its ingress_sbox's address. Answers the node as put.

    Raises `Clash` if it is a member already, `Invalid` if it cannot be where it says, or its
    tunnels cannot meet the others', `Unavailable` if the ingress network is full.
    """
    check_addresses(node.address, node.vtep)
    if node.id in draft.nodes:
        raise Clash(f"node {node.id} is part of the swarm already")
    _check_tunnels(draft, node)
    times = {"created_at": context.now, "updated_at": context.now, "seen_at": context.now}
    node = replace(with_ingress_address(draft, node), **times)
    draft.put(node)
    return node


def with_fitting_end(view: View, node: Node, other_end: str) -> Node:
    """The node with its tunnels ending at ``other_end`` ("" for nowhere), if they could not meet
    the others' elsewhere."""
    if other_end and _unlike(view, node) and not _unlike(view, replace(node, vtep=other_end)):
        return replace(node, vtep=other_end)
    return node


def _check_tunnels(draft: Draft, node: Node) -> None:
    """A tunnel has two ends of one family, and every host has one to every other."""
    if other := _unlike(draft, node):
        mine, theirs = ("IPv6", "IPv4") if ":" in node.vtep else ("IPv4", "IPv6")
        raise Invalid(
            f"tunnels to this host would end at {node.vtep}, those of "
            f"{other.description.hostname} at {other.vtep}, and no tunnel goes from {mine} to "
            f"{theirs}: give this host an address of {theirs} that the others reach, and name it "
            "with --data-path-addr"
        )


def _unlike(view: View, node: Node) -> Node | None:
    """A node whose tunnels end at an address of another family."""
    for other in view.nodes.values():
        if node.vtep and other.vtep and (":" in node.vtep) != (":" in other.vtep):
            return other
    return None


def update_node_status(
    draft: Draft, context: Context, node_id: str, **report: Unpack[NodeReport]
) -> None:
    """Note that a node is there (ready) or not (down). What the report leaves out stays.

    Raises `Missing`, `Invalid` if it cannot be where it says.
    """
    node = _member(draft, node_id)
    check_addresses(report.get("address", ""), report.get("vtep", ""))
    assert report["state"] in STATES, f"not a node's state: {report['state']}"
    told = replace(
        node,
        state=report["state"],
        message=report.get("message", ""),
        description=report.get("description", node.description),
        address=report.get("address") or node.address,
        vtep=report.get("vtep") or node.vtep,
    )
    if told != node:
        draft.put(replace(told, seen_at=context.now, updated_at=context.now))


def move_manager(draft: Draft, context: Context, node_id: str, address: str) -> None:
    """Note where a manager is reached ("address:port") from now on. Raises `Missing`."""
    node = _member(draft, node_id)
    if address != node.manager_address:
        draft.put(replace(node, manager_address=address, updated_at=context.now))


def report_ports(
    draft: Draft, context: Context, node_id: str, taken: tuple[TakenPort, ...]
) -> None:
    """Note which ports a node's own programs listen on. Raises `Missing`."""
    node = _member(draft, node_id)
    if taken != node.taken:
        draft.put(replace(node, taken=taken, updated_at=context.now))


def report_keys(draft: Draft, context: Context, node_id: str, keys: tuple[TunnelKey, ...]) -> None:
    """Note a node's tunnel keys. Raises `Missing`, `Invalid` (no keys, or more than
    one for a slot)."""
    node = _member(draft, node_id)
    for key in keys:
        check_key(key)
    if len({key.slot for key in keys}) != len(keys) or len(keys) > len(SLOTS):
        raise Invalid("a host has one tunnel key for each slot")
    if keys != node.keys:
        draft.put(replace(node, keys=keys, updated_at=context.now))


def report_grounds(draft: Draft, context: Context, node_id: str, grounds: Grounds) -> None:
    """Note what a node has for networks on its links; those that are made from a configuration of
    its get its range of addresses, too. Raises `Missing`."""
    node = _member(draft, node_id)
    if grounds == node.grounds:
        return
    draft.put(replace(node, grounds=grounds, updated_at=context.now))
    forms = {form.name: form for form in grounds.forms}
    for network in list(draft.networks.values()):
        if network.spec.lower and network.spec.form in forms:
            draft.put(extended(network, forms[network.spec.form]))


def _member(draft: Draft, node_id: str) -> Node:
    node = draft.nodes.get(node_id)
    if node is None:
        raise rpc.absent(f"node {node_id} not found")
    return node


def update_node(
    draft: Draft, context: Context, reference: str, version: int, spec: NodeSpec
) -> None:
    """Change a node's labels and availability.

    Raises `Missing`, `OutOfSequence`, `Invalid`, `Unsupported` (another role).
    """
    node = draft.find_node(reference)
    if spec.availability not in AVAILABILITIES:
        raise Invalid(f"invalid Availability: {spec.availability!r}")
    check_node_options(spec.labels)
    if spec.role != node.spec.role:
        _refuse_role(draft, node, spec)
    if node.version != version:
        raise OutOfSequence
    draft.put(replace(node, spec=spec, updated_at=context.now))


def _refuse_role(draft: Draft, node: Node, spec: NodeSpec) -> None:
    if spec.role not in ("worker", "manager"):
        raise Invalid(f"invalid Role: {spec.role!r}")
    managers = [other for other in draft.nodes.values() if other.spec.role == "manager"]
    if managers == [node]:
        raise rpc.precondition("attempting to demote the last manager of the swarm")
    names = ", ".join(sorted(other.description.hostname for other in managers))
    raise Unsupported(
        "a second manager needs a store that several managers share, which this version of Skep "
        f"does not have: node {node.description.hostname} stays a {node.spec.role}, "
        f"and {names} the swarm's manager"
    )


def remove_node(draft: Draft, context: Context, reference: str, *, force: bool = False) -> None:
    """Remove a node that is down, or by force. Its tasks are lost, its attachments freed.

    Raises `Missing`, `Invalid` (a manager, or not down).
    """
    node = draft.find_node(reference)
    if node.spec.role == "manager":
        raise rpc.precondition(
            f"node {node.id} is a cluster manager and is a member of the raft cluster. "
            "It must be demoted to worker before removal"
        )
    if node.state == "ready" and not force:
        raise rpc.precondition(f"node {node.id} is not down and can't be removed")
    for task in draft.tasks_of_node(node.id):
        if not task.service_id or not is_placed(task):
            draft.delete(task)
        elif not is_dead(task):
            draft.put(_lost(context, task))
    draft.delete(node)


def _lost(context: Context, task: Task) -> Task:
    status = TaskStatus(
        state=TaskState.ORPHANED,
        timestamp=context.now,
        message="the node was removed",
        container_id=task.status.container_id,
    )
    desired = max(task.desired_state, TaskState.SHUTDOWN)
    return replace(task, desired_state=desired, status=status, updated_at=context.now)
