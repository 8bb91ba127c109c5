"""What a trace aims at: TO, as it is seen from where the trace starts."""

from __future__ import annotations

import msgspec

from skep.model.errors import Invalid, Missing
from skep.model.host import INGRESS_SANDBOX, Sandbox
from skep.model.inspection import AskNames, NameAnswer
from skep.model.spec import PortConfig
from skep.plan.layout import bare
from skep.trace.asked import PORTED, Target
from skep.trace.ends import Start, boxes, find_host
from skep.trace.report import Trouble
from skep.trace.scene import Host, Scene
from skep.trace.survey import ServiceFact, tasks_in_words


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What it is sent to. ``answer`` is the name server's word, if one was asked; ``trouble`` is
    why there is no address."""

    protocol: str
    port: int
    label: str
    address: str = ""
    answer: NameAnswer | None = None
    others: tuple[str, ...] = ()
    trouble: Trouble | None = None


def question(scene: Scene, start: Start, target: Target) -> tuple[str, AskNames] | None:
    """What must be asked of skep-dns before `find_goal`, and of which node's."""
    if start.box is None or start.box.id == INGRESS_SANDBOX or not target.name:
        return None
    if target.is_address:
        return None
    node = scene.hosts[start.place.host].node_id
    return node, AskNames(namespace=start.place.namespace, names=(target.name,))


def find_goal(scene: Scene, start: Start, target: Target) -> Goal:
    """TO, as seen from where the trace starts. Raises `Missing`."""
    if not target.name:
        return _port_of_host(scene.hosts[start.place.host], target)
    if target.is_address:
        protocol, port = _default(target, None)
        label = scene.holder(target.name, start.place.host) or "an address"
        return Goal(protocol=protocol, port=port, label=label, address=target.name)
    answer = next(
        (
            each
            for each in scene.survey.names
            if (each.namespace, each.name) == (start.place.namespace, target.name)
        ),
        None,
    )
    known = answer is not None and answer.expected is not None
    if answer is not None and (answer.answered or answer.error or known):
        return _answered(scene, target, answer)
    host = find_host(scene, target.name)
    if host is not None:
        return _port_of_host(host, target)
    if start.box is None:
        return _from_host(scene, start, target)
    return _unknown(scene, start, target, answer)


def _port_of_host(host: Host, target: Target) -> Goal:
    protocol = target.protocol or ("tcp" if target.port else "icmp")
    label = f"host {host.name}"
    if target.port:
        for network in host.view.networks.values():
            for service in network.services.values():
                for port in service.ports:
                    if (port.protocol, port.published_port) == (protocol, target.port):
                        label = f"port {target.port} of {host.name}, published by {service.name}"
    address = host.report.address or host.vtep
    return Goal(protocol=protocol, port=target.port, label=label, address=address)


def _default(target: Target, service: ServiceFact | None) -> tuple[str, int]:
    """Protocol and port, if the user left them open: those that the service publishes, else an
    echo request."""
    protocol, port = target.protocol, target.port
    ports = service.ports if service else ()
    fitting = [each for each in ports if protocol in ("", each.protocol)]
    if not port and fitting and protocol != "icmp":
        return fitting[0].protocol, fitting[0].target_port
    if protocol in PORTED and not port:
        raise Invalid(f"say which port: /{protocol}:PORT")
    return protocol or "icmp", port


def _service(scene: Scene, name: str) -> ServiceFact | None:
    name = name.removeprefix("tasks.")
    return next((s for s in scene.survey.services if name in (s.name, s.id)), None)


def _answered(scene: Scene, target: Target, answer: NameAnswer) -> Goal:
    service = _service(scene, target.name)
    protocol, port = _default(target, service)
    trouble = wrong_answer(answer)
    address = answer.answered[0] if answer.answered else ""
    if not address and trouble is None:
        trouble = _nobody_ready(answer, service)
    return Goal(
        protocol=protocol,
        port=port,
        label=f"{target.name}",
        address=address,
        answer=answer,
        others=answer.answered[1:],
        trouble=trouble,
    )


def wrong_answer(answer: NameAnswer) -> Trouble | None:
    """What is wrong with the name server's word, if anything."""
    where = f"skep-dns in sandbox {answer.namespace}"
    if answer.error:
        return Trouble(
            where=where,
            why=f"{answer.name} was not answered: {answer.error}",
            should=_listed(answer.expected),
            todo="see whether skep-dns runs (pgrep -f skep.dns) and what it says in "
            "/run/skep/dns.log; skepd starts it again within 2 s if it has died",
        )
    if answer.expected is not None and set(answer.answered) != set(answer.expected):
        return Trouble(
            where=where,
            why=f"{answer.name} was answered {_listed(answer.answered)}",
            should=_listed(answer.expected),
            todo="skepd gives skep-dns its names again within 2 s; if this stays, restart skepd",
        )
    return None


def _listed(addresses: tuple[str, ...] | None) -> str:
    return ", ".join(addresses or ()) or "no address"


def _nobody_ready(answer: NameAnswer, service: ServiceFact | None) -> Trouble:
    return Trouble(
        where=f"name {answer.name}",
        why=f"{answer.name} exists and has no ready task: {tasks_in_words(service)}",
        todo=f"docker service ps --no-trunc {service.name if service else answer.name}",
    )


