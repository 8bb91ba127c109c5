"""Under which keys an object is found again. One inverted index serves all look-ups of a state.

An address belongs to its holder until the holder is observed dead: that rule lives here and nowhere
else, so no allocation can see an address as free that a container may still use.
"""

from __future__ import annotations

from collections.abc import Iterator

from skep.cluster.needs import bare, networks_of
from skep.model.cluster import Network, Node, Record, Service, Task, TaskState

Key = tuple[str, ...]

INGRESS = "ingress"
"""Stands for the ingress network's id in keys of node addresses: a node does not know it."""


def keys(record: Record) -> Iterator[Key]:
    """All index keys of an object."""
    match record:
        case Task():
            yield from _task_keys(record)
        case Service():
            yield from _service_keys(record)
        case Network():
            yield ("networks", "name", record.spec.name)
            if record.spec.ingress:
                yield (INGRESS,)
        case Node():
            yield ("nodes", "name", record.description.hostname)
            if record.ingress_address:
                yield ("address", INGRESS, bare(record.ingress_address))


def _task_keys(task: Task) -> Iterator[Key]:
    if task.service_id:
        yield ("tasks", "service", task.service_id)
    if task.node_id:
        yield ("tasks", "node", task.node_id)
    if task.status.state <= TaskState.RUNNING:
        for attachment in task.attachments:
            yield ("tasks", "network", attachment.network_id)
            yield ("address", attachment.network_id, bare(attachment.address))


def _service_keys(service: Service) -> Iterator[Key]:
    yield ("services", "name", service.spec.name)
    virtual_ips = service.endpoint.virtual_ips if service.endpoint else ()
    targets = [config.target for config in networks_of(service.spec)]
    for network_id in dict.fromkeys([*targets, *(vip.network_id for vip in virtual_ips)]):
        yield ("services", "network", network_id)
    for vip in virtual_ips:
        yield ("address", vip.network_id, bare(vip.address))
