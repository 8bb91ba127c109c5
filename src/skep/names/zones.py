"""From a host's view to what its name server answers.

Only ready endpoints have names; those not ready are found through ``tasks-all.`` alone. A service's
name belongs to the service: its own tasks' aliases of the same name add nothing to it, so a VIP is
never mixed with the addresses behind it. Who has a name that several claim: see `winners`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService
from skep.model.host import INGRESS_SANDBOX, HostView, Sandbox
from skep.model.naming import NameTable, NetworkNames, SandboxNames, ServiceNames, TaskName
from skep.model.spec import NetworkSpec, PortConfig
from skep.names.lookup import EVERYBODY
from skep.names.wire import encode_name, is_ipv6

Claims = dict[str, list[NetworkService]]
"""The services that claim each name, the one that has it first."""

Ports = Mapping[str, tuple[PortConfig, ...]]
"""The published ports of services, by service id."""


class Contest(msgspec.Struct, frozen=True):
    """A name that services on a network claim, and only the first one got."""

    network: str
    name: str
    service: str
    others: tuple[str, ...]


class Made(msgspec.Struct, frozen=True):
    """A network's names, and all that they were made from."""

    network: NetworkAssignment
    ports: Ports
    names: NetworkNames
    contests: tuple[Contest, ...]


class Zones:
    """The name tables of one host, one after the other. What did not change is not made again.

    ``contests`` are those of the last table.
    """

    def __init__(self) -> None:
        self._made: dict[str, Made] = {}
        self.contests: frozenset[Contest] = frozenset()

    def table(self, view: HostView, upstreams: tuple[str, ...]) -> NameTable:
        """What the host's name server must answer, from the host's view alone.

        ``upstreams`` are the addresses of the host's own name servers, asked for all other names.
        The ingress network has no names, and of the host's bridges only users' own have.
        """
        ports = published(view)
        self._made = {
            network.id: self._of(network, ports)
            for network in (*view.networks.values(), *own_networks(view))
            if network.id != view.ingress_network and not network.spec.ingress
        }
        self.contests = frozenset(c for made in self._made.values() for c in made.contests)
        networks = {ident: made.names for ident, made in self._made.items()}
        sandboxes = {
            box.namespace: sandbox_names(box, view, networks, upstreams)
            for box in view.sandboxes
            if box.id != INGRESS_SANDBOX
        }
        return NameTable(networks=networks, sandboxes=sandboxes)

    def _of(self, network: NetworkAssignment, ports: Ports) -> Made:
        mine = {ident: ports[ident] for ident in network.services if ident in ports}
        made = self._made.get(network.id)
        if made and (made.network, made.ports) == (network, mine):
            return made
        return Made(network, mine, network_names(network, mine), tuple(contests(network)))


def own_networks(view: HostView) -> Iterator[NetworkAssignment]:
    """The users' networks of this host alone, as if a swarm had assigned them: all that is on them
    is here."""
    bridges = ((b.network_id, b.network_name) for b in view.bridges if b.named)
    lowers = (
        (lower.network_id, lower.network_name)
        for lower in view.lowers
        if lower.network_id not in view.networks
    )
    remotes = ((remote.network_id, remote.network_name) for remote in view.remotes)
    for ident, name in (*bridges, *lowers, *remotes):
        yield NetworkAssignment(
            id=ident,
            spec=NetworkSpec(name=name),
            created_at=0.0,
            endpoints={
                box.id: NetworkEndpoint(
                    task_id=box.id,
                    node_id=view.node_id,
                    address=endpoint.address,
                    address6=endpoint.address6,
                    mac=endpoint.mac,
                    names=endpoint.names,
                    ready=True,
                )
                for box in view.sandboxes
                for endpoint in box.endpoints
                if endpoint.network_id == ident
            },
        )


def published(view: HostView) -> Ports:
    """The ports that services publish in ingress mode: the ingress network knows them."""
    ingress = view.networks.get(view.ingress_network)
    services = ingress.services.values() if ingress else ()
    return {service.id: service.ports for service in services if service.ports}


def sandbox_names(
    box: Sandbox, view: HostView, networks: Mapping[str, NetworkNames], upstreams: tuple[str, ...]
) -> SandboxNames:
    """What one sandbox sees: its networks that have names, in the order it was attached to them."""
    seen = tuple(dict.fromkeys(e.network_id for e in box.endpoints if e.network_id in networks))
    swarm = (view.networks[ident] for ident in seen if ident in view.networks)
    own = [network.endpoints.get(box.task_id) for network in swarm]
    return SandboxNames(
        namespace=box.namespace,
        networks=seen,
        upstreams=upstreams,
        forward=bool(box.gateway),
        stack=next((e.stack.lower() for e in own if e), ""),
    )


def network_names(network: NetworkAssignment, ports: Ports | None = None) -> NetworkNames:
    """All names of one network, and the pointers back from its addresses."""
    zone = _Zone(network, ports or {})
    return NetworkNames(
        id=network.id,
        name=network.spec.name.lower(),
        services=zone.services,
        scopes={
            stack: {name: tuple(meant) for name, meant in scope.items()}
            for stack, scope in zone.scopes.items()
        },
        addresses={name: tuple(found) for name, found in zone.addresses.items()},
        pointers=zone.pointers,
    )


