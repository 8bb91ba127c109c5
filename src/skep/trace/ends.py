"""Where a trace begins: FROM, found among the hosts."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.model.errors import Invalid, Missing
from skep.model.host import INGRESS_SANDBOX, Sandbox
from skep.model.netstate import HOST
from skep.plan.journey import OUTSIDE, Place
from skep.trace.asked import Source, Target
from skep.trace.scene import Host, Scene

LEAST_PREFIX = 4
"""Digits of an id that are enough to mean it."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where the packet is made, or (from outside) comes in. ``source`` is its address if it is not
    for the kernel to choose."""

    place: Place
    label: str
    source: str = ""
    box: Sandbox | None = None


def find_start(scene: Scene, source: Source, target: Target) -> Start:
    """FROM. Raises `Missing`, or `Invalid` if it means several things."""
    if source.outside:
        entry = source.entry or target.name
        host = find_host(scene, entry)
        if host is None and source.entry:
            raise _no_host(scene, source.entry)
        host = host or next(iter(scene.hosts.values()), None)
        if host is None:
            raise Missing("no host answered: there is nothing to trace through")
        place = Place(host.vtep, HOST, OUTSIDE)
        return Start(place=place, label=f"{source.outside} (outside)", source=source.outside)
    found = list(boxes(scene, source.name))
    if found:
        host, box = found[0]
        place = Place(host.vtep, box.namespace)
        return Start(place=place, label=f"{host.owner(box.namespace)} on {host.name}", box=box)
    host = find_host(scene, source.name)
    if host is not None:
        return Start(place=Place(host.vtep, HOST), label=f"host {host.name}")
    raise _no_host(scene, source.name)


def _no_host(scene: Scene, name: str) -> Missing:
    for report in scene.silent.values():
        if name in (report.hostname, report.node_id, report.vtep, report.address):
            return Missing(f"host {report.hostname} cannot be looked into: {report.silence}")
    silent = ", ".join(f"{each.hostname} ({each.silence})" for each in scene.silent.values())
    beside = f"; not asked: {silent}" if silent else ""
    alone = "" if scene.survey.whole else " on this host (a manager sees all of them)"
    return Missing(f"there is no container, task, service or host {name}{alone}{beside}")


def find_host(scene: Scene, name: str) -> Host | None:
    """The host of this name, id or address, if it answered."""
    for host in scene.hosts.values():
        if name and (name in (host.name, host.node_id) or host.has_address(name)):
            return host
    return None


def boxes(scene: Scene, name: str) -> Iterator[tuple[Host, Sandbox]]:
    """The sandboxes that a name means: of the first kind of name that fits. Raises `Invalid`."""
    where, slash, inner = name.partition("/")
    host = find_host(scene, where) if slash else None
    wanted = inner if host else name
    around = [each for each in scene.sandboxes() if host is None or each[0] is host]
    exact = [each for each in around if wanted in _names(each[1])]
    found = exact or [each for each in around if _is_prefixed(each[1], wanted)]
    if not found:
        found = [each for each in around if each[1].task_id in _tasks_of(scene, wanted)]
        yield from found[:1]
        return
    if len(found) > 1:
        places = ", ".join(f"{each.name}/{wanted}" for each, _ in found)
        raise Invalid(f"{wanted} means several containers: say {places}")
    yield from found


def _names(box: Sandbox) -> tuple[str, ...]:
    if box.id == INGRESS_SANDBOX:
        return (INGRESS_SANDBOX,)
    slot = box.container_name.rpartition(".")[0] if box.task_id else ""
    return tuple(filter(None, (box.container_name, slot, box.container_id, box.namespace)))


def _is_prefixed(box: Sandbox, name: str) -> bool:
    if len(name) < LEAST_PREFIX:
        return False
    ids = (box.container_id, box.task_id)
    return any(each.startswith(name) for each in ids if each)


def _tasks_of(scene: Scene, service: str) -> set[str]:
    """The ids of a service's tasks, by the service's name or id."""
    found = set()
    for host in scene.hosts.values():
        for network in host.view.networks.values():
            ids = {each.id for each in network.services.values() if service in (each.name, each.id)}
            found |= {each.task_id for each in network.endpoints.values() if each.service_id in ids}
    for each in scene.survey.services:
        if service in (each.name, each.id):
            found |= {task.id for task in each.tasks}
    return found - {""}
