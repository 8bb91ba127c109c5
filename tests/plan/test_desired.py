"""What each namespace should contain, where its users look for it."""

from __future__ import annotations

import msgspec
import pytest
from plan_scene import (
    BRIDGES,
    IDLE_MARK,
    IDLE_VIP,
    MONGO,
    PROD,
    WEB_INGRESS_VIP,
    WEB_MARK,
    WEB_VIP,
    Scene,
    ingress_address,
    vtep,
    web_scene,
)

from skep import plan
from skep.model.host import HostView, Sandbox
from skep.model.netstate import HOST, Address, Fdb, Link, Neighbour, Peer, PolicyRule, Route, Vxlan
from skep.model.nft import (
    Ct,
    Dnat,
    Fib,
    Hook,
    Lookup,
    Masquerade,
    Match,
    Meta,
    Payload,
    Rule,
    SetMark,
    Verdict,
)
from skep.plan.desired import desired, namespaces_of, overlay_namespace
from skep.plan.diff import needed_sysctls

OVERLAY = "1-mongonetwo"
WEB1 = "web100000000"


@pytest.fixture(scope="module")
def h1():
    return desired(web_scene().view("h1"))


def table(namespace, family="ip"):
    return next(each for each in namespace.tables if each.family == family)


def chain(namespace, name, family="ip"):
    return next(each for each in table(namespace, family).chains if each.name == name)


def elements(namespace, name, family="ip"):
    return set(next(each for each in table(namespace, family).sets if each.name == name).elements)


def says(namespace, name):
    """The statements of a chain's rules."""
    return [rule.statements for rule in chain(namespace, name).rules]


class TestHost:
    def test_bridges(self, h1):
        host = h1[HOST]
        assert host.links["docker_gwbridge"] == Link(
            name="docker_gwbridge", kind="bridge", mtu=1500, mac="02:42:ac:12:00:01"
        )
        assert Address("docker_gwbridge", "172.18.0.1/16") in host.addresses
        assert Address("docker0", "172.17.0.1/16") in host.addresses

    def test_a_port_per_endpoint_is_made_from_here(self, h1):
        port = h1[HOST].links["veth21802gw"]
        assert (port.master, port.owner, port.peer) == (
            "docker_gwbridge",
            True,
            Peer("ingress_sbox", "eth1"),
        )

    def test_published_ports_lead_to_the_ingress_sandbox(self, h1):
        assert elements(h1[HOST], "published") == {
            ("tcp", 8080, "172.18.0.2", 8080),
            ("udp", 5353, "172.18.0.2", 5353),
        }
        assert chain(h1[HOST], "DOCKER-INGRESS").hook is None
        assert says(h1[HOST], "DOCKER-INGRESS")[1:] == [
            (Dnat(Lookup((Meta("l4proto"), Payload("th", "dport")), "published")),),
            (Verdict("return"),),
        ]
        jump = (Match((Fib("daddr"),), "local"), Verdict("jump", "DOCKER-INGRESS"))
        for hook in ("prerouting", "output"):
            assert chain(h1[HOST], hook).hook == Hook("nat", hook, -100)
            assert says(h1[HOST], hook) == [jump]

    def test_what_leaves_a_bridge_takes_the_hosts_address(self, h1):
        assert says(h1[HOST], "postrouting")[:2] == [
            (
                Match((Payload("ip", "saddr"),), subnet),
                Match((Meta("oifname"),), bridge, "!="),
                Masquerade(),
            )
            for subnet, bridge in (
                ("172.17.0.0/16", "docker0"),
                ("172.18.0.0/16", "docker_gwbridge"),
            )
        ]

    def test_ports_of_a_closed_bridge_are_named_in_the_bridge_family(self, h1):
        assert elements(h1[HOST], "isolated", "bridge") == {
            ("veth21802gw",),
            ("veth21803gw",),
            ("veth21804gw",),
        }

    def test_tunnels_are_open_to_the_clusters_hosts(self, h1):
        assert elements(h1[HOST], "vteps") == {(vtep("h1"),), (vtep("h2"),), (vtep("h3"),)}
        dport = Match((Payload("udp", "dport"),), 4789)
        assert says(h1[HOST], "input")[0][0] == dport
        other = msgspec.structs.replace(web_scene().view("h1"), data_path_port=4000)
        assert says(desired(other)[HOST], "input")[0][0].right == 4000

    def test_sysctls(self, h1):
        assert h1[HOST].sysctls == {
            "net.ipv4.ip_forward": "1",
            "net.ipv4.conf.docker_gwbridge.route_localnet": "1",
        }

    def test_without_a_swarm_there_is_no_mesh(self):
        alone = desired(HostView(bridges=BRIDGES))
        assert set(alone) == {HOST}
        names = {each.name for each in table(alone[HOST]).chains}
        assert names == {"postrouting", "forward"}
        assert alone[HOST].sysctls == {"net.ipv4.ip_forward": "1"}

    def test_a_host_with_nothing_has_no_table(self):
        assert desired(HostView())[HOST].tables == ()