def _from_host(scene: Scene, start: Start, target: Target) -> Goal:
    """A host asks no name server of ours: it reaches services by published ports, and containers
    on its own bridges."""
    service = _service(scene, target.name)
    published = _published(service, target) if service else None
    host = scene.hosts[start.place.host]
    if service and published:
        entry = host.report.address or host.vtep
        return Goal(
            protocol=published.protocol,
            port=published.published_port,
            address=entry,
            label=f"{service.name} by its published port {published.published_port} of {host.name}",
        )
    if service:
        protocol, port = _default(target, service)
        trouble = Trouble(
            where=start.label,
            why=f"{service.name} publishes no port, and a host is on no swarm network",
            todo=f"docker service update --publish-add published=8080,target=80 {service.name}, "
            "or trace from a container on one of its networks",
        )
        return Goal(protocol=protocol, port=port, label=service.name, trouble=trouble)
    for at, box in boxes(scene, target.name):
        protocol, port = _default(target, None)
        leg = next((e for e in box.endpoints if e.id == box.gateway), None)
        here = at.vtep == start.place.host and leg is not None
        endpoint = leg if here else next(iter(box.endpoints), None)
        if endpoint is not None:
            return Goal(
                protocol=protocol,
                port=port,
                address=bare(endpoint.address),
                label=f"{at.owner(box.namespace)} by its address on {endpoint.network_name}",
            )
    raise Missing(f"there is no service, container or host {target.name}")


def _published(service: ServiceFact, target: Target) -> PortConfig | None:
    for each in service.ports:
        if each.published_port and each.publish_mode == "ingress":
            fits = target.port in (0, each.published_port, each.target_port)
            if fits and target.protocol in ("", each.protocol):
                return each
    return None


def _unknown(scene: Scene, start: Start, target: Target, answer: NameAnswer | None) -> Goal:
    """A name that the sandbox does not know, though the cluster may."""
    assert start.box is not None, "only sandboxes ask names"
    own = ", ".join(
        sorted(e.network_name for e in start.box.endpoints if e.id != start.box.gateway)
    )
    service = _service(scene, target.name)
    found = list(boxes(scene, target.name))
    where = f"name {target.name}"
    asked = _refused(answer)
    if service is not None:
        trouble = Trouble(
            where=where,
            why=f"{asked}: service {service.name} is on {_joined(service.networks)}, "
            f"{start.label} is on {own or 'no swarm network'}",
            should="both on one network",
            todo=_attach(service, own),
        )
    elif found and (goal := _by_address(start, target, found[0])) is not None:
        return goal
    elif found:
        host, box = found[0]
        theirs = ", ".join(sorted(e.network_name for e in box.endpoints if e.id != box.gateway))
        trouble = Trouble(
            where=where,
            why=f"{asked}: {host.owner(box.namespace)} (on {host.name}) is on "
            f"{theirs or 'no swarm network'}, {start.label} is on {own or 'no swarm network'}",
            should="both on one network",
            todo=f"docker network connect NETWORK {host.owner(box.namespace)}, "
            "or start one of them on a network of the other",
        )
    elif answer is None:
        raise Missing(f"there is no service, container or host {target.name}")
    else:
        trouble = Trouble(
            where=where,
            why=f"{asked}: no service, container or alias on {own or 'its networks'} has this name",
            todo="docker service ls and docker ps -a show what there is; names of containers that "
            "are not running or not healthy are not answered",
        )
    protocol, port = _default(target, service)
    return Goal(protocol=protocol, port=port, label=target.name, answer=answer, trouble=trouble)


def _by_address(start: Start, target: Target, found: tuple[Host, Sandbox]) -> Goal | None:
    """A container on a network of the asker's, by its address there: it was called by what is no
    name for a name server (a slot, an id), or its name is not answered."""
    assert start.box is not None, "only sandboxes share networks"
    host, box = found
    owner = host.owner(box.namespace)
    own = {each.network_id for each in start.box.endpoints if each.id != start.box.gateway}
    own.discard(host.view.ingress_network)
    near = next((each for each in box.endpoints if each.network_id in own), None)
    if near is None:
        return None
    protocol, port = _default(target, None)
    trouble = None
    if target.name == box.container_name:
        trouble = Trouble(
            where=f"name {target.name}",
            why=f"{target.name} is not answered, although {owner} is on {near.network_name} too",
            should=f"{bare(near.address)}, once it runs and is healthy",
            todo=f"docker ps -a and docker inspect {target.name} on {host.name} show its state",
        )
    return Goal(
        protocol=protocol,
        port=port,
        address=bare(near.address),
        label=f"{owner} by its address on {near.network_name}",
        trouble=trouble,
    )


def _refused(answer: NameAnswer | None) -> str:
    if answer is None or not answer.code:
        return "it is not known"
    beyond = ", as the host's own name servers do not answer" if answer.code == "SERVFAIL" else ""
    return f"skep-dns answers {answer.code}{beyond}"


def _joined(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no network"


def _attach(service: ServiceFact, own: str) -> str:
    if own:
        return f"docker service update --network-add {own.partition(', ')[0]} {service.name}"
    return f"start the container with --network {next(iter(service.networks), 'NETWORK')}"
