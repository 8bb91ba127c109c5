"""What each host is told to be: the part of the cluster's state that is its business.

A host learns of a network's endpoints only while one of its own tasks is on that network; of the
ingress network always, as every host is an entry to the mesh. Secrets and configs go to the hosts
whose tasks use them. `assign` says what is told; `bulletin` says the same at the cost of a change.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from skep.cluster.index import ATTACHABLE_NETWORKS
from skep.cluster.lives import is_dead, is_over, is_placed
from skep.cluster.needs import (
    bare,
    config_ids,
    ingress_ports,
    is_round_robin,
    networks_of,
    secret_ids,
    stack_of,
)
from skep.cluster.state import State
from skep.cluster.templates import expanded
from skep.cluster.view import View
from skep.model.assignment import (
    Assignment,
    NetworkAssignment,
    NetworkEndpoint,
    NetworkService,
    Payload,
    PeerNode,
)
from skep.model.cluster import (
    Attachment,
    Config,
    Network,
    Node,
    Secret,
    Service,
    Task,
    TaskState,
    VirtualIp,
)
from skep.model.host import SHORT
from skep.model.ids import mac_of
from skep.model.options import options_in
from skep.model.ula import sixth_address

Payloads = dict[str, Payload]


def assign(state: State, node_id: str) -> Assignment:
    """The whole assignment of one host, at the state's revision."""
    tasks = own_tasks(state, node_id)
    secrets, configs = payloads(state, tasks)
    return replace(
        cover(state, node_id),
        peers={node.id: peer(node) for node in state.nodes.values()},
        networks={
            id: picture(state, state.networks[id]) if present else mention(state.networks[id])
            for id, present in networks_known(state, tasks).items()
        },
        tasks=tasks,
        secrets=secrets,
        configs=configs,
    )


def cover(state: State, node_id: str) -> Assignment:
    """An assignment's single values; its maps are empty."""
    cluster = state.cluster
    assert cluster is not None, "there are no assignments without a cluster"
    return Assignment(
        index=state.revision,
        node_id=node_id,
        cluster_id=cluster.id,
        data_path_port=cluster.data_path_port,
        mesh_key=cluster.mesh_key,
        generation=cluster.generation,
    )


def peer(node: Node) -> PeerNode:
    """What hosts know of each other."""
    return PeerNode(
        id=node.id,
        hostname=node.description.hostname,
        address=node.address,
        vtep=node.vtep,
        ingress_address=node.ingress_address,
        manager_address=node.manager_address,
        labels=node.spec.labels,
        ingress_address6=node.ingress_address6,
        keys=node.keys,
    )


# --- a host's own tasks, and what they take


def own_tasks(view: View, node_id: str) -> dict[str, Task]:
    """The tasks that concern a host: all of which anything is remembered.

    The container of one that has ended is kept for as long, as its log is what users want then.
    """
    return {
        task.id: handed_out(view, task)
        for task in view.tasks_of_node(node_id)
        if is_placed(task) and not is_over(task)
    }


def handed_out(view: View, task: Task) -> Task:
    """A task as its host gets it: placeholders filled in, no address once it has ended, and its
    service's options as they are now."""
    node, service = view.nodes.get(task.node_id), view.services.get(task.service_id)
    spec = expanded(task, service, node) if node else task.spec
    options = options_in(service.spec.labels) if service else {}
    attachments = () if is_dead(task) else task.attachments
    if (spec, options, attachments) == (task.spec, task.options, task.attachments):
        return task
    return replace(task, spec=spec, options=options, attachments=attachments)


def payloads(view: View, tasks: Mapping[str, Task]) -> tuple[Payloads, Payloads]:
    """The secrets and the configs that some tasks use, save those that have ended."""
    living = [task for task in tasks.values() if not is_dead(task)]
    secrets = dict.fromkeys(id for task in living for id in secret_ids(task.spec))
    configs = dict.fromkeys(id for task in living for id in config_ids(task.spec))
    return (
        {id: payload(view.secrets[id]) for id in secrets if id in view.secrets},
        {id: payload(view.configs[id]) for id in configs if id in view.configs},
    )


