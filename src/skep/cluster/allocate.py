"""What the cluster gives out: addresses, VIPs, firewall marks, published ports.

Nothing is handed out in part: a service or a task gets all it needs, or a sentence that says what
is missing. A freed address is not given out again before all others were: each subnet keeps a
cursor.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from msgspec.structs import replace

from skep.cluster.claims import taken_numbers
from skep.cluster.context import Context
from skep.cluster.needs import (
    HOST_MODE,
    config_ids,
    endpoint_of,
    secret_ids,
    task_networks,
    virtual_networks,
)
from skep.cluster.numbers import MARKS, first_free, number_of, ports_of
from skep.cluster.parents import kept_back
from skep.cluster.state import Draft
from skep.cluster.subnets import endpoint_range, parsed, reserved
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
from skep.model.spec import IpamConfig, PortConfig

FIRST_MARK = 256
DYNAMIC_PORTS = range(30000, 32768)
"""Published ports for those who ask for any. Source: swarmkit's port allocator."""


def capacity(network: Network) -> int:
    """How many addresses a network has for endpoints and VIPs."""
    return sum(_room(subnet.config) for subnet in network.subnets)


def _room(config: IpamConfig) -> int:
    addresses = endpoint_range(config)
    return len(addresses) - sum(1 for each in reserved(config) if each in addresses)


def exhausted(network: Network) -> str:
    """The sentence for a network without a free address."""
    total = capacity(network)
    return f"network {network.spec.name}: {total} of {total} addresses in use"


def exhausted_beside(network: Network, subnet: Subnet) -> str:
    """The sentence for a subnet without a free address beside one that was asked for: addresses of
    the two families are on one bridge, so one of another subnet would not do."""
    if len(network.subnets) == 1:
        return exhausted(network)
    total = _room(subnet.config)
    return (
        f"network {network.spec.name}: {total} of {total} addresses of its subnet "
        f"{subnet.config.subnet} in use, which is the one beside {_sixth(subnet)}"
    )


def _sixth(subnet: Subnet) -> str:
    return subnet.config6.subnet if subnet.config6 else "no subnet of IPv6"


Addresses = tuple[str, str]
"""An IPv4 address and the IPv6 one beside it, "" if none is given out."""


def free_address(view: View, network: Network) -> tuple[int, Addresses] | None:
    """The next free addresses, not yet taken: the position of their subnet and they, bare."""
    for position, subnet in enumerate(network.subnets):
        address = _after_cursor(view, network, subnet.config, subnet.cursor)
        address6 = free_sixth(view, network, subnet) if address else None
        if address6 is not None:
            return position, (address, address6)
    return None


def free_sixth(view: View, network: Network, subnet: Subnet) -> str | None:
    """The next free IPv6 address of a subnet, bare; "" if the network gives out none (what its
    members have follows from their IPv4 addresses), None if all are taken."""
    if not network.spec.enable_i_pv6 or subnet.config6 is None:
        return ""
    return _after_cursor(view, network, subnet.config6, subnet.cursor6) or None


def free_beside(view: View, network: Network, subnet: Subnet) -> str:
    """The next free IPv4 address of one subnet, bare; "" if all are taken."""
    return _after_cursor(view, network, subnet.config, subnet.cursor)


def _after_cursor(view: View, network: Network, config: IpamConfig, cursor: str) -> str:
    candidates, kept = endpoint_range(config), kept_back(view, network, config)
    start = number_of(cursor) + 1 if cursor else candidates.start
    taken = view.addresses(network)
    # After the cursor, then from the beginning.
    for span in (range(start, candidates.stop), range(candidates.start, start)):
        number = first_free(taken, span, kept)
        if number is not None:
            return str(ip_address(number))
    return ""


def take_address(draft: Draft, network_id: str) -> Addresses | None:
    """The next free addresses of a network, with prefix length; None if there are none.

    The cursors move past them; they count as used once an object that holds them is put.
    """
    network = draft.networks[network_id]
    found = free_address(draft, network)
    if found is None:
        return None
    position, (address, address6) = found
    subnets = list(network.subnets)
    subnet = subnets[position]
    subnets[position] = replace(subnet, cursor=address, cursor6=address6 or subnet.cursor6)
    draft.put(replace(network, subnets=tuple(subnets)))
    return prefixed(address, subnet.config), prefixed(address6, subnet.config6)


