"""Networks whose driver or address management is a plugin: made, given back, and joined."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from skep.agent.addresses import Lease
from skep.agent.creating import Leased, asked_subnets, configured
from skep.agent.debts import Debt, Debts
from skep.agent.handing import Handing, Look, Place
from skep.agent.laying import Ground
from skep.agent.leasing import Leasing
from skep.agent.locals import Locals
from skep.agent.records import Record, Wanted, endpoint_of
from skep.agent.view import Layout, derived_id
from skep.cluster.subnets import completed
from skep.model.errors import Broken, Forbidden, Invalid, Refusal, Unavailable, Unsupported
from skep.model.host import OWN_DRIVERS, Endpoint, LocalNetwork, Remote
from skep.model.spec import IpamConfig, NetworkSpec
from skep.plugin.plugins import NETWORK, Nothing, Plugins
from skep.plugin.protocol import DriverCapabilities, GatewayCheck

CREATE, DELETE = "NetworkDriver.CreateNetwork", "NetworkDriver.DeleteNetwork"
GENERIC = "com.docker.network.generic"
OWN_IPAM = ("", "default")
NO_IPAM = "null"
LOCAL, GLOBAL = "local", "global"


log = structlog.get_logger("skep.plugins")


class Remotes:
    """What this host asks of plugins. ``manager`` says whether the host manages a swarm; None
    outside one."""

    def __init__(self, plugins: Plugins, debts: Debts, look: Look) -> None:
        self.plugins = plugins
        self.debts = debts
        self.handing = Handing(plugins, debts, look)
        self.manager: Callable[[], bool | None] = lambda: None

    # --- networks

    async def prepare(
        self, spec: NetworkSpec, networks: tuple[LocalNetwork, ...], id: str
    ) -> Leased | None:
        """What plugins say of a network that is about to be made; None if none has to do with it.
        Raises refusals; what was asked for until then is on record."""
        if spec.config_only:
            return None
        spec = configured(spec, networks)
        driver, ipam = spec.driver or "bridge", spec.ipam.driver
        remote = driver not in OWN_DRIVERS
        if not remote and ipam in OWN_IPAM:
            return None
        for config in filter(None, asked_subnets(spec)):
            completed(config)
        scope = LOCAL
        skipped: dict[int, bool] = {}
        if remote:
            scope, skipped = await self._driver(spec)
        if ipam in OWN_IPAM:
            return Leased(scope=scope)
        if ipam == NO_IPAM:
            if not remote:
                raise Unsupported(
                    "IPAM driver null is for networks whose driver is a plugin: one of driver "
                    f"{driver} needs addresses from somewhere"
                )
            return Leased(scope=scope, subnets=())
        found = await Leasing(self.plugins, self.debts, ipam, id).subnets(spec, skipped)
        pools = {":" in config.subnet: pool for config, pool in found}
        return Leased(
            scope=scope,
            subnets=tuple(config for config, _ in found),
            pool=pools.get(False, ""),
            pool6=pools.get(True, ""),
        )

    async def _driver(self, spec: NetworkSpec) -> tuple[str, dict[int, bool]]:
        """A plugin's scope, and in which families it wants no address for the gateway."""
        plugin, call = spec.driver, "NetworkDriver.GetCapabilities"
        able = await self.plugins.ask(plugin, call, {}, DriverCapabilities)
        if able.scope not in (LOCAL, GLOBAL):
            raise Broken(
                f'plugin "{plugin}": {call}: it gave the scope {able.scope!r}, which is neither '
                "local nor global"
            )
        self._check_scope(spec, able.scope)
        if not able.gw_alloc_checker:
            return able.scope, {}
        body = {"Options": network_options(spec.options, spec.enable_i_pv6, spec.internal)}
        check = await self.plugins.ask(plugin, "NetworkDriver.GwAllocCheck", body, GatewayCheck)
        return able.scope, {4: check.skip_i_pv4, 6: check.skip_i_pv6}

    def _check_scope(self, spec: NetworkSpec, scope: str) -> None:
        manager = self.manager()
        if spec.scope == LOCAL and scope == GLOBAL:
            raise Forbidden(f"cannot downgrade network scope for {spec.driver} networks")
        if spec.scope != "swarm" and (manager is None or scope == LOCAL):
            return
        if manager is False:
            raise Forbidden(
                "Cannot create a multi-host network from a worker node. Please create the network "
                "from a manager node."
            )
        raise Invalid(
            f"legacy plugin {spec.driver} of type {NETWORK} is not supported in swarm mode"
        )

    async def begin(self, network: LocalNetwork) -> None:
        """Have a network's plugin make it. Raises refusals."""
        if not network.remote:
            return
        options = network_options(network.options, network.ipv6, network.internal)
        body = {
            "NetworkID": network.id,
            "Options": options,
            "IPv4Data": [_pool(each) for each in network.ipam if ":" not in each.subnet],
            "IPv6Data": [_pool(each) for each in network.ipam if ":" in each.subnet],
        }
        ids = {"NetworkID": network.id}
        self.debts.owe(Debt(owner=network.id, plugin=network.driver, call=DELETE, body=ids))
        await self.plugins.ask(network.driver, CREATE, body, Nothing)

    async def replay(self, networks: Iterable[LocalNetwork]) -> None:
        """Tell IPAM plugins that forget with a restart what they gave. It is no fault of ours if
        they do not hear: it is logged."""
        for network in networks:
            if network.pool:
                leasing = Leasing(self.plugins, self.debts, network.ipam_driver, network.id)
                try:
                    await leasing.replay(network)
                except Refusal as refusal:
                    log.warning("not told what it gave", network=network.name, why=str(refusal))

    # --- containers

    @contextlib.asynccontextmanager
    async def leased(
        self, record: Record, wanted: Collection[tuple[LocalNetwork, Wanted]]
    ) -> AsyncIterator[dict[str, Lease]]:
        """Addresses for a container on each of these networks that has them from elsewhere. If it
        does not come to be on them, all that was asked for on its behalf is given back."""
        owners = [derived_id(record.sandbox_id, network.id) for network, _ in wanted]
        async with self.debts.coming(owners):
            yield await self._lease(record, wanted)

    async def _lease(
        self, record: Record, wanted: Iterable[tuple[LocalNetwork, Wanted]]
    ) -> dict[str, Lease]:
        """What is still owed for an earlier life of the container is given back first."""
        found = {}
        for network, item in wanted:
            owner = derived_id(record.sandbox_id, network.id)
            await self.debts.settle(owner)
            if network.ipam_driver in (*OWN_IPAM, NO_IPAM):
                if network.ipam_driver == NO_IPAM:
                    found[network.id] = Lease(address=item.address, address6=item.address6)
                continue
            leasing = Leasing(self.plugins, self.debts, network.ipam_driver, owner)
            addresses = (item.address, item.address6)
            found[network.id] = await leasing.lease(network, addresses, item.mac or _mac(owner))
        return found

    async def open(self, record: Record, places: Iterable[Place]) -> None:
        """Tell the plugin that makes the container's way out, if one does. Raises `Unavailable` if
        it does not publish ports, and the container has some."""
        for place in places:
            here = endpoint_of(record, place.network.id)
            if here is None or here.id != record.gateway:
                continue
            now = msgspec.structs.replace(place, record=record)
            if not await self.handing.open(here, now) and record.published:
                raise Unavailable(
                    f"ports of container {record.name} cannot be published: plugin "
                    f'"{place.network.driver}", whose network {place.network.name} leads out, does '
                    "not know NetworkDriver.ProgramExternalConnectivity"
                )

    async def hand_over(self, record: Record, places: Iterable[Place]) -> Record:
        """The record with all that its plugins have made. Raises refusals."""
        for place in places:
            here = endpoint_of(record, place.network.id)
            assert here is not None, "it was laid out"
            now = msgspec.structs.replace(place, record=record)
            record = replaced(record, await self.handing.hand_over(here, now))
        return record


