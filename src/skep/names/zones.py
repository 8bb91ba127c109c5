"""From a host's view to what its name server answers.

Only ready endpoints have names. A service's name belongs to the service: its own tasks' aliases of
the same name add nothing to it, so a VIP is never mixed with the addresses behind it. Services and
containers that share a name share its answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService
from skep.model.host import INGRESS_SANDBOX, HostView, Sandbox
from skep.model.naming import NameTable, NetworkNames, SandboxNames
from skep.names.wire import encode_name

TASKS = "tasks."
"""What precedes a service's name or alias to mean its tasks instead of its VIP."""


def name_table(view: HostView, upstreams: tuple[str, ...]) -> NameTable:
    """What the host's name server must answer, from the host's view alone.

    ``upstreams`` are the addresses of the host's own name servers, asked for all other names.
    The ingress network and the host's bridges have no names.
    """
    networks = {
        network.id: network_names(network)
        for network in view.networks.values()
        if network.id != view.ingress_network and not network.spec.ingress
    }
    sandboxes = {
        box.namespace: sandbox_names(box, networks, upstreams)
        for box in view.sandboxes
        if box.id != INGRESS_SANDBOX
    }
    return NameTable(networks=networks, sandboxes=sandboxes)


def sandbox_names(
    box: Sandbox, networks: dict[str, NetworkNames], upstreams: tuple[str, ...]
) -> SandboxNames:
    """What one sandbox sees: its networks that have names, in the order it was attached to them."""
    seen = [e.network_id for e in box.endpoints if e.network_id in networks]
    return SandboxNames(
        namespace=box.namespace,
        networks=tuple(dict.fromkeys(seen)),
        upstreams=upstreams,
        forward=bool(box.gateway),
    )


def network_names(network: NetworkAssignment) -> NetworkNames:
    """All names of one network, and the pointers back from its addresses."""
    ready = sorted(
        (e for e in network.endpoints.values() if e.ready), key=lambda e: (e.names[:1], e.task_id)
    )
    zone = _Zone(network.spec.name)
    for service in sorted(network.services.values(), key=lambda s: (s.name, s.id)):
        tasks = [bare(e.address) for e in ready if e.service_id == service.id]
        zone.add_service(service, tasks)
    for endpoint in ready:
        zone.add_endpoint(endpoint, own_names(network.services.get(endpoint.service_id)))
    return NetworkNames(
        id=network.id,
        name=network.spec.name.lower(),
        addresses={name: tuple(found) for name, found in zone.addresses.items()},
        pointers=zone.pointers,
    )


def own_names(service: NetworkService | None) -> frozenset[str]:
    """The names that a service itself answers to, lower case."""
    if service is None:
        return frozenset()
    return frozenset(name.lower() for name in (service.name, *service.aliases))


def bare(address: str) -> str:
    """An address without its prefix length."""
    return address.partition("/")[0]


class _Zone:
    """A network's names while they are gathered. Addresses keep their order and come once."""

    def __init__(self, network_name: str) -> None:
        self._suffix = "." + network_name.lower()
        self.addresses: dict[str, dict[str, None]] = {}
        self.pointers: dict[str, str] = {}

    def add_service(self, service: NetworkService, tasks: list[str]) -> None:
        """A service without ready tasks keeps its names, so that nobody else is asked for them."""
        vip = bare(service.vip)
        for name in own_names(service):
            self._add(name, [vip] if vip else tasks)
            self._add(TASKS + name, tasks)
        if vip:
            self._point(vip, [service.name])

    def add_endpoint(self, endpoint: NetworkEndpoint, taken: frozenset[str]) -> None:
        """A container: every name of its own, except those that are its service's."""
        address = bare(endpoint.address)
        names = [name.lower() for name in endpoint.names]
        for name in names:
            if name not in taken:
                self._add(name, [address])
        self._point(address, names)

    def _add(self, name: str, addresses: Iterable[str]) -> None:
        if encode_name(name):
            self.addresses.setdefault(name, {}).update(dict.fromkeys(addresses))

    def _point(self, address: str, names: list[str]) -> None:
        for name in names[:1]:
            full = name.lower() + self._suffix
            if encode_name(full):
                self.pointers.setdefault(address, full)
