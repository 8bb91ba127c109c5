"""Looking into the whole cluster: asks every host at once, with a deadline, and draws conclusions.

On a host that is no manager, the same works for that host alone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from skep.cluster.allocate import capacity
from skep.cluster.lives import is_dead
from skep.cluster.state import State
from skep.manager.inquiries import Begun, Inquiries
from skep.manager.manager import Manager
from skep.model.cluster import Network, Node, Service, Task
from skep.model.errors import Broken, Missing, Refusal, Unavailable
from skep.model.host import HostView
from skep.model.inspection import (
    Echo,
    Held,
    Hold,
    Inspect,
    Inspection,
    Listen,
    NameAnswer,
    Question,
    Repair,
    Repaired,
    Sightings,
    StoreCheck,
)
from skep.trace import live
from skep.trace.doctor import examine
from skep.trace.finding import Checkup
from skep.trace.report import Trace
from skep.trace.survey import Evidence, Fill, Report, ServiceFact, Survey, TaskFact
from skep.trace.trace import Case, question

T = TypeVar("T")

SHALLOW_WITHIN, DEEP_WITHIN = 8.0, 25.0
"""Seconds that hosts get to say what they are."""
ANSWER_WITHIN = 8.0
"""Seconds for all else."""
READY_WITHIN = 3.0
"""Seconds until all taps listen; those that do not then are missed."""
ALONE = "the host that was asked is no manager, and can look into itself alone"
LARGEST = 256 << 20
"""Bytes that one host's answer may unpack to."""


class Local(Protocol):
    """This host's own agent."""

    async def ask(self, what: Question, begun: Begun) -> object:
        """The answer to an inquiry. Raises refusals."""


class Cluster(msgspec.Struct, frozen=True):
    """What a manager looks with."""

    manager: Manager
    inquiries: Inquiries
    store: Path


class Looker:
    """Traces and examines. ``cluster`` gives None on hosts that are no manager."""

    def __init__(
        self, local: Local, view: Callable[[], HostView], cluster: Callable[[], Cluster | None]
    ) -> None:
        self._local = local
        self._view = view
        self._cluster = cluster

    async def trace(self, source: str, target: str, probe: bool) -> Trace:
        """The path from FROM to TO, with a real packet if ``probe``. Raises refusals."""
        survey = await self.survey(Inspect())
        asked = await asyncio.to_thread(question, survey, source, target)
        if asked is not None:
            node_id, what = asked
            names = await self._ask(node_id, what, tuple[NameAnswer, ...], ANSWER_WITHIN)
            survey = msgspec.structs.replace(survey, names=names)
        case = await asyncio.to_thread(Case, survey, source, target)
        if not probe:
            return await asyncio.to_thread(case.trace)
        return await self._probed(case)

    async def examine(self, hosts: Collection[str], repair: bool) -> Checkup:
        """All that is wrong, on some hosts (by name or id) or all; after converging if ``repair``.

        Raises `Missing` for a host that there is not.
        """
        names = {self._named(each) for each in hosts}
        repaired = await self._repair(names) if repair else ()
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
        return (await self._ask(node_id, Hold(seconds=seconds), Held, ANSWER_WITHIN)).until

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
        async with asyncio.timeout(within):
            found = await self._local.ask(what, _nothing)
        assert isinstance(found, Inspection), "an inspection was asked for"
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
            found = await self._ask(node.id, what, Inspection, within)
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

    async def _ask(
        self, node_id: str, what: Question, kind: type[T], within: float, begun: Begun | None = None
    ) -> T:
        """One host's answer. Raises `Unavailable` if it does not come in time."""
        ready = begun or _nothing
        cluster = self._cluster()
        try:
            async with asyncio.timeout(within):
                if node_id == self._view().node_id or cluster is None:
                    return msgspec.convert(await self._local.ask(what, ready), kind)
                data = await cluster.inquiries.ask(node_id, what, ready)
        except TimeoutError:
            raise Unavailable(f"it did not answer within {within:.0f} s") from None
        return await asyncio.to_thread(unpack, data, kind)

    # --- probing

    async def _probed(self, case: Case) -> Trace:
        token = live.FIRST_TOKEN + secrets.randbelow(live.TOKENS)
        plan = await asyncio.to_thread(live.plan, case, token)
        if plan is None:
            return live.unsent(await asyncio.to_thread(case.trace), live.CANNOT_SEND)
        ready = {node: asyncio.Event() for node in plan.listening}
        ears = {
            node: asyncio.create_task(self._listen(node, what, ready[node]))
            for node, what in plan.listening.items()
        }
        try:
            await self._all_ready(ready, ears)
            try:
                echo = await self._ask(plan.node, plan.probe, Echo, ANSWER_WITHIN)
            except Refusal as refusal:
                echo = Echo(answered=False, words=f"the probe was not sent: {refusal}")
            heard = dict(zip(ears, await asyncio.gather(*ears.values()), strict=True))
        finally:
            for ear in ears.values():
                ear.cancel()
        evidence = Evidence(
            echo=echo,
            sightings={n: each for n, each in heard.items() if isinstance(each, Sightings)},
            unheard={n: each for n, each in heard.items() if isinstance(each, str)},
        )
        return await asyncio.to_thread(live.prove, case, token, evidence)

    async def _listen(self, node: str, what: Listen, ready: asyncio.Event) -> Sightings | str:
        async def begun() -> None:
            ready.set()

        try:
            return await self._ask(node, what, Sightings, ANSWER_WITHIN, begun)
        except Refusal as refusal:
            return str(refusal)
        finally:
            ready.set()

    async def _all_ready(
        self, ready: dict[str, asyncio.Event], ears: dict[str, asyncio.Task[Any]]
    ) -> None:
        waiting = [asyncio.create_task(each.wait()) for each in ready.values()]
        if waiting:
            await asyncio.wait([*waiting], timeout=READY_WITHIN)
        for each in waiting:
            each.cancel()
        assert ears.keys() == ready.keys(), "each ear says when it listens"

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
            done = await self._ask(node_id, Repair(), Repaired, DEEP_WITHIN)
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


