"""Whether a packet that was not lost ended well: somebody listens, or it left by a real route."""

from __future__ import annotations

from skep.model.host import INGRESS_SANDBOX
from skep.model.netstate import HOST
from skep.plan.journey import Delivered, Departed, Journey
from skep.plan.layout import holds
from skep.trace.drift import place
from skep.trace.losses import place_words
from skep.trace.report import Trouble
from skep.trace.scene import Host, Scene
from skep.trace.survey import tasks_in_words
from skep.trace.verdict import Judged


def judge_arrival(scene: Scene, journey: Journey) -> Judged | None:
    """What is wrong with the end of a packet that was not lost; None if somebody takes it."""
    end, step = journey.end, len(journey.hops)
    if isinstance(end, Departed):
        network = scene.network_of(end.flow.target)
        if not network:
            return way_out(scene, journey, end)
        trouble = Trouble(
            where=place_words(scene, end.at),
            why=f"it leaves for the outside, although {end.flow.target} is on network {network}: "
            "whoever sends it is not on that network",
            should=f"sent from network {network}",
            todo=f"docker network connect {network} CONTAINER",
        )
        return Judged(step=step, at=end.at, trouble=trouble)
    if isinstance(end, Delivered):
        return _delivered(scene, journey, end)
    return None


def way_out(scene: Scene, journey: Journey, end: Departed) -> Judged | None:
    """What is wrong with a way out of the cluster, which is by the host's own routes."""
    host = scene.hosts.get(end.at.host)
    if host is None or not host.inspection.devices:
        return None
    if any(holds(each.destination, end.flow.target) for each in host.inspection.routes):
        return None
    trouble = Trouble(
        where=place(host, HOST),
        why=f"the host has no route to {end.flow.target}",
        should="a route, at least a default one",
        todo=f"on {host.name}: ip route",
    )
    return Judged(step=len(journey.hops), at=end.at, trouble=trouble)


def _delivered(scene: Scene, journey: Journey, end: Delivered) -> Judged | None:
    host = scene.hosts[end.at.host]
    step = len(journey.hops)
    if end.at.namespace == INGRESS_SANDBOX and end.flow.target_port:
        trouble = _no_task_behind_port(scene, end)
        return Judged(step=step, at=end.at, trouble=trouble)
    if not end.flow.target_port or end.at.namespace not in host.inspection.insides:
        return None
    why = _unheard(host, end)
    if not why:
        return None
    owner = host.owner(end.at.namespace)
    published = end.at.namespace == HOST
    todo = (
        f"nothing is published there: {_published(host)}"
        if published
        else f"see what {owner} runs: docker logs {owner} on {host.name}"
    )
    trouble = Trouble(
        where=place(host, end.at.namespace),
        why=why,
        should=f"a listener on {end.flow.protocol} {end.flow.target_port}",
        todo=todo,
    )
    return Judged(step=step, at=end.at, trouble=trouble)


def _unheard(host: Host, end: Delivered) -> str:
    """Why nobody takes the packet; "" if somebody does."""
    flow = end.flow
    waiting = host.listeners(end.at.namespace, flow.protocol, flow.target_port)
    # Who listens at :: hears both families, unless told otherwise, which few are.
    any_ = ("::",) if ":" in flow.target else ("::", "0.0.0.0")
    if any(each.address in (*any_, flow.target) and not each.peer for each in waiting):
        return ""
    owner = host.owner(end.at.namespace)
    if waiting:
        heard = ", ".join(sorted({each.address for each in waiting}))
        return (
            f"{owner} listens on {heard} only, not on {flow.target}: "
            f"{flow.protocol} {flow.target_port} is refused"
        )
    other = sorted(
        {
            each.port
            for each in host.inside(end.at.namespace).listeners
            if each.protocol == flow.protocol and not each.address.startswith(("127.", "::1"))
        }
    )
    ports = f"; it listens on {', '.join(map(str, other))}" if other else ""
    return f"nobody listens on {flow.protocol} {flow.target_port} in {owner}{ports}"


def _published(host: Host) -> str:
    found = sorted(
        {
            f"{port.published_port}/{port.protocol} ({service.name})"
            for network in host.view.networks.values()
            for service in network.services.values()
            for port in service.ports
            if port.published_port
        }
    )
    listed = f"published are {', '.join(found)}" if found else "no service publishes a port"
    return f"{listed} (docker service update --publish-add)"


def _no_task_behind_port(scene: Scene, end: Delivered) -> Trouble:
    key = (end.flow.protocol, end.flow.target_port)
    found = next(
        (
            each
            for each in scene.survey.services
            if any((p.protocol, p.published_port) == key for p in each.ports)
        ),
        None,
    )
    return Trouble(
        where=place_words(scene, end.at),
        why=f"no ready task is behind port {key[1]}: {tasks_in_words(found)}",
        should="at least one task that runs and is healthy",
        todo=f"docker service ps --no-trunc {found.name if found else 'SERVICE'}",
    )
