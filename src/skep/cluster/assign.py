"""What each host is told to be: the part of the cluster's state that is its business.

A host learns of a network's endpoints only while one of its own tasks is on that network; of the
ingress network always, as every host is an entry to the mesh.
"""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster.lives import is_dead
from skep.cluster.needs import bare, is_round_robin, networks_of
from skep.cluster.state import State
from skep.cluster.view import View
from skep.model.assignment import (
    Assignment,
    NetworkAssignment,
    NetworkEndpoint,
    NetworkService,
    PeerNode,
)
from skep.model.cluster import Attachment, Network, Node, Service, Task, TaskState
from skep.model.host import SHORT
from skep.model.ids import mac_of


def assign(state: State, node_id: str) -> Assignment:
    """The whole assignment of one host, at the state's revision.

    Its tasks are those that still concern it: wanted, or not observed dead.
    """
    cluster = state.cluster
    assert cluster is not None, "there are no assignments without a cluster"
    tasks = {task.id: task for task in state.tasks_of_node(node_id) if _concerns(task)}
    here = {a.network_id for task in tasks.values() for a in task.attachments}
    return Assignment(
        index=state.revision,
        node_id=node_id,
        cluster_id=cluster.id,
        data_path_port=cluster.data_path_port,
        mesh_key=cluster.mesh_key,
        peers={node.id: peer(node) for node in state.nodes.values()},
        networks={
            network.id: picture(state, network)
            if network.spec.ingress or network.id in here
            else mention(network)
            for network in state.networks.values()
            if network.spec.ingress or network.spec.attachable or network.id in here
        },
        tasks=tasks,
    )


def _concerns(task: Task) -> bool:
    return task.desired_state <= TaskState.RUNNING or not is_dead(task)


def peer(node: Node) -> PeerNode:
    """What hosts know of each other."""
    return PeerNode(
        id=node.id,
        hostname=node.description.hostname,
        address=node.address,
        vtep=node.vtep,
        ingress_address=node.ingress_address,
        manager_address=node.manager_address,
    )


def mention(network: Network) -> NetworkAssignment:
    """A network that a host knows by name only."""
    return NetworkAssignment(
        id=network.id,
        spec=network.spec,
        created_at=network.created_at,
        # The cursor is the allocator's own business; hosts need not hear of every address.
        subnets=tuple(replace(subnet, cursor="") for subnet in network.subnets),
    )


def picture(state: View, network: Network) -> NetworkAssignment:
    """A network with all that is on it."""
    return replace(
        mention(network),
        present=True,
        endpoints={
            task.id: endpoint(state, task, attachment)
            for task in state.tasks_of_network(network.id)
            if task.node_id in state.nodes
            for attachment in task.attachments
            if attachment.network_id == network.id
        },
        services={
            found.id: found
            for service in state.services_of_network(network.id)
            if (found := on_network(service, network)) is not None
        },
    )


def endpoint(state: View, task: Task, attachment: Attachment) -> NetworkEndpoint:
    """A task's endpoint. It is ready while it runs, is wanted, and its host is there."""
    ready = (
        task.status.state == TaskState.RUNNING
        and task.desired_state == TaskState.RUNNING
        and state.nodes[task.node_id].state != "down"
    )
    return NetworkEndpoint(
        task_id=task.id,
        node_id=task.node_id,
        address=bare(attachment.address),
        mac=mac_of(attachment.address),
        names=names_of(task, attachment),
        service_id=task.service_id,
        ready=ready,
    )


def names_of(task: Task, attachment: Attachment) -> tuple[str, ...]:
    """All names of a task's container on one network, its own first."""
    spec = task.spec.container_spec
    hostname = spec.hostname if spec else ""
    names = [
        task.name,
        task.status.container_id[:SHORT],
        # A template is filled in on the host; as it stands it is no name.
        "" if "{{" in hostname else hostname,
        *attachment.aliases,
    ]
    return tuple(dict.fromkeys(name for name in names if name))


def on_network(service: Service, network: Network) -> NetworkService | None:
    """A service as a network sees it; None while it has no place there."""
    allocated = service.endpoint
    if allocated is None:
        return None
    vips = {vip.network_id: bare(vip.address) for vip in allocated.virtual_ips}
    vip = vips.get(network.id, "")
    if not vip and not is_round_robin(service.spec):
        # Its VIP is yet to come. Without one it would pass for round robin.
        return None
    configs = [config for config in networks_of(service.spec) if config.target == network.id]
    return NetworkService(
        id=service.id,
        name=service.spec.name,
        vip=vip,
        mark=allocated.mark,
        aliases=tuple(dict.fromkeys(alias for config in configs for alias in config.aliases)),
        ports=allocated.ports if network.spec.ingress else (),
    )
