"""The loop over one host's kernel: what it looks at, and when. The kernel is one in memory."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from skep.agent import converge
from skep.agent.converge import Converger
from skep.model.assignment import NetworkAssignment
from skep.model.cluster import Subnet
from skep.model.host import Endpoint, HostView, Sandbox
from skep.model.netstate import HOST, Namespace
from skep.model.ops import AddLink, AddNamespace, DelNamespace, Failure
from skep.model.spec import IpamConfig, NetworkSpec

NETWORK = NetworkAssignment(
    id="n" * 25,
    spec=NetworkSpec(name="net", driver="overlay"),
    created_at=0.0,
    subnets=(Subnet(IpamConfig(subnet="10.0.1.0/24", gateway="10.0.1.1"), 4097),),
)
OVERLAY = f"1-{'n' * 10}"


def box(name, *addresses):
    endpoints = [
        Endpoint(
            id=f"{name}{n}", network_id=NETWORK.id, network_name="net", link=f"eth{n}",
            port=f"veth{name}{n}", address=address, mac="02:42:0a:00:01:02",
        )
        for n, address in enumerate(addresses)
    ]  # fmt: skip
    return Sandbox(id=name.ljust(64, "0"), endpoints=tuple(endpoints))


def place(name):
    return name.ljust(12, "0")


class Memory:
    """Becomes whatever is asked, unless told to refuse; notes what it was asked about."""

    def __init__(self):
        self.there = {HOST}
        self.regained = []
        self.sysctls = {}
        self.looks = []
        self.refuses = False
        self.events = asyncio.Queue()

    async def observe(self, names, sysctls, *, flows=False):
        assert flows is (names is None)
        self.looks.append(None if names is None else set(names))
        seen = self.there if names is None else self.there & set(names)
        known = {name: self.sysctls.get(name, {}) for name in seen}
        return {name: Namespace(name=name, sysctls=known[name]) for name in seen}

    async def apply(self, ops):
        if self.refuses:
            return tuple(Failure(op, 1, "no") for op in ops)
        self.there |= {op.ns for op in ops if isinstance(op, AddNamespace)}
        self.there -= {op.ns for op in ops if isinstance(op, DelNamespace)}
        return ()

    async def changes(self):
        while True:
            yield await self.events.get()


class World:
    """A converger that runs, its kernel, and the view that the test changes."""

    def __init__(self):
        self.kernel = Memory()
        self.view = HostView(networks={NETWORK.id: NETWORK})
        self.converger = Converger(self.kernel, lambda: self.view)

    def boxes(self, *boxes):
        self.view = msgspec.structs.replace(self.view, sandboxes=boxes)

    async def look(self):
        """What the next look is about."""
        async with asyncio.timeout(30):
            while not self.kernel.looks:
                await asyncio.sleep(0.001)
        return self.kernel.looks.pop(0)


@contextlib.asynccontextmanager
async def running():
    made = World()
    task = asyncio.create_task(made.converger.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def world(monkeypatch):
    monkeypatch.setattr(converge, "SETTLE", 0.0)
    monkeypatch.setattr(converge, "NOTICE", 0.0)
    monkeypatch.setattr(converge, "RETRY", 0.01)
    async with running() as made:
        yield made


async def test_what_is_asked_for_is_looked_at_with_what_it_plugs_into(world):
    world.boxes(box("a", "10.0.1.2/24"), box("b"))
    await world.converger.converge({place("a")})
    assert world.kernel.looks == [{place("a"), OVERLAY}]
    assert world.kernel.there == {HOST, place("a"), OVERLAY}


async def test_a_changed_view_is_looked_at_where_it_changed(world):
    world.boxes(box("a", "10.0.1.2/24"), box("b"))
    await world.converger.converge()
    world.kernel.looks.clear()
    world.boxes(box("a", "10.0.1.2/24"), box("b"), box("c"))
    world.converger.want()
    assert await world.look() == {place("c")}
    world.boxes(box("a", "10.0.1.2/24"), box("c"))
    world.converger.want()
    assert await world.look() == {place("b")}
    assert place("b") not in world.kernel.there


async def test_an_endpoint_concerns_both_sides(world):
    world.boxes(box("a"), box("b", "10.0.1.2/24"))
    await world.converger.converge()
    world.kernel.looks.clear()
    world.boxes(box("a", "10.0.1.3/24"), box("b", "10.0.1.2/24"))
    world.converger.want()
    assert await world.look() == {place("a"), OVERLAY}


async def test_a_view_that_changes_no_plan_is_no_work(world):
    world.boxes(box("a"))
    await world.converger.converge()
    world.kernel.looks.clear()
    world.view = msgspec.structs.replace(world.view, networks={})
    world.converger.want()
    assert await world.look() == set()


async def test_what_was_refused_is_not_taken_for_done(world):
    world.boxes(box("a"))
    await world.converger.converge()
    world.boxes(box("a"), box("b"))
    world.kernel.refuses = True
    assert (await world.converger.converge({place("b")})).failures
    world.kernel.refuses = False
    world.kernel.looks.clear()
    world.converger.want()
    assert await world.look() == {place("b")}
    assert place("b") in world.kernel.there


async def test_the_loop_tries_again_by_itself(world):
    world.boxes(box("a"))
    world.kernel.refuses = True
    world.converger.want()
    assert await world.look() == {HOST, place("a")}
    world.kernel.refuses = False
    assert place("a") in await world.look()


async def test_the_kernels_events_are_looked_at(world):
    world.boxes(box("a", "10.0.1.2/24"))
    await world.converger.converge()
    world.kernel.looks.clear()
    world.kernel.events.put_nowait(place("a"))
    assert await world.look() == {place("a"), OVERLAY}
    world.kernel.events.put_nowait(OVERLAY)
    assert await world.look() == {OVERLAY}


async def test_a_burst_of_events_is_one_look(world, monkeypatch):
    monkeypatch.setattr(converge, "NOTICE", 0.5)
    world.boxes(box("a"), box("b"))
    await world.converger.converge()
    world.kernel.looks.clear()
    for name in ("a", "b", "a"):
        world.kernel.events.put_nowait(place(name))
        await asyncio.sleep(0)
    assert await world.look() == {place("a"), place("b")}
    world.kernel.events.put_nowait(place("b"))
    assert await world.look() == {place("b")}


async def test_a_held_host_repairs_nothing_and_does_what_is_newly_planned(world):
    world.boxes(box("a", "10.0.1.2/24"))
    await world.converger.converge()
    assert world.converger.hold(60.0) == world.converger.held_until > 0
    world.kernel.there.discard(place("a"))
    assert (await world.converger.converge()).ops == ()
    assert place("a") not in world.kernel.there
    world.boxes(box("a", "10.0.1.2/24"), box("b", "10.0.1.3/24"))
    made = (await world.converger.converge()).ops
    assert {op.ns for op in made} == {place("b"), OVERLAY}
    assert place("b") in world.kernel.there and place("a") not in world.kernel.there
    world.kernel.looks.clear()
    assert world.converger.hold(0.0) == 0.0
    assert await world.look() is None
    assert place("a") in world.kernel.there


async def test_a_held_host_keeps_what_was_left_over_and_lets_go_of_what_is_planned_no_more(world):
    world.boxes(box("a"), box("b"))
    await world.converger.converge()
    world.converger.hold(60.0)
    world.kernel.there.add("1-leftover00")
    assert (await world.converger.converge()).ops == ()
    world.boxes(box("a"))
    assert {op.ns for op in (await world.converger.converge()).ops} == {place("b")}
    assert "1-leftover00" in world.kernel.there and place("b") not in world.kernel.there


@pytest.mark.parametrize("first", [place("a"), OVERLAY])
async def test_a_held_host_bears_plans_of_several_moments(world, first):
    """One end of a pair of links was brought to a plan without it, the other not yet."""
    world.boxes(box("a", "10.0.1.2/24"), box("b", "10.0.1.3/24"))
    await world.converger.converge()
    world.converger.hold(60.0)
    world.boxes(box("a"), box("b", "10.0.1.3/24"))
    await world.converger.converge({first})
    world.kernel.there.discard(place("b"))
    assert place("b") not in {op.ns for op in (await world.converger.converge()).ops}
    world.boxes(box("a", "10.0.1.4/24"), box("b", "10.0.1.3/24"))
    made = {op.ns for op in (await world.converger.converge()).ops}
    assert place("a") in made and place("b") not in made
    assert place("b") not in world.kernel.there


async def test_what_fails_on_a_held_host_is_no_reason_to_repair_the_rest(world):
    world.boxes(box("a"))
    await world.converger.converge()
    world.converger.hold(60.0)
    world.kernel.there.discard(place("a"))
    world.kernel.refuses = True
    world.boxes(box("a"), box("b"))
    assert (await world.converger.converge()).failures
    world.kernel.refuses = False
    await world.converger.converge()
    assert place("b") in world.kernel.there and place("a") not in world.kernel.there


async def test_a_hold_ends_by_itself(world):
    world.boxes(box("a"))
    await world.converger.converge()
    world.kernel.there.discard(place("a"))
    world.kernel.looks.clear()
    world.converger.hold(0.01)
    assert await world.look() is None
    assert world.converger.held_until == 0.0
    assert place("a") in world.kernel.there


async def test_from_time_to_time_everything_is_looked_at(monkeypatch):
    monkeypatch.setattr(converge, "SWEEP", 0.01)
    async with running() as world:
        assert await world.look() is None
        assert await world.look() is None


async def test_catching_up_looks_at_what_is_planned_otherwise_now():
    world = World()
    await world.converger.catch_up()
    assert world.kernel.looks == [{HOST}]
    world.boxes(box("a", "10.0.1.2/24"))
    outcome = await world.converger.catch_up()
    assert outcome.failures == ()
    assert world.kernel.looks[-1] == {place("a"), OVERLAY}
    await world.converger.catch_up()
    assert world.kernel.looks[-1] == set()
    world.kernel.refuses = True
    world.boxes(box("a", "10.0.1.2/24"), box("b", "10.0.1.3/24"))
    assert (await world.converger.catch_up()).failures != ()
    world.kernel.refuses = False
    await world.converger.catch_up()
    assert world.kernel.looks[-1] == {place("b"), OVERLAY}, "what failed is tried again"


async def test_what_somebody_changed_is_told_from_what_was_to_change(world):
    world.boxes(box("a", "10.0.1.2/24"))
    made = (await world.converger.converge()).ops
    tally = world.converger.tally
    assert (tally.changes, dict(tally.drift)) == (len(made), {})
    world.kernel.there.discard(place("a"))
    repaired = (await world.converger.converge([place("a")])).ops
    assert repaired
    assert sum(tally.drift.values()) == len(repaired)
    assert tally.changes == len(made) + len(repaired)
    before = dict(tally.drift)
    world.boxes()
    assert (await world.converger.converge()).ops
    assert dict(tally.drift) == before, "what is wanted no more is no drift"
    assert tally.looks.number == 3


async def test_a_sysctl_that_comes_with_its_namespace_is_no_drift():
    world = World()
    world.boxes(box("a", "10.0.1.2/24"))
    await world.converger.converge()
    drift = world.converger.tally.drift
    world.kernel.sysctls[OVERLAY] = {"net.bridge.bridge-nf-call-iptables": "1"}
    await world.converger.converge([place("a")])
    assert drift["SetSysctl"] == 0
    await world.converger.converge([place("a")])
    assert drift["SetSysctl"] == 1


async def test_a_pair_whose_other_end_is_new_is_no_drift():
    world = World()
    world.boxes(box("a", "10.0.1.2/24"))
    await world.converger.converge({OVERLAY})
    before = world.converger.tally.drift["AddLink"]
    ops = (await world.converger.converge([place("a")])).ops
    alone = [op for op in ops if isinstance(op, AddLink) and op.link.peer is None]
    pairs = [op for op in ops if isinstance(op, AddLink) and op.link.peer is not None]
    assert pairs
    assert world.converger.tally.drift["AddLink"] == before + len(alone)


class TestTurns:
    """Whoever looks at the host is woken when something changed, and not before."""

    async def test_a_change_wakes_who_waits_for_it(self):
        converger = Converger(Memory(), HostView)
        waiting = asyncio.create_task(converger.until_moved(converger.turn, 600.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        converger.want({HOST})
        await asyncio.wait_for(waiting, 30)

    async def test_what_was_missed_is_told_at_once(self):
        converger = Converger(Memory(), HostView)
        seen = converger.turn
        converger.want()
        await asyncio.wait_for(converger.until_moved(seen, 600.0), 30)

    async def test_time_is_up_at_some_time(self):
        converger = Converger(Memory(), HostView)
        await asyncio.wait_for(converger.until_moved(converger.turn, 0.01), 30)
