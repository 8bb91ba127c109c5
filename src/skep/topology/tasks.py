"""Containers, as boxes of the picture: those that hosts show, and those that are still to come."""

from __future__ import annotations

from collections.abc import Container, Iterator

import msgspec

from skep.model.cluster import Task, TaskState
from skep.model.glance import Gauge, Glimpse, Space
from skep.model.host import INGRESS_SANDBOX, Endpoint, Sandbox
from skep.topology import graph as g
from skep.topology.graph import Part, Thing
from skep.topology.sources import Sources


class Placed(msgspec.Struct, frozen=True):
    """A box, its host (node id, "" for none), and its plugs: link ("" if there is none yet) and
    network id."""

    thing: Thing
    node_id: str
    plugs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_mesh(cls, glimpse: Glimpse, box: Sandbox) -> Placed:
        """A host's ingress sandbox."""
        return _seen(glimpse, box, _local_networks(glimpse))


def _local_networks(glimpse: Glimpse) -> frozenset[str]:
    """The ids of the networks that are a host's alone."""
    found = {each.network_id for each in glimpse.bridges}
    return frozenset(found | {each.network_id for each in glimpse.lans if not each.swarm})


def boxes(sources: Sources) -> list[Placed]:
    """All containers that run, or should."""
    tasks = {each.id: each for each in sources.tasks}
    hosts = {each.id: each.description.hostname for each in sources.nodes}
    images = {each.id: _image(each) for each in tasks.values()}
    # A container that was started by hand does not know the task that holds its addresses.
    by_hand = {each.status.container_id: each for each in tasks.values() if not each.service_id}
    found: dict[str, Placed] = {}
    for node_id in hosts:
        glimpse = sources.glimpses.get(node_id)
        if glimpse is None:
            continue
        local = _local_networks(glimpse)
        for box in glimpse.sandboxes:
            if box.id != INGRESS_SANDBOX:
                task = tasks.get(box.task_id) or by_hand.get(box.container_id)
                placed = _seen(glimpse, box, local, task, images[task.id] if task else "")
                found[placed.thing.id] = placed
    for task in tasks.values():
        if f"box:{task.id}" not in found and _is_due(task):
            found[f"box:{task.id}"] = _expected(task, hosts, images[task.id], sources)
    return list(found.values())


def _is_due(task: Task) -> bool:
    """Whether a task that no host shows belongs into the picture."""
    state = task.status.state
    if task.wanted:
        return state != TaskState.COMPLETE
    return TaskState.ASSIGNED <= state <= TaskState.RUNNING


def judged(task: Task) -> tuple[str, str]:
    """A task's state in the picture, and why it is not ok."""
    status = task.status
    said = status.error or status.message
    if not task.wanted:
        if status.state > TaskState.RUNNING:
            return g.BROKEN if status.error else g.CHANGING, said or status.state.word
        return g.CHANGING, "stopping"
    if status.state == TaskState.RUNNING:
        return g.OK, ""
    if status.state > TaskState.RUNNING or status.error:
        return g.BROKEN, f"{status.state.word}: {said}" if said else status.state.word
    return g.CHANGING, f"{status.state.word}: {said}" if said else status.state.word


def _image(task: Task) -> str:
    return task.spec.container_spec.image if task.spec.container_spec else ""


def name_of(task: Task, hostname: str) -> str:
    """A task's name without its id; of a global service's with its host's name."""
    if task.container_name:
        return task.container_name
    if task.slot:
        return f"{task.service_name}.{task.slot}"
    return f"{task.service_name}@{hostname}"


# --- those that a host shows


def _seen(
    glimpse: Glimpse, box: Sandbox, local: Container[str], task: Task | None = None, image: str = ""
) -> Placed:
    state, note = judged(task) if task else (g.OK, "")
    space = glimpse.spaces.get(box.namespace)
    if state == g.OK:
        state, note = _complete(glimpse, box, space)
    thing = Thing(
        id=f"box:{task.id if task else box.task_id or box.container_id or box.id}",
        kind=g.BOX,
        name=name_of(task, glimpse.hostname) if task else box.container_name or box.namespace,
        parent=f"host:{glimpse.node_id}",
        state=state,
        note=note,
        namespace=box.namespace,
        asked=f"{glimpse.hostname}/{box.namespace}",
        service=f"service:{task.service_id}" if task and task.service_id else "",
        networks=_networks(
            each.network_id for each in box.endpoints if each.network_id not in local
        ),
        facts=_facts(task, image, box.container_id),
        parts=tuple(_interface(each, space) for each in box.endpoints),
    )
    plugs = tuple((each.link, each.network_id) for each in box.endpoints)
    return Placed(thing, glimpse.node_id, plugs)


def _networks(ids: Iterator[str]) -> tuple[str, ...]:
    return tuple(f"network:{id}" for id in ids)


def _complete(glimpse: Glimpse, box: Sandbox, space: Space | None) -> tuple[str, str]:
    """Whether a sandbox's kernel has what its record says."""
    if space is None:
        note = f"its namespace {box.namespace} is missing"
    else:
        up = {each.name for each in space.gauges if each.up}
        there = {each.name for each in space.gauges}
        wrong = [
            f"{each.link} is {'down' if each.link in there else 'missing'}"
            for each in box.endpoints
            if each.link not in up
        ]
        if not wrong:
            return g.OK, ""
        note = ", ".join(wrong)
    return (g.CHANGING if glimpse.busy else g.BROKEN), note


def _interface(endpoint: Endpoint, space: Space | None) -> Part:
    gauges = {each.name: each for each in space.gauges} if space else {}
    gauge = gauges.get(endpoint.link, Gauge(name=endpoint.link))
    return Part(
        name=endpoint.link,
        kind=gauge.kind or "veth",
        network=endpoint.network_name,
        address=endpoint.address,
        address6=endpoint.address6,
        mac=gauge.mac or endpoint.mac,
        mtu=gauge.mtu,
        index=gauge.index,
        peer=endpoint.port,
        up=gauge.up,
    )


def _facts(task: Task | None, image: str, container_id: str) -> dict[str, str]:
    facts = {
        "image": image,
        "state": task.status.state.word if task else "",
        "task": task.id if task else "",
        "container": container_id[:12],
    }
    return {key: value for key, value in facts.items() if value}


# --- those that are only known of


def _expected(task: Task, hosts: dict[str, str], image: str, sources: Sources) -> Placed:
    state, note = judged(task)
    known = task.node_id in hosts
    if known and task.node_id not in sources.glimpses and state == g.OK:
        silence = sources.silences.get(task.node_id, "its host was not heard of yet")
        state, note = g.UNKNOWN, silence
    elif state == g.OK:
        # Its container has no network of ours (host, none), or is just being made.
        note = ""
    names = {each.id: each.spec.name for each in sources.networks}
    thing = Thing(
        id=f"box:{task.id}",
        kind=g.BOX,
        name=name_of(task, hosts.get(task.node_id, task.node_id)),
        parent=f"host:{task.node_id}" if known else g.NOT_PLACED,
        state=state,
        note=note,
        service=f"service:{task.service_id}" if task.service_id else "",
        networks=_networks(each.network_id for each in task.attachments),
        facts=_facts(task, image, task.status.container_id),
        parts=tuple(
            Part(
                name="", kind="veth", network=names.get(each.network_id, each.network_id),
                address=each.address, address6=each.address6,
            )
            for each in task.attachments
        ),
    )  # fmt: skip
    plugs = tuple(("", each.network_id) for each in task.attachments) if known else ()
    return Placed(thing, task.node_id if known else "", plugs)
