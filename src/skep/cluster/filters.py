"""Why a node will not do for a task, in words.

A filter looks at a task once, and answers a check that looks at nodes, or None if any node will do
as far as it is concerned. So a task that asks for little costs little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from skep.cluster import constraints
from skep.cluster.claims import Claim
from skep.cluster.loads import Load, Unit, reservation_of, units
from skep.cluster.needs import HOST_MODE
from skep.cluster.parents import unfit_for
from skep.cluster.view import View
from skep.model.cluster import Node, Task
from skep.model.host import MOST_PORTS
from skep.model.spec import DiscreteResource, GenericResource, NamedResource

Check = Callable[[Node, Load], str]
"""Says why the node, carrying this load, will not do; "" if it will."""

Filter = Callable[[Task], Check | None]


def is_ready(_task: Task) -> Check:
    """Only hosts that are there."""
    return lambda node, _load: "" if node.state == "ready" else "not ready"


def is_available(_task: Task) -> Check:
    """Only hosts that take new tasks."""

    def check(node: Node, _load: Load) -> str:
        wanted = node.spec.availability
        return "" if wanted == "active" else f"availability {wanted}"

    return check


def meets_constraints(task: Task) -> Check | None:
    """Only hosts that all constraints hold for."""
    expressions = task.spec.placement.constraints if task.spec.placement else ()
    if not expressions:
        return None
    parsed = constraints.parse(expressions)

    def check(node: Node, _load: Load) -> str:
        broken = next((c for c in parsed if not constraints.satisfied(c, node)), None)
        return f"constraint {broken}" if broken else ""

    return check


def has_platform(task: Task) -> Check | None:
    """Only hosts that the image runs on."""
    platforms = task.spec.placement.platforms if task.spec.placement else ()
    if not platforms:
        return None

    def check(node: Node, _load: Load) -> str:
        return "" if constraints.runs_on(platforms, node) else "unsupported platform"

    return check


def has_resources(task: Task) -> Check | None:
    """Only hosts that can still set aside what the task reserves."""
    wanted = reservation_of(task)
    if not wanted.nano_cpus and not wanted.memory_bytes:
        return None

    def check(node: Node, load: Load) -> str:
        if wanted.nano_cpus > node.description.nano_cpus - load.nano_cpus:
            return "insufficient CPU"
        if wanted.memory_bytes > node.description.memory_bytes - load.memory:
            return "insufficient memory"
        return ""

    return check


def has_generic_resources(task: Task) -> Check | None:
    """Only hosts with enough units left of each generic resource."""
    wanted = units(reservation_of(task).generic_resources)
    if not wanted:
        return None

    def check(node: Node, load: Load) -> str:
        free = _free(node, load)
        for (kind, value), number in wanted.items():
            if not _candidates(free, kind, value, number):
                return f"insufficient {kind}"
        return ""

    return check


def _free(node: Node, load: Load) -> Counter[Unit]:
    free = units(node.description.generic_resources)
    free.subtract(load.generic)
    return free


def _candidates(
    free: Counter[Unit], kind: str, value: str, number: int
) -> tuple[GenericResource, ...]:
    """``number`` units out of the free ones; none if there are not so many.

    A node that names its units gives them by name, the first ones first.
    """
    if value:
        names = [value] if free[kind, value] > 0 else []
    else:
        names = sorted(
            name for (k, name), count in free.items() if k == kind and name and count > 0
        )
    if len(names) >= number:
        return tuple(
            GenericResource(named_resource_spec=NamedResource(kind=kind, value=name))
            for name in names[:number]
        )
    if value or free[kind, ""] < number:
        return ()
    return (GenericResource(discrete_resource_spec=DiscreteResource(kind=kind, value=number)),)


def claimed(task: Task, node: Node, load: Load) -> tuple[GenericResource, ...]:
    """The units of generic resources that the task is given on a node that has enough of them."""
    wanted = units(reservation_of(task).generic_resources)
    if not wanted:
        return ()
    free = _free(node, load)
    return tuple(
        unit
        for (kind, value), number in wanted.items()
        for unit in _candidates(free, kind, value, number)
    )


def has_ports(task: Task) -> Check | None:
    """Only hosts on which nobody publishes, and no program has, one of the task's own ports (mode
    host)."""
    wanted = [(p.protocol, p.published_port) for p in task.host_ports if p.published_port]
    if not wanted:
        return None
    claims = [Claim(protocol, port, HOST_MODE) for protocol, port in wanted]

    def check(node: Node, load: Load) -> str:
        for protocol, port in wanted:
            if user := load.user_of(protocol, port):
                return f"port {port} in use by service {user}"
        for claim in claims:
            for taken in node.taken:
                if claim.takes(taken):
                    return f"port {taken.words} in use by {taken.holder}"
        return ""

    return check


def has_room(task: Task) -> Check | None:
    """Only hosts with fewer than ``--replicas-max-per-node`` tasks of the service."""
    limit = task.spec.placement.max_replicas if task.spec.placement else 0
    if not limit:
        return None

    def check(_node: Node, load: Load) -> str:
        if load.services[task.service_id] >= limit:
            return f"max replicas per node {limit}"
        return ""

    return check


def on_bridges(view: View) -> Filter:
    """Only hosts whose bridges can carry the task's endpoints."""

    def has_bridge_ports(task: Task) -> Check | None:
        wanted = [attachment.network_id for attachment in task.attachments]

        def check(_node: Node, load: Load) -> str:
            return no_bridge_port(view, wanted, load)

        return check if wanted else None

    return has_bridge_ports


def no_bridge_port(view: View, wanted: Iterable[str], load: Load) -> str:
    """Which bridge of a host that carries ``load`` has no port left for one more container on the
    networks ``wanted``, in words; "" if none."""
    for network_id in wanted:
        if view.networks[network_id].spec.lower:
            continue
        if load.endpoints[network_id] >= MOST_PORTS:
            name = view.networks[network_id].spec.name
            return f"network {name}: {MOST_PORTS} of {MOST_PORTS} endpoints of one host in use"
    if load.attached >= MOST_PORTS:
        return f"docker_gwbridge: {MOST_PORTS} of {MOST_PORTS} endpoints of one host in use"
    return ""


def on_links(view: View) -> Filter:
    """Only hosts that have what the task's networks on links of the hosts need."""

    def has_grounds(task: Task) -> Check | None:
        networks = (view.networks.get(attachment.network_id) for attachment in task.attachments)
        wanted = [network for network in networks if network and network.spec.lower]

        def check(node: Node, _load: Load) -> str:
            return next(filter(None, (unfit_for(node, network) for network in wanted)), "")

        return check if wanted else None

    return has_grounds


LASTING: tuple[Filter, ...] = (is_ready, is_available, meets_constraints, has_platform)
"""What depends on the node alone."""

PASSING: tuple[Filter, ...] = (has_resources, has_generic_resources, has_ports, has_room)
"""What depends on the node's load."""


def checks(filters: tuple[Filter, ...], task: Task) -> tuple[Check, ...]:
    """The checks that a task needs, in order."""
    return tuple(check for each in filters if (check := each(task)) is not None)


def refusal(checks: tuple[Check, ...], node: Node, load: Load) -> str:
    """Why the node will not do: the first check's words, "" if it will."""
    for check in checks:
        words = check(node, load)
        if words:
            return words
    return ""
