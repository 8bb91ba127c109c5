"""Published ports: where, at which address, to whom, and to which tasks."""

from __future__ import annotations

import msgspec
import pytest
from plan_scene import INGRESS, WEB_MARK, Scene, vtep, web_scene

from skep.model.assignment import NetworkService
from skep.model.netstate import HOST
from skep.model.spec import PortConfig
from skep.plan.desired import desired
from skep.plan.journey import OUTSIDE, Delivered, Dropped, Flow, Packet, Place
from skep.plan.publish import doors
from skep.plan.walk import answer, walk

H1, H2, H3 = vtep("h1"), vtep("h2"), vtep("h3")
WEB1 = "web100000000"
STRANGER = "203.0.113.9"


def scene_with(**options):
    scene = web_scene()
    web = scene.networks[INGRESS].services["web"]
    labels = {f"skep.{key.replace('_', '-')}": value for key, value in options.items()}
    scene.add_service(INGRESS, msgspec.structs.replace(web, options=labels))
    return scene


def ask(scene, host, target, port=8080, protocol="tcp", source=STRANGER):
    start = Place(host, HOST, OUTSIDE) if source else Place(host, HOST)
    flow = Flow(protocol, source, target, 4000, port)
    return walk(scene.world(), start, Packet(flow))


def reached(journey):
    assert isinstance(journey.end, Delivered), journey.end
    return journey.end.at.namespace


class TestHostMode:
    def scene(self, **more):
        scene = Scene("h1", "h2")
        name = scene.add_sandbox("h1", "lone", {})
        port = PortConfig(target_port=80, published_port=8081, publish_mode="host")
        (box,) = scene.sandboxes["h1"]
        scene.sandboxes["h1"] = [msgspec.structs.replace(box, ports=(port,), **more)]
        return scene, name

    def test_a_port_leads_into_its_task_on_its_host_alone(self):
        scene, name = self.scene()
        there = ask(scene, H1, H1, 8081)
        assert reached(there) == name
        assert there.end.flow == Flow("tcp", STRANGER, "172.18.0.3", 4000, 80)
        back = answer(scene.world(), there)
        assert (back.end.flow.source, back.end.flow.source_port) == (H1, 8081)
        assert reached(ask(scene, H2, H2, 8081)) == HOST

    def test_from_the_host_itself_by_whatever_address(self):
        scene, name = self.scene()
        for target in ("127.0.0.1", H1):
            there = ask(scene, H1, target, 8081, source="")
            assert (reached(there), there.end.flow.source) == (name, "172.18.0.1")
            assert reached(answer(scene.world(), there)) == HOST

    def test_from_a_neighbour_on_the_bridge_and_from_itself(self):
        scene, name = self.scene()
        other = scene.add_sandbox("h1", "other", {})
        for asker in (other, name):
            flow = Flow("tcp", "", H1, 4000, 8081)
            there = walk(scene.world(), Place(H1, asker), Packet(flow))
            assert reached(there) == name
            assert reached(answer(scene.world(), there)) == asker

    def test_it_works_without_a_mesh(self):
        scene, name = self.scene()
        view = msgspec.structs.replace(
            scene.view("h1"), sandboxes=tuple(scene.sandboxes["h1"]), ingress_network=""
        )
        flow = Flow("tcp", STRANGER, H1, 4000, 8081)
        there = walk({H1: desired(view)}, Place(H1, HOST, OUTSIDE), Packet(flow))
        assert reached(there) == name

    def test_a_port_of_the_mesh_goes_before_one_of_a_task(self):
        scene = web_scene()
        box = scene.sandboxes["h1"][0]
        port = PortConfig(target_port=80, published_port=8080, publish_mode="host")
        scene.sandboxes["h1"][0] = msgspec.structs.replace(box, ports=(port,))
        found = {(each.protocol, each.port): each for each in doors(scene.view("h1"))}
        assert found["tcp", 8080].to == ("172.18.0.2", 8080)
        assert found["tcp", 8080].holder == "service web"

    def test_options_count_for_it_too(self):
        scene, name = self.scene(options={"skep.allow": "10.9.0.0/16"})
        assert reached(ask(scene, H1, H1, 8081, source="10.9.1.1")) == name
        assert isinstance(ask(scene, H1, H1, 8081).end, Dropped)


