"""A kernel in memory: performs operations strictly, and shows itself as an observation would.

Whatever a real kernel would refuse is an AssertionError here, so a test sees a wrong order at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec

from skep.model.netstate import (
    GROUP,
    HOST,
    HOST_LINK,
    Address,
    HostState,
    Link,
    Namespace,
    Timeouts,
    VirtualService,
)
from skep.model.ops import Op

FACTORY = "factory setting"


class Box:
    """One network namespace."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.addresses: list[Address] = []
        self.routes: set = set()
        self.rules: set = set()
        self.neighbours: dict = {}
        self.fdb: set = set()
        self.tables: dict = {}
        self.sysctls: dict[str, str] = {}
        self.virtual: dict[tuple[str, int], VirtualService] = {}
        self.timeouts: Timeouts | None = None


NO_BRIDGE_FILTER = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")


class FakeKernel:
    """``absent`` are sysctls that this kernel does not have."""

    def __init__(self, absent: tuple[str, ...] = NO_BRIDGE_FILTER) -> None:
        self.absent = absent
        self.boxes = {HOST: Box()}
        numbers = count(2)
        self.indices: Callable[[str], int] = lambda _ns: next(numbers)
        self.ends: dict[tuple[str, str], tuple[str, str]] = {}
        self.cut: list[Op] = []

    def apply(self, todo: list[Op]) -> None:
        for op in todo:
            getattr(self, f"_{type(op).__name__}")(self.boxes.get(op.ns), op)

    def observe(self, wanted: HostState) -> HostState:
        """All of ours, with the sysctls that ``wanted`` asks for."""
        return {
            name: self._observe(name, box, wanted.get(name, Namespace(name=name)))
            for name, box in self.boxes.items()
        }

    def _observe(self, name: str, box: Box, wanted: Namespace) -> Namespace:
        links = {
            each.name: each
            for each in box.links.values()
            if name != HOST or each.group == GROUP or HOST_LINK.fullmatch(each.name)
        }
        ours = {each.name for each in links.values() if each.group == GROUP}
        return Namespace(
            name=name,
            links=links,
            addresses=frozenset(each for each in box.addresses if each.link in ours),
            routes=frozenset(each for each in box.routes if each.link in ours and name != HOST),
            rules=frozenset(box.rules),
            neighbours=frozenset(each for each in box.neighbours.values() if each.link in ours),
            fdb=frozenset(each for each in box.fdb if each.link in ours),
            tables=tuple(each for each in box.tables.values() if each.name.startswith("skep")),
            sysctls={
                key: box.sysctls.get(key, FACTORY)
                for key in wanted.sysctls
                if self._has_sysctl(box, key)
            },
            virtual=frozenset(box.virtual.values()),
            timeouts=box.timeouts,
        )

    def _has_sysctl(self, box: Box, key: str) -> bool:
        parts = key.split(".")
        link = parts[3] if len(parts) == 5 and parts[3] not in ("all", "default") else ""
        return key not in self.absent and (not link or link in box.links)

    def add_link(self, ns: str, link: Link) -> None:
        """Put a link there that nobody planned."""
        self.boxes[ns].links[link.name] = msgspec.structs.replace(link, index=self.indices(ns))

    def join(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """Make two links ends of one pair."""
        self.ends[one], self.ends[other] = other, one
        for mine, theirs in ((one, other), (other, one)):
            box = self.boxes[mine[0]]
            index = self.boxes[theirs[0]].links[theirs[1]].index
            box.links[mine[1]] = msgspec.structs.replace(
                box.links[mine[1]], peer_index=index, peer=None, owner=False
            )

    def drop_link(self, ns: str, name: str) -> None:
        """Delete a link with its other end and all that is on them."""
        box = self.boxes[ns]
        assert name in box.links, f"no link {name} in {ns!r}"
        del box.links[name]
        box.addresses = [each for each in box.addresses if each.link != name]
        box.routes = {each for each in box.routes if each.link != name}
        box.neighbours = {key: each for key, each in box.neighbours.items() if each.link != name}
        box.fdb = {each for each in box.fdb if each.link != name}
        box.sysctls = {k: v for k, v in box.sysctls.items() if f".{name}." not in k}
        for port in [each for each in box.links.values() if each.master == name]:
            box.links[port.name] = msgspec.structs.replace(port, master="")
        other = self.ends.pop((ns, name), None)
        if other is not None:
            del self.ends[other]
            self.drop_link(*other)

    def _AddNamespace(self, box, op) -> None:
        assert box is None, f"{op.ns} exists"
        self.boxes[op.ns] = Box()
        self.add_link(op.ns, Link(name="lo"))
        self.boxes[op.ns].addresses.append(Address("lo", "127.0.0.1/8"))

    def _DelNamespace(self, box, op) -> None:
        for name in list(box.links):
            if name in box.links:
                self.drop_link(op.ns, name)
        del self.boxes[op.ns]

    def _ReturnLink(self, box, op) -> None:
        if op.name in box.links:
            link = box.links[op.name]
            self.drop_link(op.ns, op.name)
            assert op.source not in self.boxes[HOST].links, f"{op.source} exists on the host"
            away = {"name": op.source, "group": 0, "source": "", "up": False}
            self.add_link(HOST, msgspec.structs.replace(link, **away))

    def _AddLink(self, box, op) -> None:
        if op.link.source:
            assert op.link.name not in box.links
            link = self.boxes[HOST].links[op.link.source]
            self.drop_link(HOST, op.link.source)
            mac = op.link.mac or link.mac
            self.add_link(
                op.ns, msgspec.structs.replace(op.link, kind=link.kind, mac=mac, mtu=1500)
            )
            return
        self._create(op.ns, op.link)
        if op.link.kind == "veth":
            there = op.link.peer
            self._create(there.namespace, op.peer)
            self.join((op.ns, op.link.name), (there.namespace, op.peer.name))

    def _create(self, ns: str, link: Link) -> None:
        assert link.name not in self.boxes[ns].links, f"{link.name} exists in {ns!r}"
        assert not link.master or link.master in self.boxes[ns].links, f"no {link.master}"
        if link.vxlan is not None:
            known = [each.vxlan for box in self.boxes.values() for each in box.links.values()]
            vnis = [each.vni for each in known if each is not None]
            assert link.vxlan.vni not in vnis, "VNI in use"
        chosen = {"mac": link.mac or "ee:ee:ee:00:00:01", "mtu": link.mtu or 1500}
        self.add_link(ns, msgspec.structs.replace(link, peer=None, owner=False, **chosen))

    def _DelLink(self, box, op) -> None:
        if op.name in box.links:
            self.drop_link(op.ns, op.name)

    def _SetLink(self, box, op) -> None:
        old, new = box.links[op.link.name], op.link
        assert not new.master or new.master in box.links
        box.links[new.name] = msgspec.structs.replace(
            old,
            up=new.up,
            mtu=new.mtu or old.mtu,
            mac=new.mac or old.mac,
            master=new.master,
            group=new.group,
            hairpin=new.hairpin,
        )

    def _AddAddress(self, box, op) -> None:
        assert op.address.link in box.links and op.address not in box.addresses
        if ":" in op.address.address and op.address.link != "lo" and op.ns != HOST:
            silenced = box.sysctls.get(f"net.ipv6.conf.{op.address.link}.disable_ipv6", "1")
            assert silenced == "0", f"IPv6 is disabled on {op.address.link}"
        box.addresses.append(op.address)

    def _DelAddress(self, box, op) -> None:
        link = op.address.link
        box.addresses.remove(op.address)
        if not any(each.link == link for each in box.addresses):
            box.routes = {each for each in box.routes if each.link != link}

    def _AddRoute(self, box, op) -> None:
        route = op.route
        assert route.link in box.links, f"no link {route.link}"
        assert any(each.link == route.link for each in box.addresses), "unreachable next hop"
        box.routes = {
            each
            for each in box.routes
            if (each.destination, each.table) != (route.destination, route.table)
        } | {route}

    def _DelRoute(self, box, op) -> None:
        box.routes.discard(op.route)

    def _AddRule(self, box, op) -> None:
        assert op.rule not in box.rules
        box.rules.add(op.rule)

    def _DelRule(self, box, op) -> None:
        box.rules.remove(op.rule)

    def _SetNeighbour(self, box, op) -> None:
        assert op.neighbour.link in box.links
        box.neighbours[op.neighbour.link, op.neighbour.address] = op.neighbour

    def _DelNeighbour(self, box, op) -> None:
        del box.neighbours[op.neighbour.link, op.neighbour.address]

    def _SetFdb(self, box, op) -> None:
        assert box.links[op.fdb.link].kind == "vxlan"
        same = {each for each in box.fdb if (each.link, each.mac) == (op.fdb.link, op.fdb.mac)}
        assert len(same) <= 1, "only a single destination can be replaced"
        box.fdb = box.fdb - same | {op.fdb}

    def _DelFdb(self, box, op) -> None:
        box.fdb.remove(op.fdb)

    def _SetSysctl(self, box, op) -> None:
        assert self._has_sysctl(box, op.key), f"no sysctl {op.key}"
        box.sysctls[op.key] = op.value

    def _SetTimeouts(self, box, op) -> None:
        box.timeouts = op.timeouts

    def _SetVirtual(self, box, op) -> None:
        key = op.service.family, op.service.mark
        there = box.virtual[key].destinations if key in box.virtual else frozenset()
        assert not op.service.destinations
        box.virtual[key] = msgspec.structs.replace(op.service, destinations=there)

    def _DelVirtual(self, box, op) -> None:
        del box.virtual[op.service.family, op.service.mark]

    def _SetDestination(self, box, op) -> None:
        self._place(box, op, {op.destination})

    def _DelDestination(self, box, op) -> None:
        self._place(box, op, set())

    def _place(self, box, op, destinations) -> None:
        key = op.service.family, op.service.mark
        service = box.virtual[key]
        others = {e for e in service.destinations if e.address != op.destination.address}
        assert destinations or others != service.destinations, "there is no such destination"
        box.virtual[key] = msgspec.structs.replace(
            service, destinations=frozenset(others | destinations)
        )

    def _ReplaceTable(self, box, op) -> None:
        box.tables[op.table.family, op.table.name] = op.table

    def _DelTable(self, box, op) -> None:
        del box.tables[op.family, op.name]

    def _AddChain(self, box, op) -> None:
        table = box.tables[op.family, op.table]
        assert op.chain.name not in {each.name for each in table.chains} and not op.chain.hook
        box.tables[op.family, op.table] = msgspec.structs.replace(
            table, chains=(*table.chains, op.chain)
        )

    def _DelChain(self, box, op) -> None:
        table = box.tables[op.family, op.table]
        chains = tuple(each for each in table.chains if each.name != op.name)
        assert len(chains) == len(table.chains) - 1, f"no chain {op.name}"
        leading = {atom for each in table.sets for element in each.elements for atom in element}
        assert f"goto {op.name}" not in leading, f"an element leads to {op.name}"
        box.tables[op.family, op.table] = msgspec.structs.replace(table, chains=chains)

    def _CutFlows(self, box, op) -> None:
        self.cut.append(op)

    def _SetElements(self, box, op) -> None:
        table = box.tables[op.family, op.table]
        old = next(each for each in table.sets if each.name == op.set)
        assert op.remove <= old.elements and not op.add & old.elements
        new = msgspec.structs.replace(old, elements=old.elements - op.remove | op.add)
        width = len(new.key)
        assert len({each[:width] for each in new.elements}) == len(new.elements), "key twice"
        sets = tuple(new if each is old else each for each in table.sets)
        box.tables[op.family, op.table] = msgspec.structs.replace(table, sets=sets)
