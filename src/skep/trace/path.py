"""A walk, told: every step of a journey with the live facts behind it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from skep.model.inspection import Device
from skep.model.netstate import HOST, MAIN_TABLE
from skep.plan.journey import (
    OUTSIDE,
    Crossed,
    Delivered,
    Departed,
    End,
    Flow,
    Journey,
    Marked,
    Place,
    Plugged,
    Routed,
    Step,
    Switched,
    Translated,
    Tunnelled,
    Unread,
)
from skep.plan.layout import holds
from skep.plan.roads import tunnel_exit
from skep.trace.between import device_of, sight
from skep.trace.phrases import changes, destination, end_words, link_words
from skep.trace.report import OK, Hop
from skep.trace.ruling import backends_of, rule_facts, rule_words
from skep.trace.scene import Host, Scene

RETURN_BASE = 0x1000000
"""Marks from this on say by which host's ingress sandbox a connection came."""


class Told(msgspec.Struct, frozen=True):
    """A hop for people, and which step of the journey it tells of (as many as there are steps: the
    journey's end)."""

    step: int
    hop: Hop


def tell(scene: Scene, journey: Journey) -> list[Told]:
    """The hops of a journey, its end included unless it was lost."""
    narrator = Narrator(scene, journey)
    told = [Told(n, hop) for n, step in enumerate(journey.hops) for hop in narrator.step(step)]
    told += [Told(len(journey.hops), hop) for hop in narrator.end(journey.end)]
    return told


