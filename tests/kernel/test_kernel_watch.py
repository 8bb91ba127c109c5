from __future__ import annotations

import asyncio
import contextlib

import pytest
import uvloop
from fresh_host import Host, do, until, veth

from skep.kernel import netns, watch
from skep.kernel.kernel import Kernel
from skep.model.netstate import HOST, Fdb, Link, Neighbour, Vxlan
from skep.model.nft import Chain, Set, Table
from skep.model.ops import (
    AddLink,
    AddNamespace,
    DelNamespace,
    ReplaceTable,
    SetFdb,
    SetNeighbour,
)

pytestmark = pytest.mark.root

MAC = "02:42:0a:00:00:05"
TABLE = Table("skep", (Chain("c", ()),), (Set("s", ("mark",), frozenset()),))
OPS = [
    AddNamespace(ns="a"),
    AddLink(ns="a", link=Link(name="br0", kind="bridge")),
    AddLink(ns="a", link=Link(name="vxlan0", kind="vxlan", vxlan=Vxlan(7, 4789, "192.0.2.1"))),
    SetNeighbour(ns="a", neighbour=Neighbour("vxlan0", "10.0.0.5", MAC)),
    SetFdb(ns="a", fdb=Fdb("vxlan0", MAC, "192.0.2.5")),
    ReplaceTable(ns="a", table=TABLE),
]


class Listener:
    """Reads `Kernel.changes` into a list."""

    def __init__(self, kernel: Kernel) -> None:
        self.heard: list[str] = []
        self._task = asyncio.create_task(self._listen(kernel))

    async def _listen(self, kernel: Kernel) -> None:
        async for name in kernel.changes():
            self.heard.append(name)

    async def silence(self, host: Host) -> None:
        """Wait until all that happened has been told: a change made now is the last one."""
        self.heard.clear()
        host.run(HOST, "ip link add marker type bridge")
        host.run(HOST, "ip link del marker")
        await until(lambda: HOST in self.heard)
        await asyncio.sleep(0)
        self.heard.clear()

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def listener(kernel: Kernel, host: Host):
    await do(kernel, *OPS)
    await kernel.observe()
    made = Listener(kernel)
    await made.silence(host)
    yield made
    await made.close()


OUTSIDE = [
    "ip link set br0 down",
    "ip link set br0 mtu 1300",
    "ip link add x type bridge",
    "ip addr add 10.0.0.1/24 dev br0",
    "ip route add 10.8.0.0/16 dev br0",
    "ip rule add fwmark 5 table 100",
    "ip neigh del 10.0.0.5 dev vxlan0",
    "ip neigh replace 10.0.0.5 lladdr 02:00:00:00:00:01 dev vxlan0 nud stale",
    "ip neigh add 10.0.0.6 lladdr 02:00:00:00:00:01 dev vxlan0 nud permanent",
    f"bridge fdb del {MAC} dev vxlan0 dst 192.0.2.5 self",
    f"bridge fdb replace {MAC} dev vxlan0 dst 192.0.2.6 self permanent",
    "nft add rule ip skep c accept",
    "nft add element ip skep s { 5 }",
    "nft flush ruleset",
    "sysctl -qw net.ipv4.ip_forward=1",
    "sysctl -qw net.ipv6.conf.all.forwarding=1",
    "sysctl -qw net.ipv4.conf.all.rp_filter=1",
]


@pytest.mark.parametrize("command", OUTSIDE)
async def test_a_change_from_outside_is_told_within_a_second(host, listener, command):
    host.run("a", command)
    await until(lambda: listener.heard == ["a"], seconds=1)


@pytest.mark.parametrize(
    "command",
    [
        "ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:01 dev br0 nud stale",
        "bridge fdb add 02:00:00:00:00:01 dev vxlan0 master temp",
        "nft add table ip other",
    ],
)
async def test_what_concerns_nobody_is_not_told(host, kernel, listener, command):
    if "master" in command:
        host.run("a", "ip link set vxlan0 master br0")
        await listener.silence(host)
    host.run("a", command)
    host.run("a", "ip neigh flush nud stale")
    host.run(HOST, "ip link add marker type bridge")
    await until(lambda: HOST in listener.heard)
    assert "a" not in listener.heard


async def test_dynamic_neighbours_that_go_are_not_told(host, listener):
    host.run("a", "ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:01 dev br0 nud stale")
    host.run("a", "ip neigh del 10.0.0.9 dev br0")
    host.run(HOST, "ip link add marker type bridge")
    await until(lambda: HOST in listener.heard)
    assert "a" not in listener.heard


