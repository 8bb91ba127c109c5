"""What the cluster gives out: addresses, VIPs, firewall marks, published ports.

Nothing is handed out in part: a service or a task gets all it needs, or a sentence that says what
is missing. A freed address is not given out again before all others were: each subnet keeps a
cursor.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from msgspec.structs import replace

from skep.cluster.context import Context
from skep.cluster.needs import endpoint_of, task_networks, virtual_networks
from skep.cluster.state import Draft
from skep.cluster.subnets import endpoint_range, reserved
from skep.cluster.view import View
from skep.model.cluster import (
    Attachment,
    Network,
    Service,
    ServiceEndpoint,
    Subnet,
    Task,
    TaskState,
    VirtualIp,
)
from skep.model.spec import PortConfig

FIRST_MARK = 256
DYNAMIC_PORTS = range(30000, 32768)
"""Published ports for those who ask for any. Source: swarmkit's port allocator."""


def exhausted(network: Network) -> str:
    """The sentence for a network without a free address."""
    total = 0
    for subnet in network.subnets:
        addresses = endpoint_range(subnet.config)
        kept_back = sum(1 for address in reserved(subnet.config) if address in addresses)
        total += len(addresses) - kept_back
    return f"network {network.spec.name}: {total} of {total} addresses in use"


def free_address(view: View, network: Network) -> tuple[int, str] | None:
    """The next free address, not yet taken: the position of its subnet and the bare address."""
    for position, subnet in enumerate(network.subnets):
        address = _after_cursor(view, network, subnet)
        if address:
            return position, address
    return None


def _after_cursor(view: View, network: Network, subnet: Subnet) -> str:
    candidates = endpoint_range(subnet.config)
    kept_back = reserved(subnet.config)
    start = int(IPv4Address(subnet.cursor)) + 1 - candidates.start if subnet.cursor else 0
    for step in range(len(candidates)):
        candidate = candidates[(start + step) % len(candidates)]
        address = str(IPv4Address(candidate))
        if candidate not in kept_back and not view.in_use(network, address):
            return address
    return ""


def take_address(draft: Draft, network_id: str) -> str | None:
    """The next free address of a network, with prefix length; None if there is none.

    The cursor moves past it; it counts as used once an object that holds it is put.
    """
    network = draft.networks[network_id]
    found = free_address(draft, network)
    if found is None:
        return None
    position, address = found
    subnets = list(network.subnets)
    subnets[position] = replace(subnets[position], cursor=address)
    draft.put(replace(network, subnets=tuple(subnets)))
    return f"{address}/{IPv4Network(subnets[position].config.subnet).prefixlen}"


def lowest_free_mark(view: View) -> int:
    """The lowest firewall mark that no service has."""
    used = {service.endpoint.mark for service in view.services.values() if service.endpoint}
    mark = FIRST_MARK
    while mark in used:
        mark += 1
    return mark


