"""How a frame gets from a link to whoever has its next hop: veth pairs, bridges, tunnels."""

from __future__ import annotations

from collections.abc import Mapping

from skep.model.netstate import HOST, HostState, Link
from skep.plan.journey import (
    Crossed,
    Flow,
    Place,
    Plugged,
    RuleAt,
    Step,
    Switched,
    Tunnelled,
)
from skep.plan.judge import Moment, base_chains, families, judge
from skep.plan.layout import bare
from skep.plan.roads import other_end, owns, ports, tunnel_exit

World = Mapping[str, HostState]
"""Hosts by the address that their tunnels end at."""


SHARING = ("macvlan", "ipvlan")
"""Links that share one of the host's."""
APART = ("private", "vepa", "passthru")
"""Modes in which those of one host do not reach each other by themselves."""


class Lost(Exception):  # noqa: N818 - an outcome: the walker makes it into `Dropped`
    """The packet ends here; ``str()`` says why. ``at`` is where exactly, if that is not the
    namespace that it was last seen in; ``rule`` is who refused it, if a rule did."""

    def __init__(self, why: str, at: Place | None = None, rule: RuleAt | None = None) -> None:
        super().__init__(why)
        self.at = at
        self.rule = rule


class Carrier:
    """Carries one packet's frames. ``hops`` receives what befalls them."""

    def __init__(self, world: World, hops: list[Step]) -> None:
        self.world = world
        self.hops = hops

    def carry(self, at: Place, link: Link, next_hop: str, flow: Flow) -> Place:
        """The place that a frame sent on ``link`` to ``next_hop`` arrives at. Raises `Lost`."""
        if link.source:
            raise Lost(f"{link.name} was made by a plugin, which alone knows where it leads")
        if link.kind in SHARING:
            there = self._over_wire(at, link, next_hop)
        elif link.kind == "bridge":
            there = self._over_bridge(at, link.name, next_hop, flow)
        elif link.kind == "veth":
            place, end = self._across(at, link)
            port = Place(place.host, place.namespace, end.name)
            if end.master:
                self.hops.append(Plugged(at=port, bridge=end.master))
            there = self._over_bridge(port, end.master, next_hop, flow) if end.master else place
        else:
            raise Lost(f"{link.name} leads nowhere")
        self.hops.append(Crossed(at=at, to=there))
        return there

    def _over_wire(self, at: Place, link: Link, next_hop: str) -> Place:
        """To another link that shares its parent here, or the wire that its parent is on."""
        for host, state in self.world.items():
            if host == at.host and link.mode in APART:
                continue
            for name, namespace in state.items():
                for other in namespace.links.values():
                    same = other.kind == link.kind and other.parent == link.parent
                    on_wire = same or (host != at.host and other.kind == link.kind)
                    if on_wire and owns(namespace, other.name, next_hop):
                        return Place(host, name, other.name)
        raise Lost(
            f"{link.name} is on a link of the host, beyond which nobody that Skep knows has "
            f"{next_hop}"
        )

    def _across(self, at: Place, link: Link) -> tuple[Place, Link]:
        found = other_end(self.world[at.host], at, link)
        if found is None:
            raise Lost(f"the other end of {link.name} is missing", at)
        if not (link.up and found[1].up):
            raise Lost(f"{link.name} or its other end is down", at)
        return found

    def _over_bridge(self, at: Place, bridge: str, next_hop: str, flow: Flow) -> Place:
        """To the bridge itself, a port here, or a tunnel. ``at.link`` is where the frame came in:
        a port, or the bridge's own link if its host sends."""
        namespace = self.world[at.host][at.namespace]
        here = Place(at.host, at.namespace, bridge)
        if not namespace.links[bridge].up:
            raise Lost(f"{bridge} is down", here)
        if owns(namespace, bridge, next_hop):
            return Place(at.host, at.namespace, bridge)
        others = list(ports(namespace, bridge, at.link))
        for port in others:
            end = other_end(self.world[at.host], Place(at.host, at.namespace), port)
            if end is not None and end[1].up and self._answers(end[0], next_hop):
                self._pass_ports(at, port.name, flow)
                self.hops.append(Switched(at=here, port=port.name))
                return end[0]
        for port in others:
            if port.kind == "vxlan":
                return self._through_tunnel(at, port, next_hop)
        raise Lost(f"nobody on {bridge} answers for {next_hop}", here)

    def _answers(self, place: Place, address: str) -> bool:
        return owns(self.world[place.host][place.namespace], place.link, address)

    def _pass_ports(self, at: Place, outgoing: str, flow: Flow) -> None:
        """Rules of the bridge family see what goes from port to port."""
        namespace = self.world[at.host][at.namespace]
        incoming = namespace.links.get(at.link)
        if incoming is None or not incoming.master:
            return
        moment = Moment(at, flow, 0)
        moment.outgoing = outgoing
        self._pass(moment, "forward", ("bridge",))

    def _pass(self, moment: Moment, hook: str, seen_by: tuple[str, ...]) -> None:
        namespace = self.world[moment.at.host][moment.at.namespace]
        for table, chain, _ in base_chains(namespace, hook, seen_by):
            why = judge(table, chain, moment)
            if why:
                raise Lost(why, moment.at, moment.rule)

    def _through_tunnel(self, at: Place, tunnel: Link, next_hop: str) -> Place:
        """A neighbour entry answers for the next hop, a forwarding entry tells its host."""
        namespace = self.world[at.host][at.namespace]
        there = Place(at.host, at.namespace, tunnel.name)
        here = [each for each in namespace.neighbours if each.link == tunnel.name]
        mac = next((each.mac for each in here if each.address == next_hop), None)
        if mac is None:
            raise Lost(f"no neighbour entry for {next_hop} on {tunnel.name}", there)
        entries = [each for each in namespace.fdb if each.link == tunnel.name]
        vtep = next((each.vtep for each in entries if each.mac == mac), None)
        if vtep is None:
            raise Lost(f"no forwarding entry for {mac} on {tunnel.name}", there)
        assert tunnel.vxlan is not None, f"{tunnel.name} is no tunnel"
        self.hops.append(
            Tunnelled(
                at=at,
                host=vtep,
                vni=tunnel.vxlan.vni,
                link=tunnel.name,
                next_hop=next_hop,
                mac=mac,
            )
        )
        if tunnel.vxlan.underlay != HOST:
            self._sealed(at.host, tunnel.vxlan.underlay, vtep)
        else:
            outer = Flow("udp", tunnel.vxlan.local, vtep, 0, tunnel.vxlan.port)
            self._pass(Moment(Place(at.host, HOST, ""), outer, 0), "output", families(outer))
        if vtep not in self.world:
            # Tunnels end at VTEPs alone, whatever other addresses hosts have.
            raise Lost(f"no host has the address {vtep}", there)
        return self._out_of_tunnel(vtep, tunnel, mac)

    def _sealed(self, host: str, underlay: str, vtep: str) -> None:
        """Where only WireGuard leads out, there is a way or none."""
        namespace = self.world[host].get(underlay)
        routes = namespace.routes if namespace is not None else ()
        for route in routes:
            link = namespace.links.get(route.link) if namespace is not None else None
            if bare(route.destination) == vtep and link is not None and link.up:
                return
        raise Lost(f"there is no WireGuard tunnel to {vtep}", Place(host, underlay))

    def _out_of_tunnel(self, host: str, tunnel: Link, mac: str) -> Place:
        """Past the host's rules for tunnel packets, and by its MAC to a port."""
        assert tunnel.vxlan is not None, f"{tunnel.name} is no tunnel"
        if tunnel.vxlan.underlay == HOST:
            outer = Flow("udp", tunnel.vxlan.local, host, 0, tunnel.vxlan.port)
            self._pass(Moment(Place(host, HOST, ""), outer, 0), "input", families(outer))
        found = tunnel_exit(self.world[host], tunnel.vxlan.vni, tunnel.vxlan.port)
        if found is None:
            vni = tunnel.vxlan.vni
            raise Lost(f"{host} has no tunnel with VNI {vni}", Place(host, HOST))
        name, end = found
        namespace = self.world[host][name]
        for port in ports(namespace, end.master, end.name):
            there = other_end(self.world[host], Place(host, name), port)
            if there is not None and there[1].up and there[1].mac == mac:
                self.hops.append(Switched(at=Place(host, name, end.name), port=port.name))
                return there[0]
        raise Lost(f"no port of {host} has {mac}", Place(host, name, end.name))