class Narrator:
    """Tells one journey's steps, in order."""

    def __init__(self, scene: Scene, journey: Journey) -> None:
        self._scene = scene
        self._mark = journey.packet.mark
        self._flow = journey.packet.flow
        self._unread: set[tuple[str, str, str]] = set()

    def step(self, step: Step) -> list[Hop]:
        """What is to be said of a step: nothing, one thing or several."""
        match step:
            case Marked():
                return [self._marked(step)]
            case Translated():
                return [self._translated(step)]
            case Routed():
                return [self._routed(step)]
            case Plugged():
                return [self._plugged(step)]
            case Switched():
                return [self._switched(step)]
            case Tunnelled():
                return self._tunnelled(step)
            case Crossed():
                return self._crossed(step)
            case Unread():
                return self._skipped(step)

    def _host(self, vtep: str) -> Host | None:
        return self._scene.hosts.get(vtep)

    def hop(self, at: Place, kind: str, says: str, details: Iterable[str] = ()) -> Hop:
        """A hop at a place."""
        host = self._host(at.host)
        return Hop(
            host=self._scene.name(at.host),
            node=host.node_id if host else "",
            namespace=at.namespace,
            owner=host.owner(at.namespace) if host else at.namespace,
            kind=kind,
            says=says,
            details=tuple(each for each in details if each),
            state=OK,
        )

    # --- rules

    def _marked(self, step: Marked) -> Hop:
        if step.target == "meta":
            self._mark = step.mark
        whose = self._mark_words(step)
        kind = "mark" if step.target == "meta" else "connection mark"
        hop = self.hop(
            step.at,
            "mark",
            f"{kind} {step.mark:#x}{whose}",
            [rule_words(self._host(step.at.host), step.at, step.rule)],
        )
        facts = {
            **rule_facts(self._host(step.at.host), step.at, step.rule),
            "mark": step.mark,
            "target": step.target,
        }
        return msgspec.structs.replace(hop, facts=facts)

    def _mark_words(self, step: Marked) -> str:
        if step.mark >= RETURN_BASE:
            return ": answers go back by the ingress sandbox it came through"
        host = self._host(step.at.host)
        for network in host.view.networks.values() if host else ():
            for service in network.services.values():
                if service.mark == step.mark and step.mark:
                    return f" (service {service.name})"
        return ""

    def _translated(self, step: Translated) -> Hop:
        self._flow = step.after
        backends, place = backends_of(self._host(step.at.host), step, self._mark)
        by_ipvs = step.rule is None and step.chain
        details = [step.chain] if by_ipvs else []
        if not by_ipvs:
            details = [rule_words(self._host(step.at.host), step.at, step.rule)]
        near, brief = step.at.host, ""
        if len(backends) > 1:
            chosen = self._scene.holder(step.after.target, near)
            brief = f"backend {place + 1} of {len(backends)}: {chosen}"
            details.append(f"backend {place + 1} of {len(backends)}, in turns: {chosen}")
            others = [each for each in backends if each != step.after.target]
            details.append("others: " + "; ".join(self._named(each, near) for each in others))
        elif backends:
            brief = f"the only backend: {self._scene.holder(step.after.target, near)}"
            details.append(brief)
        hop = self.hop(step.at, "nat", ", ".join(changes(step.before, step.after)), details)
        facts = rule_facts(self._host(step.at.host), step.at, step.rule)
        facts["source"] = end_words(step.after.source, step.after.source_port)
        facts["target"] = end_words(step.after.target, step.after.target_port)
        if backends:
            facts["backends"] = ", ".join(backends)
        return msgspec.structs.replace(hop, facts=facts, brief=brief)

    def _named(self, address: str, near: str) -> str:
        holder = self._scene.holder(address, near)
        return f"{address} ({holder})" if holder else address

    def _skipped(self, step: Unread) -> list[Hop]:
        """One hop per chain: what its rules do is not known."""
        where = (step.at.host, step.at.namespace, step.chain)
        if where in self._unread:
            return []
        self._unread.add(where)
        words = rule_words(self._host(step.at.host), step.at, step.rule)
        return [
            self.hop(
                step.at,
                "unread",
                f"chain {step.chain} has rules that Skep cannot judge; taken as not matching",
                [words, step.text],
            )
        ]

    # --- ways

    def _routed(self, step: Routed) -> Hop:
        if step.link == OUTSIDE:
            return self._routed_outside(step)
        host = self._host(step.at.host)
        table = (
            "" if step.table == MAIN_TABLE else f", table {step.table} (by mark {self._mark:#x})"
        )
        via = f"via {step.via} " if step.via else ""
        to = destination(host, step, self._flow.target) if host else ""
        says = f"{to} {via}on {step.link}{table}"
        link = host.link(step.at.namespace, step.link) if host else None
        hop = self.hop(step.at, "route", says, [link_words(link)])
        facts: dict[str, str | int] = {"link": step.link, "via": step.via, "table": step.table}
        if link is not None:
            facts |= {"ifindex": link.index, "mtu": link.mtu, "peer_ifindex": link.peer_index}
        return msgspec.structs.replace(hop, facts=facts, link=step.link)

    def _routed_outside(self, step: Routed) -> Hop:
        host = self._host(step.at.host)
        if host is None:
            return self.hop(step.at, "route", "by the host's own routes")
        target = self._flow.target
        routes = [each for each in host.inspection.routes if holds(each.destination, target)]
        best = max(routes, key=lambda r: int(r.destination.partition("/")[2]), default=None)
        if best is None:
            return self.hop(step.at, "route", f"no route to {target} among the host's own")
        via = f"via {best.via} " if best.via else ""
        hop = self.hop(step.at, "route", f"{best.destination} {via}on {best.link}", [])
        facts: dict[str, str | int] = {"link": best.link, "via": best.via, "table": MAIN_TABLE}
        device = next((d for d in host.inspection.devices if d.name == best.link), None)
        if device is not None:
            facts |= {"ifindex": device.index, "mtu": device.mtu}
        return msgspec.structs.replace(hop, facts=facts, link=best.link)

    def _plugged(self, step: Plugged) -> Hop:
        host = self._host(step.at.host)
        port = host.link(step.at.namespace, step.at.link) if host else None
        hop = self.hop(
            step.at, "link", f"out at {step.at.link}, a port of {step.bridge}", [link_words(port)]
        )
        facts: dict[str, str | int] = {"port": step.at.link, "bridge": step.bridge}
        if port is not None:
            facts |= {"ifindex": port.index, "mtu": port.mtu, "peer_ifindex": port.peer_index}
        return msgspec.structs.replace(hop, facts=facts, link=step.at.link)

    def _switched(self, step: Switched) -> Hop:
        host = self._host(step.at.host)
        here = host.link(step.at.namespace, step.at.link) if host else None
        port = host.link(step.at.namespace, step.port) if host else None
        bridge = here.master if here is not None and here.kind == "vxlan" else step.at.link
        hop = self.hop(
            step.at, "bridge", f"{bridge} passes it to port {step.port}", [link_words(port)]
        )
        facts: dict[str, str | int] = {"bridge": bridge, "port": step.port}
        if port is not None:
            facts |= {"ifindex": port.index, "mtu": port.mtu, "peer_ifindex": port.peer_index}
        return msgspec.structs.replace(hop, facts=facts, link=step.port)

    def _crossed(self, step: Crossed) -> list[Hop]:
        host = self._host(step.to.host)
        link = host.link(step.to.namespace, step.to.link) if host else None
        hop = self.hop(step.to, "link", f"in by {step.to.link}", [link_words(link)])
        facts: dict[str, str | int] = {"link": step.to.link}
        if link is not None:
            facts |= {"ifindex": link.index, "mtu": link.mtu, "peer_ifindex": link.peer_index}
        return [msgspec.structs.replace(hop, facts=facts, link=step.to.link)]

    # --- tunnels

    def _tunnelled(self, step: Tunnelled) -> list[Hop]:
        host = self._host(step.at.host)
        tunnel = host.link(step.at.namespace, step.link) if host else None
        vxlan = tunnel.vxlan if tunnel else None
        there = self._scene.name(step.host)
        entry = self.hop(
            step.at,
            "entry",
            f"{step.next_hop} is {step.mac}, behind {step.host} ({there})",
            [
                f"neighbour: {step.next_hop} lladdr {step.mac} dev {step.link}, permanent",
                f"fdb: {step.mac} dev {step.link} dst {step.host}, permanent",
            ],
        )
        facts: dict[str, str | int] = {
            "neighbour": step.next_hop,
            "mac": step.mac,
            "vtep": step.host,
        }
        entry = msgspec.structs.replace(entry, facts=facts)
        port = vxlan.port if vxlan else 0
        local = vxlan.local if vxlan else step.at.host
        sealed = "inside WireGuard" if vxlan and vxlan.underlay != HOST else "not encrypted"
        sent = self.hop(
            step.at,
            "tunnel",
            f"into {step.link}, VNI {step.vni}, to {step.host}",
            [
                f"VXLAN over UDP port {port}, {local} -> {step.host}, {sealed}",
                link_words(tunnel),
            ],
        )
        facts = {"vni": step.vni, "port": port, "local": local, "remote": step.host}
        if tunnel is not None:
            facts |= {"link": tunnel.name, "ifindex": tunnel.index, "mtu": tunnel.mtu}
        sent = msgspec.structs.replace(sent, facts=facts, link=step.link)
        return [entry, sent, self._underlay(step), *self._arrived(step), *self._emerged(step, port)]

    def _underlay(self, step: Tunnelled) -> Hop:
        """The way between the hosts, which the mesh watches."""
        host = self._host(step.at.host)
        at = Place(step.at.host, HOST)
        if host is None:
            return self.hop(at, "underlay", f"to {step.host}")
        device = device_of(host)
        seen = sight(host, step.host)
        details, brief = [], ""
        if device is not None:
            details.append(_device_words(device))
        if seen is not None and seen.probes:
            brief = f"{seen.rtt * 1000:.2f} ms"
            details.append(
                f"mesh: delay {seen.rtt * 1000:.2f} ms, loss {seen.loss:.0%} of {seen.probes}"
            )
        name = host.underlay or "underlay"
        hop = self.hop(
            at,
            "underlay",
            f"{name}: {step.at.host} -> {step.host} ({self._scene.name(step.host)})",
            details,
        )
        facts: dict[str, str | int] = {"link": name, "remote": step.host}
        if device is not None:
            facts |= {"ifindex": device.index, "mtu": device.mtu}
        return msgspec.structs.replace(hop, facts=facts, link=host.underlay, brief=brief)

    def _arrived(self, step: Tunnelled) -> list[Hop]:
        """Where the tunnel's packets come into the other host."""
        host = self._host(step.host)
        device = device_of(host) if host else None
        if host is None or device is None:
            return []
        hop = self.hop(
            Place(step.host, HOST), "underlay",
            f"{device.name}: in from {step.at.host} ({self._scene.name(step.at.host)})",
            [_device_words(device)],
        )  # fmt: skip
        facts: dict[str, str | int] = {"link": device.name, "remote": step.at.host}
        facts |= {"ifindex": device.index, "mtu": device.mtu}
        return [msgspec.structs.replace(hop, facts=facts, link=device.name)]

    def _emerged(self, step: Tunnelled, port: int) -> list[Hop]:
        """The other host's half begins: where tunnel packets come out."""
        host = self._host(step.host)
        found = tunnel_exit(host.state, step.vni, port) if host else None
        if host is None or found is None:
            return []
        namespace, link = found
        hop = self.hop(
            Place(step.host, namespace, link.name), "tunnel",
            f"out of {link.name}, VNI {step.vni}, a port of {link.master}", [link_words(link)],
        )  # fmt: skip
        facts: dict[str, str | int] = {"vni": step.vni, "bridge": link.master, "mtu": link.mtu}
        facts |= {"link": link.name, "ifindex": link.index}
        return [msgspec.structs.replace(hop, facts=facts, link=link.name)]

    # --- the end

    def end(self, end: End) -> list[Hop]:
        """How it ends, if it is not lost."""
        match end:
            case Delivered(at=at, flow=flow):
                return [self._delivered(at, flow)]
            case Departed(at=at, flow=flow):
                hop = self.hop(at, "depart", f"leaves the cluster for {flow.target}")
                gone: dict[str, str | int] = {"source": flow.source, "target": flow.target}
                return [msgspec.structs.replace(hop, facts=gone)]
            case _:
                return []

    def _delivered(self, at: Place, flow: Flow) -> Hop:
        where = end_words(flow.target, flow.target_port)
        hop = self.hop(at, "deliver", f"handed to {flow.protocol} {where}")
        facts: dict[str, str | int] = {"address": flow.target, "port": flow.target_port}
        return msgspec.structs.replace(hop, facts=facts)


def _device_words(device: Device) -> str:
    state = "" if device.up and device.carrier else ", DOWN"
    return f"{device.name} (if {device.index}, mtu {device.mtu}{state})"
