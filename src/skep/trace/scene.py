"""The hosts of a survey, ready to be walked: as they are, as they should be, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import msgspec

from skep.model.host import HostView, Sandbox
from skep.model.inspection import Inside, Inspection, Listener, RuleCount
from skep.model.netstate import HOST, Address, HostState, Link, Namespace
from skep.model.ops import Op
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.plan.journey import OUTSIDE, RuleAt
from skep.plan.layout import bare, holds, overlays
from skep.plan.wiring import joined
from skep.trace.foreign import readable
from skep.trace.survey import Report, Survey

NOWHERE = Inside()
LOCAL = "local"
"""Stands for the tunnel's address of a host that is in no swarm."""


class Host:
    """One host that answered."""

    def __init__(self, report: Report, inspection: Inspection) -> None:
        self.report = report
        self.inspection = inspection
        self.name = report.hostname
        self.node_id = report.node_id
        self.view: HostView = inspection.view
        self.vtep = inspection.view.vtep or LOCAL

    @cached_property
    def desired(self) -> HostState:
        """What its kernel should contain, as far as Skep has a say."""
        return desired(self.view)

    @cached_property
    def planned(self) -> HostState:
        """The same, beside the host's own addresses, which it answers for."""
        return {**self.desired, HOST: self._at_home(self.desired[HOST])}

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """What would bring its kernel there."""
        return tuple(diff(self.desired, self.inspection.state))

    @cached_property
    def state(self) -> HostState:
        """What its kernel contains, other people's tables included."""
        underlay = self.underlay
        devices = {underlay: OUTSIDE} if underlay else {}
        found = {}
        for name, namespace in self.inspection.state.items():
            foreign = self.inside(name).foreign
            tables = (*namespace.tables, *(readable(each, devices) for each in foreign))
            links = {key: self._paired(name, link) for key, link in namespace.links.items()}
            found[name] = msgspec.structs.replace(namespace, tables=tables, links=links)
        if HOST in found:
            found[HOST] = self._at_home(found[HOST])
        return found

    def _at_home(self, namespace: Namespace) -> Namespace:
        """The host's namespace with its IPv6 addresses on the underlay: the tunnels' address is
        what a walk knows a host by, and mostly of IPv4."""
        own = {Address(OUTSIDE, each) for each in self.sixths}
        return msgspec.structs.replace(namespace, addresses=namespace.addresses | own)

    @cached_property
    def sixths(self) -> tuple[str, ...]:
        """Its IPv6 addresses on links of its own, with prefix length."""
        ours = self.desired[HOST].links if HOST in self.desired else {}
        return tuple(
            address
            for device in self.inspection.devices
            if device.name not in ours
            for address in device.addresses
            if ":" in address
        )

    def has_address(self, address: str) -> bool:
        """Whether it is one of the host's own."""
        known = (self.vtep, self.report.address, *(bare(each) for each in self.sixths))
        return bool(address) and address in known

    def _paired(self, namespace: str, link: Link) -> Link:
        """An observed link with its other end named, if indices and MACs show that it is the one
        that it should be. Indices alone are counted per namespace, and often fit several places."""
        planned = self.desired.get(namespace)
        wanted = planned.links.get(link.name) if planned else None
        if wanted is None or wanted.peer is None:
            return link
        end = self.link(wanted.peer.namespace, wanted.peer.name)
        if end is None or not joined(link, end) or not self._has_mac(wanted, link):
            return link
        other = self.desired[wanted.peer.namespace].links[wanted.peer.name]
        if not self._has_mac(other, end):
            return link
        return msgspec.structs.replace(link, peer=wanted.peer)

    def _has_mac(self, wanted: Link, have: Link) -> bool:
        return wanted.mac.lower() in ("", have.mac.lower())

    @cached_property
    def underlay(self) -> str:
        """The link that carries its tunnels, "" if that is not known."""
        for device in self.inspection.devices:
            if self.vtep in (bare(each) for each in device.addresses):
                return device.name
        return ""

    @cached_property
    def _sandboxes(self) -> dict[str, Sandbox]:
        return {each.namespace: each for each in self.view.sandboxes}

    @cached_property
    def _networks(self) -> dict[str, str]:
        return {name: network.spec.name for name, network in overlays(self.view).items()}

    def inside(self, namespace: str) -> Inside:
        """What else is known of a namespace."""
        return self.inspection.insides.get(namespace, NOWHERE)

    def sandbox(self, namespace: str) -> Sandbox | None:
        """Whose namespace it is, if it is a sandbox."""
        return self._sandboxes.get(namespace)

    def owner(self, namespace: str) -> str:
        """Whose namespace it is, for people."""
        if namespace == HOST:
            return "host"
        box = self._sandboxes.get(namespace)
        if box is not None:
            return _short(box) or namespace
        network = self._networks.get(namespace)
        return f"network {network}" if network else namespace

    def link(self, namespace: str, name: str) -> Link | None:
        """A link as observed."""
        found = self.inspection.state.get(namespace)
        return None if found is None else found.links.get(name)

    def count(self, namespace: str, rule: RuleAt) -> RuleCount | None:
        """A rule's handle and counters."""
        for each in self.inside(namespace).rules:
            if (each.family, each.table, each.chain, each.number) == (
                rule.family,
                rule.table,
                rule.chain,
                rule.number,
            ):
                return each
        return None

    def listeners(self, namespace: str, protocol: str, port: int) -> list[Listener]:
        """Who waits for a port there."""
        return [
            each
            for each in self.inside(namespace).listeners
            if (each.protocol, each.port) == (protocol, port)
        ]


