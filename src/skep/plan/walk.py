"""The walker: carries a packet through what hosts contain, or should contain, and says where it
ends. Tests state outcomes with it, and traces show its hops.

It knows namespaces, hooks, translation with its memory, routes, veth pairs, bridges, neighbours,
forwarding entries and tunnels. It does not know timing, sizes, or who listens.
"""

from __future__ import annotations

import msgspec

from skep.model.netstate import HOST, MAIN_TABLE, Namespace
from skep.plan.carry import Carrier, Lost, World
from skep.plan.family import IP6, family_of
from skep.plan.journey import (
    OUTSIDE,
    Connection,
    Delivered,
    Departed,
    Dropped,
    End,
    Journey,
    Packet,
    Place,
    Routed,
)
from skep.plan.judge import BaseChain, Moment, base_chains, families, judge
from skep.plan.roads import Way, host_of, is_local, route, source_address
from skep.plan.scheduling import schedule
from skep.plan.wiring import LOOPBACK

LIMIT = 32
"""Namespaces that a packet may visit before it is taken to go round in circles."""

TARGETS, SOURCES = -100, 100
"""The priorities at which connection tracking translates packets as it did their first."""

EARLIEST, TRACKING, LATEST = -(1 << 31), -200, 1 << 31
"""The priority at which connection tracking looks at a packet, and all others around it."""

ENTRIES, EXITS = ("prerouting", "output"), ("postrouting", "input")


def walk(
    world: World,
    start: Place,
    packet: Packet,
    slot: int = 0,
    known: tuple[Connection, ...] = (),
) -> Journey:
    """Send ``packet`` from ``start`` and follow it to its end.

    ``slot`` is what every counter stands at, and what every hash and draw of a number gives.
    ``known`` are connections from earlier journeys. A packet that is made at ``start``
    (``start.link`` is "") may leave its source empty: the address is then the one that the kernel
    would choose.
    """
    carrier = Carrier(world, [])
    connections = list(known)
    end = _follow(carrier, connections, (start, packet), slot)
    return Journey(
        start=start,
        packet=packet,
        hops=tuple(carrier.hops),
        end=end,
        connections=tuple(connections),
    )


def answer(world: World, journey: Journey) -> Journey:
    """Send the answer to a packet that arrived, with the connections that it left behind."""
    end = journey.end
    assert not isinstance(end, Dropped), f"nothing can answer: {end.why}"
    outside = Place(end.at.host, HOST, OUTSIDE)
    start = Place(end.at.host, end.at.namespace) if isinstance(end, Delivered) else outside
    return walk(world, start, Packet(end.flow.reverse()), known=journey.connections)


def _follow(
    carrier: Carrier, connections: list[Connection], state: tuple[Place, Packet], slot: int
) -> End:
    """From namespace to namespace until an end."""
    for _ in range(LIMIT):
        place, packet = state
        namespace = carrier.world.get(place.host, {}).get(place.namespace)
        if namespace is None:
            return Dropped(at=place, flow=packet.flow, why="there is no such namespace")
        moment = Moment(place, packet.flow, slot)
        moment.mark, moment.sender, moment.hops = packet.mark, packet.sender, carrier.hops
        try:
            found = _Visit(carrier, namespace, moment, connections).pass_through()
        except Lost as lost:
            at = lost.at or place
            return Dropped(at=at, flow=moment.flow, why=str(lost), rule=lost.rule)
        if not isinstance(found, tuple):
            return found
        state = found
    return Dropped(at=state[0], flow=state[1].flow, why="it goes round in circles")


