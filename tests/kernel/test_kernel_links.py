from __future__ import annotations

import errno

import msgspec
import pytest
from fresh_host import Host, do, fail, until, veth

from skep.kernel.kernel import Kernel
from skep.model.netstate import (
    GROUP,
    HOST,
    Address,
    Fdb,
    Link,
    Neighbour,
    Peer,
    Vxlan,
)
from skep.model.ops import (
    AddAddress,
    AddLink,
    AddNamespace,
    DelFdb,
    DelLink,
    DelNeighbour,
    SetFdb,
    SetLink,
    SetNeighbour,
)

pytestmark = pytest.mark.root

MAC = "02:42:0a:00:01:06"


@pytest.fixture
async def ns(kernel: Kernel) -> str:
    await do(kernel, AddNamespace(ns="a"))
    return "a"


def bridge(name: str = "br0", **settings) -> Link:
    return Link(name=name, kind="bridge", **settings)


def tunnel(name: str = "vxlan0", vni: int = 4097, **settings) -> Link:
    return Link(name=name, kind="vxlan", vxlan=Vxlan(vni, 4789, "192.0.2.1"), **settings)


async def look(kernel: Kernel, ns: str):
    return (await kernel.observe([ns]))[ns]


async def test_a_bridge_with_all_its_settings(host, kernel, ns):
    await do(kernel, AddLink(ns=ns, link=bridge(mtu=1450, mac="02:42:00:00:00:01")))
    (shown,) = host.json(ns, "ip -j -d link show br0")
    assert shown["linkinfo"]["info_kind"] == "bridge"
    assert (shown["mtu"], shown["address"]) == (1450, "02:42:00:00:00:01")
    assert shown["group"] == str(GROUP)
    assert "UP" in shown["flags"]
    seen = (await look(kernel, ns)).links["br0"]
    assert seen == bridge(mtu=1450, mac="02:42:00:00:00:01", index=shown["ifindex"])


async def test_a_link_made_down_is_seen_down(kernel, ns):
    await do(kernel, AddLink(ns=ns, link=bridge(up=False, group=7)))
    seen = (await look(kernel, ns)).links["br0"]
    assert not seen.up
    assert seen.group == 7


async def test_a_veth_pair_across_namespaces(host, kernel, ns):
    port = Link(name="veth0", mtu=1450, master="br0")
    end = Link(name="eth0", mtu=1400, mac="02:42:0a:00:01:05")
    await do(
        kernel,
        AddNamespace(ns="box"),
        AddLink(ns=ns, link=bridge()),
        veth(ns, port, "box", end),
    )
    (inside,) = host.json("box", "ip -j -d link show eth0")
    assert (inside["mtu"], inside["address"]) == (1400, "02:42:0a:00:01:05")
    assert inside["group"] == str(GROUP)
    assert inside["operstate"] == "UP"
    state = await kernel.observe([ns, "box"])
    here, there = state[ns].links["veth0"], state["box"].links["eth0"]
    assert (here.kind, here.master, here.mtu, here.up) == ("veth", "br0", 1450, True)
    assert (here.peer_index, there.peer_index) == (there.index, here.index)
    assert here.peer is None
    assert not here.owner


async def test_a_veth_pair_within_one_namespace_with_both_ends_in_a_bridge(kernel, ns):
    await do(
        kernel,
        AddLink(ns=ns, link=bridge()),
        veth(ns, Link(name="one", up=False), ns, Link(name="two", master="br0")),
        SetLink(ns=ns, link=Link(name="one", master="br0")),
    )
    links = (await look(kernel, ns)).links
    assert (links["one"].master, links["two"].master) == ("br0", "br0")
    assert links["one"].up
    assert links["two"].up


async def test_a_veth_end_can_stay_down(kernel, ns):
    await do(kernel, AddNamespace(ns="b"), veth(ns, Link(name="x"), "b", Link(name="y", up=False)))
    assert not (await look(kernel, "b")).links["y"].up