async def test_the_hosts_own_changes_are_told_but_not_its_routes(host, listener):
    host.run(HOST, "ip rule add fwmark 5 table 100")
    host.run("a", "ip link set br0 mtu 1200")
    await until(lambda: listener.heard == ["a"])
    host.run(HOST, "nft add table ip skep")
    await until(lambda: listener.heard == ["a", HOST])


async def test_our_own_changes_are_told_once_for_many(kernel, listener):
    near = [Neighbour("vxlan0", f"10.0.1.{n}", MAC) for n in range(200)]
    await do(kernel, *(SetNeighbour(ns="a", neighbour=each) for each in near))
    await until(lambda: "a" in listener.heard)
    assert len(listener.heard) < 20


async def test_changes_reach_the_namespaces_at_both_ends(kernel, listener):
    await do(kernel, AddNamespace(ns="b"), veth("a", Link(name="p"), "b", Link(name="eth0")))
    await until(lambda: {"a", "b"} <= set(listener.heard))


async def test_a_vanished_namespace_is_told_and_let_go(host, kernel, listener):
    await do(kernel, veth(HOST, Link(name="v"), "a", Link(name="eth0")))
    await listener.silence(host)
    netns.remove(host.path("a"))
    await until(lambda: "a" in listener.heard, seconds=1)
    await until(lambda: not host.json(HOST, "ip -j link show type veth"))
    assert "a" not in await kernel.observe()


async def quiet(host, kernel, listener):
    """A namespace in which nothing happens by itself, as there is no link in it."""
    await do(kernel, AddNamespace(ns="quiet"))
    await kernel.observe()
    await listener.silence(host)
    return host.path("quiet")


async def test_a_namespace_whose_name_is_unmounted_is_told(host, kernel, listener):
    path = await quiet(host, kernel, listener)
    host.run(HOST, f"umount {path}")
    await until(lambda: "quiet" in listener.heard, seconds=60)
    assert "quiet" not in await kernel.observe()


async def test_other_mounts_are_no_change(host, kernel, listener, tmp_path):
    path = await quiet(host, kernel, listener)
    other = tmp_path / "other"
    other.mkdir()
    host.run(HOST, f"mount -t tmpfs none {other}")
    host.run(HOST, f"umount {other}")
    host.run(HOST, f"umount {path}")
    await until(lambda: "quiet" in listener.heard, seconds=60)
    assert listener.heard.count("quiet") == 1


async def test_a_namespace_made_again_is_watched_again(host, kernel, listener):
    await do(kernel, DelNamespace(ns="a"), AddNamespace(ns="a"))
    await kernel.observe()
    await listener.silence(host)
    host.run("a", "ip addr add 10.0.0.1/32 dev lo")
    await until(lambda: "a" in listener.heard)


async def test_lost_events_mean_that_anything_may_have_changed(host, kernel, monkeypatch):
    monkeypatch.setattr(watch, "EVENT_BUFFER", 4096)
    small = Kernel(host.netns_dir, host.home)
    try:
        await do(small, *OPS, AddNamespace(ns="b"))
        await small.observe()
        near = [Neighbour("vxlan0", f"10.0.1.{n}", MAC) for n in range(200)]
        await do(small, *(SetNeighbour(ns="a", neighbour=each) for each in near))
        listener = Listener(small)
        await until(lambda: {HOST, "a", "b"} <= set(listener.heard))
        await listener.silence(host)
        # Until it is observed again, a neighbour's going may be that of a permanent one.
        host.run("a", "ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:01 dev br0 nud stale")
        await until(lambda: "a" in listener.heard)
        await listener.close()
    finally:
        await small.close()


async def test_the_reader_ends_with_the_kernel(host):
    kernel = Kernel(host.netns_dir, host.home)
    heard = asyncio.create_task(_all_changes(kernel))
    await asyncio.sleep(0)
    await kernel.close()
    assert await asyncio.wait_for(heard, 30) == []


async def _all_changes(kernel: Kernel) -> list[str]:
    return [name async for name in kernel.changes()]


def test_it_works_on_uvloop(host):
    async def scenario() -> None:
        kernel = Kernel(host.netns_dir, host.home)
        await do(kernel, *OPS)
        listener = Listener(kernel)
        await listener.silence(host)
        host.run("a", "ip link set br0 mtu 1200")
        await until(lambda: listener.heard == ["a"])
        netns.remove(host.path("a"))
        await until(lambda: listener.heard == ["a", "a"])
        await kernel.close()

    uvloop.run(scenario())