def _short(box: Sandbox) -> str:
    """A container's name; of a task without the id at its end."""
    name, _, last = box.container_name.rpartition(".")
    return name if name and last == box.task_id else box.container_name


class Scene:
    """All hosts of a survey. Hosts are known by their tunnels' addresses, as walks know them."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.hosts: dict[str, Host] = {}
        self.silent: dict[str, Report] = {}
        for report in survey.reports:
            if report.inspection is None:
                self.silent[report.vtep] = report
            else:
                host = Host(report, report.inspection)
                self.hosts[host.vtep] = host

    @cached_property
    def world(self) -> dict[str, HostState]:
        """All hosts as they are."""
        return {vtep: host.state for vtep, host in self.hosts.items()}

    @cached_property
    def planned(self) -> dict[str, HostState]:
        """All hosts as they should be."""
        return {vtep: host.planned for vtep, host in self.hosts.items()}

    def name(self, vtep: str) -> str:
        """A host's name by its tunnels' address."""
        if vtep in self.hosts:
            return self.hosts[vtep].name
        return self.silent[vtep].hostname if vtep in self.silent else vtep

    def by_node(self, node_id: str) -> Host | None:
        """The host of a node, if it answered."""
        return next((each for each in self.hosts.values() if each.node_id == node_id), None)

    def sandboxes(self) -> Iterator[tuple[Host, Sandbox]]:
        """All sandboxes of all hosts."""
        for host in self.hosts.values():
            for box in host.view.sandboxes:
                yield host, box

    def holder(self, address: str, near: str = "") -> str:
        """Whose address it is, for people; "" if nobody's. Addresses of the hosts' own bridges are
        the same everywhere: those of the host ``near`` come first."""
        found = [
            (host, box)
            for host, box in self.sandboxes()
            for endpoint in box.endpoints
            if address in (bare(endpoint.address), bare(endpoint.address6))
        ]
        for host, box in sorted(found, key=lambda each: each[0].vtep != near):
            return f"{host.owner(box.namespace)} on {host.name}"
        for host in self.hosts.values():
            if host.has_address(address):
                return f"host {host.name}"
        return self._told(address)

    def _told(self, address: str) -> str:
        """Whose address it is by what hosts were told of those that did not answer."""
        for host in self.hosts.values():
            for network in host.view.networks.values():
                for service in network.services.values():
                    if address in (bare(service.vip), service.vip6):
                        return f"the VIP of service {service.name}"
                for endpoint in network.endpoints.values():
                    if address in (bare(endpoint.address), endpoint.address6):
                        where = host.view.peers.get(endpoint.node_id)
                        name = endpoint.names[0] if endpoint.names else endpoint.task_id
                        return f"{name} on {where.hostname if where else endpoint.node_id}"
        return ""

    def network_of(self, address: str) -> str:
        """The name of the swarm network that an address lies in, "" if none."""
        for host in self.hosts.values():
            for network in host.view.networks.values():
                if any(
                    config is not None and holds(config.subnet, address)
                    for each in network.subnets
                    for config in (each.config, each.config6)
                ):
                    return network.spec.name
        return ""