class TestAllow:
    def test_who_may_ask_and_who_may_not(self):
        scene = scene_with(allow="10.9.0.0/16,192.0.2.7")
        for source in ("10.9.1.1", "192.0.2.7"):
            assert reached(ask(scene, H1, H1, source=source)) == WEB1
        refused = ask(scene, H1, H1)
        assert refused.end.why == "refused (tcp reset) by chain admit"
        assert ask(scene, H1, H1, 5353, "udp").end.why == "refused (icmp) by chain admit"

    def test_the_host_itself_and_other_ports_are_free(self):
        scene = scene_with(allow="10.9.0.0/16")
        assert reached(ask(scene, H1, "127.0.0.1", source="")) == WEB1
        assert reached(ask(scene, H1, H1, 22)) == HOST

    def test_without_a_list_everybody_may(self):
        assert reached(ask(scene_with(), H1, H1)) == WEB1

    def test_a_list_that_cannot_be_read_admits_nobody(self):
        assert isinstance(ask(scene_with(allow="home"), H1, H1).end, Dropped)


class TestWhere:
    def test_at_one_address(self):
        scene = scene_with(publish_address=H2)
        assert reached(ask(scene, H2, H2)) == WEB1
        assert reached(ask(scene, H1, H1)) == HOST
        assert reached(ask(scene, H2, "127.0.0.1", source="")) == HOST

    def test_at_one_address_for_some(self):
        scene = scene_with(publish_address=H2, allow="10.9.0.0/16")
        assert reached(ask(scene, H2, H2, source="10.9.0.1")) == WEB1
        assert isinstance(ask(scene, H2, H2).end, Dropped)
        assert reached(ask(scene, H1, H1)) == HOST, "what is not published is not guarded"

    def test_one_port_at_two_addresses_is_two_services(self):
        scene = scene_with(publish_address=H2)
        port = PortConfig(target_port=81, published_port=8080)
        api = NetworkService(
            id="api", name="api", vip="10.0.0.200", mark=999, ports=(port,),
            options={"skep.publish-address": "127.0.0.1"},
        )  # fmt: skip
        scene.add_service(INGRESS, api)
        name = scene.add_sandbox("h2", "api1", {INGRESS: "10.0.0.33"}, "api")
        web, other = ask(scene, H2, H2), ask(scene, H2, "127.0.0.1", source="")
        assert (reached(web), web.end.flow.target_port) == (WEB1, 80)
        assert (reached(other), other.end.flow.target_port) == (name, 81)
        back = answer(scene.world(), other)
        assert (back.end.flow.source, back.end.flow.source_port) == ("127.0.0.1", 8080)

    @pytest.mark.parametrize(
        ("condition", "hosts"),
        [
            ("node.labels.zone==a", {"h1"}),
            ("node.labels.zone!=a", {"h2", "h3"}),
            ("node.hostname!=h2", {"h1", "h3"}),
            ("node.labels.zone==a,node.hostname!=h1", set()),
            ("nonsense", set()),
        ],
    )
    def test_on_some_hosts(self, condition, hosts):
        scene = scene_with(publish_on=condition)
        published = set()
        for host in scene.hosts:
            view = scene.view(host)
            peers = {
                name: msgspec.structs.replace(each, labels={"zone": "a"} if name == "h1" else {})
                for name, each in view.peers.items()
            }
            found = doors(msgspec.structs.replace(view, peers=peers))
            published |= {host} if found else set()
        assert published == hosts

    def test_to_tasks_here_alone(self):
        scene = scene_with(local_only="true")
        for slot in (0, 1):
            flow = Flow("tcp", STRANGER, H2, 4000, 8080)
            there = walk(scene.world(), Place(H2, HOST, OUTSIDE), Packet(flow), slot)
            assert (reached(there), there.end.at.host) == ("web200000000", H2)
        assert reached(ask(scene, H3, H3)) == "ingress_sbox", "nobody listens there"

    def test_a_vip_leads_everywhere_still(self):
        table = desired(scene_with(local_only="true").view("h2"))["ingress_sbox"].tables[0]
        backends = next(each for each in table.sets if each.name == "backends")
        assert backends.elements == {(WEB_MARK, 0, "10.0.0.12")}