def prefixed(address: str, config: IpamConfig | None) -> str:
    """An address with its subnet's prefix length; "" stays ""."""
    if not address or config is None:
        return ""
    return f"{address}/{parsed(config.subnet).prefixlen}"


def lowest_free_mark(view: View) -> int:
    """The lowest firewall mark that no service has."""
    return view.numbers(MARKS).next_free(FIRST_MARK)


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
        bare = {network_id for network_id in missing if self._on_links(network_id)}
        problem = self._missing(id for id in missing if id not in bare)
        ports, port_problem = self._ports(service)
        if problem or port_problem:
            return problem or port_problem
        for network_id in missing:
            found = ("", "") if network_id in bare else self._take(network_id)
            kept[network_id] = VirtualIp(network_id, *found)
        balanced = any(vip.address for vip in kept.values())
        mark = (had.mark or lowest_free_mark(self._draft)) if balanced else 0
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
        problem = problem or self._missing(wanted) or self._unknown_files(task)
        now = self._context.now
        if problem:
            if task.status.error != problem:
                status = replace(task.status, error=problem, timestamp=now)
                self._draft.put(replace(task, status=status, updated_at=now))
            return
        attachments = tuple(self._attachment(id) for id in wanted)
        status = replace(
            task.status,
            state=TaskState.PENDING,
            message="pending task scheduling",
            error="",
            timestamp=now,
        )
        self._draft.put(replace(task, attachments=attachments, status=status, updated_at=now))

    def _on_links(self, network_id: str) -> bool:
        """Whether a network is on a segment that others are on, too: who is not of the swarm could
        not reach a VIP there, so services are found by their tasks' addresses, as in Docker."""
        network = self._draft.networks.get(network_id)
        return network is not None and network.spec.lower

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

    def _unknown_files(self, task: Task) -> str:
        """What of its secrets and configs is gone, as it may be after a roll-back by itself."""
        for word, ids, records in (
            ("secret", secret_ids(task.spec), self._draft.secrets),
            ("config", config_ids(task.spec), self._draft.configs),
        ):
            gone = next((id for id in ids if id not in records), None)
            if gone is not None:
                return f"{word} {gone} not found"
        return ""

    def _attachment(self, network_id: str) -> Attachment:
        address, address6 = self._take(network_id)
        return Attachment(network_id=network_id, address=address, address6=address6)

    def _take(self, network_id: str) -> Addresses:
        address = take_address(self._draft, network_id)
        assert address is not None, "a free address was seen a moment ago"
        return address

    def _ports(self, service: Service) -> tuple[tuple[PortConfig, ...], str]:
        """The published ports, dynamic ones filled in: those that the service has stay its own.

        With a sentence instead of ports if there are none left.
        """
        ports = _kept_ports(service)
        own = {(p.protocol, p.published_port) for p in ports}
        left = {(p.protocol, p.published_port) for p in _allocated_ports(service)} - own
        for position, port in enumerate(ports):
            if port.published_port or port.publish_mode == HOST_MODE:
                continue
            programs = taken_numbers(self._draft, service.spec, port.protocol)
            number = self._dynamic_port(port.protocol, own, left, programs)
            if number is None:
                return (), "no free published port between 30000 and 32767"
            own.add((port.protocol, number))
            ports[position] = replace(port, published_port=number)
        return tuple(ports), ""

    def _dynamic_port(
        self,
        protocol: str,
        own: set[tuple[str, int]],
        left: set[tuple[str, int]],
        programs: set[int],
    ) -> int | None:
        """The lowest one that no other service has, and none of the hosts' ``programs``; ``left``
        are those that this one leaves."""
        kept_back = programs | {number for other, number in own if other == protocol}
        free = [n for other, n in left if other == protocol and n in DYNAMIC_PORTS]
        taken = self._draft.numbers(ports_of(protocol))
        number = first_free((taken,), DYNAMIC_PORTS, kept_back)
        if number is not None:
            free.append(number)
        return min((n for n in free if n not in kept_back), default=None)


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


__all__ = ["Allocator", "exhausted", "free_address", "lowest_free_mark", "take_address"]
