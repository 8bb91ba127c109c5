"""Subnets and addresses from IPAM plugins: asked for, checked, and on record to be given back."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Any, NoReturn, TypeVar

import msgspec

from skep.agent.addresses import Lease
from skep.agent.creating import asked_subnets
from skep.agent.debts import Debt, Debts
from skep.model.errors import Broken, Refusal
from skep.model.host import LocalNetwork
from skep.model.spec import IpamConfig, NetworkSpec
from skep.plugin.calls import Silent, Unknown
from skep.plugin.plugins import Plugins
from skep.plugin.protocol import Address, AddressSpaces, IpamCapabilities, Pool

GATEWAY = "com.docker.network.gateway"
MAC = "com.docker.network.endpoint.macaddress"
REQUEST_POOL, RELEASE_POOL = "IpamDriver.RequestPool", "IpamDriver.ReleasePool"
REQUEST_ADDRESS, RELEASE_ADDRESS = "IpamDriver.RequestAddress", "IpamDriver.ReleaseAddress"

Subnets = tuple[tuple[IpamConfig, str], ...]
"""Subnets with the plugin's names for them."""


def wrong(plugin: str, call: str, words: str) -> NoReturn:
    """A plugin's answer cannot be used. Raises `Broken`."""
    raise Broken(f'plugin "{plugin}": {call}: {words}')


T = TypeVar("T")


