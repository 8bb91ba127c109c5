"""Single decisions of the difference: what is changed in place, what anew, in which order."""

from __future__ import annotations

import msgspec
import pytest
from fake_kernel import FakeKernel
from plan_scene import MONGO, WEB_VIP, web_scene

from skep.model import ops
from skep.model.netstate import HOST, Address, Fdb, Link, Namespace, PolicyRule, Route, Vxlan
from skep.model.nft import Chain, Foreign, Rule, Table
from skep.plan.desired import desired
from skep.plan.diff import diff

OVERLAY, CLIENT = "1-mongonetwo", "client000000"


@pytest.fixture
def wanted():
    return desired(web_scene().view("h1"))


@pytest.fixture
def seen(wanted):
    """The same, as an observation shows it."""
    kernel = FakeKernel()
    kernel.apply(diff(wanted, kernel.observe(wanted)))
    return kernel.observe(wanted)


def altered(state, namespace, **changes):
    return {**state, namespace: msgspec.structs.replace(state[namespace], **changes)}


def with_link(state, namespace, name, **changes):
    links = dict(state[namespace].links)
    links[name] = msgspec.structs.replace(links[name], **changes)
    return altered(state, namespace, links=links)


def kinds(todo):
    return [type(op).__name__ for op in todo]


def test_nothing_to_do(wanted, seen):
    assert diff(wanted, seen) == []


def test_the_order_from_nothing(wanted):
    todo = kinds(diff(wanted, {HOST: Namespace(name=HOST)}))
    first = {kind: todo.index(kind) for kind in todo}
    assert sorted(first, key=first.get) == [
        "AddNamespace",
        "SetSysctl",
        "ReplaceTable",
        "AddLink",
        "AddAddress",
        "AddRoute",
        "AddRule",
        "SetNeighbour",
        "SetFdb",
    ]


def test_bridges_come_before_their_ports_and_interfaces_in_order(wanted):
    links = [op for op in diff(wanted, {HOST: Namespace(name=HOST)}) if isinstance(op, ops.AddLink)]
    order = ["bridge", "vxlan", "veth"]
    assert [op.link.kind for op in links] == sorted((op.link.kind for op in links), key=order.index)
    inside = [op.peer.name for op in links if op.peer and op.link.peer.namespace == "web100000000"]
    assert inside == ["eth0", "eth1", "eth2"]


def test_links_are_set_in_place(wanted, seen):
    changed = with_link(seen, OVERLAY, "br0", up=False, mtu=9000)
    assert diff(wanted, changed) == [ops.SetLink(ns=OVERLAY, link=wanted[OVERLAY].links["br0"])]


def test_a_tunnel_with_other_attributes_is_made_anew_with_its_entries(wanted, seen):
    stale = with_link(seen, OVERLAY, "vxlan0", vxlan=Vxlan(4097, 4789, "192.0.2.1"))
    todo = diff(wanted, stale)
    assert kinds(todo)[:2] == ["DelLink", "AddLink"]
    assert {op.fdb for op in todo if isinstance(op, ops.SetFdb)} == wanted[OVERLAY].fdb
    assert kinds(todo).count("SetNeighbour") == len(wanted[OVERLAY].neighbours)


def test_a_bridge_made_anew_takes_its_ports_back(wanted, seen):
    stale = with_link(seen, OVERLAY, "br0", kind="dummy")
    todo = diff(wanted, stale)
    taken = {op.link.name for op in todo if isinstance(op, ops.SetLink)}
    assert taken == {"vxlan0", "veth1", "veth2"}
    assert ops.AddAddress(ns=OVERLAY, address=Address("br0", "10.0.1.1/24")) in todo


@pytest.mark.parametrize("change", [{"peer_index": 999}, {"mac": "02:00:00:00:00:09"}])
def test_a_pair_that_is_not_the_wanted_one_is_made_anew(wanted, seen, change):
    todo = diff(wanted, with_link(seen, CLIENT, "eth0", **change))
    gone = [op for op in todo if isinstance(op, ops.DelLink)]
    assert {(op.ns, op.name) for op in gone} == {(CLIENT, "eth0"), (OVERLAY, "veth1")}
    made = [op for op in todo if isinstance(op, ops.AddLink)]
    assert [(op.ns, op.link.name, op.peer.name) for op in made] == [(OVERLAY, "veth1", "eth0")]
    assert ops.AddAddress(ns=CLIENT, address=Address("eth0", "10.0.1.20/24")) in todo


