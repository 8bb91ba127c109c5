"""What a picture shows of a cluster."""

import msgspec
import pytest
from topology_scene import BACK, INGRESS, Cluster, endpoint, gauge, sight, small

from skep.model.cluster import TaskState
from skep.model.glance import Lan, Space
from skep.model.netstate import HOST
from skep.plan.layout import overlay_namespace
from skep.topology.build import build
from skep.topology.sources import Sources, flows_between, round_off

OVERLAY = overlay_namespace(BACK)


def drawn(cluster, **glimpses):
    return build(cluster.sources(**glimpses))


def box(graph, name):
    return next(each for each in graph.things.values() if each.name == name)


@pytest.fixture(scope="module")
def graph():
    return drawn(small())


LANS = (
    Lan(network_id="yard", network_name="yard", driver="macvlan", parent="eth0"),
    Lan(network_id="site", network_name="site", driver="ipvlan", parent="eth0.7", swarm=True),
    Lan(network_id="far", network_name="far", driver="carrier"),
)


class TestNetworksWithoutABridge:
    """Those on a link of the host, and those of plugins."""

    @pytest.fixture
    def cluster(self):
        cluster = Cluster()
        box = cluster.box("n1", "tool", ())
        plugs = tuple(
            endpoint(each.network_id, f"eth{number}", "10.9.0.2/24", "")
            for number, each in enumerate(LANS)
        )
        cluster.boxes["n1"] = [msgspec.structs.replace(box, endpoints=plugs)]
        links = [gauge(each.link, each.network_id) for each in plugs]
        cluster.spaces["n1"][box.namespace] = Space(gauges=tuple(links))
        return cluster

    def test_they_hold_their_containers(self, cluster):
        graph = drawn(cluster, n1={"lans": LANS})
        tool = box(graph, "tool")
        plugs = {line.target: line.network for line in graph.lines.values() if line.kind == "plug"}
        assert plugs == {"lan:n1/yard": "", "lan:n1/site": "network:site", "lan:n1/far": ""}
        assert (tool.state, tool.networks) == ("ok", ("network:site",))
        assert [part.kind for part in tool.parts] == ["yard", "site", "far"]

    def test_they_say_whose_they_are(self, cluster):
        graph = drawn(cluster, n1={"lans": LANS})
        found = {each.name: each for each in graph.things.values() if each.kind == "lan"}
        assert {name: each.facts["by"] for name, each in found.items()} == {
            "yard": "macvlan on eth0", "site": "ipvlan on eth0.7", "far": "carrier",
        }  # fmt: skip
        assert {each.parent for each in found.values()} == {"host:n1"}
        assert found["site"].networks == ("network:site",)

    def test_one_whose_link_is_down_is_broken(self, cluster):
        cluster.spaces["n1"][HOST] = Space(gauges=(gauge("eth0", up=False),))
        yard = drawn(cluster, n1={"lans": LANS}).things["lan:n1/yard"]
        assert (yard.state, yard.note) == ("broken", "eth0 is down")


