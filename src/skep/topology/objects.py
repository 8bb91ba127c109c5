"""Services and networks, which are on no host in particular."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skep.model.cluster import Service
from skep.model.spec import PortConfig
from skep.topology import graph as g
from skep.topology.graph import Line, Thing
from skep.topology.sources import Sources


def networks(sources: Sources) -> Iterator[Thing]:
    """All swarm networks."""
    for network in sources.networks:
        spec = network.spec
        subnets = [each.config.subnet for each in network.subnets]
        subnets += [each.config6.subnet for each in network.subnets if each.config6]
        facts = {
            "driver": spec.driver,
            "subnets": ", ".join(subnets),
            "VNI": ", ".join(str(each.vni) for each in network.subnets),
            "encrypted": "yes" if "encrypted" in spec.options else "",
            "internal": "yes" if spec.internal else "",
            "attachable": "yes" if spec.attachable else "",
            "routing mesh": "yes" if spec.ingress else "",
            **_labels(spec.labels),
        }
        yield Thing(
            id=f"network:{network.id}",
            kind=g.NETWORK,
            name=spec.name,
            facts={key: value for key, value in facts.items() if value},
        )


def services(sources: Sources, boxes: Iterable[Thing]) -> Iterator[tuple[Thing, list[Line]]]:
    """All services, each with its addresses as lines to its networks."""
    of: dict[str, list[Thing]] = {}
    for box in boxes:
        of.setdefault(box.service, []).append(box)
    for service in sources.services:
        id = f"service:{service.id}"
        yield _service(service, of.get(id, [])), list(_vips(service))


def _service(service: Service, boxes: list[Thing]) -> Thing:
    running = [each for each in boxes if each.state == g.OK]
    wanted = _wanted(service, boxes)
    state, note = _judged(boxes, len(running), wanted)
    spec = service.spec
    endpoint = service.endpoint
    facts = {
        "running": f"{len(running)} of {wanted}" if wanted is not None else str(len(running)),
        "image": spec.task_template.container_spec.image
        if spec.task_template.container_spec
        else "",
        "ports": ", ".join(port(each) for each in endpoint.ports) if endpoint else "",
        "addresses": ", ".join(each.address.partition("/")[0] for each in endpoint.virtual_ips)
        if endpoint
        else "",
        "found by": endpoint.spec.mode if endpoint else "",
        "mark": f"{endpoint.mark:#x}" if endpoint and endpoint.mark else "",
        "update": service.update_status.state if service.update_status else "",
        **_labels(spec.labels),
    }
    attached = spec.task_template.networks or spec.networks
    vips = endpoint.virtual_ips if endpoint else ()
    joined = {**{each.network_id: None for each in vips}, **{n.target: None for n in attached}}
    known = {network for box in boxes for network in box.networks}
    return Thing(
        id=f"service:{service.id}",
        kind=g.SERVICE,
        name=spec.name,
        state=state,
        note=note,
        asked=spec.name,
        networks=tuple(dict.fromkeys([*(f"network:{each}" for each in joined), *sorted(known)])),
        count=len(boxes),
        facts={key: value for key, value in facts.items() if value},
    )


def _wanted(service: Service, boxes: list[Thing]) -> int | None:
    mode = service.spec.mode
    if mode.replicated_job is not None or mode.global_job is not None:
        return None
    if mode.global_ is not None:
        return len(boxes)
    replicas = mode.replicated.replicas if mode.replicated else None
    return 1 if replicas is None else replicas


def _judged(boxes: list[Thing], running: int, wanted: int | None) -> tuple[str, str]:
    broken = next((each for each in boxes if each.state == g.BROKEN), None)
    if broken is not None:
        return g.BROKEN, f"{broken.name}: {broken.note}"
    if wanted is not None and running < wanted:
        return g.CHANGING, f"{running} of {wanted} run"
    return g.OK, ""


def port(config: PortConfig) -> str:
    """ "8080→80/tcp", with "on its host" if only the task's host publishes it."""
    only = " on its host" if config.publish_mode == "host" else ""
    return f"{config.published_port}→{config.target_port}/{config.protocol}{only}"


def _labels(labels: dict[str, str]) -> dict[str, str]:
    return {f"label {key}": value for key, value in labels.items()}


def _vips(service: Service) -> Iterator[Line]:
    for each in service.endpoint.virtual_ips if service.endpoint else ():
        yield Line(
            id=f"vip:{service.id}/{each.network_id}",
            kind=g.VIP,
            source=f"service:{service.id}",
            target=f"network:{each.network_id}",
            network=f"network:{each.network_id}",
            note=each.address.partition("/")[0],
        )