def replaced(record: Record, endpoint: Endpoint) -> Record:
    """The record with one endpoint as it is now."""
    endpoints = tuple(endpoint if e.id == endpoint.id else e for e in record.endpoints)
    return msgspec.structs.replace(record, endpoints=endpoints)


def asked_of_plugins(
    record: Record, wanted: Iterable[Wanted], locals_: Locals
) -> list[tuple[LocalNetwork, Wanted]]:
    """Those of the wanted networks that plugins have to do with, where the container is not yet."""
    found = [(network, item) for item in wanted if (network := locals_.named(item.network))]
    return [
        (network, item)
        for network, item in found
        if (network.remote or network.ipam_driver) and endpoint_of(record, network.id) is None
    ]


def places_of(record: Record, ground: Ground) -> list[Place]:
    """Where plugins have still to make something for a container."""
    items = {}
    for item in record.wanted:
        network = ground.local(item.network)
        items[network.id if network else item.network] = item
    layout = Layout(record.sandbox_id, ground.sandboxes)
    return [
        Place(record, network, items[network.id], frozenset(layout.taken(network)))
        for network in ground.networks
        if network.remote
        and (here := endpoint_of(record, network.id)) is not None
        and here.handed is None
    ]


def is_plugins_to_publish(record: Record, networks: Iterable[LocalNetwork]) -> bool:
    """Whether a container's ports are published by a plugin, or it does not show yet by whom."""
    remote = {network.id for network in networks if network.remote}
    mine = [each for each in record.endpoints if each.network_id in remote]
    return any(each.handed is None or each.id == record.gateway for each in mine)


def remotes_of(networks: Iterable[LocalNetwork]) -> tuple[Remote, ...]:
    """The networks whose interfaces plugins make."""
    return tuple(
        Remote(network_id=each.id, network_name=each.name, driver=each.driver)
        for each in networks
        if each.remote
    )


def drivers_of(plugins: Plugins, networks: Iterable[LocalNetwork]) -> tuple[str, ...]:
    """The plugins that are network drivers here: asked already, or of some network."""
    used = {each.driver for each in networks if each.remote}
    return tuple(sorted({*plugins.active(NETWORK), *used}))


def network_options(
    options: Mapping[str, str], ipv6: bool | None, internal: bool
) -> dict[str, Any]:
    """What a plugin is told of a network."""
    told = {
        GENERIC: dict(options),
        "com.docker.network.enable_ipv4": True,
        "com.docker.network.enable_ipv6": bool(ipv6),
    }
    return {**told, "com.docker.network.internal": True} if internal else told


def _pool(config: IpamConfig) -> dict[str, Any]:
    length = config.subnet.partition("/")[2]
    return {
        "AddressSpace": "LocalDefault",
        "Pool": config.subnet,
        "Gateway": f"{config.gateway}/{length}" if config.gateway else "",
        "AuxAddresses": {
            name: f"{address}/{length}" for name, address in config.auxiliary_addresses.items()
        },
    }


def _mac(owner: str) -> str:
    """A MAC for who must be told one before there is an address that it could follow from."""
    return ":".join(["02", "42", *(owner[at : at + 2] for at in range(0, 8, 2))])