def test_links_of_others_stay_and_ours_without_a_use_go(wanted, seen):
    extra = {
        "mine": Link(name="mine", kind="dummy"),
        "theirs": Link(name="theirs", kind="dummy", group=0),
    }
    changed = altered(seen, CLIENT, links={**seen[CLIENT].links, **extra})
    assert diff(wanted, changed) == [ops.DelLink(ns=CLIENT, name="mine")]


def test_a_link_of_the_host_that_left_our_group_is_found_by_what_it_is(wanted, seen):
    bridge, port = "docker_gwbridge", port_of(wanted, CLIENT)
    for name in (bridge, port):
        link = wanted[HOST].links[name]
        changed = with_link(seen, HOST, name, group=0)
        assert ops.SetLink(ns=HOST, link=link) in diff(wanted, changed)
        assert not {"AddLink", "DelLink"} & set(kinds(diff(wanted, changed)))


@pytest.mark.parametrize("change", [{"mac": "02:42:00:00:00:07"}, {"kind": "dummy"}])
def test_a_bridge_of_others_with_the_name_of_ours_stays(wanted, seen, change):
    changed = with_link(seen, HOST, "docker_gwbridge", group=0, **change)
    assert not {"DelLink", "SetLink"} & set(kinds(diff(wanted, changed)))


def test_a_port_of_others_with_the_name_of_ours_stays(wanted, seen):
    port = port_of(wanted, CLIENT)
    changed = with_link(seen, HOST, port, group=0, peer_index=999)
    todo = [op for op in diff(wanted, changed) if getattr(op, "name", "") == port]
    assert [op for op in todo if isinstance(op, ops.DelLink) and op.ns == HOST] == []


def port_of(wanted, box):
    """The name of a sandbox's port on the host's bridge."""
    links = wanted[HOST].links.values()
    return next(each.name for each in links if each.peer and each.peer.namespace == box)


def test_the_loopback_is_ours_but_its_address_is_the_kernels(wanted, seen):
    assert Address("lo", "127.0.0.1/8") in seen[CLIENT].addresses
    changed = with_link(seen, CLIENT, "lo", up=False)
    assert diff(wanted, changed) == [ops.SetLink(ns=CLIENT, link=Link(name="lo"))]


def test_a_lost_address_is_put_before_the_vips(wanted, seen):
    box = "web100000000"
    lost = Address("eth1", "10.0.1.11/24")
    vip = Address("eth1", f"{WEB_VIP}/32")
    todo = diff(wanted, altered(seen, box, addresses=seen[box].addresses - {lost}))
    assert todo == [
        ops.DelAddress(ns=box, address=vip),
        ops.AddAddress(ns=box, address=lost),
        ops.AddAddress(ns=box, address=vip),
    ]


def test_routes_are_renewed_where_an_address_goes(wanted, seen):
    wrong = Address("eth1", "172.18.0.99/16")
    todo = diff(wanted, altered(seen, CLIENT, addresses=seen[CLIENT].addresses | {wrong}))
    route = Route(destination="default", link="eth1", via="172.18.0.1")
    assert todo == [
        ops.DelAddress(ns=CLIENT, address=wrong),
        ops.AddRoute(ns=CLIENT, route=route),
    ]


def test_rules_of_ours_only(wanted, seen):
    rules = {PolicyRule(0, 0, 255), PolicyRule(32766, 0, 254), PolicyRule(7, 8, 9)}
    todo = diff(wanted, altered(seen, CLIENT, rules=frozenset(rules)))
    assert todo == [ops.DelRule(ns=CLIENT, rule=PolicyRule(7, 8, 9))]
    assert diff(wanted, altered(seen, HOST, rules=frozenset(rules))) == []


def test_a_mac_that_moved_is_never_nowhere(wanted, seen):
    right = next(iter(wanted[OVERLAY].fdb))
    wrong = Fdb(right.link, right.mac, "192.0.2.9")
    moved = altered(seen, OVERLAY, fdb=seen[OVERLAY].fdb - {right} | {wrong})
    assert diff(wanted, moved) == [ops.SetFdb(ns=OVERLAY, fdb=right)]
    doubled = altered(seen, OVERLAY, fdb=seen[OVERLAY].fdb | {wrong})
    assert diff(wanted, doubled) == [ops.DelFdb(ns=OVERLAY, fdb=wrong)]