class TestOverlay:
    def test_layout(self, h1):
        space = h1[OVERLAY]
        assert space.links["br0"] == Link(name="br0", kind="bridge", mtu=1450)
        assert space.links["vxlan0"] == Link(
            name="vxlan0",
            kind="vxlan",
            mtu=1450,
            master="br0",
            vxlan=Vxlan(vni=4097, port=4789, local=vtep("h1")),
        )
        assert space.links["veth2"].peer == Peer(WEB1, "eth1")
        assert space.addresses == {Address("br0", "10.0.1.1/24")}

    def test_everything_elsewhere_has_its_entries(self, h1):
        assert h1[OVERLAY].neighbours == {
            Neighbour("vxlan0", "10.0.1.12", "02:42:0a:00:01:0c"),
            Neighbour("vxlan0", "10.0.1.30", "02:42:0a:00:01:1e"),
        }
        assert h1[OVERLAY].fdb == {
            Fdb("vxlan0", "02:42:0a:00:01:0c", vtep("h2")),
            Fdb("vxlan0", "02:42:0a:00:01:1e", vtep("h2")),
        }

    def test_the_ingress_network_knows_the_other_hosts_ingress_sandboxes(self, h1):
        known = {each.address for each in h1["1-ingressnet"].neighbours}
        assert known == {"10.0.0.12", ingress_address("h2"), ingress_address("h3")}

    def test_an_endpoint_of_an_unknown_host_is_left_out(self):
        scene = web_scene("h1", "h2")
        scene.hosts = ("h1",)
        assert desired(scene.view("h1"))[OVERLAY].fdb == frozenset()

    @pytest.mark.parametrize(
        ("underlay", "option", "mtu"), [(1500, "", 1450), (9000, "", 8950), (1500, "1400", 1350)]
    )
    def test_the_mtu_follows_the_underlay_or_the_networks_option(self, underlay, option, mtu):
        scene = Scene("h1")
        options = {"com.docker.network.driver.mtu": option} if option else {}
        scene.add_network(PROD, ("10.1.1.0/24", 4098), options=options)
        name = scene.add_sandbox("h1", "one", {PROD: "10.1.1.20"})
        view = msgspec.structs.replace(scene.view("h1"), underlay_mtu=underlay)
        state = desired(view)
        overlay = state[overlay_namespace(PROD)]
        assert {overlay.links[each].mtu for each in ("br0", "vxlan0", "veth1")} == {mtu}
        assert state[name].links["eth0"].mtu == mtu
        assert state[name].links["eth1"].mtu == 1500

    def test_further_subnets_have_bridges_and_tunnels_of_their_own(self):
        scene = Scene("h1", "h2")
        scene.add_network(PROD, ("10.1.1.0/24", 4098), ("10.1.2.0/24", 4099))
        name = scene.add_sandbox("h1", "one", {PROD: "10.1.2.20"})
        scene.add_sandbox("h2", "two", {PROD: "10.1.2.21"})
        state = desired(scene.view("h1"))
        overlay = state[overlay_namespace(PROD)]
        assert overlay.links["veth1"].master == "br1"
        assert overlay.links["vxlan1"].vxlan.vni == 4099
        assert {each.link for each in overlay.neighbours} == {"vxlan1"}
        assert overlay.sysctls["net.ipv4.ip_forward"] == "1"
        route = Route(destination="10.1.1.0/24", link="eth0", via="10.1.2.1")
        assert route in state[name].routes

    def test_a_network_is_here_when_it_is_present_or_still_used(self):
        scene = web_scene()
        scene.networks[MONGO] = msgspec.structs.replace(scene.networks[MONGO], present=False)
        assert OVERLAY in desired(scene.view("h1"))
        assert OVERLAY not in desired(scene.view("h3"))


