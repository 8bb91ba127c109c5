"""Keeping the kernel what it should be: observe, diff, apply, on every change and on a timer.

Nothing is remembered about what was done before. Whatever made the kernel differ — a new
assignment, a crash half-way, an administrator's ``nft flush ruleset`` — the same loop repairs it.

An administrator may hold it for a while: then what is not as planned stays so, and only what the
plan itself changes is done, so that containers still start and stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator

import msgspec
import structlog

from skep.agent.tally import Tally
from skep.kernel.kernel import Kernel
from skep.model.host import HostView
from skep.model.netstate import HostState, Namespace, Peer
from skep.model.ops import AddLink, DelLink, Failure, Op, SetSysctl
from skep.plan.desired import desired, namespaces_of
from skep.plan.diff import diff, needed_sysctls

SWEEP = 30.0
"""Seconds between complete looks at the whole host."""

SETTLE = 0.05
"""Seconds in which a burst of changes is gathered into one look."""

NOTICE = 0.2
"""Seconds until a kernel event leads to a look. Most are the echo of our own changes, while what
these were made for, such as a container's start, is still using the processor."""

RETRY = 1.0
"""Seconds until operations that the kernel refused are tried again."""

log = structlog.get_logger("skep.converge")


class Outcome(msgspec.Struct, frozen=True):
    """What one look found to do, and what of it the kernel refused."""

    ops: tuple[Op, ...]
    failures: tuple[Failure, ...]


