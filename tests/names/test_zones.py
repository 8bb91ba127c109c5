"""From a host's view to its name table."""

import pytest

from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService
from skep.model.host import INGRESS_SANDBOX, Endpoint, HostView, Sandbox
from skep.model.naming import SandboxNames
from skep.model.spec import NetworkSpec
from skep.names.zones import name_table, network_names


def endpoint(address, *names, service="", ready=True, task="t"):
    return NetworkEndpoint(
        task_id=task + address,
        node_id="n",
        address=address,
        mac="",
        names=names,
        service_id=service,
        ready=ready,
    )


def network(*endpoints, services=(), name="net", ident="N", ingress=False):
    return NetworkAssignment(
        id=ident,
        spec=NetworkSpec(name=name, ingress=ingress),
        created_at=0.0,
        present=True,
        endpoints={e.task_id: e for e in endpoints},
        services={s.id: s for s in services},
    )


WEB = NetworkService(id="S", name="Web", vip="10.0.1.2/24", aliases=("www",))
ROBIN = NetworkService(id="R", name="robin", aliases=("rr",))


def test_a_service_answers_with_its_vip_and_its_tasks_behind_tasks():
    zone = network_names(
        network(
            endpoint("10.0.1.5/24", "Web.2.b", service="S"),
            endpoint("10.0.1.4/24", "Web.1.a", service="S"),
            services=[WEB],
        )
    )
    assert zone.addresses == {
        "web": ("10.0.1.2",),
        "www": ("10.0.1.2",),
        "tasks.web": ("10.0.1.4", "10.0.1.5"),
        "tasks.www": ("10.0.1.4", "10.0.1.5"),
        "web.1.a": ("10.0.1.4",),
        "web.2.b": ("10.0.1.5",),
    }
    assert zone.pointers == {
        "10.0.1.2": "web.net",
        "10.0.1.4": "web.1.a.net",
        "10.0.1.5": "web.2.b.net",
    }


def test_a_service_without_vip_answers_with_its_tasks():
    zone = network_names(
        network(
            endpoint("10.0.1.4/24", "robin.1.a", service="R"),
            endpoint("10.0.1.5/24", "robin.2.b", service="R"),
            services=[ROBIN],
        )
    )
    for name in ("robin", "rr", "tasks.robin", "tasks.rr"):
        assert zone.addresses[name] == ("10.0.1.4", "10.0.1.5")


def test_only_ready_tasks_have_names():
    zone = network_names(
        network(
            endpoint("10.0.1.4/24", "robin.1.a", service="R", ready=False),
            endpoint("10.0.1.5/24", "robin.2.b", service="R"),
            services=[ROBIN],
        )
    )
    assert zone.addresses["robin"] == ("10.0.1.5",)
    assert "robin.1.a" not in zone.addresses
    assert "10.0.1.4" not in zone.pointers


def test_a_service_without_ready_tasks_keeps_its_names():
    zone = network_names(network(services=[WEB, ROBIN]))
    assert zone.addresses["web"] == ("10.0.1.2",)
    assert zone.addresses["tasks.web"] == ()
    assert zone.addresses["robin"] == ()


def test_a_container_answers_to_all_its_names_in_lower_case():
    zone = network_names(network(endpoint("10.0.1.9/24", "Box", "0123456789ab", "host", "ALIAS")))
    assert zone.addresses == dict.fromkeys(("box", "0123456789ab", "host", "alias"), ("10.0.1.9",))
    assert zone.pointers == {"10.0.1.9": "box.net"}


def test_a_tasks_alias_that_is_its_services_never_mixes_with_the_vip():
    zone = network_names(
        network(endpoint("10.0.1.4/24", "Web.1.a", "WWW", "web", service="S"), services=[WEB])
    )
    assert zone.addresses["www"] == ("10.0.1.2",)
    assert zone.addresses["web"] == ("10.0.1.2",)


def test_services_and_containers_that_share_a_name_share_its_answer():
    other = NetworkService(id="O", name="other", vip="10.0.1.3/24", aliases=("www",))
    zone = network_names(network(endpoint("10.0.1.9/24", "box", "www"), services=[WEB, other]))
    assert set(zone.addresses["www"]) == {"10.0.1.2", "10.0.1.3", "10.0.1.9"}


def test_what_dns_cannot_carry_has_no_name():
    long = "x" * 64
    zone = network_names(network(endpoint("10.0.1.9/24", long, "a..b", "fine")))
    assert set(zone.addresses) == {"fine"}
    assert zone.pointers == {}


def test_a_network_in_capitals_is_asked_for_in_lower_case():
    zone = network_names(network(endpoint("10.0.1.9/24", "box"), name="My.Net"))
    assert zone.name == "my.net"
    assert zone.pointers == {"10.0.1.9": "box.my.net"}


def leg(network_id, ident="e", **more):
    return Endpoint(
        id=ident,
        network_id=network_id,
        network_name=network_id,
        link="eth0",
        port="veth0",
        address="10.0.1.4/24",
        mac="",
        **more,
    )


@pytest.fixture
def view():
    return HostView(
        ingress_network="I",
        networks={
            "I": network(endpoint("10.0.0.3/24", "web.1.a"), ident="I", name="ingress"),
            "J": network(ident="J", name="old-ingress", ingress=True),
            "A": network(endpoint("10.0.1.4/24", "box"), ident="A", name="a"),
            "B": network(ident="B", name="b"),
        },
        sandboxes=(
            Sandbox(
                id="0123456789abcdef",
                endpoints=(leg("I"), leg("B"), leg("A"), leg("docker_gwbridge", "way-out")),
                gateway="way-out",
            ),
            Sandbox(id="fedcba9876543210", endpoints=(leg("A"),)),
            Sandbox(id="aaaaaaaaaaaaaaaa", endpoints=(leg("bridge", "b0"),), gateway="b0"),
            Sandbox(id=INGRESS_SANDBOX, endpoints=(leg("I"),)),
        ),
    )


def test_the_ingress_network_has_no_names(view):
    assert set(name_table(view, ()).networks) == {"A", "B"}


def test_sandboxes_see_their_networks_in_order_and_forward_only_with_a_way_out(view):
    servers = ("192.0.2.1",)
    assert name_table(view, servers).sandboxes == {
        "0123456789ab": SandboxNames(
            namespace="0123456789ab", networks=("B", "A"), upstreams=servers
        ),
        "fedcba987654": SandboxNames(
            namespace="fedcba987654", networks=("A",), upstreams=servers, forward=False
        ),
        "aaaaaaaaaaaa": SandboxNames(namespace="aaaaaaaaaaaa", upstreams=servers),
    }