async def test_a_veth_whose_peer_has_nowhere_to_be(kernel, ns):
    failure = await fail(kernel, veth(ns, Link(name="x"), "absent", Link(name="eth0")))
    assert failure.errno == errno.ENOENT
    assert failure.message == (
        "cannot create the veth pair (eth0 in the namespace absent) x in the namespace a: "
        "there is no network namespace absent"
    )
    assert set((await look(kernel, ns)).links) == {"lo"}


async def test_a_vxlan_link_lives_inside_and_is_bound_to_the_host(host, kernel, ns):
    await do(
        kernel, AddLink(ns=ns, link=bridge()), AddLink(ns=ns, link=tunnel(master="br0", mtu=1450))
    )
    (shown,) = host.json(ns, "ip -j -d link show vxlan0")
    assert "link_netnsid" in shown
    assert shown["group"] == str(GROUP)
    data = shown["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["local"]) == (4097, 4789, "192.0.2.1")
    assert (data["proxy"], data["l2miss"], data["l3miss"]) == (True, True, True)
    assert data["learning"] is False
    seen = (await look(kernel, ns)).links["vxlan0"]
    assert seen.vxlan == Vxlan(4097, 4789, "192.0.2.1")
    assert (seen.master, seen.mtu, seen.up) == ("br0", 1450, True)


async def test_a_vxlan_link_unlike_ours_is_not_taken_for_one(host, kernel, ns):
    host.run(ns, "ip link add theirs type vxlan id 9 dstport 4789 local 192.0.2.1 nolearning")
    assert (await look(kernel, ns)).links["theirs"].vxlan is None


async def test_one_vni_cannot_be_had_twice(kernel, ns):
    await do(kernel, AddLink(ns=ns, link=tunnel()))
    failure = await fail(kernel, AddLink(ns=ns, link=tunnel("again")))
    assert failure.errno == errno.EEXIST
    assert failure.message == (
        "cannot create the vxlan link again in the namespace a: "
        "File exists (A VXLAN device with the specified VNI already exists)"
    )


async def test_a_link_is_brought_to_its_settings(host, kernel, ns):
    await do(kernel, AddLink(ns=ns, link=bridge()), AddLink(ns=ns, link=tunnel()))
    host.run(ns, "ip link set vxlan0 down group 0")
    wanted = tunnel(master="br0", mtu=1300, mac="02:00:00:00:00:09")
    await do(kernel, SetLink(ns=ns, link=wanted))
    seen = (await look(kernel, ns)).links["vxlan0"]
    assert (seen.mtu, seen.mac, seen.master) == (1300, "02:00:00:00:00:09", "br0")
    assert seen.up
    assert seen.group == GROUP
    await do(kernel, SetLink(ns=ns, link=tunnel(up=False)))
    seen = (await look(kernel, ns)).links["vxlan0"]
    assert (seen.mtu, seen.mac, seen.master) == (1300, "02:00:00:00:00:09", "")
    assert not seen.up


async def test_settings_that_do_not_exist(kernel, ns):
    await do(kernel, AddLink(ns=ns, link=bridge()))
    failure = await fail(kernel, SetLink(ns=ns, link=bridge(master="nix")))
    assert failure.message == (
        "cannot configure the link br0 in the namespace a: there is no link nix"
    )
    failure = await fail(kernel, SetLink(ns=ns, link=bridge("nix")))
    assert failure.errno == errno.ENODEV


async def test_a_link_is_deleted_with_its_peer_and_again_without_complaint(host, kernel, ns):
    await do(
        kernel,
        veth(ns, Link(name="x"), HOST, Link(name="y")),
        DelLink(ns=ns, name="x"),
        DelLink(ns=ns, name="x"),
    )
    assert host.json(HOST, "ip -j link show type veth") == []


async def test_a_link_can_be_replaced_in_one_go(kernel, ns):
    await do(kernel, AddLink(ns=ns, link=bridge()))
    await do(
        kernel,
        DelLink(ns=ns, name="br0"),
        AddLink(ns=ns, link=bridge(mtu=1234)),
        AddAddress(ns=ns, address=Address("br0", "10.0.0.1/24")),
    )
    seen = await look(kernel, ns)
    assert seen.links["br0"].mtu == 1234
    assert Address("br0", "10.0.0.1/24") in seen.addresses


async def test_permanent_neighbours_only(host, kernel, ns):
    first, second = Neighbour("br0", "10.0.1.6", MAC), Neighbour("br0", "10.0.1.7", MAC)
    await do(
        kernel,
        AddLink(ns=ns, link=bridge()),
        SetNeighbour(ns=ns, neighbour=Neighbour("br0", "10.0.1.6", "02:00:00:00:00:01")),
        SetNeighbour(ns=ns, neighbour=first),
        SetNeighbour(ns=ns, neighbour=second),
    )
    host.run(ns, "ip neigh add 10.0.1.8 lladdr 02:00:00:00:00:08 dev br0 nud reachable")
    assert (await look(kernel, ns)).neighbours == {first, second}
    shown = host.json(ns, "ip -j neigh show 10.0.1.6")
    assert [(x["lladdr"], x["state"]) for x in shown] == [(MAC, ["PERMANENT"])]
    await do(kernel, DelNeighbour(ns=ns, neighbour=first), DelNeighbour(ns=ns, neighbour=first))
    assert (await look(kernel, ns)).neighbours == {second}


async def test_forwarding_entries_of_tunnels(host, kernel, ns):
    entry = Fdb("vxlan0", MAC, "192.0.2.3")
    await do(
        kernel,
        AddLink(ns=ns, link=bridge()),
        AddLink(ns=ns, link=tunnel(master="br0")),
        SetFdb(ns=ns, fdb=Fdb("vxlan0", MAC, "192.0.2.2")),
        SetFdb(ns=ns, fdb=entry),
    )
    assert (await look(kernel, ns)).fdb == {entry}
    shown = [x for x in host.json(ns, "bridge -j fdb show dev vxlan0") if x["mac"] == MAC]
    assert [(x["dst"], x["flags"], x["state"]) for x in shown] == [
        ("192.0.2.3", ["self"], "permanent")
    ]
    await do(kernel, DelFdb(ns=ns, fdb=entry), DelFdb(ns=ns, fdb=entry))
    assert not (await look(kernel, ns)).fdb


async def test_what_is_on_foreign_links_is_not_listed(host, kernel, ns):
    host.run(ns, "ip link add theirs up type bridge")
    host.run(ns, "ip addr add 10.9.0.1/24 dev theirs")
    host.run(ns, "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:08 dev theirs nud permanent")
    host.run(ns, "ip route add 10.8.0.0/16 via 10.9.0.2")
    seen = await look(kernel, ns)
    assert seen.links["theirs"].group == 0
    assert seen.addresses == {Address("lo", "127.0.0.1/8"), Address("lo", "::1/128")}
    assert not seen.neighbours
    assert not seen.routes


async def test_thousands_of_entries(kernel, ns):
    macs = [f"02:42:0a:00:{n >> 8:02x}:{n & 255:02x}" for n in range(3000)]
    entries = [Fdb("vxlan0", mac, "192.0.2.2") for mac in macs]
    near = [Neighbour("vxlan0", f"10.1.{n >> 8}.{n & 255}", mac) for n, mac in enumerate(macs)]
    await do(
        kernel,
        AddLink(ns=ns, link=tunnel()),
        *(SetFdb(ns=ns, fdb=each) for each in entries),
        *(SetNeighbour(ns=ns, neighbour=each) for each in near),
    )
    seen = await look(kernel, ns)
    assert seen.fdb == set(entries)
    assert seen.neighbours == set(near)
    await do(kernel, *(DelFdb(ns=ns, fdb=each) for each in entries))
    assert not (await look(kernel, ns)).fdb


async def test_frames_cross_the_tunnel_between_two_hosts(host, kernel, tmp_path):
    (tmp_path / "far").mkdir()
    far = Host(tmp_path / "far")
    try:
        host.run(HOST, f"ip link add u0 type veth peer name u0 netns {far.home}")
        other = Kernel(far.netns_dir, far.home)
        try:
            await _endpoint(host, kernel, 1)
            await _endpoint(far, other, 2)
            await until(lambda: "1 packets received" in _ping(host))
        finally:
            await other.close()
    finally:
        far.close()


def _ping(host: Host) -> str:
    return host.run("box", "sh -c busybox${IFS}ping${IFS}-c1${IFS}-W1${IFS}10.0.1.102;true")


async def _endpoint(host: Host, kernel: Kernel, me: int) -> None:
    it = 3 - me
    host.run(HOST, "ip link set u0 up")
    host.run(HOST, f"ip addr add 192.0.2.{me}/24 dev u0")
    end = Link(name="eth0", mtu=1450, mac=f"02:42:0a:00:01:0{me}")
    vxlan = Link(
        name="vxlan0", kind="vxlan", master="br0", vxlan=Vxlan(4097, 4789, f"192.0.2.{me}")
    )
    await do(
        kernel,
        AddNamespace(ns="o"),
        AddNamespace(ns="box"),
        AddLink(ns="o", link=bridge()),
        AddLink(ns="o", link=vxlan),
        veth("o", Link(name="veth0", mtu=1450, master="br0"), "box", end),
        AddAddress(ns="box", address=Address("eth0", f"10.0.1.10{me}/24")),
        SetNeighbour(
            ns="o", neighbour=Neighbour("vxlan0", f"10.0.1.10{it}", f"02:42:0a:00:01:0{it}")
        ),
        SetFdb(ns="o", fdb=Fdb("vxlan0", f"02:42:0a:00:01:0{it}", f"192.0.2.{it}")),
    )


async def test_a_port_is_a_hairpin_and_no_more(kernel, ns):
    peer = Link(name="in", kind="veth", peer=Peer(ns, "out"))
    port = Link(
        name="out", kind="veth", master="br0", hairpin=True, owner=True, peer=Peer(ns, "in")
    )
    await do(kernel, AddLink(ns=ns, link=bridge()), AddLink(ns=ns, link=port, peer=peer))
    assert (await kernel.observe({ns}))[ns].links["out"].hairpin
    await do(kernel, SetLink(ns=ns, link=msgspec.structs.replace(port, hairpin=False)))
    assert not (await kernel.observe({ns}))[ns].links["out"].hairpin


async def test_a_macvlan_on_a_link_of_the_host(host, kernel, ns):
    host.run(HOST, "ip link add lower0 type veth peer name lower1")
    wanted = Link(
        name="eth0", kind="macvlan", parent="lower0", mode="private", mac="02:42:00:00:00:01"
    )
    await do(kernel, AddLink(ns=ns, link=wanted))
    seen = (await kernel.observe({ns}))[ns].links["eth0"]
    assert (seen.kind, seen.mode, seen.mac, seen.up) == ("macvlan", "private", wanted.mac, True)
    # Kernels as old as 6.1 ask whether the host has a link of the name, too.
    namesake = msgspec.structs.replace(wanted, name="lower0", mac="02:42:00:00:00:02")
    await do(kernel, AddLink(ns=ns, link=namesake))
    seen = (await kernel.observe({ns}))[ns].links
    assert (seen["lower0"].kind, seen["lower0"].up) == ("macvlan", True)
    assert seen.keys() == {"lo", "eth0", "lower0"}
    (failed,) = await kernel.apply(
        [AddLink(ns=ns, link=msgspec.structs.replace(wanted, name="eth1", parent="gone"))]
    )
    assert "there is no link gone on the host" in failed.message
    assert await kernel.makes("macvlan")
    assert not await kernel.makes("no-such-kind")