class TestSandbox:
    def test_links_and_addresses(self, h1):
        box = h1[WEB1]
        assert list(box.links) == ["lo", "eth0", "eth1", "eth2"]
        assert box.links["eth1"] == Link(
            name="eth1",
            kind="veth",
            mtu=1450,
            mac="02:42:0a:00:01:0b",
            peer=Peer(OVERLAY, "veth2"),
        )
        assert box.addresses == {
            Address("eth0", "10.0.0.11/24"),
            Address("eth1", "10.0.1.11/24"),
            Address("eth1", f"{WEB_VIP}/32"),
            Address("eth2", "172.18.0.4/16"),
        }

    def test_routes_lead_out_and_back_to_every_entry(self, h1):
        back = {
            Route(
                destination="default",
                link="eth0",
                via=f"10.0.0.{n}",
                table=0x1000000 + n,
                onlink=True,
            )
            for n in (2, 3, 4)
        }
        out = {Route(destination="default", link="eth2", via="172.18.0.1")}
        assert h1[WEB1].routes == out | back
        assert h1[WEB1].rules == {PolicyRule(1000, 0x1000000 + n, 0x1000000 + n) for n in (2, 3, 4)}

    def test_service_addresses_have_marks_and_backends(self, h1):
        for name in ("client000000", WEB1):
            box = h1[name]
            assert elements(box, "vips") == {(WEB_VIP, WEB_MARK), (IDLE_VIP, IDLE_MARK)}
            assert elements(box, "backends") == {
                (WEB_VIP, 0, "10.0.1.11"),
                (WEB_VIP, 1, "10.0.1.12"),
            }
            assert elements(box, "turns") == {(WEB_VIP, "goto turn_2_0")}
            assert elements(box, "no_backend") == {(IDLE_VIP,)}
        assert elements(h1[WEB1], "own_vips") == {(WEB_VIP,)}
        assert elements(h1["client000000"], "own_vips") == set()

    def test_the_mark_is_set_by_a_rule_that_misses_all_else(self, h1):
        mark = SetMark("meta", Lookup((Payload("ip", "daddr"),), "vips"))
        rule = Rule((Match((Ct("state"),), "new"), mark))
        assert chain(h1["client000000"], "output-mark").rules == (rule,)
        assert chain(h1["client000000"], "output-mark").hook == Hook("route", "output", -150)

    def test_only_who_is_on_the_mesh_remembers_entries(self, h1):
        assert elements(h1[WEB1], "entries") == {
            (f"02:42:0a:00:00:0{n}", 0x1000000 + n) for n in (2, 3, 4)
        }
        assert "entries" not in {each.name for each in table(h1["client000000"]).sets}
        assert h1["client000000"].rules == frozenset()

    def test_an_endpoint_on_an_unknown_network_is_left_out(self):
        scene = web_scene()
        del scene.networks[MONGO]
        box = desired(scene.view("h1"))[WEB1]
        assert list(box.links) == ["lo", "eth0", "eth2"]
        assert not [each for each in box.addresses if each.link == "eth1"]

    def test_a_sandbox_without_networks_is_empty_but_for_its_resolver(self):
        view = HostView(sandboxes=(Sandbox(id="a" * 64),))
        box = desired(view)["a" * 12]
        assert (list(box.links), box.addresses, box.routes) == (["lo"], frozenset(), frozenset())
        assert len(chain(box, "output-nat").rules) == 3

    def test_backends_are_in_the_order_of_their_addresses(self):
        scene = web_scene()
        scene.add_sandbox("h1", "web9", {MONGO: "10.0.1.9"}, "web")
        scene.add_sandbox("h1", "web100", {MONGO: "10.0.1.100"}, "web")
        box = desired(scene.view("h1"))["client000000"]
        assert sorted((i, at) for _, i, at in elements(box, "backends")) == [
            (0, "10.0.1.9"),
            (1, "10.0.1.11"),
            (2, "10.0.1.12"),
            (3, "10.0.1.100"),
        ]