def payload(record: Secret | Config) -> Payload:
    """A secret's or config's content."""
    spec = record.spec
    return Payload(id=record.id, name=spec.name, data=spec.data, version=record.version)


# --- networks


def networks_known(view: View, tasks: Mapping[str, Task]) -> dict[str, bool]:
    """The networks that a host with these tasks is told of, and whether with all that is on them.

    Attachable networks, on which it has nothing yet, it is told of by name only.
    """
    known = dict.fromkeys(view.ids(ATTACHABLE_NETWORKS), False)
    known.update((a.network_id, True) for task in tasks.values() for a in task.attachments)
    known[view.ingress_id] = True
    return {id: present for id, present in known.items() if id in view.networks}


def mention(network: Network) -> NetworkAssignment:
    """A network that a host knows by name only."""
    return NetworkAssignment(
        id=network.id,
        spec=network.spec,
        created_at=network.created_at,
        # The cursor is the allocator's own business; hosts need not hear of every address.
        subnets=tuple(replace(subnet, cursor="", cursor6="") for subnet in network.subnets),
    )


def picture(view: View, network: Network) -> NetworkAssignment:
    """A network with all that is on it."""
    endpoints = {
        task.id: found
        for task in view.tasks_of_network(network.id)
        if (found := endpoint(view, task, network.id)) is not None
    }
    services = {
        service.id: shown
        for service in view.services_of_network(network.id)
        if (shown := on_network(service, network)) is not None
    }
    return replace(mention(network), present=True, endpoints=endpoints, services=services)


def endpoint(view: View, task: Task, network_id: str) -> NetworkEndpoint | None:
    """A task's endpoint on a network, None while it has none there.

    It is ready while the task runs and is wanted, and its host is there.
    """
    node = view.nodes.get(task.node_id)
    if node is None or not is_placed(task) or is_dead(task):
        return None
    attachment = next((a for a in task.attachments if a.network_id == network_id), None)
    if attachment is None:
        return None
    service, network = view.services.get(task.service_id), view.networks[network_id]
    running = task.status.state == TaskState.RUNNING
    return NetworkEndpoint(
        task_id=task.id,
        node_id=task.node_id,
        address=bare(attachment.address),
        mac=mac_of(attachment.address),
        names=names_of(handed_out(view, task), attachment),
        service_id=task.service_id,
        ready=running and task.wanted and node.state != "down",
        stack=stack_of(service.spec) if service else "",
        address6=bare(sixth_address(network.subnets, attachment.address, attachment.address6)),
    )


def names_of(task: Task, attachment: Attachment) -> tuple[str, ...]:
    """All names of a task's container on one network, its own first."""
    spec = task.spec.container_spec
    hostname = spec.hostname if spec else ""
    names = [task.name, task.status.container_id[:SHORT], hostname, *attachment.aliases]
    return tuple(dict.fromkeys(name for name in names if name))


def on_network(service: Service, network: Network) -> NetworkService | None:
    """A service as a network sees it; None while it has no place there."""
    allocated = service.endpoint
    if allocated is None:
        return None
    vips = {vip.network_id: vip for vip in allocated.virtual_ips}
    found = vips.get(network.id, VirtualIp(network.id, ""))
    vip = bare(found.address)
    configs = [config for config in networks_of(service.spec) if config.target == network.id]
    known_by_tasks = is_round_robin(service.spec) or network.spec.lower
    if not vip and not (configs and known_by_tasks):
        # It is not here, or its VIP is yet to come: without one it would pass for round robin.
        return None
    return NetworkService(
        id=service.id,
        name=service.spec.name,
        vip=vip,
        mark=allocated.mark,
        aliases=tuple(dict.fromkeys(alias for config in configs for alias in config.aliases)),
        ports=ingress_ports(allocated.ports) if network.spec.ingress else (),
        stack=stack_of(service.spec),
        created_at=service.created_at,
        options=options_in(service.spec.labels),
        vip6=bare(sixth_address(network.subnets, found.address, found.address6)),
    )
