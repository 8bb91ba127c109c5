"""What two services cannot both have."""

from __future__ import annotations

from collections.abc import Iterator

from skep.cluster.needs import HOST_MODE, endpoint_of
from skep.cluster.view import View
from skep.model.cluster import Service
from skep.model.spec import PortConfig, ServiceSpec


def port_conflict(view: View, spec: ServiceSpec, *, but: str) -> str:
    """Which port of ``spec`` another service than ``but`` has, in Docker's words; "" if none.

    Services that publish the same port in mode host get along: they are kept on different hosts.
    Source: swarmkit manager/controlapi/service.
    """
    wanted = {_key(port): port.publish_mode for port in _fixed(endpoint_of(spec).ports)}
    if not wanted:
        return ""
    for service in view.services.values():
        if service.id == but:
            continue
        for port in _published(service):
            mine = wanted.get(_key(port))
            if mine is None or mine == port.publish_mode == HOST_MODE:
                continue
            as_what = (
                "a host-published port" if port.publish_mode == HOST_MODE else "an ingress port"
            )
            return (
                f"port '{port.published_port}' is already in use by service "
                f"'{service.spec.name}' ({service.id}) as {as_what}"
            )
    return ""


def _published(service: Service) -> Iterator[PortConfig]:
    yield from _fixed(endpoint_of(service.spec).ports)
    if service.endpoint:
        yield from _fixed(service.endpoint.ports)


def _fixed(ports: tuple[PortConfig, ...]) -> Iterator[PortConfig]:
    return (port for port in ports if port.published_port)


def _key(port: PortConfig) -> tuple[str, int]:
    return port.protocol, port.published_port