class _Visit:
    """A packet's way through one namespace."""

    def __init__(
        self,
        carrier: Carrier,
        namespace: Namespace,
        moment: Moment,
        connections: list[Connection],
    ) -> None:
        self.carrier = carrier
        self.namespace = namespace
        self.moment = moment
        self.connections = connections
        self.connection: Connection | None = None
        self.original = moment.flow
        self.made_here = not moment.at.link
        self.virtual = False
        self.way = Way(LOOPBACK, "", MAIN_TABLE)
        moment.is_local = self._is_local
        moment.masquerade = lambda: self._source(self.way)

    def pass_through(self) -> End | tuple[Place, Packet]:
        """To an end here, or to the next place."""
        if self.made_here:
            self._choose_source()
        hook = "output" if self.made_here else "prerouting"
        self._run(self._chains(hook, range(EARLIEST, TRACKING)))
        self._track()
        self._hook(hook)
        self._check_reverse_path()
        if not self.made_here and self._is_local(self.moment.flow.target):
            self._balance()
        if self._is_local(self.moment.flow.target):
            return self._deliver()
        self.way = self._route()
        if not self.made_here and not self.virtual:
            self._check_forwarding()
            self._hook("forward")
        self._hook("postrouting")
        self._confirm()
        return self._leave()

    def _balance(self) -> None:
        """IPVS takes what is made here, or has arrived, and bears a service's mark, on to one of
        the service's destinations."""
        moment, known = self.moment, self.connection
        found = schedule(self.namespace, moment) if known is None else None
        if found is not None:
            after, says = msgspec.structs.replace(moment.flow, target=found.target), found.service
        elif known is not None and known.virtual and moment.direction == "original":
            back = known.reply.reverse()
            after, says = msgspec.structs.replace(back, source=moment.flow.source), ""
        else:
            return
        self.virtual = True
        moment.rule = None
        moment.readdress(says, after)

    def _is_local(self, address: str) -> bool:
        return is_local(self.moment.at.host, self.namespace, address)

    def _route(self) -> Way:
        """The way that the packet's target and mark lead."""
        target = self.moment.flow.target
        way = route(self.namespace, target, self.moment.mark)
        if way is None and self.namespace.name == HOST:
            way = Way(OUTSIDE, "", MAIN_TABLE)
        if way is None:
            raise Lost(f"no route to {target}")
        self.moment.outgoing = way.link
        return way

    def _source(self, way: Way) -> str:
        if way.link == LOOPBACK:
            return self.moment.flow.target
        host = self.moment.at.host
        if way.link == OUTSIDE and family_of(host) is family_of(self.moment.flow.target):
            return host
        return source_address(self.namespace, way.link, way.via or self.moment.flow.target)

    def _choose_source(self) -> None:
        """What is made here is routed once before its hooks; that decides its source."""
        self.moment.outgoing = LOOPBACK
        if not self._is_local(self.moment.flow.target):
            self.way = self._route()
        if not self.moment.flow.source:
            source = self._source(self.way)
            self.moment.flow = msgspec.structs.replace(self.moment.flow, source=source)

    def _track(self) -> None:
        """Find the packet's connection, by the flow it began with or by its answer's."""
        moment = self.moment
        self.original = moment.flow
        here = (moment.at.host, self.namespace.name)
        for each in self.connections:
            if (each.host, each.namespace) == here and moment.flow in (each.original, each.reply):
                self.connection = each
                moment.fresh = False
                moment.direction = "reply" if moment.flow == each.reply else "original"
                moment.connection_mark = each.mark
                moment.translated = each.translated
                return

    def _hook(self, hook: str) -> None:
        """Run the base chains of a hook. For all but a connection's first packet, its translation
        stands where the nat chains would. IPVS takes what is made here right after those."""
        chains = self._chains(hook, range(TRACKING, LATEST))
        if self.connection is not None:
            chains = [each for each in chains if each[2].type != "nat"]
        boundary = TARGETS if hook in ENTRIES else SOURCES
        early = [each for each in chains if each[2].priority < boundary]
        self._run(early)
        if self.connection is not None:
            self._translate_again(self.connection, hook)
        there = [each for each in chains[len(early) :] if each[2].priority == boundary]
        self._run(there)
        if hook == "output":
            self._balance()
        self._run(chains[len(early) + len(there) :])

    def _chains(self, hook: str, priorities: range) -> list[BaseChain]:
        seen_by = families(self.moment.flow)
        found = base_chains(self.namespace, hook, seen_by)
        return [each for each in found if each[2].priority in priorities]

    def _run(self, chains: list[BaseChain]) -> None:
        moment = self.moment
        for table, chain, _ in chains:
            why = judge(table, chain, moment)
            if why:
                raise Lost(why, rule=moment.rule)
            if self.connection is None:
                was = (self.original.target, self.original.target_port)
                moment.translated = was != (moment.flow.target, moment.flow.target_port)

    def _translate_again(self, connection: Connection, hook: str) -> None:
        flow = self.moment.flow
        reply = self.moment.direction == "reply"
        back = (connection.original if reply else connection.reply).reverse()
        if hook in ENTRIES and connection.virtual and not reply:
            # That is IPVS's to do, later.
            changes = {}
        elif hook in ENTRIES:
            changes = {"target": back.target, "target_port": back.target_port}
        elif hook in EXITS:
            changes = {"source": back.source, "source_port": back.source_port}
        else:
            changes = {}
        self.moment.readdress("", msgspec.structs.replace(flow, **changes))

    def _check_reverse_path(self) -> None:
        """A strict filter takes only what comes in by the link that the main table's answers would
        leave by. Source: ip-sysctl, rp_filter."""
        link, source = self.moment.at.link, self.moment.flow.source
        if self.made_here or self.namespace.name == HOST or ":" in source:
            return
        for name in ("all", link):
            key = f"net.ipv4.conf.{name}.rp_filter"
            if self.namespace.sysctls.get(key) == "1":
                way = route(self.namespace, source, 0)
                if way is None or way.link != link:
                    raise Lost(f"{key} is strict, and {link} is not the way to {source}")

    def _check_forwarding(self) -> None:
        six = family_of(self.moment.flow.target) is IP6
        switch = "net.ipv6.conf.all.forwarding" if six else "net.ipv4.ip_forward"
        if self.namespace.sysctls.get(switch) != "1":
            raise Lost("it would have to be forwarded, and forwarding is off")

    def _deliver(self) -> End:
        if self.made_here:
            self.way = Way(LOOPBACK, "", MAIN_TABLE)
            self.moment.outgoing = LOOPBACK
            self._hook("postrouting")
        self.moment.outgoing = ""
        self._hook("input")
        self._confirm()
        return Delivered(at=self.moment.at, flow=self.moment.flow, mark=self.moment.mark)

    def _confirm(self) -> None:
        """Remember the connection, or the mark that it was given."""
        moment = self.moment
        if self.connection is None:
            self._check_clash()
        if self.connection is not None:
            self.connections.remove(self.connection)
            kept = msgspec.structs.replace(self.connection, mark=moment.connection_mark)
        else:
            kept = Connection(
                host=moment.at.host,
                namespace=self.namespace.name,
                original=self.original,
                reply=moment.flow.reverse(),
                mark=moment.connection_mark,
                virtual=self.virtual,
            )
        self.connections.append(kept)

    def _check_clash(self) -> None:
        """An answer from another address than was asked is a connection of its own. As its answers
        would look like the question, the kernel changes its source port: nobody will know it."""
        moment = self.moment
        here = (moment.at.host, self.namespace.name)
        question = moment.flow.reverse()
        for each in self.connections:
            if (each.host, each.namespace) == here and each.original == question:
                raise Lost("it answers from another address than was asked, by a changed port")

    def _leave(self) -> End | tuple[Place, Packet]:
        moment, way = self.moment, self.way
        moment.hops.append(Routed(at=moment.at, link=way.link, via=way.via, table=way.table))
        self._check_loopback_source()
        if way.link == OUTSIDE:
            host = host_of(self.carrier.world, moment.flow.target)
            if host is not None:
                return Place(host, HOST, OUTSIDE), Packet(moment.flow)
            return Departed(at=moment.at, flow=moment.flow)
        link = self.namespace.links[way.link]
        at = Place(moment.at.host, self.namespace.name, way.link)
        there = self.carrier.carry(at, link, way.via or moment.flow.target, moment.flow)
        return there, Packet(moment.flow, sender=link.mac)

    def _check_loopback_source(self) -> None:
        """The kernel routes no packet from 127.0.0.0/8 out of a link that does not allow it.

        It looks before masquerading, so at the source that the packet was made with.
        """
        if self.original.source == "::1" and self.made_here:
            raise Lost(f"no answer to ::1 is taken on {self.way.link}")
        allowed = self.namespace.sysctls.get(f"net.ipv4.conf.{self.way.link}.route_localnet")
        if self.original.source.startswith("127.") and self.made_here and allowed != "1":
            raise Lost(f"{self.way.link} takes no packets from 127.0.0.0/8")
