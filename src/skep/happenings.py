"""From committed changes and the engine's events to the events that users see. Pure.

Source of actions and attributes: moby daemon/events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from skep.api.ports import Container, Event, Joined
from skep.cluster.change import Change
from skep.cluster.state import State
from skep.engine.events import ContainerEvent
from skep.engine.reference import familiar
from skep.model.cluster import Config, Network, Node, Record, Secret, Service
from skep.model.host import Endpoint

KINDS = {
    "networks": "network",
    "services": "service",
    "nodes": "node",
    "secrets": "secret",
    "configs": "config",
}
"""The kinds of the cluster's objects that have events, and their names there."""

ACTIONS = {"remove": "destroy"}
"""The engine's words for what Docker calls otherwise."""

IMAGE_ACTIONS = frozenset({"build", "import", "tag", "untag"})
"""What the engine's word is good for: of the others it speaks before they succeed, or fail."""

UNSPOKEN = frozenset({"cleanup", "init", "mount", "rename", "sync", "unmount"})
"""What the engine tells of its own doings."""

CONNECTIONS = {"start": "connect", "die": "disconnect"}
"""What a container's start and end mean to its networks."""

GATEWAY_NETWORK = "docker_gwbridge"


# --- the cluster's


def of_changes(changes: Iterable[Change], before: State, now: float) -> Iterator[Event]:
    """The events of one commit: networks, services, nodes, secrets and configs made, changed or
    removed. ``before`` is the state without the changes."""
    for change in changes:
        kind = KINDS.get(change.kind)
        old = before.records(change.kind).get(change.id)
        record = change.record or old
        if kind is None or record is None or (kind == "network" and change.record and old):
            continue  # networks are never updated: what changes is where addresses were taken
        yield Event(
            kind=kind,
            action=action_of(old, change.record),
            id=change.id,
            attributes={"name": name_of(record), **news_of(old, change.record)},
            time=now,
            scope="swarm",
        )


def action_of(old: Record | None, new: Record | None) -> str:
    """Docker's word for what became of the object."""
    if new is None:
        return "remove"
    return "create" if old is None else "update"


def name_of(record: Record) -> str:
    """What the user calls the object."""
    match record:
        case Network() | Service() | Secret() | Config():
            return record.spec.name
        case Node():
            return record.spec.name or record.description.hostname
        case _:
            return record.id


def news_of(old: Record | None, new: Record | None) -> dict[str, str]:
    """What an update changed, as far as Docker tells: ``x.old`` and ``x.new``."""
    match old, new:
        case Node(), Node():
            return _differences(_facts_of_node(old), _facts_of_node(new))
        case Service(), Service():
            return _differences(_facts_of_service(old), _facts_of_service(new))
        case _:
            return {}


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Both values of what is another one now; of what there was nothing before, the new one."""
    found = {}
    for name, value in new.items():
        former = old.get(name, "")
        if former == value:
            continue
        if former:
            found[f"{name}.old"] = former
        found[f"{name}.new"] = value
    return found


def _facts_of_node(node: Node) -> dict[str, str]:
    facts = {
        "availability": node.spec.availability,
        "role": node.spec.role,
        "state": node.state,
    }
    if node.spec.role == "manager":
        facts["reachability"] = "reachable" if node.state == "ready" else "unreachable"
    return facts


def _facts_of_service(service: Service) -> dict[str, str]:
    facts = {}
    container, mode = service.spec.task_template.container_spec, service.spec.mode
    if container is not None:
        facts["image"] = container.image
    if mode.replicated is not None and mode.replicated.replicas is not None:
        facts["replicas"] = str(mode.replicated.replicas)
    if service.update_status is not None:
        facts["updatestate"] = service.update_status.state
    return facts


# --- this host's


def of_container(
    event: ContainerEvent, container: Container | None, drivers: Mapping[str, str], now: float
) -> Iterator[Event]:
    """The events of something that happened to a container, its networks' included.

    ``container`` is our record of it as it was then, None if there is none; ``drivers`` are those
    of this host's own networks by id.
    """
    if event.action in UNSPOKEN:
        return
    instant = event.time or now
    attributes = dict(event.attributes)
    if container is not None:
        attributes |= {**container.labels, "name": container.name, "image": container.image}
    if event.action == "die":
        attributes["exitCode"] = str(event.exit_code)
    told = Event(
        kind="container",
        action=ACTIONS.get(event.action, event.action),
        id=event.id,
        attributes=attributes,
        time=instant,
    )
    action = CONNECTIONS.get(event.action)
    found = _endpoints(container) if container is not None and action is not None else ()
    networks = [
        Event(
            kind="network",
            action=action or "",
            id=endpoint.network_id,
            attributes={
                "container": event.id,
                "name": endpoint.network_name,
                "type": drivers.get(endpoint.network_id, "overlay"),
            },
            time=instant,
        )
        for endpoint in found
    ]
    yield from (*networks, told) if action == "connect" else (told, *networks)


def of_object(event: ContainerEvent, now: float) -> Iterator[Event]:
    """The event of something that happened to an image or a volume of this host."""
    if event.action in UNSPOKEN:
        return
    name = event.attributes.get("name", "")
    if event.kind == "image":
        if event.action not in IMAGE_ACTIONS:
            return
        action, name = event.action, familiar(name)
        id, attributes = digest(event.id) or name, {"name": name}
    else:
        action, id = ACTIONS.get(event.action, event.action), name or event.id
        attributes = {"driver": "local"}
    yield Event(
        kind=event.kind, action=action, id=id, attributes=attributes, time=event.time or now
    )


def digest(image: str) -> str:
    """An image's id with its algorithm, which the engine leaves out."""
    return f"sha256:{image}" if image and not image.startswith("sha256:") else image


def of_network(action: str, network: Joined, container_id: str, now: float) -> Event:
    """The event of something that a user did with a network of this host, or with a container and
    any network."""
    attributes = {"name": network.name, "type": network.driver}
    if container_id:
        attributes["container"] = container_id
    return Event(kind="network", action=action, id=network.id, attributes=attributes, time=now)


def _endpoints(container: Container) -> tuple[Endpoint, ...]:
    """A container's endpoints; the leg on docker_gwbridge is the host's business."""
    endpoints = container.sandbox.endpoints if container.sandbox else ()
    return tuple(endpoint for endpoint in endpoints if endpoint.network_name != GATEWAY_NETWORK)