def test_a_task_that_replaces_another_changes_elements_only():
    scene = web_scene()
    kernel = FakeKernel()
    before = desired(scene.view("h1"))
    kernel.apply(diff(before, kernel.observe(before)))
    network = scene.networks[MONGO]
    endpoints = {**network.endpoints}
    old = endpoints.pop("web2")
    endpoints["web3"] = msgspec.structs.replace(old, address="10.0.1.13/24")
    scene.networks[MONGO] = msgspec.structs.replace(network, endpoints=endpoints)
    after = desired(scene.view("h1"))
    todo = [op for op in diff(after, kernel.observe(after)) if op.ns == CLIENT]
    assert [type(op) for op in todo] == [ops.SetElements, ops.CutFlows]
    assert todo[0].set == "backends"
    assert todo[0].remove == {(WEB_VIP, 1, "10.0.1.12")}
    assert todo[0].add == {(WEB_VIP, 1, "10.0.1.13")}
    assert todo[1].address == "10.0.1.12"


def test_a_number_of_tasks_that_is_new_changes_parts_of_the_table_only():
    scene = web_scene()
    kernel = FakeKernel()
    before = desired(scene.view("h1"))
    kernel.apply(diff(before, kernel.observe(before)))
    scene.add_sandbox("h2", "web3", {MONGO: "10.0.1.13"}, "web")
    after = desired(scene.view("h1"))
    added, *changed, removed = (op for op in diff(after, kernel.observe(after)) if op.ns == CLIENT)
    assert added == ops.AddChain(
        ns=CLIENT, family="ip", table="skep", chain=Chain("turn_3_0", added.chain.rules)
    )
    assert {op.set for op in changed} == {"backends", "turns"}
    assert removed == ops.DelChain(ns=CLIENT, family="ip", table="skep", name="turn_2_0")


def test_elements_are_changed_in_place(wanted, seen):
    ours = seen[CLIENT].tables[0]
    sets = tuple(
        msgspec.structs.replace(each, elements=frozenset({("10.0.1.2", 7)}))
        if each.name == "vips"
        else each
        for each in ours.sets
    )
    changed = altered(seen, CLIENT, tables=(msgspec.structs.replace(ours, sets=sets),))
    (op,) = diff(wanted, changed)
    assert isinstance(op, ops.SetElements)
    assert (op.set, op.remove) == ("vips", {("10.0.1.2", 7)})
    assert op.add == {("10.0.1.2", 0x100), ("10.0.1.9", 0x102)}


def test_balancing_changes_after_the_way_to_its_backends():
    scene = web_scene()
    kernel = FakeKernel()
    before = desired(scene.view("h1"))
    kernel.apply(diff(before, kernel.observe(before)))
    scene.add_sandbox("h2", "web3", {MONGO: "10.0.1.13"}, "web")
    scene.add_sandbox("h2", "idle2", {MONGO: "10.0.1.31"}, "idle")
    after = desired(scene.view("h1"))
    todo = kinds(diff(after, kernel.observe(after)))
    assert todo[-1] == "DelChain"
    first = min(i for i, each in enumerate(todo) if each in ("AddChain", "SetElements"))
    assert first > max(i for i, each in enumerate(todo) if each == "SetFdb")


def test_the_order_in_which_a_table_lists_its_parts_is_of_no_matter(wanted, seen):
    ours = seen[CLIENT].tables[0]
    turned = msgspec.structs.replace(ours, chains=ours.chains[::-1], sets=ours.sets[::-1])
    assert diff(wanted, altered(seen, CLIENT, tables=(turned,))) == []


def test_a_changed_rule_renews_the_table_and_old_tables_go(wanted, seen):
    ours = seen[CLIENT].tables[0]
    other = msgspec.structs.replace(ours, chains=ours.chains[1:])
    old = Table("skep-old", (), family="inet")
    todo = diff(wanted, altered(seen, CLIENT, tables=(other, old)))
    assert todo == [
        ops.DelTable(ns=CLIENT, family="inet", name="skep-old"),
        ops.ReplaceTable(ns=CLIENT, table=wanted[CLIENT].tables[0]),
    ]


def test_chains_of_others_go_and_so_do_strange_ones(wanted, seen):
    ours = seen[CLIENT].tables[0]
    more = msgspec.structs.replace(ours, chains=(*ours.chains, Chain("more", ())))
    assert diff(wanted, altered(seen, CLIENT, tables=(more,))) == [
        ops.DelChain(ns=CLIENT, family="ip", table="skep", name="more")
    ]
    strange = Chain("counter", (Rule((Foreign("{}"),)),))
    odd = msgspec.structs.replace(ours, chains=(*ours.chains, strange))
    assert kinds(diff(wanted, altered(seen, CLIENT, tables=(odd,)))) == ["ReplaceTable"]


