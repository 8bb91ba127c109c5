"""Which numbers are taken: addresses of a network, VXLAN ids, firewall marks, published ports.

A free one is found in a time that hardly depends on how many are taken.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator
from ipaddress import ip_address

from skep.cluster.needs import bare, endpoint_of
from skep.model.cluster import Network, Node, Record, Service, Task, TaskState

Pool = tuple[str, ...]
"""What numbers are taken from: ``("addresses", network id)``, ``("ports", protocol)``, …"""

INGRESS = "ingress"
"""Stands for the ingress network's id in pools of node addresses: a node does not know it."""

VNIS: Pool = ("vnis",)
MARKS: Pool = ("marks",)


def addresses_of(network_id: str) -> Pool:
    """The addresses of a network. Those of nodes are in the pool of `INGRESS`."""
    return ("addresses", network_id)


def ports_of(protocol: str) -> Pool:
    """The ports that services publish on every host, or on some (mode host)."""
    return ("ports", protocol)


class Numbers:
    """The taken numbers of one pool, in order. One may be held several times over."""

    __slots__ = ("_holders", "_sorted")

    def __init__(self) -> None:
        self._sorted: list[int] = []
        self._holders: dict[int, int] = {}

    def copy(self) -> Numbers:
        """Another one with the same numbers."""
        other = Numbers()
        other._sorted = self._sorted.copy()
        other._holders = self._holders.copy()
        return other

    def add(self, number: int) -> None:
        """It has one more holder."""
        holders = self._holders.get(number, 0)
        self._holders[number] = holders + 1
        if not holders:
            insort(self._sorted, number)

    def discard(self, number: int) -> None:
        """It has one holder less."""
        holders = self._holders.get(number, 0)
        assert holders, f"{number} is not held"
        if holders > 1:
            self._holders[number] = holders - 1
            return
        del self._holders[number]
        del self._sorted[bisect_left(self._sorted, number)]

    def __contains__(self, number: object) -> bool:
        return number in self._holders

    def __len__(self) -> int:
        return len(self._sorted)

    def below(self, limit: int) -> int:
        """How many numbers below ``limit`` are taken."""
        return bisect_left(self._sorted, limit)

    def next_free(self, start: int) -> int:
        """The lowest free number that is not below ``start``."""
        numbers = self._sorted
        first = bisect_left(numbers, start)
        if first == len(numbers) or numbers[first] != start:
            return start
        # The run of taken numbers from here on ends where a number is more than its place away.
        low, high = first, len(numbers)
        while high - low > 1:
            middle = (low + high) // 2
            if numbers[middle] - middle == start - first:
                low = middle
            else:
                high = middle
        return start + high - first


NONE = Numbers()


def first_free(
    pools: tuple[Numbers, ...], span: range, kept_back: Container[int] = ()
) -> int | None:
    """The lowest number of ``span`` that is free in all pools and not kept back."""
    number = span.start
    while number < span.stop:
        found = number
        for pool in pools:
            found = pool.next_free(found)
        if found in kept_back:
            found += 1
        if found == number:
            return number
        number = found
    return None


def number_of(address: str) -> int:
    """An address as a number; a prefix length is cut off. Those of the two families never meet:
    no address of IPv6 that is given out is as low as one of IPv4."""
    return int(ip_address(bare(address)))


def held(record: Record) -> Iterator[tuple[Pool, int]]:
    """All numbers that an object holds.

    An address belongs to its holder until the holder is observed dead: that rule lives here and
    nowhere else, so no allocation can see one as free that a container may still use.
    """
    match record:
        case Task():
            if record.status.state <= TaskState.RUNNING:
                for attachment in record.attachments:
                    pool = addresses_of(attachment.network_id)
                    yield from _numbers(pool, attachment.address, attachment.address6)
        case Service():
            yield from _held_by_service(record)
        case Network():
            for subnet in record.subnets:
                if subnet.vni:
                    yield VNIS, subnet.vni
        case Node():
            if record.ingress_address:
                pool = addresses_of(INGRESS)
                yield from _numbers(pool, record.ingress_address, record.ingress_address6)


def holds_the_same(old: Record, new: Record) -> bool:
    """Whether two pictures of one object surely hold the same numbers."""
    match old, new:
        case Task(), Task():
            dead = TaskState.RUNNING
            return (old.status.state > dead) == (new.status.state > dead) and (
                old.attachments == new.attachments
            )
        case Service(), Service():
            return old.endpoint == new.endpoint and old.spec == new.spec
        case Network(), Network():
            return [subnet.vni for subnet in old.subnets] == [subnet.vni for subnet in new.subnets]
        case Node(), Node():
            mine, other = old.ingress_address, old.ingress_address6
            return (mine, other) == (new.ingress_address, new.ingress_address6)
        case _:
            return True


def _held_by_service(service: Service) -> Iterator[tuple[Pool, int]]:
    allocated = service.endpoint
    asked = {
        (port.protocol, port.published_port)
        for ports in (endpoint_of(service.spec).ports, allocated.ports if allocated else ())
        for port in ports
        if port.published_port
    }
    for protocol, number in sorted(asked):
        yield ports_of(protocol), number
    if allocated is None:
        return
    if allocated.mark:
        yield MARKS, allocated.mark
    for vip in allocated.virtual_ips:
        yield from _numbers(addresses_of(vip.network_id), vip.address, vip.address6)


def _numbers(pool: Pool, *addresses: str) -> Iterator[tuple[Pool, int]]:
    return ((pool, number_of(address)) for address in addresses if address)