class TestIngressSandbox:
    def test_links_addresses_and_routes(self, h1):
        box = h1["ingress_sbox"]
        assert (box.links["eth0"].mtu, box.links["eth1"].mtu) == (1450, 1500)
        assert box.addresses == {
            Address("eth0", "10.0.0.2/24"),
            Address("eth0", f"{WEB_INGRESS_VIP}/32"),
            Address("eth1", "172.18.0.2/16"),
        }
        assert box.routes == {Route(destination="default", link="eth1", via="172.18.0.1")}
        assert box.sysctls["net.ipv4.ip_forward"] == "1"

    def test_ports_of_one_service_share_its_mark_and_so_does_its_vip(self, h1):
        box = h1["ingress_sbox"]
        assert elements(box, "published") == {("tcp", 8080, WEB_MARK), ("udp", 5353, WEB_MARK)}
        assert elements(box, "vips") == {(WEB_INGRESS_VIP, WEB_MARK)}

    def test_a_mark_and_a_port_make_a_backend_and_its_port(self, h1):
        assert elements(h1["ingress_sbox"], "backends") == {
            (WEB_MARK, 0, "10.0.0.11"),
            (WEB_MARK, 1, "10.0.0.12"),
        }
        assert elements(h1["ingress_sbox"], "targets") == {
            (WEB_MARK, "tcp", 8080, 80),
            (WEB_MARK, "udp", 5353, 53),
        }
        assert elements(h1["ingress_sbox"], "turns") == {(WEB_MARK, "goto turn_2_0")}

    def test_without_a_service_nothing_is_marked(self):
        box = desired(Scene("h1").view("h1"))["ingress_sbox"]
        assert elements(box, "published") == elements(box, "vips") == set()


class TestOnly:
    @pytest.mark.parametrize("only", [{HOST}, {OVERLAY, WEB1}, {"ingress_sbox"}, set(), {"gone"}])
    def test_what_is_asked_for_is_the_same_as_in_the_whole(self, h1, only):
        part = desired(web_scene().view("h1"), only)
        assert part == {name: each for name, each in h1.items() if name in only}

    def test_a_sandbox_stands_with_what_it_plugs_into(self):
        view = web_scene().view("h1")
        assert namespaces_of(view, WEB1) == {WEB1, HOST, OVERLAY, "1-ingressnet"}
        assert namespaces_of(view, "gone") == {"gone"}
        assert plan.closure(view, {"client000000", "gone"}) == {
            "client000000",
            "gone",
            HOST,
            OVERLAY,
        }

    def test_an_observation_is_told_which_sysctls_to_read(self, h1):
        needed = needed_sysctls(h1)
        assert needed[HOST] == set(h1[HOST].sysctls)
        assert set(needed) == set(h1)


def test_names_of_namespaces():
    assert overlay_namespace("wdwvazbewe1jxqoc3fzoh0v4y") == "1-wdwvazbewe"


def test_every_pair_is_written_at_both_ends_with_one_owner():
    for host in ("h1", "h2", "h3"):
        state = desired(web_scene().view(host))
        for name, namespace in state.items():
            for link in namespace.links.values():
                if link.peer is not None:
                    other = state[link.peer.namespace].links[link.peer.name]
                    assert other.peer == Peer(name, link.name)
                    assert (other.owner, other.mtu) == (not link.owner, link.mtu)
