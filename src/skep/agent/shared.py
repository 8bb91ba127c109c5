"""The swarm's networks on links of this host (macvlan, ipvlan): which link each one's containers
are on here. Found out when the first of them comes, and remembered while any is there: a link of a
VLAN that we made must not pass for one of the host's own after a restart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path

import msgspec
import structlog

from skep.agent.creating import Around, vlan_of, without_kernel
from skep.agent.locals import PARENT, lower_of
from skep.agent.statefile import read, write_atomically
from skep.cluster.linkoptions import mode_of
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Attachment, Form
from skep.model.errors import Broken, Missing
from skep.model.host import LocalNetwork, Lower

log = structlog.get_logger("skep.shared")


class Shared:
    """Remembers in one file. ``around`` tells what a network must get along with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lowers: dict[str, Lower] = {}
        self.around: Callable[[], Awaitable[Around]] | None = None

    def load(self) -> None:
        """Read the file if there is one. What cannot be understood is found out anew."""
        try:
            self._lowers = read(self._path, dict[str, Lower]) or {}
        except Broken as broken:
            log.warning("links of networks unreadable", why=str(broken))

    def lowers(self) -> tuple[Lower, ...]:
        """The networks as this host has them."""
        return tuple(self._lowers.values())

    async def provide(
        self, assignment: Assignment, attachments: Iterable[Attachment], used: Collection[str]
    ) -> None:
        """Find out what the networks of attachments are on this host, but for those ``used`` by
        containers already.

        Raises `Missing` (configuration network), `Invalid` (no such link), `Unsupported`.
        """
        for attachment in attachments:
            network = assignment.networks.get(attachment.network_id)
            if network is None or not network.spec.lower:
                continue
            if network.id in self._lowers and network.id in used:
                continue
            assert self.around is not None, "the host's links are known before containers come"
            lower = lower_here(network, await self.around())
            self._save({**self._lowers, network.id: lower})

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget all but these networks."""
        kept = {id: lower for id, lower in self._lowers.items() if id in ids}
        if kept == self._lowers:
            return
        try:
            self._save(kept)
        except Broken as broken:
            # They are forgotten again after the next start.
            log.warning("links of networks not forgotten on disk", why=str(broken))
            self._lowers = kept

    def _save(self, lowers: dict[str, Lower]) -> None:
        write_atomically(self._path, msgspec.json.encode(lowers))
        self._lowers = lowers


def lower_here(network: NetworkAssignment, around: Around) -> Lower:
    """What a network of the swarm is to this host's kernel. Raises what `Shared.provide` does."""
    spec = network.spec
    without_kernel(spec.driver, around)
    options, internal = spec.options, spec.internal
    if spec.form:
        form = next((n for n in around.networks if n.config_only and n.name == spec.form), None)
        if form is None:
            raise Missing(
                f"configuration network {spec.form} not found on this host: network {spec.name} "
                "needs it (docker network create --config-only)"
            )
        options, internal = form.options, internal or form.internal
    mode = mode_of(options, spec.driver)
    # Networks of the swarm may share a link, as each has its own subnet.
    vlan = vlan_of(
        options.get(PARENT, ""), spec.driver, msgspec.structs.replace(around, networks=())
    )
    first = network.subnets[0]
    return lower_of(
        LocalNetwork(
            id=network.id,
            name=spec.name,
            driver=spec.driver,
            created_at=network.created_at,
            gateway=first.config.gateway,
            gateway6=first.config6.gateway if first.config6 else "",
            vlan=vlan,
            options={**options, f"{spec.driver}_mode": mode},
            internal=internal,
        )
    )


def forms_of(networks: Iterable[LocalNetwork]) -> tuple[Form, ...]:
    """The configuration networks among a host's own, for the managers."""
    return tuple(
        Form(n.name, ipam=n.ipam, options=n.options, ipv6=n.ipv6, internal=n.internal)
        for n in networks
        if n.config_only
    )
