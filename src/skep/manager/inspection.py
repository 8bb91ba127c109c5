"""Looking into the whole cluster: asks every host at once, with a deadline, and draws conclusions.

On a host that is no manager, the same works for that host alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Collection

import msgspec

from skep.manager.asker import ANSWER_WITHIN, Asker, Cluster, Local
from skep.manager.facts import fills_of, service_fact
from skep.manager.probing import followed, probed
from skep.model.cluster import Node
from skep.model.errors import Missing, Refusal, Unavailable
from skep.model.host import HostView
from skep.model.inspection import (
    Held,
    Hold,
    Inspect,
    Inspection,
    NameAnswer,
    Repair,
    Repaired,
    StoreCheck,
)
from skep.trace.doctor import confirmed, examine, is_doubtful
from skep.trace.finding import Checkup
from skep.trace.follow import Followed
from skep.trace.report import Trace
from skep.trace.survey import Report, Survey
from skep.trace.trace import Case, question

SHALLOW_WITHIN, DEEP_WITHIN = 8.0, 25.0
"""Seconds that hosts get to say what they are."""
SECOND_LOOK = 1.0
"""Seconds until the doctor looks again at what might pass; a repair takes a fraction of one."""
ALONE = "the host that was asked is no manager, and can look into itself alone"


class Looker:
    """Traces and examines. ``cluster`` gives None on hosts that are no manager."""

    def __init__(
        self, local: Local, view: Callable[[], HostView], cluster: Callable[[], Cluster | None]
    ) -> None:
        self._view = view
        self._cluster = cluster
        self._asker = Asker(local, view, cluster)

    async def trace(self, source: str, target: str, probe: bool) -> Trace:
        """The path from FROM to TO, with a real packet if ``probe``. Raises refusals."""
        case = await self._case(source, target)
        return await (probed(self._asker, case) if probe else asyncio.to_thread(case.trace))

    async def follow(self, source: str, target: str) -> AsyncGenerator[Trace | Followed, None]:
        """The path from FROM to TO, then what passes on it, until nobody wants to know any more.
        Raises refusals."""
        case = await self._case(source, target)
        yield await asyncio.to_thread(case.trace)
        async with contextlib.aclosing(followed(self._asker, case)) as reports:
            async for each in reports:
                yield each

    async def _case(self, source: str, target: str) -> Case:
        survey = await self.survey(Inspect())
        asked = await asyncio.to_thread(question, survey, source, target)
        if asked is not None:
            node_id, what = asked
            names = await self._asker.ask(node_id, what, tuple[NameAnswer, ...], ANSWER_WITHIN)
            survey = msgspec.structs.replace(survey, names=names)
        return await asyncio.to_thread(Case, survey, source, target)

    async def examine(self, hosts: Collection[str], repair: bool) -> Checkup:
        """All that is wrong, on some hosts (by name or id) or all; after converging if ``repair``.
        What might be just under way is looked at twice.

        Raises `Missing` for a host that there is not.
        """
        names = {self._named(each) for each in hosts}
        repaired = await self._repair(names) if repair else ()
        first = await self._look(names, repaired)
        if not is_doubtful(first):
            return first
        await asyncio.sleep(SECOND_LOOK)
        return confirmed(first, await self._look(names, repaired))

    async def _look(self, names: Collection[str], repaired: tuple[str, ...]) -> Checkup:
        survey = await self.survey(Inspect(deep=True))
        return await asyncio.to_thread(examine, survey, names, repaired)

    async def hold(self, host: str, seconds: float) -> float:
        """Have a host's kernel left as it is for so many seconds (0: no longer). Answers until
        when, in Unix seconds by that host's clock. Raises `Missing`, `Unavailable`."""
        name = self._named(host)
        peers = self._view().peers.values()
        node_id = next(peer.id for peer in peers if peer.hostname == name)
        if self._cluster() is None and node_id != self._view().node_id:
            raise Unavailable(ALONE)
        return (await self._asker.ask(node_id, Hold(seconds=seconds), Held, ANSWER_WITHIN)).until

    # --- gathering

    async def survey(self, what: Inspect) -> Survey:
        """Every host's word, and the manager's own knowledge."""
        cluster = self._cluster()
        within = DEEP_WITHIN if what.deep else SHALLOW_WITHIN
        if cluster is None:
            return await self._alone(what, within)
        state = cluster.manager.state
        nodes = sorted(state.nodes.values(), key=lambda node: node.description.hostname)
        reports = await asyncio.gather(*(self._report(node, what, within) for node in nodes))
        return Survey(
            by=self._view().node_id,
            whole=True,
            reports=tuple(reports),
            services=tuple(service_fact(state, each) for each in state.services.values()),
            fills=tuple(fill for net in state.networks.values() for fill in fills_of(state, net)),
            pools=state.cluster.address_pools if state.cluster else (),
            store=await self._check_store(cluster) if what.deep else None,
        )

    async def _alone(self, what: Inspect, within: float) -> Survey:
        begun = time.time()
        found = await self._asker.ask(self._view().node_id, what, Inspection, within)
        me = found.view.peers.get(found.node_id)
        report = Report(
            node_id=found.node_id,
            hostname=found.hostname,
            vtep=found.view.vtep,
            address=me.address if me else found.view.vtep,
            asked_at=begun,
            heard_at=time.time(),
            inspection=found,
        )
        others = (
            Report(
                node_id=peer.id,
                hostname=peer.hostname,
                vtep=peer.vtep,
                address=peer.address,
                silence=ALONE,
            )
            for peer in found.view.peers.values()
            if peer.id != found.node_id
        )
        return Survey(by=found.node_id, whole=False, reports=(report, *others))

    async def _report(self, node: Node, what: Inspect, within: float) -> Report:
        begun, found, silence = time.time(), None, ""
        try:
            found = await self._asker.ask(node.id, what, Inspection, within)
        except Refusal as refusal:
            silence = str(refusal)
            if node.state == "down" and node.message:
                silence = f"{silence} (it is down: {node.message})"
        return Report(
            node_id=node.id,
            hostname=node.description.hostname,
            vtep=node.vtep,
            address=node.address,
            asked_at=begun,
            heard_at=time.time(),
            inspection=found,
            silence=silence,
        )

    # --- repairing, and what only a manager knows

    def _named(self, reference: str) -> str:
        """A host's name by name or id. Raises `Missing`."""
        for peer in self._view().peers.values():
            if reference in (peer.id, peer.hostname, peer.address):
                return peer.hostname
        raise Missing(f"no host {reference} in this cluster")

    async def _repair(self, names: Collection[str]) -> tuple[str, ...]:
        peers = [
            (peer.id, peer.hostname)
            for peer in self._view().peers.values()
            if not names or peer.hostname in names
        ]
        if self._cluster() is None:
            me = self._view().node_id
            peers = [each for each in peers if each[0] == me] or [(me, "this host")]
        return tuple(await asyncio.gather(*(self._repair_one(*each) for each in peers)))

    async def _repair_one(self, node_id: str, name: str) -> str:
        try:
            done = await self._asker.ask(node_id, Repair(), Repaired, DEEP_WITHIN)
        except Refusal as refusal:
            return f"{name}: {refusal}"
        said = f"{done.changed} operations" if done.changed else "nothing to repair"
        refused = "; ".join(f"{each.what}: {each.why}" for each in done.failures)
        return f"{name}: {said}" + (f", refused: {refused}" if refused else "")

    async def _check_store(self, cluster: Cluster) -> StoreCheck:
        begun, error = time.monotonic(), ""
        try:
            await cluster.manager.reread()
        except Refusal as refusal:
            error = str(refusal)
        try:
            size = cluster.store.stat().st_size
        except OSError:
            size = 0
        return StoreCheck(
            path=str(cluster.store), size=size, seconds=time.monotonic() - begun, error=error
        )
