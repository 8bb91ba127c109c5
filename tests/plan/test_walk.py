"""Where packets end, over hosts as they are planned: the promises that users are made."""

from __future__ import annotations

import msgspec
import pytest
from fake_kernel import FakeKernel
from plan_scene import (
    DOCKER0,
    IDLE_VIP,
    INGRESS,
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

from skep.model.assignment import NetworkService
from skep.model.netstate import HOST
from skep.model.nft import Chain, Foreign, Hook, Rule, Table
from skep.model.spec import PortConfig
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.plan.journey import (
    OUTSIDE,
    Delivered,
    Departed,
    Dropped,
    Flow,
    Marked,
    Packet,
    Place,
    Tunnelled,
    Unread,
)
from skep.plan.walk import answer, walk

CLIENT, WEB1, WEB2 = "client000000", "web100000000", "web200000000"
STRANGER = "203.0.113.9"
H1, H2, H3 = vtep("h1"), vtep("h2"), vtep("h3")


@pytest.fixture(scope="module", params=["desired", "observed", "ipvs", "ipvs observed"])
def world(request):
    """What h1..h3 should contain, by either way to balance, and the same as an observation would
    show it."""
    scene = web_scene()
    scene.balancer = "ipvs" if "ipvs" in request.param else "nft"
    planned = scene.world()
    if "observed" not in request.param:
        return planned
    return {host: observed(state) for host, state in planned.items()}


def observed(state):
    kernel = FakeKernel()
    kernel.apply(diff(state, kernel.observe(state)))
    return kernel.observe(state)


def send(world, start, protocol, target, port, **more):
    slot = more.pop("slot", 0)
    source = more.pop("source", "")
    flow = Flow(protocol, source, target, 4000 if port else 0, port)
    return walk(world, start, Packet(flow), slot)


def from_outside(world, host, protocol, port, slot=0):
    start = Place(host, HOST, OUTSIDE)
    return send(world, start, protocol, host, port, slot=slot, source=STRANGER)


def delivered(journey):
    """(host, namespace, source, target, port) of a delivery."""
    end = journey.end
    assert isinstance(end, Delivered), end
    return (end.at.host, end.at.namespace, end.flow.source, end.flow.target, end.flow.target_port)


def why(journey):
    assert isinstance(journey.end, Dropped), journey.end
    return journey.end.why


class TestServiceAddresses:
    @pytest.mark.parametrize(
        ("slot", "host", "task", "address"),
        [(0, H1, WEB1, "10.0.1.11"), (1, H2, WEB2, "10.0.1.12"), (2, H1, WEB1, "10.0.1.11")],
    )
    @pytest.mark.parametrize("asked", [("tcp", 80), ("udp", 53), ("icmp", 0)])
    def test_a_vip_takes_turns_among_tasks_and_shows_them_their_client(
        self, world, slot, host, task, address, asked
    ):
        protocol, port = asked
        there = send(world, Place(H1, CLIENT), protocol, WEB_VIP, port, slot=slot)
        assert delivered(there) == (host, task, "10.0.1.20", address, port)
        back = answer(world, there)
        assert delivered(back)[:4] == (H1, CLIENT, WEB_VIP, "10.0.1.20")

    def test_a_vip_carries_its_services_mark(self, world):
        there = send(world, Place(H1, CLIENT), "tcp", WEB_VIP, 80)
        marks = [hop.mark for hop in there.hops if isinstance(hop, Marked)]
        assert marks == [WEB_MARK]

    @pytest.mark.parametrize(("slot", "host", "task"), [(0, H1, WEB1), (1, H2, WEB2)])
    def test_a_task_may_ask_its_own_service(self, world, slot, host, task):
        there = send(world, Place(H1, WEB1), "tcp", WEB_VIP, 80, slot=slot)
        assert delivered(there)[:2] == (host, task)
        back = answer(world, there)
        assert delivered(back)[:4] == (H1, WEB1, WEB_VIP, WEB_VIP)

    @pytest.mark.parametrize(
        ("protocol", "how"), [("tcp", "tcp reset"), ("udp", "icmp"), ("icmp", "icmp")]
    )
    def test_a_service_without_a_ready_task_refuses_at_once(self, world, protocol, how):
        there = send(world, Place(H1, CLIENT), protocol, IDLE_VIP, 80)
        unbalanced = "refused (port unreachable): IPVS FWM 258 rr has no destination for it"
        by_ipvs = world[H1][CLIENT].virtual
        assert why(there) == (unbalanced if by_ipvs else f"refused ({how}) by chain output-filter")

    def test_an_unready_task_can_be_reached_by_its_own_address(self, world):
        there = send(world, Place(H1, CLIENT), "tcp", "10.0.1.30", 80)
        assert delivered(there)[:2] == (H2, "idle10000000")

    def test_one_service_on_two_networks_has_other_backends_on_each(self):
        scene = Scene("h1", "h2")
        scene.add_network(PROD, ("10.1.1.0/24", 4098))
        for network, vip in ((MONGO, "10.0.1.2"), (PROD, "10.1.1.2")):
            scene.add_service(network, NetworkService(id="db", name="db", vip=vip, mark=0x101))
        scene.add_sandbox("h1", "client", {MONGO: "10.0.1.20", PROD: "10.1.1.20"})
        scene.add_sandbox("h2", "db1", {MONGO: "10.0.1.30", PROD: "10.1.1.30"}, "db")
        world = scene.world()
        for vip, task in (("10.0.1.2", "10.0.1.30"), ("10.1.1.2", "10.1.1.30")):
            there = send(world, Place(H1, CLIENT), "tcp", vip, 80)
            assert delivered(there)[3] == task
            assert [hop.mark for hop in there.hops if isinstance(hop, Marked)] == [0x101]

    def test_the_resolver_answers_at_its_own_address_on_another_port(self, world):
        for protocol in ("udp", "tcp"):
            there = send(world, Place(H1, CLIENT), protocol, "127.0.0.11", 53)
            assert delivered(there)[1:] == (CLIENT, "127.0.0.11", "127.0.0.11", 1011)

    def test_other_addresses_are_left_alone(self, world):
        there = send(world, Place(H1, CLIENT), "tcp", "10.0.1.12", 81)
        assert delivered(there) == (H2, WEB2, "10.0.1.20", "10.0.1.12", 81)
        assert there.translations() == []


class TestMesh:
    @pytest.mark.parametrize("entry", [H1, H2, H3])
    @pytest.mark.parametrize(("slot", "host", "task"), [(0, H1, WEB1), (1, H2, WEB2)])
    def test_every_host_answers_and_the_task_sees_the_client(self, world, entry, slot, host, task):
        there = from_outside(world, entry, "tcp", 8080, slot)
        at, namespace, source, target, port = delivered(there)
        assert (at, namespace, source, port) == (host, task, STRANGER, 80)
        assert target.startswith("10.0.0.")
        back = answer(world, there)
        assert isinstance(back.end, Departed) and back.end.at.host == entry
        assert (entry, "ingress_sbox") in back.places()
        assert back.end.flow == Flow("tcp", entry, STRANGER, 8080, 4000)

    @pytest.mark.parametrize("entry", [H1, H2, H3])
    def test_a_udp_server_may_listen_on_any_address(self, world, entry):
        there = from_outside(world, entry, "udp", 5353, slot=1)
        assert delivered(there)[1:3] == (WEB2, STRANGER)
        back = wildcard_answer(world, there)
        assert isinstance(back.end, Departed)
        assert back.end.flow == Flow("udp", entry, STRANGER, 5353, 4000)

    @pytest.mark.parametrize(("protocol", "port"), [("tcp", 8080), ("udp", 5353)])
    @pytest.mark.parametrize("target", ["127.0.0.1", H3])
    def test_the_host_itself_may_ask(self, world, protocol, port, target):
        there = send(world, Place(H3, HOST), protocol, target, port, slot=1)
        assert delivered(there)[:3] == (H2, WEB2, ingress_address("h3"))
        back = wildcard_answer(world, there)
        assert delivered(back)[:4] == (H3, HOST, target, target)

    @pytest.mark.parametrize(("protocol", "port"), [("tcp", 8080), ("udp", 5353)])
    @pytest.mark.parametrize("host", ["h1", "h2"])
    def test_a_container_may_ask_its_own_and_other_hosts(self, world, protocol, port, host):
        there = send(world, Place(H1, CLIENT), protocol, vtep(host), port, slot=1)
        assert delivered(there)[:2] == (H2, WEB2)
        back = wildcard_answer(world, there)
        assert delivered(back)[:2] == (H1, CLIENT)
        assert delivered(back)[2] == vtep(host)

    def test_a_container_on_docker0_may_ask_its_own_host(self):
        scene = web_scene()
        lone = scene.add_sandbox("h3", "lone", {}, gateway=DOCKER0)
        world = scene.world()
        there = send(world, Place(H3, lone), "tcp", H3, 8080)
        assert delivered(there)[1] == WEB1
        assert delivered(answer(world, there))[:3] == (H3, lone, H3)

    def test_a_published_port_without_a_ready_task_meets_nobody_in_the_ingress_sandbox(self):
        scene = Scene("h1")
        ports = (PortConfig(target_port=80, published_port=8080),)
        service = NetworkService(id="web", name="web", vip="10.0.0.9", mark=256, ports=ports)
        scene.add_service(INGRESS, service)
        there = from_outside(scene.world(), H1, "tcp", 8080)
        assert delivered(there)[1:] == ("ingress_sbox", STRANGER, "172.18.0.2", 8080)

    def test_an_unpublished_port_is_the_hosts_own_business(self, world):
        assert delivered(from_outside(world, H1, "tcp", 22)) == (H1, HOST, STRANGER, H1, 22)
        assert delivered(from_outside(world, H1, "udp", 8080))[1] == HOST

    def test_a_vip_answers_inside_the_ingress_sandbox_too(self, world):
        there = send(world, Place(H1, "ingress_sbox"), "tcp", WEB_INGRESS_VIP, 8080, slot=1)
        assert delivered(there) == (H2, WEB2, ingress_address("h1"), "10.0.0.12", 80)
        assert delivered(answer(world, there))[:2] == (H1, "ingress_sbox")

    def test_the_ingress_sandbox_forwards_nothing_else(self, world):
        start = Place(H1, "ingress_sbox", "eth1")
        there = send(world, start, "tcp", "10.0.0.12", 80, source="172.18.0.3")
        assert why(there) == "dropped by chain forward"


def wildcard_answer(world, there):
    """The answer of a server that is bound to no address: the kernel chooses its source.

    TCP answers from the address that it was asked at, whatever it is bound to.
    """
    flow = there.end.flow.reverse()
    if flow.protocol == "udp":
        flow = msgspec.structs.replace(flow, source="")
    start = Place(there.end.at.host, there.end.at.namespace)
    return walk(world, start, Packet(flow), known=there.connections)


class TestIsolation:
    def test_containers_meet_on_their_networks_and_not_on_the_gateway_bridge(self, world):
        there = send(world, Place(H1, CLIENT), "tcp", "172.18.0.4", 80)
        assert why(there) == "dropped by chain forward"

    def test_bridges_do_not_meet(self):
        scene = web_scene()
        lone = scene.add_sandbox("h1", "lone", {}, gateway=DOCKER0)
        there = send(scene.world(), Place(H1, lone), "tcp", "172.18.0.3", 80)
        assert why(there) == "dropped by chain forward"

    def test_containers_on_docker0_meet(self):
        scene = Scene("h1")
        one = scene.add_sandbox("h1", "one", {}, gateway=DOCKER0)
        two = scene.add_sandbox("h1", "two", {}, gateway=DOCKER0)
        there = send(scene.world(), Place(H1, one), "tcp", "172.17.0.4", 80)
        assert delivered(there)[:3] == (H1, two, "172.17.0.3")

    def test_the_hosts_loopback_services_stay_its_own(self, world):
        start = Place(H1, HOST, "docker_gwbridge")
        there = send(world, start, "tcp", "127.0.0.1", 631, source="172.18.0.3")
        assert why(there) == "dropped by chain guard"

    def test_tunnels_are_closed_to_strangers(self):
        scene = web_scene("h1", "h2")
        world = scene.world()
        scene.hosts = ("h2",)
        world[H2] = desired(scene.view("h2"))
        there = send(world, Place(H1, CLIENT), "tcp", "10.0.1.12", 80)
        assert why(there) == "dropped by chain input"

    def test_a_network_that_must_be_encrypted_is_never_carried_in_the_clear(self):
        scene = Scene("h1", "h2")
        scene.add_network(PROD, ("10.1.1.0/24", 4098), options={"encrypted": ""})
        one = scene.add_sandbox("h1", "one", {PROD: "10.1.1.20"})
        two = scene.add_sandbox("h1", "two", {PROD: "10.1.1.21"})
        scene.add_sandbox("h2", "far", {PROD: "10.1.1.22"})
        world = scene.world()
        assert delivered(send(world, Place(H1, one), "tcp", "10.1.1.21", 80))[1] == two
        far = send(world, Place(H1, one), "tcp", "10.1.1.22", 80)
        assert why(far) == "there is no WireGuard tunnel to 192.168.50.2"


class TestRoads:
    def test_out_into_the_world_by_the_hosts_address(self, world):
        there = send(world, Place(H1, CLIENT), "tcp", STRANGER, 443)
        assert there.end == Departed(
            at=Place(H1, HOST, "docker_gwbridge"), flow=Flow("tcp", H1, STRANGER, 4000, 443)
        )
        assert delivered(answer(world, there))[:3] == (H1, CLIENT, STRANGER)

    def test_an_internal_sandbox_has_no_way_out(self):
        scene = Scene("h1")
        inner = scene.add_sandbox("h1", "inner", {MONGO: "10.0.1.20"}, gateway="")
        there = send(scene.world(), Place(H1, inner), "tcp", STRANGER, 443)
        assert why(there) == f"no route to {STRANGER}"

    def test_the_subnets_of_one_network_reach_one_another(self):
        scene = Scene("h1", "h2")
        scene.add_network(PROD, ("10.1.1.0/24", 4098), ("10.1.2.0/24", 4099))
        one = scene.add_sandbox("h1", "one", {PROD: "10.1.1.20"})
        two = scene.add_sandbox("h2", "two", {PROD: "10.1.2.20"})
        world = scene.world()
        there = send(world, Place(H1, one), "tcp", "10.1.2.20", 80)
        assert delivered(there) == (H2, two, "10.1.1.20", "10.1.2.20", 80)
        assert [hop.vni for hop in there.hops if isinstance(hop, Tunnelled)] == [4099]
        back = answer(world, there)
        assert delivered(back)[:2] == (H1, one)
        assert [hop.vni for hop in back.hops if isinstance(hop, Tunnelled)] == [4098]

    @pytest.mark.parametrize(
        ("namespace", "field", "sentence"),
        [
            ("1-mongonetwo", "neighbours", "no neighbour entry for 10.0.1.12 on vxlan0"),
            ("1-mongonetwo", "fdb", "no forwarding entry for 02:42:0a:00:01:0c on vxlan0"),
            (CLIENT, "addresses", "no route to 10.0.1.12"),
        ],
    )
    def test_what_is_missing_is_named(self, world, namespace, field, sentence):
        host = dict(world[H1])
        host[namespace] = msgspec.structs.replace(host[namespace], **{field: frozenset()})
        if field == "addresses":
            host[namespace] = msgspec.structs.replace(host[namespace], routes=frozenset())
        there = send({**world, H1: host}, Place(H1, CLIENT), "tcp", "10.0.1.12", 80)
        assert why(there) == sentence

    @pytest.mark.parametrize(
        ("namespace", "link", "sentence"),
        [
            ("1-mongonetwo", "br0", "br0 is down"),
            (CLIENT, "eth0", "eth0 or its other end is down"),
        ],
    )
    def test_a_link_that_is_down_is_named(self, world, namespace, link, sentence):
        host = dict(world[H1])
        links = dict(host[namespace].links)
        links[link] = msgspec.structs.replace(links[link], up=False)
        host[namespace] = msgspec.structs.replace(host[namespace], links=links)
        there = send({**world, H1: host}, Place(H1, CLIENT), "tcp", "10.0.1.12", 80)
        assert why(there) == sentence

    def test_a_host_that_does_not_know_the_network_is_named(self, world):
        host = {name: each for name, each in world[H2].items() if name != "1-mongonetwo"}
        there = send({**world, H2: host}, Place(H1, CLIENT), "tcp", "10.0.1.12", 80)
        assert why(there) == f"{H2} has no tunnel with VNI 4097"
        gone = {H1: world[H1]}
        assert why(send(gone, Place(H1, CLIENT), "tcp", "10.0.1.12", 80)) == (
            f"no host has the address {H2}"
        )

    def test_a_sandbox_that_is_not_there_is_named(self, world):
        there = send(world, Place(H1, "nowhere"), "tcp", WEB_VIP, 80)
        assert why(there) == "there is no such namespace"

    def test_loopback_leaves_the_host_only_where_it_may(self, world):
        host = dict(world[H1])
        host[HOST] = msgspec.structs.replace(host[HOST], sysctls={"net.ipv4.ip_forward": "1"})
        there = send({**world, H1: host}, Place(H1, HOST), "tcp", "127.0.0.1", 8080)
        assert why(there) == "docker_gwbridge takes no packets from 127.0.0.0/8"

    def test_forwarding_that_is_off_is_named(self, world):
        host = dict(world[H1])
        host["ingress_sbox"] = msgspec.structs.replace(host["ingress_sbox"], sysctls={})
        world = {**world, H1: host}
        there = from_outside(world, H1, "tcp", 8080)
        # What IPVS sends on is not forwarded, but its answers are.
        last = answer(world, there) if host["ingress_sbox"].virtual else there
        assert why(last) == "it would have to be forwarded, and forwarding is off"

    def test_rules_of_others_are_pointed_out_and_passed_over(self, world):
        strange = Rule((Foreign('{"quota": {}}'),))
        chain = Chain("theirs", (strange,), Hook("filter", "output", 0))
        host = dict(world[H1])
        tables = (*host[CLIENT].tables, Table("skep-more", (chain,), family="inet"))
        host[CLIENT] = msgspec.structs.replace(host[CLIENT], tables=tables)
        there = send({**world, H1: host}, Place(H1, CLIENT), "tcp", WEB_VIP, 80)
        assert delivered(there)[1] == WEB1
        assert [hop.text for hop in there.hops if isinstance(hop, Unread)] == ['{"quota": {}}']
