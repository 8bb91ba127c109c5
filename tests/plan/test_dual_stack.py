"""Where IPv6 packets end, over hosts as they are planned: the same promises as for IPv4."""

from __future__ import annotations

import msgspec
import pytest
from dual_scene import dual, dual_world, host6, six
from fake_kernel import FakeKernel
from plan_scene import (
    DOCKER0,
    GATEWAY,
    IDLE_VIP,
    MONGO,
    WEB_VIP,
    Scene,
    ingress_address,
    vtep,
    web_scene,
)

from skep.model.netstate import HOST, Address, Neighbour, PolicyRule, Route
from skep.model.nft import Payload
from skep.model.spec import PortConfig
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.plan.journey import OUTSIDE, Delivered, Departed, Dropped, Flow, Packet, Place
from skep.plan.layout import holds, number, subnet_of
from skep.plan.walk import answer, walk

H1, H2, H3 = vtep("h1"), vtep("h2"), vtep("h3")
CLIENT, WEB1, WEB2, MESH = "client000000", "web100000000", "web200000000", "ingress_sbox"
STRANGER = "2001:db8:ffff::9"


@pytest.fixture(scope="module")
def world():
    return dual_world()


def send(world, start, flow, slot=0):
    return walk(world, start, Packet(flow), slot)


class TestMesh:
    @pytest.mark.parametrize(("entry", "host"), [(H1, "h1"), (H2, "h2"), (H3, "h3")])
    @pytest.mark.parametrize(("slot", "at"), [(0, (H1, WEB1)), (1, (H2, WEB2))])
    def test_a_stranger_reaches_a_task_with_its_own_address(self, world, entry, host, slot, at):
        flow = Flow("tcp", STRANGER, host6(host), 40000, 8080)
        there = send(world, Place(entry, HOST, OUTSIDE), flow, slot)
        assert isinstance(there.end, Delivered)
        assert (there.end.at.host, there.end.at.namespace) == at
        assert (there.end.flow.source, there.end.flow.target_port) == (STRANGER, 80)
        back = answer(world, there)
        assert isinstance(back.end, Departed)
        assert (back.end.at.host, back.end.flow) == (entry, flow.reverse())
        assert (entry, MESH) in back.places()

    @pytest.mark.parametrize("entry", [H1, H3])
    def test_datagrams_too(self, world, entry):
        flow = Flow("udp", STRANGER, host6("h1" if entry == H1 else "h3"), 40000, 5353)
        there = send(world, Place(entry, HOST, OUTSIDE), flow, 1)
        assert there.end.flow.source == STRANGER
        back = answer(world, there)
        assert (back.end.at.host, back.end.flow) == (entry, flow.reverse())

    @pytest.mark.parametrize("target", ["::1", host6("h1")])
    def test_from_the_host_itself(self, world, target):
        flow = Flow("tcp", target, target, 40000, 8080)
        there = send(world, Place(H1, HOST), flow, 1)
        assert (there.end.at.host, there.end.at.namespace) == (H2, WEB2)
        assert there.end.flow.source == six(ingress_address("h1"))
        back = answer(world, there)
        assert (back.end.at.namespace, back.end.flow) == (HOST, flow.reverse())

    def test_an_answer_to_the_loopback_address_itself_would_be_lost(self, world):
        (table, ip6, bridge) = world[H1][HOST].tables
        chains = tuple(each for each in ip6.chains if each.name != "loopback-out")
        tables = (table, msgspec.structs.replace(ip6, chains=chains), bridge)
        host = msgspec.structs.replace(world[H1][HOST], tables=tables)
        flow = Flow("tcp", "::1", "::1", 40000, 8080)
        lost = send({**world, H1: {**world[H1], HOST: host}}, Place(H1, HOST), flow, 1)
        assert lost.end.why == "no answer to ::1 is taken on docker_gwbridge"

    def test_what_is_not_published_stays_on_the_loopback(self, world):
        found = send(world, Place(H1, HOST), Flow("tcp", "::1", "::1", 40000, 22))
        assert (found.end.at.namespace, found.end.flow.target) == (HOST, "::1")

    def test_nobody_else_reaches_the_loopback_by_its_stand_in(self, world):
        other = six("172.18.0.1").replace("::1", "::7f00:1")
        assert other in {each.address.partition("/")[0] for each in world[H1][HOST].addresses}
        flow = Flow("udp", other, other, 40000, 53)
        found = send(world, Place(H1, HOST, "docker_gwbridge"), flow)
        assert found.end.flow.target == other

    def test_hosts_reach_each_other(self, world):
        flow = Flow("tcp", host6("h3"), host6("h1"), 40000, 8080)
        there = send(world, Place(H3, HOST), flow, 1)
        assert (there.end.at.host, there.end.flow.source) == (H2, host6("h3"))

    def test_without_a_task_it_is_refused(self):
        scene = web_scene()
        network = scene.networks["ingressnet0000000000000000"]
        gone = msgspec.structs.replace(network, endpoints={})
        scene.networks[network.id] = gone
        flow = Flow("tcp", STRANGER, host6("h1"), 40000, 8080)
        found = send(dual_world(scene), Place(H1, HOST, OUTSIDE), flow)
        assert found.end.at.namespace == MESH