class TestWhole:
    def test_hosts_hold_their_bridges_overlays_meshes_and_containers(self, graph):
        of_h1 = {each.kind: each for each in graph.things.values() if each.parent == "host:n1"}
        assert of_h1.keys() == {"overlay", "bridge", "mesh", "box"}
        assert graph.things["host:n1"].count == 2
        assert graph.things["host:n1"].facts["role"] == "manager"
        assert {each.state for each in graph.things.values()} == {"ok"}

    def test_an_overlay_shows_its_bridge_and_tunnel_device(self, graph):
        found = graph.things[f"overlay:n1/{BACK}"]
        assert (found.name, found.namespace) == ("back", OVERLAY)
        assert [(each.name, each.kind, each.vni) for each in found.parts] == [
            ("br0", "bridge", 0), ("vxlan0", "vxlan", 4097),
        ]  # fmt: skip

    def test_a_container_is_plugged_into_each_of_its_networks(self, graph):
        web = box(graph, "web.1")
        assert web.asked.startswith("h1/web.1")
        assert web.service == "service:web"
        assert web.networks == (f"network:{INGRESS}", f"network:{BACK}")
        plugs = [each.target for each in graph.lines.values() if each.source == web.id]
        assert plugs == [
            f"overlay:n1/{INGRESS}", f"overlay:n1/{BACK}", "bridge:n1/docker_gwbridge",
        ]  # fmt: skip
        assert [each.name for each in web.parts] == ["eth0", "eth1", "eth2"]

    def test_a_container_by_hand_has_no_service(self, graph):
        client = box(graph, "client")
        assert (client.service, client.facts) == ("", {"container": "cclient"})

    def test_a_container_by_hand_is_drawn_once_though_a_task_holds_its_addresses(self):
        cluster = small()
        cluster.task("hold", "", "n1", container_name="client", status={"container_id": "cclient"})
        found = drawn(cluster)
        assert [each.id for each in found.things.values() if each.name == "client"] == ["box:hold"]
        assert found.things["box:hold"].asked.startswith("h1/client")

    def test_services_show_addresses_ports_and_how_many_run(self, graph):
        web = graph.things["service:web"]
        assert web.facts["running"] == "2 of 2"
        assert web.facts["ports"] == "8080→80/tcp"
        vips = [each for each in graph.lines.values() if each.kind == "vip"]
        assert {(each.target, each.note) for each in vips} == {
            (f"network:{INGRESS}", "10.0.1.0"), (f"network:{BACK}", "10.0.1.1"),
        }  # fmt: skip

    def test_hosts_with_entries_for_one_another_are_joined_by_a_tunnel(self, graph):
        (tunnel,) = (each for each in graph.lines.values() if each.kind == "tunnel")
        assert (tunnel.source, tunnel.target) == ("host:n1", "host:n2")
        assert tunnel.facts == {"networks": "back", "delay": "under 0.5 ms"}

    def test_lines_join_things_that_are_there(self, graph):
        for line in graph.lines.values():
            assert line.source in graph.things and line.target in graph.things


class TestWrong:
    """What a kernel lacks is seen where it is missing."""

    @pytest.fixture
    def cluster(self):
        return small()

    def test_an_interface_that_is_gone(self, cluster):
        name = cluster.boxes["n1"][0].namespace
        space = cluster.spaces["n1"][name]
        cluster.spaces["n1"][name] = msgspec.structs.replace(space, gauges=space.gauges[1:])
        found = box(drawn(cluster), "web.1")
        assert (found.state, found.note) == ("broken", "eth0 is missing")
        assert box(drawn(cluster, n1={"busy": True}), "web.1").state == "changing"
        web = drawn(cluster).things["service:web"]
        assert (web.state, web.note) == ("broken", "web.1: eth0 is missing")

    def test_an_interface_that_is_down(self, cluster):
        name = cluster.boxes["n1"][0].namespace
        gauges = cluster.spaces["n1"][name].gauges
        down = msgspec.structs.replace(gauges[0], up=False)
        cluster.spaces["n1"][name] = Space(gauges=(down, *gauges[1:]))
        assert box(drawn(cluster), "web.1").note == "eth0 is down"

    def test_a_sandbox_that_is_gone(self, cluster):
        del cluster.spaces["n1"][cluster.boxes["n1"][0].namespace]
        assert "is missing" in box(drawn(cluster), "web.1").note

    def test_a_tunnel_device_that_is_gone(self, cluster):
        bridge = cluster.spaces["n1"][OVERLAY].gauges[:1]
        cluster.spaces["n1"][OVERLAY] = Space(gauges=bridge)
        found = drawn(cluster).things[f"overlay:n1/{BACK}"]
        assert (found.state, found.note) == ("broken", f"no vxlan is up in {OVERLAY}")

    def test_an_overlay_that_is_gone(self, cluster):
        present = cluster.glimpse("n1").networks
        del cluster.spaces["n1"][OVERLAY]
        found = drawn(cluster, n1={"networks": present}).things[f"overlay:n1/{BACK}"]
        assert found.note == f"the namespace {OVERLAY} is missing"

    def test_a_bridge_that_is_gone(self, cluster):
        cluster.spaces["n1"][HOST] = Space()
        assert drawn(cluster).things["bridge:n1/docker_gwbridge"].state == "broken"

    def test_a_path_that_loses(self, cluster):
        peers = {"n2": sight(loss=0.5), "n3": sight()}
        graph = drawn(cluster, n1={"peers": peers})
        (tunnel,) = (each for each in graph.lines.values() if each.kind == "tunnel")
        assert (tunnel.state, tunnel.note) == ("doubtful", "50% of the probes are lost")


