from __future__ import annotations

import errno
import os
import subprocess

import pytest
from fresh_host import Host, do, fail, until, veth

from skep.kernel import netns, sockets
from skep.kernel.kernel import Kernel
from skep.kernel.rtnetlink import inet
from skep.model.errors import Broken, Missing
from skep.model.netstate import GROUP, HOST, Address, Link, Peer, Vxlan
from skep.model.nft import Table
from skep.model.ops import (
    AddAddress,
    AddLink,
    AddNamespace,
    DelLink,
    DelNamespace,
    ReplaceTable,
    SetLink,
    SetSysctl,
)

pytestmark = pytest.mark.root


async def test_a_new_namespace_is_ours_and_its_loopback_is_up(host, kernel):
    await do(kernel, AddNamespace(ns="a"))
    (lo,) = host.json("a", "ip -j link")
    assert "UP" in lo["flags"]
    assert lo["group"] == str(GROUP)
    state = await kernel.observe()
    assert sorted(state) == [HOST, "a"]
    assert state["a"].links["lo"].up
    assert state["a"].links["lo"].group == GROUP


async def test_the_hosts_namespace_shows_our_links_only(host, kernel):
    host.run(HOST, "ip link add foreign type bridge")
    host.run(HOST, "ip addr add 192.0.2.9/24 dev foreign")
    await do(
        kernel,
        AddLink(ns=HOST, link=Link(name="docker0", kind="bridge")),
        AddAddress(ns=HOST, address=Address("docker0", "172.17.0.1/16")),
    )
    host.run(HOST, "ip route add 198.51.100.0/24 dev docker0")
    host.run(HOST, "ip rule add fwmark 7 table 100")
    seen = (await kernel.observe([HOST]))[HOST]
    assert set(seen.links) == {"docker0"}
    assert seen.addresses == {Address("docker0", "172.17.0.1/16")}
    assert not seen.routes
    assert not seen.rules


async def test_foreign_namespaces_are_left_alone(host, kernel):
    netns.create(host.path("theirs"))
    host.run("theirs", "ip link set lo up")
    assert sorted(await kernel.observe()) == [HOST]
    assert await kernel.observe(["theirs", "absent"]) == {}
    failure = await fail(kernel, AddNamespace(ns="theirs"))
    assert failure.errno == errno.EEXIST
    assert failure.message == (
        "cannot create the namespace theirs: "
        "a namespace of this name exists, and Skep did not make it"
    )
    failure = await fail(kernel, DelNamespace(ns="theirs"))
    assert "Skep did not make it" in failure.message
    assert netns.is_namespace(host.path("theirs"))


async def test_a_half_made_namespace_is_completed(host, kernel):
    netns.create(host.path("half"))
    os.close(os.open(host.path("file"), os.O_CREAT | os.O_WRONLY))
    await do(kernel, AddNamespace(ns="half"), AddNamespace(ns="file"))
    assert sorted(await kernel.observe()) == [HOST, "file", "half"]


async def test_deleting_a_namespace_takes_its_links_along(host, kernel):
    await do(
        kernel,
        AddNamespace(ns="a"),
        veth(HOST, Link(name="port"), "a", Link(name="eth0")),
        DelNamespace(ns="a"),
        DelNamespace(ns="a"),
    )
    assert not os.path.exists(host.path("a"))
    await until(lambda: not [x for x in host.json(HOST, "ip -j link") if x["ifname"] == "port"])


async def test_a_network_can_come_back_at_once(kernel):
    tunnel = Link(name="vxlan0", kind="vxlan", vxlan=Vxlan(4097, 4789, "192.0.2.1"))
    for _ in range(5):
        await do(kernel, AddNamespace(ns="o"), AddLink(ns="o", link=tunnel), DelNamespace(ns="o"))


async def test_a_name_that_means_another_namespace_is_not_mistaken(host, kernel):
    await do(kernel, AddNamespace(ns="a"), AddLink(ns="a", link=Link(name="old", kind="bridge")))
    netns.remove(host.path("a"))
    assert "a" not in await kernel.observe()
    await do(kernel, AddNamespace(ns="a"))
    netns.remove(host.path("a"))
    netns.create(host.path("a"))
    await do(kernel, AddNamespace(ns="a"), AddLink(ns="a", link=Link(name="new", kind="bridge")))
    assert [x["ifname"] for x in host.json("a", "ip -j link")] == ["lo", "new"]
    assert set((await kernel.observe(["a"]))["a"].links) == {"lo", "new"}


async def test_a_name_is_looked_up_again_each_time(host, kernel):
    await do(kernel, AddNamespace(ns="a"))
    await kernel.observe()
    netns.remove(host.path("a"))
    netns.create(host.path("a"))
    host.run("a", f"ip link set lo up group {GROUP}")
    host.run("a", "ip link add new type bridge")
    assert set((await kernel.observe(["a"]))["a"].links) == {"lo", "new"}
    await do(kernel, AddAddress(ns="a", address=Address("new", "10.0.0.1/24")))
    assert "10.0.0.1" in host.run("a", "ip addr show new")


async def test_a_namespace_once_known_as_ours_stays_so(host, kernel):
    await do(kernel, AddNamespace(ns="a"))
    host.run("a", "ip link set lo down group 0")
    assert (await kernel.observe())["a"].links["lo"].group == 0
    await do(kernel, SetLink(ns="a", link=Link(name="lo")))
    lo = (await kernel.observe())["a"].links["lo"]
    assert lo.group == GROUP
    assert lo.up


