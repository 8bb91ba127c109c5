"""What a trace and the doctor say of the cluster's own records."""

from __future__ import annotations

from skep.cluster.allocate import capacity
from skep.cluster.lives import is_dead
from skep.cluster.state import State
from skep.model.cluster import Network, Service, Task
from skep.trace.survey import Fill, ServiceFact, TaskFact


def service_fact(state: State, service: Service) -> ServiceFact:
    """What a trace says of a service."""
    names = {network.id: network.spec.name for network in state.networks.values()}
    endpoint = service.endpoint
    vips = endpoint.virtual_ips if endpoint else ()
    configs = service.spec.task_template.networks or service.spec.networks
    networks = [names.get(each.target, each.target) for each in configs]
    tasks = sorted(state.tasks_of_service(service.id), key=lambda task: task.created_at)
    return ServiceFact(
        id=service.id,
        name=service.spec.name,
        networks=tuple(networks),
        vips={names.get(v.network_id, v.network_id): v.address.partition("/")[0] for v in vips},
        ports=endpoint.ports if endpoint else (),
        tasks=tuple(task_fact(each) for each in tasks),
    )


def task_fact(task: Task) -> TaskFact:
    """What a trace says of a task."""
    status = task.status
    return TaskFact(
        id=task.id,
        name=task.name.rpartition(".")[0],
        node_id=task.node_id,
        desired=task.desired_state.word,
        state=status.state.word,
        message=status.error or ("" if is_dead(task) else status.message),
        error=status.error,
    )


def fills_of(state: State, network: Network) -> list[Fill]:
    """How many IPv4 addresses of each of a network's subnets are taken: IPv6 does not run out."""
    taken = sum(numbers.below(1 << 32) for numbers in state.addresses(network))
    if not network.subnets:
        return []
    subnets = ", ".join(subnet.config.subnet for subnet in network.subnets)
    size = capacity(network)
    return [Fill(network=network.spec.name, subnet=subnets, used=min(taken, size), size=size)]
