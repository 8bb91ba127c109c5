"""Networks that users make on this host: created, removed. What the API's handlers call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import msgspec

from skep.agent.connecting import check_wanted, wanted_network
from skep.agent.containers import Containers
from skep.agent.converge import describe
from skep.agent.creating import Around, Leased, made
from skep.agent.locals import PREDEFINED
from skep.agent.network import NO_NETWORK, Network, new_local_id
from skep.agent.records import Record, endpoint_of
from skep.agent.remotes import Remotes, drivers_of
from skep.agent.shared import forms_of
from skep.api.ports import Joined
from skep.kernel.kernel import Kernel
from skep.model.cluster import Grounds
from skep.model.errors import Broken, Forbidden, Missing
from skep.model.host import Container, LocalNetwork
from skep.model.netstate import HOST
from skep.model.spec import LOWER_MODES, NetworkSpec

Json = dict[str, Any]

Told = Callable[[str, Joined, str], None]
"""Called with what happened (create, destroy, connect, disconnect) to which network, and the id of
the container that it happened with, "" for none."""


def _nobody(action: str, network: Joined, container_id: str) -> None:
    """Who listens before anybody does."""


class LocalNetworks:
    """The users' networks of one host. Implements the API's ``LocalPort``."""

    def __init__(self, containers: Containers, network: Network, kernel: Kernel) -> None:
        self._containers = containers
        self._network = network
        self._kernel = kernel
        self._lock = asyncio.Lock()
        self._begun: dict[str, LocalNetwork] = {}
        network.shared.around = self._around
        self.tell: Told = _nobody

    async def create(self, spec: NetworkSpec) -> str:
        """Make a network; its id. Raises what `skep.agent.creating.made` does, and `Broken` with
        the kernel's sentence, after taking back what was begun."""
        id = new_local_id()
        if self._remotes is None:
            network = await self._made(spec, id, None)
        else:
            async with self._remotes.debts.coming([id]):
                leased = await self._remotes.prepare(spec, self._network.locals.all(), id)
                network = await self._made(spec, id, leased)
        await self.offer()
        self.tell("create", _joined(network), "")
        return id

    async def _made(self, spec: NetworkSpec, id: str, leased: Leased | None) -> LocalNetwork:
        """The network, checked, begun by its plugin if it has one, and brought about."""
        async with self._lock:
            network = made(spec, await self._around(), id=id, now=time.time(), leased=leased)
            self._begun[id] = network
        try:
            if self._remotes is not None:
                await self._remotes.begin(network)
            async with self._lock:
                await self._add(network)
        finally:
            del self._begun[id]
        return network

    async def _add(self, network: LocalNetwork) -> None:
        self._network.locals.add(network)
        try:
            await self._apply(network)
        except BaseException:
            self._network.locals.drop(network.id)
            self._network.changed()
            self._network.converger.want({HOST})
            raise

    async def remove(self, network: LocalNetwork) -> None:
        """Remove a network that nothing uses. Raises `Forbidden`, `Missing`."""
        async with self._lock:
            if network.name in PREDEFINED:
                raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
            if network not in self._network.locals.all():
                raise Missing(f"network {network.name} not found")
            self._check_unused(network)
            self._network.locals.drop(network.id)
            await self._apply(network)
        if self._remotes is not None:
            await self._remotes.debts.let_go([network.id])
        await self.offer()
        self.tell("destroy", _joined(network), "")

    async def offer(self) -> None:
        """Tell the managers, if there are any, what this host has for networks on its links."""
        if self._network.uplink is not None:
            forms = forms_of(self._network.locals.all())
            await self._network.uplink.offers(Grounds(await self._drivers(), forms))

    async def _drivers(self) -> tuple[str, ...]:
        return tuple([each for each in LOWER_MODES if await self._kernel.makes(each)])

    async def connect(self, container: Container, network: Joined, config: Json) -> None:
        """Attach a container to one more network, at once if it runs."""
        item = wanted_network(network.name, config)
        check_wanted(item, self._network.locals.named(network.id))
        async with self._containers.held(container.id) as record:
            self._check_shared(record, network)
            if self._on(record, network):
                raise Forbidden(
                    f"endpoint with name {record.name} already exists in network {network.name}"
                )
            if (await self._containers.state(record.id)).get("Running"):
                await self._network.connect(record, item)
                self.tell("connect", network, container.id)
            else:  # its start tells of it
                wanted = (*record.wanted, item)
                self._network.records.put(msgspec.structs.replace(record, wanted=wanted))

    async def disconnect(self, container: Container, network: Joined) -> None:
        """Take a container off a network, at once if it runs."""
        async with self._containers.held(container.id) as record:
            self._check_shared(record, network)
            if not self._on(record, network):
                raise Forbidden(f"container {record.id} is not connected to network {network.name}")
            ids = (network.id, network.name, *(("default",) if network.name == "bridge" else ()))
            wanted = tuple(item for item in record.wanted if item.network not in ids)
            if endpoint_of(record, network.id) is not None:
                await self._network.disconnect(record, network.id, wanted)
            else:
                self._network.records.put(msgspec.structs.replace(record, wanted=wanted))
        self.tell("disconnect", network, container.id)

    def drivers(self) -> tuple[str, ...]:
        """The plugins that are network drivers here."""
        if self._remotes is None:
            return ()
        return drivers_of(self._remotes.plugins, self._network.locals.all())

    @property
    def _remotes(self) -> Remotes | None:
        return self._network.remotes

    def _on(self, record: Record, network: Joined) -> bool:
        """Whether a container is on a network, or will be when it starts."""
        names = {network.id, network.name} | ({"default"} if network.name == "bridge" else set())
        wanted = any(item.network in names for item in record.wanted)
        return wanted or endpoint_of(record, network.id) is not None

    def _check_shared(self, record: Record, network: Joined) -> None:
        mode = record.network_mode
        if record.task_id:
            raise Forbidden("a task's networks are its service's: docker service update has them")
        if mode == "host" or network.driver == "host":
            raise Forbidden(
                "container cannot be disconnected from host network or connected to host network"
            )
        if mode.startswith("container:"):
            raise Forbidden(
                "container sharing network namespace with another container or host cannot be "
                "connected to any other network"
            )
        if mode in NO_NETWORK or network.driver == "null":
            raise Forbidden(
                "container cannot be connected to multiple networks with one of the networks in "
                "private (none) mode"
            )

    def _check_unused(self, network: LocalNetwork) -> None:
        for other in self._network.locals.all():
            if network.config_only and other.config_from in (network.name, network.id):
                raise Forbidden(
                    f'configuration network "{network.name}" is in use by "{other.name}"'
                )
        for swarm in self._network.assignment.networks.values():
            if network.config_only and swarm.present and swarm.spec.form == network.name:
                raise Forbidden(
                    f'configuration network "{network.name}" is in use by "{swarm.spec.name}"'
                )
        users = [
            f'name:"{box.container_name}" id:"{endpoint.id[:12]}"'
            for box in self._network.view().sandboxes
            for endpoint in box.endpoints
            if endpoint.network_id == network.id
        ]
        if users:
            raise Forbidden(
                f"error while removing network: network {network.name} has active endpoints "
                f"({', '.join(users)})"
            )

    async def _apply(self, network: LocalNetwork) -> None:
        self._network.changed()
        outcome = await self._network.converger.converge({HOST})
        if outcome.failures and network in self._network.locals.all():
            first = outcome.failures[0]
            raise Broken(
                f"cannot make network {network.name}: {describe(first.op)}: {first.message}"
            )

    async def _around(self) -> Around:
        networks = (*self._network.locals.all(), *self._begun.values())
        ours = {network.bridge for network in networks if network.bridge}
        lowers = (*self._network.locals.lowers(), *self._network.shared.lowers())
        vlans = {lower.parent for lower in lowers if lower.vlan}
        subnets = [(ip_network(n.subnet), n.name) for n in networks if n.subnet]
        subnets += [(ip_network(n.subnet6), n.name) for n in networks if n.subnet6]
        for swarm in self._network.assignment.networks.values():
            for subnet in swarm.subnets:
                configs = filter(None, (subnet.config, subnet.config6))
                subnets += [(ip_network(c.subnet), swarm.spec.name) for c in configs]
        addresses, routed = await self._kernel.addresses(), await self._kernel.routed()
        return Around(
            networks=networks,
            subnets=tuple(subnets),
            routes=tuple(prefix for link, prefix in (*addresses, *routed) if link not in ours),
            links=await self._kernel.links() - ours - vlans,
            pools=self._network.locals.subnets.pools,
            drivers=frozenset(await self._drivers()),
        )


def _joined(network: LocalNetwork) -> Joined:
    return Joined(network.id, network.name, network.driver)