def test_a_turn_that_was_altered_renews_the_table(wanted, seen):
    ours = seen[CLIENT].tables[0]
    chains = tuple(
        msgspec.structs.replace(each, rules=()) if each.name == "turn_2_0" else each
        for each in ours.chains
    )
    changed = msgspec.structs.replace(ours, chains=chains)
    assert kinds(diff(wanted, altered(seen, CLIENT, tables=(changed,)))) == ["ReplaceTable"]


class TestSysctls:
    KEY = "net.bridge.bridge-nf-call-iptables"

    def test_a_wrong_one_is_set(self, wanted, seen):
        values = {**seen[HOST].sysctls, "net.ipv4.ip_forward": "0"}
        todo = diff(wanted, altered(seen, HOST, sysctls=values))
        assert todo == [ops.SetSysctl(ns=HOST, key="net.ipv4.ip_forward", value="1")]

    def test_one_that_this_kernel_lacks_is_let_be(self, wanted, seen):
        assert self.KEY in wanted[OVERLAY].sysctls
        assert self.KEY not in seen[OVERLAY].sysctls
        assert diff(wanted, seen) == []

    def test_an_optional_one_is_set_once_it_is_seen(self, wanted, seen):
        values = {**seen[OVERLAY].sysctls, self.KEY: "1"}
        todo = diff(wanted, altered(seen, OVERLAY, sysctls=values))
        assert todo == [ops.SetSysctl(ns=OVERLAY, key=self.KEY, value="0")]

    def test_those_of_a_link_follow_its_making(self, wanted):
        todo = diff(wanted, {HOST: Namespace(name=HOST)})
        key = "net.ipv4.conf.docker_gwbridge.route_localnet"
        at = todo.index(ops.SetSysctl(ns=HOST, key=key, value="1"))
        made = [i for i, op in enumerate(todo) if isinstance(op, ops.AddLink)]
        assert at > max(made)

    def test_defaults_for_links_come_before_links(self, wanted):
        todo = diff(wanted, {HOST: Namespace(name=HOST)})
        op = ops.SetSysctl(ns=CLIENT, key="net.ipv4.conf.default.rp_filter", value="0")
        assert todo.index(op) < kinds(todo).index("AddLink")


class TestOnly:
    def test_other_namespaces_are_ignored(self, wanted, seen):
        broken = altered(seen, CLIENT, addresses=frozenset(), tables=())
        del broken["ingress_sbox"]
        assert diff(wanted, broken, {HOST, OVERLAY}) == []
        assert {op.ns for op in diff(wanted, broken, {CLIENT})} == {CLIENT}

    def test_one_that_is_named_and_not_wanted_goes(self, wanted, seen):
        left = {name: each for name, each in wanted.items() if name != CLIENT}
        todo = diff(left, seen, {CLIENT})
        assert todo == [ops.DelNamespace(ns=CLIENT)]
        assert diff(left, seen, {HOST}) == []

    def test_a_pair_is_not_made_from_one_end(self, wanted, seen):
        links = {name: each for name, each in seen[OVERLAY].links.items() if name != "veth1"}
        missing = altered(seen, OVERLAY, links=links)
        assert diff(wanted, missing, {OVERLAY}) == []
        todo = diff(wanted, missing, {OVERLAY, CLIENT})
        assert "AddLink" in kinds(todo)


class TestNamespaces:
    def test_tunnels_go_before_their_namespace(self):
        scene = web_scene()
        kernel = FakeKernel()
        before = desired(scene.view("h3"))
        kernel.apply(diff(before, kernel.observe(before)))
        del scene.networks[MONGO]
        after = desired(scene.view("h3"))
        assert diff(after, kernel.observe(after)) == [
            ops.DelLink(ns=OVERLAY, name="vxlan0"),
            ops.DelNamespace(ns=OVERLAY),
        ]

    def test_one_end_without_the_other_is_a_fault_of_ours(self, wanted, seen):
        half = {name: each for name, each in wanted.items() if name != CLIENT}
        with pytest.raises(AssertionError, match="desired without its namespace"):
            diff(half, seen)

    def test_one_that_is_not_ours_stays(self, wanted, seen):
        stranger = Namespace(name="blue", links={"lo": Link(name="lo", group=0)})
        assert diff(wanted, {**seen, "blue": stranger}) == []

    def test_the_hosts_own_is_never_made_nor_removed(self, wanted, seen):
        assert not [op for op in diff({}, seen) if isinstance(op, ops.DelNamespace) and not op.ns]
        assert not [op for op in diff(wanted, {}) if isinstance(op, ops.AddNamespace) and not op.ns]