class Leasing:
    """What is asked of one IPAM plugin on behalf of ``owner``, a network's id or an endpoint's."""

    def __init__(self, plugins: Plugins, debts: Debts, plugin: str, owner: str) -> None:
        self._plugins = plugins
        self._debts = debts
        self._plugin = plugin
        self._owner = owner

    async def capabilities(self) -> IpamCapabilities:
        """What the plugin needs; nothing special, if it does not say."""
        try:
            return await self._ask("IpamDriver.GetCapabilities", {}, IpamCapabilities)
        except Unknown:
            return IpamCapabilities()

    async def subnets(self, spec: NetworkSpec, skipped: Mapping[int, bool]) -> Subnets:
        """Those of a new network, IPv4 first. In families that are ``skipped`` its driver wants no
        address for the gateway."""
        spaces = await self._spaces()
        found = []
        for version in (4, 6) if spec.enable_i_pv6 else (4,):
            wanted = asked_subnets(spec)[version == 6] or IpamConfig()
            body = {
                "AddressSpace": spaces.local_default_address_space,
                "Pool": wanted.subnet,
                "SubPool": wanted.ip_range,
                "Options": spec.ipam.options or {},
                "V6": version == 6,
            }
            pool = await self._pool(body, version)
            config = await self._filled(wanted, pool, skip=skipped.get(version, False))
            found.append((config, pool.pool_id))
        return tuple(found)

    async def lease(self, network: LocalNetwork, wanted: tuple[str, str], mac: str) -> Lease:
        """Addresses of an endpoint: those ``wanted``, "" for any."""
        needs = (await self.capabilities()).requires_mac_address
        options = {MAC: mac} if needs else {}
        found = []
        pools = ((network.pool, network.subnet), (network.pool6, network.subnet6))
        for (pool, subnet), address in zip(pools, wanted, strict=True):
            if pool:
                found.append(await self._address(pool, subnet, address, options))
            else:
                found.append("")
        return Lease(address=found[0], address6=found[1], mac=mac if needs else "")

    async def replay(self, network: LocalNetwork) -> None:
        """Ask anew for a network's pools and all addresses of them, if the plugin wants that."""
        if not (await self.capabilities()).requires_request_replay:
            return
        spaces = await self._spaces()
        for config, pool in (
            (c, network.pool6 if ":" in c.subnet else network.pool) for c in network.ipam
        ):
            body = {
                "AddressSpace": spaces.local_default_address_space,
                "Pool": config.subnet,
                "SubPool": config.ip_range,
                "Options": network.ipam_options,
                "V6": ":" in config.subnet,
            }
            again = await self._ask(REQUEST_POOL, body, Pool)
            if again.pool_id != pool:
                wrong(self._plugin, REQUEST_POOL, f"it calls {config.subnet} {again.pool_id!r} now")
            for debt in self._debts:
                if debt.call == RELEASE_ADDRESS and debt.body["PoolID"] == pool:
                    address = debt.body["Address"]
                    options = {"RequestAddressType": GATEWAY} if address == config.gateway else {}
                    asked = {**debt.body, "Options": options}
                    await self._ask(REQUEST_ADDRESS, asked, Address)

    async def _spaces(self) -> AddressSpaces:
        try:
            return await self._ask("IpamDriver.GetDefaultAddressSpaces", {}, AddressSpaces)
        except Unknown:
            return AddressSpaces()

    async def _pool(self, body: dict[str, Any], version: int) -> Pool:
        pool = await self._ask(REQUEST_POOL, body, Pool)
        if not pool.pool_id:
            wrong(self._plugin, REQUEST_POOL, "it gave a subnet without an id")
        self._debts.owe(self._debt(RELEASE_POOL, PoolID=pool.pool_id))
        try:
            subnet = ip_network(pool.pool)
        except ValueError:
            wrong(self._plugin, REQUEST_POOL, f"it gave {pool.pool!r}, which is no subnet")
        if subnet.version != version:
            wrong(self._plugin, REQUEST_POOL, f"it gave {subnet}, which is not of IPv{version}")
        if body["Pool"] and ip_network(body["Pool"]) != subnet:
            wrong(self._plugin, REQUEST_POOL, f"it was asked for {body['Pool']} and gave {subnet}")
        return msgspec.structs.replace(pool, pool=str(subnet))

    async def _filled(self, wanted: IpamConfig, pool: Pool, *, skip: bool) -> IpamConfig:
        gateway = wanted.gateway
        given = pool.data.get(GATEWAY, "")
        if given and not gateway:
            gateway = str(self._inside(given, pool.pool, REQUEST_POOL).ip)
        elif gateway or not skip:
            options = {"RequestAddressType": GATEWAY}
            leased = await self._address(pool.pool_id, pool.pool, gateway, options)
            gateway = leased.partition("/")[0]
        for address in wanted.auxiliary_addresses.values():
            await self._address(pool.pool_id, pool.pool, address, {})
        return msgspec.structs.replace(wanted, subnet=pool.pool, gateway=gateway)

    async def _address(
        self, pool: str, subnet: str, wanted: str, options: Mapping[str, str]
    ) -> str:
        """An address of a pool, with the subnet's prefix. Raises `Broken` if it cannot be one."""
        body = {"PoolID": pool, "Address": wanted, "Options": dict(options)}
        debt = self._debt(RELEASE_ADDRESS, PoolID=pool, Address=wanted)
        if wanted:
            self._check_free(debt)
            self._debts.owe(debt)
        try:
            found = (await self._ask(REQUEST_ADDRESS, body, Address)).address
        except Silent:
            raise
        except Refusal:
            self._debts.cancel(debt)
            raise
        given = self._interface(found, REQUEST_ADDRESS)
        if wanted and given.ip != ip_address(wanted):
            wrong(self._plugin, REQUEST_ADDRESS, f"it was asked for {wanted} and gave {given.ip}")
        if not wanted:
            debt = self._debt(RELEASE_ADDRESS, PoolID=pool, Address=str(given.ip))
            self._check_free(debt)
            self._debts.owe(debt)
        return f"{self._inside(found, subnet, REQUEST_ADDRESS).ip}/{ip_network(subnet).prefixlen}"

    def _check_free(self, debt: Debt) -> None:
        """Raises `Broken` if somebody has the address. It is not given back then: it is theirs."""
        for other in self._debts:
            same = (other.plugin, other.call, other.body) == (debt.plugin, debt.call, debt.body)
            if same and other.owner != debt.owner:
                address = debt.body["Address"]
                raise Broken(
                    f'plugin "{self._plugin}": {REQUEST_ADDRESS}: {address} is in use already'
                )

    def _interface(self, text: str, call: str) -> IPv4Interface | IPv6Interface:
        try:
            return ip_interface(text)
        except ValueError:
            wrong(self._plugin, call, f"it gave {text!r}, which is no address")

    def _inside(self, text: str, subnet: str, call: str) -> IPv4Interface | IPv6Interface:
        found = self._interface(text, call)
        if found.ip not in ip_network(subnet):
            wrong(self._plugin, call, f"it gave {found.ip}, which is not in {subnet}")
        return found

    async def _ask(self, call: str, body: Any, shape: type[T]) -> T:
        return await self._plugins.ask(self._plugin, call, body, shape)

    def _debt(self, call: str, **body: str) -> Debt:
        return Debt(owner=self._owner, plugin=self._plugin, call=call, body=body)