class TestHosts:
    def test_a_host_that_is_down_says_why(self):
        cluster = small()
        cluster.nodes["n2"] = msgspec.structs.replace(
            cluster.nodes["n2"], state="down", message="no session with this host"
        )
        host = drawn(cluster, n2=None).things["host:n2"]
        assert (host.state, host.note) == ("broken", "down: no session with this host")

    def test_a_silent_host_keeps_its_tasks(self):
        cluster = small()
        cluster.silences["n2"] = "it did not answer within 8 s"
        graph = drawn(cluster, n2=None)
        assert graph.things["host:n2"].state == "unknown"
        found = box(graph, "web.2")
        assert (found.state, found.parent) == ("unknown", "host:n2")

    @pytest.mark.parametrize(
        ("shown", "state"), [({"held_until": 5.0}, "doubtful"), ({"refused": 2}, "broken")]
    )
    def test_a_host_that_is_held_or_refuses(self, shown, state):
        assert drawn(small(), n1=shown).things["host:n1"].state == state


class TestTasks:
    @pytest.mark.parametrize(
        ("fields", "state", "note"),
        [
            ({"state": TaskState.STARTING}, "changing", "starting"),
            ({"state": TaskState.PREPARING, "status": {"message": "pulling"}},
             "changing", "preparing: pulling"),
            ({"state": TaskState.FAILED, "status": {"error": "task: exit 3"}},
             "broken", "failed: task: exit 3"),
            ({"desired_state": TaskState.SHUTDOWN}, "changing", "stopping"),
        ],
    )  # fmt: skip
    def test_states_have_reasons(self, fields, state, note):
        cluster = Cluster()
        cluster.service("web")
        cluster.task("t1", "web", "n1", **fields)
        found = box(drawn(cluster), "web.1")
        assert (found.state, found.note, found.parent) == (state, note, "host:n1")

    def test_a_task_that_fits_nowhere_is_shown_with_the_reason(self):
        cluster = Cluster()
        cluster.service("web")
        status = {"error": "no suitable node (3 nodes not available)"}
        cluster.task("t1", "web", state=TaskState.PENDING, status=status)
        graph = drawn(cluster)
        found = box(graph, "web.1")
        assert (found.parent, found.state) == ("host:", "broken")
        assert "no suitable node" in found.note
        assert graph.things["host:"].name == "not placed"

    def test_history_is_not_drawn(self):
        cluster = Cluster()
        cluster.service("web")
        cluster.task("t1", "web", "n1", state=TaskState.COMPLETE)
        cluster.task("t2", "web", "n1", state=TaskState.FAILED, desired_state=TaskState.SHUTDOWN)
        assert drawn(cluster).boxes == 0

    def test_tasks_of_global_services_are_named_by_their_hosts(self):
        cluster = Cluster()
        cluster.service("agent")
        cluster.task("t1", "agent", "n2", slot=0)
        assert box(drawn(cluster), "agent@h2").parent == "host:n2"


class TestFlows:
    def test_what_interfaces_carry_is_on_their_lines(self):
        cluster = small()
        web = cluster.boxes["n1"][0]
        cluster.flows["n1"] = {
            (web.namespace, "eth1"): (5000.0, 100.0),
            (OVERLAY, "vxlan0"): (100.0, 4000.0),
            (HOST, "eth0"): (9000.0, 9000.0),
        }
        rates = drawn(cluster).rates
        assert rates == {
            "plug:box:webt1/eth1": (5000.0, 100.0),
            f"vxlan:overlay:n1/{BACK}": (100.0, 4000.0),
            "host:n1": (9000.0, 9000.0),
        }

    def test_rates_are_what_was_carried_in_between(self):
        cluster = small()
        box = cluster.boxes["n1"][0]
        old = cluster.glimpse("n1", at=10.0)
        gauges = cluster.spaces["n1"][box.namespace].gauges
        more = msgspec.structs.replace(gauges[0], rx_bytes=2000, tx_bytes=19)
        anew = msgspec.structs.replace(gauges[1], index=99, rx_bytes=9999)
        cluster.spaces["n1"][box.namespace] = Space(gauges=(more, anew))
        new = msgspec.structs.replace(
            old, at=12.0, spaces={**old.spaces, box.namespace: Space(gauges=(more, anew))}
        )
        old = msgspec.structs.replace(
            old, spaces={**old.spaces, box.namespace: Space(gauges=gauges[:2])}
        )
        assert flows_between(old, new) == {(box.namespace, "eth0"): (1000.0, 0.0)}
        assert flows_between(new, new) == {}

    @pytest.mark.parametrize(("rate", "said"), [(0, 0), (19.9, 0), (1234, 1200), (98765, 99000)])
    def test_rates_are_rounded(self, rate, said):
        assert round_off(rate) == said


def test_nothing_is_drawn_of_nothing():
    assert build(Sources()).things == {}