class Allocator:
    """Allocates in one draft. Remembers which networks are full, so that it asks each only once."""

    def __init__(self, draft: Draft, context: Context) -> None:
        self._draft = draft
        self._context = context
        self._full: dict[str, str] = {}

    def service(self, service: Service) -> str:
        """Give the service what its spec asks for; keep what it has. "", or what is missing."""
        spec = endpoint_of(service.spec)
        had = service.endpoint or ServiceEndpoint()
        wanted = virtual_networks(service.spec, self._draft.ingress_id)
        kept = {vip.network_id: vip for vip in had.virtual_ips if vip.network_id in wanted}
        missing = [network_id for network_id in wanted if network_id not in kept]
        problem = self._missing(missing)
        ports, port_problem = self._ports(service)
        if problem or port_problem:
            return problem or port_problem
        for network_id in missing:
            kept[network_id] = VirtualIp(network_id, self._take(network_id))
        mark = (had.mark or lowest_free_mark(self._draft)) if kept else 0
        endpoint = ServiceEndpoint(
            spec=spec,
            ports=ports,
            virtual_ips=tuple(kept[network_id] for network_id in wanted),
            mark=mark,
        )
        self._draft.put(replace(service, endpoint=endpoint))
        return ""

    def task(self, task: Task, service: Service, problem: str) -> None:
        """Give a new task its addresses and let it go to the scheduler, or note why not.

        ``problem`` is what keeps the service itself from being allocated, "" if nothing does.
        """
        wanted = task_networks(service.spec, self._draft.ingress_id)
        problem = problem or self._missing(wanted)
        now = self._context.now
        if problem:
            if task.status.error != problem:
                status = replace(task.status, error=problem, timestamp=now)
                self._draft.put(replace(task, status=status, updated_at=now))
            return
        attachments = tuple(Attachment(network_id=id, address=self._take(id)) for id in wanted)
        status = replace(
            task.status,
            state=TaskState.PENDING,
            message="pending task scheduling",
            error="",
            timestamp=now,
        )
        self._draft.put(replace(task, attachments=attachments, status=status, updated_at=now))

    def _missing(self, network_ids: Iterable[str]) -> str:
        for network_id in network_ids:
            network = self._draft.networks.get(network_id)
            if network is None:
                return f"network {network_id} not found"
            if network_id not in self._full and free_address(self._draft, network) is None:
                self._full[network_id] = exhausted(network)
            if network_id in self._full:
                return self._full[network_id]
        return ""

    def _take(self, network_id: str) -> str:
        address = take_address(self._draft, network_id)
        assert address is not None, "a free address was seen a moment ago"
        return address

    def _ports(self, service: Service) -> tuple[tuple[PortConfig, ...], str]:
        """The published ports, dynamic ones filled in: those that the service has stay its own.

        With a sentence instead of ports if there are none left.
        """
        ports = _kept_ports(service)
        taken = {(p.protocol, p.published_port) for p in ports}
        if not all(p.published_port for p in ports):
            taken |= self._used_ports(service)
        for position, port in enumerate(ports):
            if port.published_port:
                continue
            number = next((n for n in DYNAMIC_PORTS if (port.protocol, n) not in taken), 0)
            if not number:
                return (), "no free published port between 30000 and 32767"
            taken.add((port.protocol, number))
            ports[position] = replace(port, published_port=number)
        return tuple(ports), ""

    def _used_ports(self, but: Service) -> set[tuple[str, int]]:
        return {
            (port.protocol, port.published_port)
            for service in self._draft.services.values()
            if service.id != but.id
            for ports in (endpoint_of(service.spec).ports, _allocated_ports(service))
            for port in ports
        }


def _allocated_ports(service: Service) -> tuple[PortConfig, ...]:
    return service.endpoint.ports if service.endpoint else ()


def _kept_ports(service: Service) -> list[PortConfig]:
    """The spec's ports; where it asks for any, the one that was given out for that, if there is."""
    ports = endpoint_of(service.spec).ports
    fixed = {(port.protocol, port.published_port) for port in ports}
    had = [p for p in _allocated_ports(service) if (p.protocol, p.published_port) not in fixed]
    kept = []
    for port in ports:
        old = next((p for p in had if replace(p, published_port=0) == port), None)
        if old is not None:
            had.remove(old)
        kept.append(old or port)
    return kept


def allocate(draft: Draft, context: Context) -> None:
    """Allocate for all services that changed and all tasks that are new."""
    allocator = Allocator(draft, context)
    problems = {
        service.id: allocator.service(service)
        for service in sorted(draft.services.values(), key=lambda s: (s.created_at, s.id))
    }
    new = [t for t in draft.tasks.values() if t.status.state == TaskState.NEW and t.service_id]
    for task in sorted(new, key=lambda t: (t.created_at, t.service_id, t.slot, t.id)):
        service = draft.services.get(task.service_id)
        if service is not None and task.desired_state <= TaskState.RUNNING:
            allocator.task(task, service, problems[service.id])


__all__ = ["Allocator", "allocate", "exhausted", "free_address", "lowest_free_mark", "take_address"]