def contests(network: NetworkAssignment) -> Iterator[Contest]:
    """The names that services on a network claim without getting them."""
    for name, claimants in claims(network.services.values()).items():
        having = winners(name, claimants)
        others = tuple(service.name for service in claimants if service not in having)
        if others:
            yield Contest(network.spec.name, name, having[0].name, others)


def claims(services: Iterable[NetworkService]) -> Claims:
    """Who claims each name, own names before aliases, then the oldest service first."""
    found: Claims = {}
    ordered = sorted(services, key=lambda service: (service.created_at, service.id))
    for service in ordered:
        found.setdefault(service.name.lower(), []).append(service)
    for service in ordered:
        for name in own_names(service) - {service.name.lower()}:
            found.setdefault(name, []).append(service)
    return found


def winners(name: str, claimants: Sequence[NetworkService]) -> list[NetworkService]:
    """Who of the claimants has the name: the first one, and as an alias with it the others of its
    stack, as their author gave it to all of them. Strangers never share a name by accident."""
    first = claimants[0]
    if first.name.lower() == name or not first.stack:
        return [first]
    return [service for service in claimants if service.stack.lower() == first.stack.lower()]


def own_names(service: NetworkService | None) -> frozenset[str]:
    """The names that a service itself answers to, lower case."""
    if service is None:
        return frozenset()
    return frozenset(name.lower() for name in (service.name, *service.aliases))


def bare(address: str) -> str:
    """An address without its prefix length, in the one way to write it."""
    plain = address.partition("/")[0]
    return str(ipaddress.IPv6Address(plain)) if is_ipv6(plain) else plain


def ndots(options: Iterable[str]) -> int:
    """What resolv.conf's options say of ndots, the last one counts; 0 if nothing."""
    found = 0
    for option in options:
        key, _, value = option.partition(":")
        if key == "ndots" and value.isdecimal():
            found = int(value)
    return found


class _Zone:
    """A network's names while they are gathered. Addresses keep their order and come once."""

    def __init__(self, network: NetworkAssignment, ports: Ports) -> None:
        self._suffix = "." + network.spec.name.lower()
        self.services: dict[str, ServiceNames] = {}
        self.scopes: dict[str, dict[str, dict[str, None]]] = {}
        self.addresses: dict[str, dict[str, None]] = {}
        self.pointers: dict[str, str] = {}
        endpoints = sorted(network.endpoints.values(), key=lambda e: (e.names[:1], e.task_id))
        tasks: dict[str, list[NetworkEndpoint]] = {}
        for endpoint in endpoints:
            tasks.setdefault(endpoint.service_id, []).append(endpoint)
        for service in network.services.values():
            self._add_service(service, tasks.get(service.id, []), ports.get(service.id, ()))
        for endpoint in endpoints:
            if endpoint.ready:
                self._add_endpoint(endpoint, own_names(network.services.get(endpoint.service_id)))
        self._share_out(network.services.values())

    def _add_service(
        self,
        service: NetworkService,
        tasks: list[NetworkEndpoint],
        ports: tuple[PortConfig, ...],
    ) -> None:
        """A service without ready tasks keeps its names, so that nobody else is asked for them."""
        virtual = tuple(bare(vip) for vip in (service.vip, service.vip6) if vip)
        self.services[service.id] = ServiceNames(
            virtual=virtual,
            tasks=tuple(each for task in tasks if task.ready for each in task_names(task)),
            waiting=tuple(
                address for task in tasks if not task.ready for address in addresses(task)
            ),
            ports={f"_{p.name}._{p.protocol}".lower(): p.target_port for p in ports if p.name},
        )
        for vip in virtual:
            self._point(vip, service.name.lower())

    def _add_endpoint(self, endpoint: NetworkEndpoint, taken: frozenset[str]) -> None:
        """A container: every name of its own, except those that are its service's."""
        names = [name.lower() for name in endpoint.names]
        own = addresses(endpoint)
        stack = endpoint.stack.lower()
        for name in names:
            if name not in taken and encode_name(name):
                self.addresses.setdefault(name, {}).update(dict.fromkeys(own))
                if stack and name != names[0]:
                    scope = self.scopes.setdefault(stack, {})
                    scope.setdefault(name, {})[names[0]] = None
        for name in names[:1]:
            for address in own:
                self._point(address, name)

    def _share_out(self, services: Iterable[NetworkService]) -> None:
        """Settle what services' names mean: to everybody, and to each stack's members, to whom they
        mean more than their containers' names do."""
        circles: dict[str, list[NetworkService]] = {EVERYBODY: list(services)}
        for service in circles[EVERYBODY]:
            if service.stack:
                circles.setdefault(service.stack.lower(), []).append(service)
        for stack, members in circles.items():
            scope = self.scopes.setdefault(stack, {})
            for name, claimants in claims(members).items():
                if encode_name(name):
                    scope[name] = {service.id: None for service in winners(name, claimants)}

    def _point(self, address: str, name: str) -> None:
        full = name + self._suffix
        if encode_name(full):
            self.pointers.setdefault(address, full)


def addresses(task: NetworkEndpoint) -> tuple[str, ...]:
    """An endpoint's addresses of both families."""
    return tuple(bare(each) for each in (task.address, task.address6) if each)


def task_names(task: NetworkEndpoint) -> tuple[TaskName, ...]:
    """A ready task's entries in its service: one for each address."""
    name = next(iter(task.names), "").lower()
    return tuple(TaskName(name, address) for address in addresses(task))
