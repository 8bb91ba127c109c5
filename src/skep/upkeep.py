"""Keeping true what a member of a swarm is known by: its certificate, where the managers are, and
its own addresses, where these may change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from msgspec.structs import replace

from skep.advertise import PORT, joined, split, still
from skep.kernel.kernel import Kernel
from skep.model.errors import Broken, Refusal
from skep.wire.client import renew
from skep.wire.identity import Identity
from skep.wire.renew import renew_at

LOOK_AGAIN = 60.0
"""Seconds between looks at the certificate's age and the managers' addresses."""

SETTLED = 1.0
"""Seconds that a change of the host's addresses has to be complete: one often goes before the next
one comes."""

AGAIN = 5.0
"""Seconds until an address is tried again that could not be taken up."""

log = structlog.get_logger("skep.swarm")


class Upkeep:
    """One membership's upkeep. ``identity`` is what is known now, and ``managers`` where they are;
    ``adopt`` takes another identity up, ``moved`` one with other addresses."""

    def __init__(
        self,
        kernel: Kernel,
        identity: Callable[[], Identity | None],
        managers: Callable[[Identity], Mapping[str, str]],
        adopt: Callable[[Identity], None],
        moved: Callable[[Identity], Awaitable[None]],
    ) -> None:
        self._kernel = kernel
        self._identity = identity
        self._managers = managers
        self._adopt = adopt
        self._moved = moved
        self._stirred = asyncio.Event()

    async def keep(self) -> None:
        """Renew the certificate in time, and remember where the managers are, while a member."""
        while (identity := self._identity()) is not None:
            due = renew_at(identity.credentials.certificate, time.time())
            await asyncio.sleep(min(max(due - time.time(), 0.0), LOOK_AGAIN))
            # The host's own address may have become another one meanwhile.
            identity = self._identity() or identity
            managers = dict(self._managers(identity))
            try:
                if managers != identity.managers:
                    self._adopt(replace(identity, managers=managers))
                elif time.time() >= due:
                    await self._renew(identity)
            except Broken as broken:
                log.error("not kept for the next start", why=str(broken))
                await asyncio.sleep(LOOK_AGAIN)

    async def _renew(self, identity: Identity) -> None:
        try:
            got = await renew(tuple(identity.managers.values()), identity.credentials)
        except Refusal as refusal:
            log.warning("certificate not renewed yet", why=str(refusal))
            await asyncio.sleep(LOOK_AGAIN)
            return
        identity = self._identity() or identity
        self._adopt(replace(identity, credentials=got.credentials, managers=got.managers))
        log.info("certificate renewed")

    def stir(self) -> None:
        """The host's addresses may be others now."""
        self._stirred.set()

    async def follow(self) -> None:
        """Take up the addresses that the host's links have, until cancelled."""
        while True:
            await self._stirred.wait()
            await asyncio.sleep(SETTLED)
            self._stirred.clear()
            identity = self._identity()
            try:
                if identity is not None and (now := await self.located(identity)) != identity:
                    await self._moved(now)
            except Refusal as refusal:
                log.error("this host's new address is not taken up yet", why=str(refusal))
                self._stirred.set()
                await asyncio.sleep(AGAIN)

    async def located(self, identity: Identity) -> Identity:
        """The identity with the addresses of this host now. A manager that moves says so of
        itself."""
        own = await self._kernel.addresses()
        address = still(identity.address, identity.address_link, own)
        vtep = still(identity.vtep, identity.vtep_link, own)
        if (address, vtep) == (identity.address, identity.vtep):
            return identity
        log.warning("this host has another address", was=identity.address, now=address, vtep=vtep)
        own_id, managers = identity.subject.node_id, dict(identity.managers)
        if own_id in managers:
            managers[own_id] = joined(address, split(managers[own_id], PORT)[1])
        listen, port = split(identity.listen_address, PORT)
        if identity.listen_address and listen == identity.address:
            listen = address
        return replace(
            identity,
            address=address,
            vtep=vtep,
            managers=managers,
            listen_address=identity.listen_address and joined(listen, port),
        )