class Converger:
    """The loop of one host. ``view`` gives, at any time, what the kernel is planned from."""

    def __init__(self, kernel: Kernel, view: Callable[[], HostView]) -> None:
        self._kernel = kernel
        self._view = view
        self._lock = asyncio.Lock()
        self._dirty: set[str] = set()
        self._noticed: set[str] = set()
        self._moved = False
        self._planned: HostState = {}
        self._unseen: dict[str, frozenset[str]] = {}
        self._wake = asyncio.Event()
        self._due = 0.0
        self._release: asyncio.TimerHandle | None = None
        self._moving = asyncio.Event()
        self.turn = 0
        self.held_until = 0.0
        self.tally = Tally()
        self.failures: tuple[Failure, ...] = ()
        self.on_notice: Callable[[Collection[str]], None] = lambda _: None
        """Called with the namespaces in which the kernel says that something changed."""

    async def converge(self, only: Collection[str] | None = None) -> Outcome:
        """Bring these namespaces (None: all of the host's) to what they should contain, now."""
        async with self._lock:
            return await self._look(only)

    async def catch_up(self) -> Outcome:
        """Bring those namespaces up to date, now, whose plan is no longer the one that they were
        last brought to."""
        async with self._lock:
            names = self._replanned()
            outcome = await self._look(names)
        if outcome.failures:
            self._retry_later(names)
        return outcome

    async def survey(self) -> tuple[HostView, HostState]:
        """The view, and what the whole kernel contains of ours, while nothing is being applied."""
        async with self._lock:
            view = self._view()
            return view, await self._kernel.observe(None, needed_sysctls(desired(view)))

    def moved(self) -> None:
        """Something changed, or is about to: plan or kernel. Whoever waits for the next ``turn`` is
        woken."""
        self.turn += 1
        self._moving.set()
        self._moving = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether there is something that it is doing, or is about to do."""
        return self._lock.locked() or self._wake.is_set()

    async def until_moved(self, after: int, seconds: float) -> None:
        """Wait until ``turn`` is another than ``after``, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.turn == after:
                    await self._moving.wait()

    def want(self, only: Collection[str] | None = None) -> None:
        """Have the loop look soon at these namespaces; None: at those whose plan is no longer the
        one that they were last brought to."""
        if only is None:
            self._moved = True
        else:
            self._dirty.update(only)
        self._wake.set()
        self.moved()

    def hold(self, seconds: float) -> float:
        """Repair nothing for so many seconds (0: repair everything, soon). Answers until when, in
        Unix seconds (0.0: no longer). A daemon that starts anew holds nothing."""
        if self._release is not None:
            self._release.cancel()
            self._release = None
        self.held_until = time.time() + seconds if seconds else 0.0
        if seconds:
            self._release = asyncio.get_running_loop().call_later(seconds, self.hold, 0.0)
        else:
            self._due = 0.0
            self._wake.set()
        self.moved()
        log.info("held" if seconds else "no longer held", seconds=seconds)
        return self.held_until

    async def run(self) -> None:
        """Look whenever something asks for it, and at everything every `SWEEP` seconds."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._loop())

    async def _listen(self) -> None:
        async for namespace in self._kernel.changes():
            if not self._noticed:
                asyncio.get_running_loop().call_later(NOTICE, self._take_notice)
            self._noticed.add(namespace)

    def _take_notice(self) -> None:
        self.want(self._noticed)
        self.on_notice(frozenset(self._noticed))
        self._noticed.clear()

    async def _loop(self) -> None:
        self._due = time.monotonic() + SWEEP
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(self._due - time.monotonic(), 0.0))
            await asyncio.sleep(SETTLE)
            self._wake.clear()
            only = None if time.monotonic() >= self._due else self._concerned()
            self._moved = False
            self._dirty.clear()
            if only is None:
                self._due = time.monotonic() + SWEEP
            outcome = await self.converge(only)
            if outcome.failures:
                self._retry_later(only)

    def _concerned(self) -> frozenset[str]:
        """The namespaces that something asked to be looked at.

        An assignment changes the plan of a few of a host's namespaces, often of none. What others
        did to the rest is told by the kernel's events.
        """
        return frozenset(self._dirty | self._replanned() if self._moved else self._dirty)

    def _replanned(self) -> set[str]:
        """The namespaces whose plan is no longer the one that they were last brought to."""
        wanted, known = desired(self._view()), self._planned
        names = wanted.keys() | known.keys()
        return {name for name in names if wanted.get(name) != known.get(name)}

    def _retry_later(self, only: Collection[str] | None) -> None:
        asyncio.get_running_loop().call_later(RETRY, self.want, only)

    async def _look(self, only: Collection[str] | None) -> Outcome:
        begun = time.monotonic()
        view = self._view()
        scope = None if only is None else set().union(*(namespaces_of(view, n) for n in only))
        wanted = desired(view, scope)
        # A flow that should have been cut before a crash only shows in the flows themselves.
        observed = await self._kernel.observe(scope, needed_sysctls(wanted), flows=scope is None)
        self._tell_regained()
        ops = tuple(diff(wanted, observed, scope))
        if self.held_until:
            ops = self._newly_planned(ops, wanted, observed, scope)
        drifted = [op for op in ops if self._is_repair(op, wanted)]
        failures = await self._kernel.apply(ops) if ops else ()
        if not (failures and self.held_until):
            self._remember(scope, {} if failures else wanted)
        self._unseen |= {name: _not_yet_seen(wanted[name], observed, ops) for name in wanted}
        self.tally.did(ops, drifted)
        self.tally.looked(time.monotonic() - begun)
        self._report(ops, drifted, failures)
        if ops:
            self.moved()
        return Outcome(ops=ops, failures=failures)

    def _tell_regained(self) -> None:
        """The kernel pins those namespaces again by itself that somebody unpinned."""
        while self._kernel.regained:
            name = self._kernel.regained.pop()
            self.tally.drift["AddNamespace"] += 1
            log.warning("kernel had drifted", repaired=f"AddNamespace {name}, pinned again")

    def _is_repair(self, op: Op, wanted: HostState) -> bool:
        """Whether an operation mends what was once as planned, rather than does what is new.

        A pair of links is new as long as it is at one end. Some sysctls are there only after their
        namespace has been made, and are set at the look after that one.
        """
        if isinstance(op, SetSysctl) and op.key in self._unseen.get(op.ns, ()):
            return False
        ends = {op.ns}
        if isinstance(op, AddLink) and op.link.peer is not None:
            ends.add(op.link.peer.namespace)
        return all(wanted.get(name) == self._planned.get(name) for name in ends)

    def _newly_planned(
        self,
        ops: tuple[Op, ...],
        wanted: HostState,
        observed: HostState,
        scope: Collection[str] | None,
    ) -> tuple[Op, ...]:
        """Those that were not due already before the plan changed. What no plan says anything of,
        the one before as little as this one, was left over earlier."""
        known = self._planned
        ops = tuple(op for op in ops if op.ns in known or op.ns in wanted)
        names = known.keys() if scope is None else known.keys() & set(scope)
        before = {name: known[name] for name in names}
        loose = set(_loose(before))
        due = diff(_without(before, loose), observed, names)
        due = [op for op in due if not (isinstance(op, DelLink) and (op.ns, op.name) in loose)]
        return tuple(each for each in ops if each not in due)

    def _remember(self, scope: Collection[str] | None, brought_to: HostState) -> None:
        """The plans that the namespaces in ``scope`` were brought to; what failed has none."""
        for name in list(self._planned) if scope is None else scope:
            self._planned.pop(name, None)
            self._unseen.pop(name, None)
        self._planned.update(brought_to)

    def _report(
        self, ops: tuple[Op, ...], drifted: Collection[Op], failures: tuple[Failure, ...]
    ) -> None:
        if len(ops) > len(drifted):
            log.info("kernel changed", ops=len(ops), first=describe(ops[0]))
        for op in drifted:
            log.warning("kernel had drifted", repaired=describe(op))
        for failure in failures:
            log.warning("kernel refused", op=describe(failure.op), why=failure.message)
        self.failures = failures


def _not_yet_seen(wanted: Namespace, observed: HostState, ops: Collection[Op]) -> frozenset[str]:
    """The sysctls of a namespace that were neither found there nor set now."""
    seen = observed[wanted.name].sysctls.keys() if wanted.name in observed else set()
    done = {op.key for op in ops if isinstance(op, SetSysctl) and op.ns == wanted.name}
    return frozenset(wanted.sysctls.keys() - seen - done)


def _loose(plans: HostState) -> Iterator[tuple[str, str]]:
    """The links, by namespace and name, of which the plan of their other end says nothing: plans
    are remembered as namespaces are brought to them, so two may be of different moments."""
    for name, each in plans.items():
        for link in each.links.values():
            if link.peer is not None and link.peer.namespace in plans:
                other = plans[link.peer.namespace].links.get(link.peer.name)
                if other is None or other.peer != Peer(name, link.name):
                    yield name, link.name


def _without(plans: HostState, loose: Collection[tuple[str, str]]) -> HostState:
    return {
        name: msgspec.structs.replace(
            each, links={key: link for key, link in each.links.items() if (name, key) not in loose}
        )
        for name, each in plans.items()
    }


def describe(op: Op) -> str:
    """An operation in a few words, for logs and sentences."""
    words = {"AddLink": "link", "SetLink": "link", "ReplaceTable": "table"}
    kind = type(op).__name__
    thing = getattr(op, words.get(kind, ""), None)
    what = thing.name if thing is not None else str(op).partition("(")[2].rpartition(", ns=")[0]
    return f"{kind} {what[:100]} in {op.ns or 'the host'}"
