"""Ports that services and hosts' programs cannot both have."""

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.claims import Claim, Programs
from skep.model.cluster import TakenPort, TaskState
from skep.model.errors import Invalid
from skep.model.options import Condition
from skep.model.spec import Placement, PortConfig, ServiceMode

RPC = "rpc error: code = InvalidArgument desc = "
HOST = {"publish_mode": "host"}
NGINX = TakenPort("tcp", 8080, "", "nginx (pid 123)")


def port(published, target=80, **rest):
    return PortConfig(target_port=target, published_port=published, **rest)


def on(words):
    key, op, value = words.partition("!=" if "!=" in words else "==")
    return Condition(key, op, value)


def listens(swarm, host, *taken):
    swarm.change(control.report_ports, swarm.node(host).id, taken)


def spec(swarm, name, *ports, labels=None, **rest):
    return replace(swarm.spec(name, ports=ports, **rest), labels=labels or {})


def create(swarm, *words, **rest):
    return swarm.change(control.create_service, spec(swarm, *words, **rest))


def update(swarm, name, *ports, labels=None):
    version = swarm.service(name).version
    swarm.change(control.update_service, name, version, spec(swarm, name, *ports, labels=labels))


class TestServices:
    @pytest.mark.parametrize(
        ("one", "other", "meet"),
        [
            ((), (), True),
            (("node.labels.zone==a",), (), True),
            (("node.labels.zone==a",), ("node.labels.zone==a",), True),
            (("node.labels.zone==a",), ("node.labels.disk==b",), True),
            (("node.labels.zone==a",), ("node.labels.zone==b",), False),
            (("node.labels.zone==a",), ("node.labels.zone!=a",), False),
            (("node.labels.zone!=a",), ("node.labels.zone!=b",), True),
            (("node.hostname==h1", "node.labels.x==1"), ("node.hostname==h2",), False),
        ],
    )
    def test_on_hosts_that_exclude_each_other_share_a_port(self, one, other, meet):
        first, second = (
            Claim("tcp", 80, "ingress", "", tuple(map(on, each))) for each in (one, other)
        )
        assert first.meets(second) is second.meets(first) is meet

    @pytest.mark.parametrize(
        ("one", "other", "meet"),
        [("", "", True), ("10.0.0.1", "", True), ("10.0.0.1", "10.0.0.2", False)],
    )
    def test_at_different_addresses_share_a_port(self, one, other, meet):
        first, second = (Claim("tcp", 80, "ingress", each) for each in (one, other))
        assert first.meets(second) is second.meets(first) is meet

    def test_that_would_meet_are_refused_when_labels_change(self, swarm):
        zone = {"skep.publish-on": "node.labels.zone==a"}
        create(swarm, "one", port(80), labels=zone)
        create(swarm, "two", port(80), labels={"skep.publish-on": "node.labels.zone==b"})
        with pytest.raises(Invalid, match="port '80' is already in use by service 'one'"):
            update(swarm, "two", port(80), labels=zone)


class TestPrograms:
    def test_a_port_with_a_listener_is_refused_by_name(self, swarm):
        listens(swarm, "h2", NGINX)
        with pytest.raises(Invalid) as refused:
            create(swarm, "new", port(8080))
        assert str(refused.value) == f"{RPC}port 8080/tcp is in use on node h2 by nginx (pid 123)"
        create(swarm, "other", port(8081), port(8080, protocol="udp"))

    def test_only_hosts_that_would_publish_count(self, swarm):
        listens(swarm, "h1", NGINX)
        create(swarm, "web", port(8080), labels={"skep.publish-on": "node.hostname!=h1"})

    def test_a_host_that_is_down_does_not_count(self, swarm):
        listens(swarm, "h1", NGINX)
        swarm.down("h1")
        create(swarm, "web", port(8080))

    @pytest.mark.parametrize(
        ("listened", "published", "refused"),
        [
            ("127.0.0.1", "", True),
            ("127.0.0.1", "192.0.2.1", False),
            ("192.0.2.1", "192.0.2.1", True),
            ("", "192.0.2.1", True),
        ],
    )
    def test_at_another_address_are_not_in_the_way(self, listened, published, refused):
        claim = Claim("tcp", 8080, "ingress", published)
        assert claim.takes(TakenPort("tcp", 8080, listened, "x")) is refused

    def test_a_service_may_be_changed_whose_port_was_taken_since(self, swarm):
        create(swarm, "web", port(8080))
        listens(swarm, "h1", NGINX, TakenPort("tcp", 90, "", "x (pid 1)"))
        update(swarm, "web", port(8080), port(91))
        with pytest.raises(Invalid, match="port 90/tcp is in use on node h1 by x"):
            update(swarm, "web", port(8080), port(90))

    def test_what_is_taken_later_is_complained_about(self, swarm):
        create(swarm, "web", port(8080))
        assert Programs(swarm.state).complaint(swarm.service("web")) == ""
        listens(swarm, "h1", NGINX)
        assert Programs(swarm.state).complaint(swarm.service("web")) == (
            "port 8080/tcp is in use on node h1 by nginx (pid 123), which hears nothing: "
            "the service has the port"
        )

    def test_a_dynamic_port_is_nobodys(self, swarm):
        listens(swarm, "h1", TakenPort("tcp", 30000, "", "x"))
        create(swarm, "any", port(0))
        swarm.settle()
        assert [p.published_port for p in swarm.service("any").endpoint.ports] == [30001]

    def test_a_task_in_mode_host_goes_where_its_port_is_free(self, swarm):
        listens(swarm, "h1", NGINX)
        swarm.create("web", 3, ports=(port(8080, **HOST),))
        swarm.settle()
        placed = [t for t in swarm.tasks("web") if t.status.state >= TaskState.ASSIGNED]
        assert {t.node_id for t in placed} == {swarm.node(each).id for each in ("h2", "h3")}
        (waiting,) = (t for t in swarm.tasks("web") if t not in placed)
        assert "1 node: port 8080/tcp in use by nginx (pid 123)" in waiting.status.error
        listens(swarm, "h1")
        swarm.settle()
        assert len(swarm.on("web", "h1")) == 1

    def test_a_global_service_in_mode_host_needs_the_port_everywhere(self, swarm):
        listens(swarm, "h1", NGINX)
        everywhere = {"service_mode": ServiceMode(global_={})}
        with pytest.raises(Invalid, match="in use on node h1 by nginx"):
            create(swarm, "new", port(8080, **HOST), **everywhere)
        placement = Placement(constraints=("node.hostname!=h1",))
        create(swarm, "new", port(8080, **HOST), placement=placement, **everywhere)
