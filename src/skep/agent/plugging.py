"""All that has to do with plugins on one host, put together and kept going."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from skep.agent.containers import Containers
from skep.agent.debts import Debts
from skep.agent.heralding import Heralding
from skep.agent.looking import look
from skep.agent.network import Network
from skep.agent.rejoining import Rejoining
from skep.agent.remotes import Remotes, drivers_of
from skep.kernel.kernel import Kernel
from skep.plugin.plugins import Plugins


class Plugging:
    """The plugins of one host, and what keeps its networks and containers in step with them."""

    def __init__(
        self, kernel: Kernel, network: Network, containers: Containers, state: Path
    ) -> None:
        self._network = network
        self.plugins = Plugins()
        self._debts = Debts(state / "plugins.json", self.plugins)
        self._debts.living = network.living
        self._remotes = Remotes(self.plugins, self._debts, partial(look, kernel))
        self._remotes.manager = self._manages
        network.remotes = self._remotes
        self._rejoining = Rejoining(kernel, containers, network)
        self._heralding = Heralding(self.plugins, self._drivers, self._hosts)

    def load(self) -> None:
        """Read what is owed. Raises `Broken`."""
        self._debts.load()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._remotes.replay(self._network.locals.all()))
            group.create_task(self._debts.run())
            group.create_task(self._rejoining.run())
            group.create_task(self._heralding.run())

    def _drivers(self) -> tuple[str, ...]:
        return drivers_of(self.plugins, self._network.locals.all())

    def _manages(self) -> bool | None:
        """Whether this host is a manager; None outside a swarm."""
        if self._network.uplink is None:
            return None
        me = self._network.assignment.peers.get(self._network.assignment.node_id)
        return me is not None and bool(me.manager_address)

    def _hosts(self) -> dict[str, bool]:
        """The hosts of the swarm, by where their tunnels end: which one is this."""
        mine = self._network.assignment.node_id
        return {p.vtep: p.id == mine for p in self._network.assignment.peers.values() if p.vtep}