class TestServices:
    @pytest.mark.parametrize(("slot", "at"), [(0, (H1, WEB1)), (1, (H2, WEB2))])
    def test_a_vip_leads_to_a_task(self, world, slot, at):
        there = send(world, Place(H1, CLIENT), Flow("tcp", "", six(WEB_VIP), 40000, 80), slot)
        assert (there.end.at.host, there.end.at.namespace) == at
        assert there.end.flow.source == six("10.0.1.20")
        assert answer(world, there).end.at.namespace == CLIENT

    def test_a_task_that_asks_its_own_vip_appears_by_its_own_address(self, world):
        flow = Flow("tcp", six(WEB_VIP), six(WEB_VIP), 40000, 80)
        there = send(world, Place(H1, WEB1), flow, 1)
        assert (there.end.at.namespace, there.end.flow.source) == (WEB2, six("10.0.1.11"))

    def test_a_vip_without_tasks_is_refused(self, world):
        for protocol, how in (("tcp", "tcp reset"), ("udp", "icmpv6")):
            flow = Flow(protocol, "", six(IDLE_VIP), 40000, 80)
            found = send(world, Place(H1, CLIENT), flow)
            assert isinstance(found.end, Dropped)
            assert f"refused ({how})" in found.end.why

    def test_to_a_task_itself(self, world):
        flow = Flow("icmpv6", "", six("10.0.1.12"))
        assert send(world, Place(H1, CLIENT), flow).end.at.namespace == WEB2

    def test_the_world_outside_sees_the_host(self, world):
        found = send(world, Place(H1, CLIENT), Flow("tcp", "", STRANGER, 40000, 80))
        assert isinstance(found.end, Departed)
        assert found.end.flow.source == host6("h1")


def with_port(options):
    """The web scene whose first task publishes 8081 in mode host."""
    scene = web_scene()
    port = PortConfig(protocol="tcp", target_port=80, published_port=8081, publish_mode="host")
    scene.sandboxes["h1"] = [
        msgspec.structs.replace(box, ports=(port,), options=options)
        if box.namespace == WEB1
        else box
        for box in scene.sandboxes["h1"]
    ]
    return scene


class TestPorts:
    def ask(self, scene, source=STRANGER, target=""):
        flow = Flow("tcp", source, target or host6("h1"), 40000, 8081)
        return send(dual_world(scene), Place(H1, HOST, OUTSIDE), flow)

    def test_in_mode_host(self):
        found = self.ask(with_port({}))
        assert (found.end.at.namespace, found.end.flow.source) == (WEB1, STRANGER)

    def test_for_clients_of_either_family(self):
        scene = with_port({"skep.allow": "192.0.2.0/24,2001:db8:ffff::/48"})
        assert self.ask(scene).end.at.namespace == WEB1
        assert "refused" in self.ask(scene, "2001:db8:eeee::9").end.why
        assert self.ask(scene, "192.0.2.7", H1).end.at.namespace == WEB1
        assert "refused" in self.ask(scene, "198.51.100.7", H1).end.why

    def test_at_one_address_of_either_family(self):
        scene = with_port({"skep.publish-address": host6("h1")})
        assert self.ask(scene).end.at.namespace == WEB1
        assert self.ask(scene, "192.0.2.7", H1).end.at.namespace == HOST
        scene = with_port({"skep.publish-address": H1})
        assert self.ask(scene).end.at.namespace == HOST
        assert self.ask(scene, "192.0.2.7", H1).end.at.namespace == WEB1