async def test_operations_in_no_namespace_fail_in_words_and_removals_do_not(kernel):
    failure = await fail(kernel, AddLink(ns="x", link=Link(name="br0", kind="bridge")))
    assert failure.errno == errno.ENOENT
    assert failure.message == (
        "cannot create the bridge link br0 in the namespace x: there is no network namespace x"
    )
    assert (await fail(kernel, SetSysctl(ns="x", key="a.b", value="1"))).errno == errno.ENOENT
    assert (await fail(kernel, ReplaceTable(ns="x", table=Table("skep", ())))).errno == 2
    await do(kernel, DelLink(ns="x", name="br0"))


async def test_the_rest_goes_on_after_a_failure(host, kernel):
    failures = await kernel.apply(
        [
            AddNamespace(ns="a"),
            AddLink(ns="a", link=Link(name="one", kind="nonsense")),
            AddLink(ns="a", link=Link(name="two", kind="bridge")),
            AddAddress(ns="a", address=Address("two", "300.0.0.1/24")),
            AddAddress(ns="a", address=Address("two", "10.0.0.1/24")),
        ]
    )
    assert [each.message for each in failures] == [
        "cannot create the nonsense link one in the namespace a: "
        "Operation not supported (Unknown device type)",
        "cannot add the address 300.0.0.1/24 to two in the namespace a: "
        "'300.0.0.1' is not an IP address",
    ]
    assert (await kernel.observe(["a"]))["a"].addresses >= {Address("two", "10.0.0.1/24")}


async def test_addresses_and_mtu_of_the_host(host, kernel):
    host.run(HOST, "ip link set lo up")
    host.run(HOST, "ip link add uplink mtu 9000 type bridge")
    host.run(HOST, "ip addr add 192.0.2.1/24 dev uplink")
    assert await kernel.mtu_of("192.0.2.1") == 9000
    host.run(HOST, "ip addr add 2001:db8::1/64 dev uplink")
    assert await kernel.mtu_of("2001:db8::1") == 9000
    assert set(await kernel.addresses()) == {
        ("lo", "127.0.0.1/8"),
        ("lo", "::1/128"),
        ("uplink", "192.0.2.1/24"),
        ("uplink", "2001:db8::1/64"),
    }
    with pytest.raises(Missing, match=r"no network interface .* 192\.0\.2\.2"):
        await kernel.mtu_of("192.0.2.2")


async def test_a_wrong_home_is_refused(host):
    with pytest.raises(Broken, match="cannot enter the network namespace"):
        Kernel(host.netns_dir, host.home + "-absent")


async def test_nothing_leaks_over_many_namespaces(host: Host, kernel: Kernel):
    link = Link(name="eth0", kind="veth", peer=Peer(HOST, "port"))
    cycle = [
        AddNamespace(ns="a"),
        veth("a", link, HOST, Link(name="port")),
        AddAddress(ns="a", address=Address("eth0", "10.0.0.2/24")),
        ReplaceTable(ns="a", table=Table("skep", ())),
        DelLink(ns=HOST, name="port"),
        DelNamespace(ns="a"),
    ]
    await do(kernel, *cycle)
    await kernel.observe()
    before = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors())
    for _ in range(200):
        await do(kernel, *cycle)
    after = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors())
    assert len(after) == len(before)


def _descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]


class TestUnpinned:
    """Somebody takes a namespace's pin away."""

    async def test_it_is_pinned_again_if_a_process_lives_in_it(self, host, kernel):
        await do(kernel, AddNamespace(ns="a"))
        before = netns.identity(host.path("a"))
        living = subprocess.Popen(["nsenter", f"--net={host.path('a')}", "sleep", "600"])
        try:
            await until(lambda: netns.identity(f"/proc/{living.pid}/ns/net") == before)
            netns.remove(host.path("a"))
            seen = await kernel.observe(["a"])
            assert seen["a"].links["lo"].up
            assert netns.identity(host.path("a")) == before
            assert kernel.regained == ["a"]
        finally:
            living.kill()
            living.wait()

    async def test_it_is_gone_if_nobody_does(self, host, kernel):
        await do(kernel, AddNamespace(ns="a"))
        netns.remove(host.path("a"))
        assert await kernel.observe(["a"]) == {}
        await do(kernel, AddNamespace(ns="a"))
        assert (await kernel.observe(["a"]))["a"].links["lo"].up
        assert kernel.regained == []

    async def test_one_that_we_removed_is_left_gone(self, host, kernel):
        await do(kernel, AddNamespace(ns="a"))
        path = host.path("a")
        before = netns.identity(path)
        living = subprocess.Popen(["nsenter", f"--net={path}", "sleep", "600"])
        try:
            await until(lambda: netns.identity(f"/proc/{living.pid}/ns/net") == before)
            await do(kernel, DelNamespace(ns="a"))
            assert (await kernel.observe()).keys() == {HOST}
        finally:
            living.kill()
            living.wait()


async def test_what_the_kernel_does_not_tell_is_a_refusal(kernel, monkeypatch):
    """A daemon that is out of descriptors for a moment must not end by it."""

    def full(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    await do(kernel, AddNamespace(ns="a"))
    monkeypatch.setattr(sockets, "listeners", full)
    monkeypatch.setattr(sockets, "taken", full)
    monkeypatch.setattr(sockets, "holders", full)
    monkeypatch.setattr(sockets, "connections", full)
    monkeypatch.setattr(inet, "get_routes", full)
    asked = [
        kernel.listeners("a"), kernel.taken(), kernel.holders([1]), kernel.connections("a"),
        kernel.routed(),
    ]  # fmt: skip
    for each in asked:
        with pytest.raises(Broken, match=r"cannot read .*: Too many open files"):
            await each
    monkeypatch.setattr(inet, "get_addresses", full)
    for each in (kernel.addresses(), kernel.mtu_of("192.0.2.1")):
        with pytest.raises(Broken, match="cannot read the addresses of the host: Too many"):
            await each