async def _nothing() -> None:
    """Nobody waits for the beginning."""


def unpack(data: bytes, kind: type[T]) -> T:
    """A host's answer. Raises `Broken` if it makes no sense."""
    try:
        plain = zlib.decompressobj().decompress(data, LARGEST)
        return msgspec.msgpack.decode(plain, type=kind)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Broken(f"its answer makes no sense: {error}") from error


def service_fact(state: State, service: Service) -> ServiceFact:
    """What a trace says of a service."""
    names = {network.id: network.spec.name for network in state.networks.values()}
    endpoint = service.endpoint
    vips = endpoint.virtual_ips if endpoint else ()
    configs = service.spec.task_template.networks or service.spec.networks
    networks = [names.get(each.target, each.target) for each in configs]
    tasks = sorted(state.tasks_of_service(service.id), key=lambda task: task.created_at)
    return ServiceFact(
        id=service.id,
        name=service.spec.name,
        networks=tuple(networks),
        vips={names.get(v.network_id, v.network_id): v.address.partition("/")[0] for v in vips},
        ports=endpoint.ports if endpoint else (),
        tasks=tuple(task_fact(each) for each in tasks),
    )


def task_fact(task: Task) -> TaskFact:
    """What a trace says of a task."""
    status = task.status
    return TaskFact(
        id=task.id,
        name=task.name.rpartition(".")[0],
        node_id=task.node_id,
        desired=task.desired_state.word,
        state=status.state.word,
        message=status.error or ("" if is_dead(task) else status.message),
        error=status.error,
    )


def fills_of(state: State, network: Network) -> list[Fill]:
    """How many IPv4 addresses of each of a network's subnets are taken: IPv6 does not run out."""
    taken = sum(numbers.below(1 << 32) for numbers in state.addresses(network))
    if not network.subnets:
        return []
    subnets = ", ".join(subnet.config.subnet for subnet in network.subnets)
    size = capacity(network)
    return [Fill(network=network.spec.name, subnet=subnets, used=min(taken, size), size=size)]