class TestContents:
    def test_nothing_of_ipv6_without_ipv6(self):
        for namespace in desired(web_scene().view("h1")).values():
            assert {table.family for table in namespace.tables} <= {"ip", "bridge"}
            assert not [each for each in namespace.addresses if ":" in each.address]
            assert not [each for each in namespace.routes if ":" in each.destination]
            assert all(rule.family == "ip" for rule in namespace.rules)

    def test_only_links_with_an_address_speak_it(self):
        box = desired(dual(web_scene().view("h1")))[WEB1]
        assert box.sysctls["net.ipv6.conf.default.disable_ipv6"] == "1"
        assert box.sysctls["net.ipv6.conf.default.accept_ra"] == "0"
        spoken = {
            key for key, value in box.sysctls.items() if "disable_ipv6" in key and value == "0"
        }
        assert spoken == {f"net.ipv6.conf.eth{number}.disable_ipv6" for number in range(3)}
        assert Route(destination="::/0", link="eth2", via=six("172.18.0.1")) in box.routes
        assert PolicyRule(1000, 0x1000003, 0x1000003, "ip6") in box.rules

    def test_a_tunnel_answers_for_remote_addresses_of_both_families(self):
        overlay = desired(dual(web_scene().view("h1")))["1-mongonetwo"]
        mac = "02:42:0a:00:01:0c"
        for address in ("10.0.1.12", six("10.0.1.12")):
            assert Neighbour("vxlan0", address, mac) in overlay.neighbours
        assert len([each for each in overlay.fdb if each.mac == mac]) == 1
        assert overlay.sysctls["net.ipv6.conf.vxlan0.disable_ipv6"] == "0"
        assert Address("br0", six("10.0.1.1", "/64")) in overlay.addresses

    def test_the_host_forwards_and_goes_on_listening_to_routers(self):
        host = desired(dual(web_scene().view("h1")))[HOST]
        assert host.sysctls["net.ipv6.conf.all.forwarding"] == "1"
        assert host.sysctls["net.ipv6.conf.uplink.accept_ra"] == "2"

    def test_containers_of_docker0_have_none(self):
        scene = Scene("h1")
        scene.add_sandbox("h1", "lone", {}, gateway=DOCKER0)
        view = scene.view("h1")
        assert {table.family for table in desired(view)["lone00000000"].tables} == {"ip"}

    def test_a_table_speaks_of_its_own_family_alone(self):
        for namespace in desired(dual(web_scene().view("h1"))).values():
            for table in namespace.tables:
                other = {"ip": "ip6", "ip6": "ip"}.get(table.family)
                keys = [part for chain in table.chains for part in _keys(chain)]
                assert other not in {key.protocol for key in keys}


def _keys(chain):
    """All payload keys anywhere in a chain's rules."""

    def inside(value):
        if isinstance(value, Payload):
            yield value
        elif isinstance(value, msgspec.Struct):
            yield from inside(msgspec.structs.astuple(value))
        elif isinstance(value, tuple):
            for each in value:
                yield from inside(each)

    return inside(chain.rules)


def test_subnets_of_both_families():
    assert holds("fd00::/64", "fd00::a")
    assert not holds("fd00::/64", "fd00:0:0:1::a")
    assert not holds("::/0", "10.0.0.1")
    assert not holds("0.0.0.0/0", "fd00::1")
    assert subnet_of("fd00:1::9/64") == "fd00:1::/64"
    assert number("fd00::2") - number("fd00::") == 2


def test_a_host_without_ipv6_elsewhere_is_no_neighbour():
    scene = web_scene()
    view = dual(scene.view("h1"))
    endpoints = {
        key: msgspec.structs.replace(each, address6="") if key == "web2" else each
        for key, each in view.networks[MONGO].endpoints.items()
    }
    network = msgspec.structs.replace(view.networks[MONGO], endpoints=endpoints)
    view = msgspec.structs.replace(view, networks={**view.networks, MONGO: network})
    overlay = desired(view)["1-mongonetwo"]
    known = {each.address for each in overlay.neighbours if each.mac == "02:42:0a:00:01:0c"}
    assert known == {"10.0.1.12"}


def test_a_link_that_becomes_wide_enough_is_let_speak_before_it_gets_addresses():
    wanted = desired(dual(web_scene().view("h1")))
    kernel = FakeKernel()
    kernel.apply(diff(wanted, kernel.observe(wanted)))
    seen = kernel.observe(wanted)
    box = seen[WEB1]
    links = {**box.links, "eth1": msgspec.structs.replace(box.links["eth1"], mtu=1250)}
    sysctls = {key: each for key, each in box.sysctls.items() if ".eth1." not in key}
    addresses = frozenset(
        each for each in box.addresses if each.link != "eth1" or ":" not in each.address
    )
    narrow = msgspec.structs.replace(box, links=links, sysctls=sysctls, addresses=addresses)
    todo = diff(wanted, {**seen, WEB1: narrow})
    kinds = [type(each).__name__ for each in todo]
    assert kinds == ["SetLink", "SetSysctl", "AddAddress", "AddAddress", "AddAddress"]
    assert todo[1].key == "net.ipv6.conf.eth1.disable_ipv6"


def test_where_a_network_has_no_ipv6_nobody_is_a_neighbour_by_it():
    view = dual(web_scene().view("h1"))
    networks = {
        key: msgspec.structs.replace(
            each,
            subnets=tuple(msgspec.structs.replace(one, config6=None) for one in each.subnets),
        )
        for key, each in view.networks.items()
    }
    boxes = tuple(
        msgspec.structs.replace(
            box,
            endpoints=tuple(
                each if each.network_id == GATEWAY else msgspec.structs.replace(each, address6="")
                for each in box.endpoints
            ),
        )
        for box in view.sandboxes
    )
    state = desired(msgspec.structs.replace(view, networks=networks, sandboxes=boxes))
    sixths = {each.destination for each in state[WEB1].routes if ":" in each.destination}
    assert sixths == {"::/0"}
    assert {each.table for each in state[WEB1].routes if each.destination == "::/0"} == {254}
    assert all(rule.family == "ip" for rule in state[WEB1].rules)
    for name in ("1-mongonetwo", "1-ingressnet"):
        assert state[name].neighbours
        assert not [each for each in state[name].neighbours if ":" in each.address]
