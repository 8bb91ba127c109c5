"""From a host's view to its name table."""

import msgspec
import pytest

from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService
from skep.model.host import INGRESS_SANDBOX, Endpoint, HostView, Sandbox
from skep.model.naming import SandboxNames, ServiceNames, TaskName
from skep.model.spec import NetworkSpec, PortConfig
from skep.names.zones import Contest, Zones, contests, ndots, network_names


def endpoint(address, *names, service="", ready=True, task="t", stack=""):
    return NetworkEndpoint(
        task_id=task + address,
        node_id="n",
        address=address,
        mac="",
        names=names,
        service_id=service,
        ready=ready,
        stack=stack,
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


def test_a_service_has_its_vip_and_its_tasks_under_all_its_names():
    zone = network_names(
        network(
            endpoint("10.0.1.5/24", "Web.2.b", service="S"),
            endpoint("10.0.1.4/24", "Web.1.a", service="S"),
            services=[WEB],
        )
    )
    assert zone.services == {
        "S": ServiceNames(
            virtual=("10.0.1.2",),
            tasks=(TaskName("web.1.a", "10.0.1.4"), TaskName("web.2.b", "10.0.1.5")),
        )
    }
    assert zone.scopes == {"": {"web": ("S",), "www": ("S",)}}
    assert zone.addresses == {"web.1.a": ("10.0.1.4",), "web.2.b": ("10.0.1.5",)}
    assert zone.pointers == {
        "10.0.1.2": "web.net",
        "10.0.1.4": "web.1.a.net",
        "10.0.1.5": "web.2.b.net",
    }


def test_a_service_without_vip_has_only_tasks():
    zone = network_names(network(endpoint("10.0.1.4", "robin.1.a", service="R"), services=[ROBIN]))
    assert zone.services["R"] == ServiceNames(tasks=(TaskName("robin.1.a", "10.0.1.4"),))
    assert zone.scopes[""] == {"robin": ("R",), "rr": ("R",)}


def test_only_ready_tasks_have_names():
    zone = network_names(
        network(
            endpoint("10.0.1.4/24", "robin.1.a", service="R", ready=False),
            endpoint("10.0.1.5/24", "robin.2.b", service="R"),
            services=[ROBIN],
        )
    )
    assert zone.services["R"].tasks == (TaskName("robin.2.b", "10.0.1.5"),)
    assert zone.services["R"].waiting == ("10.0.1.4",)
    assert set(zone.addresses) == {"robin.2.b"}
    assert set(zone.pointers) == {"10.0.1.5"}


def test_a_name_comes_with_health_and_goes_before_the_end():
    """A task is ready from its first healthy moment until it is told to stop; its endpoint is there
    before and after."""
    lives = [
        names_while(ready=ready) for ready in (False, True, False)
    ]  # starting, running and healthy, told to stop
    assert [life.services["R"].tasks for life in lives] == [
        (),
        (TaskName("robin.1.a", "10.0.1.4"),),
        (),
    ]
    assert [life.services["R"].waiting for life in lives] == [("10.0.1.4",), (), ("10.0.1.4",)]
    assert [set(life.addresses) for life in lives] == [set(), {"robin.1.a", "host"}, set()]
    assert [set(life.pointers) for life in lives] == [set(), {"10.0.1.4"}, set()]
    assert all(life.scopes[""] == {"robin": ("R",), "rr": ("R",)} for life in lives)


def names_while(*, ready):
    task = endpoint("10.0.1.4/24", "robin.1.a", "host", service="R", ready=ready)
    return network_names(network(task, services=[ROBIN]))


def test_a_service_without_tasks_keeps_its_names():
    zone = network_names(network(services=[WEB, ROBIN]))
    assert zone.services == {"S": ServiceNames(virtual=("10.0.1.2",)), "R": ServiceNames()}
    assert set(zone.scopes[""]) == {"web", "www", "robin", "rr"}


def test_published_ports_have_names():
    ports = (
        PortConfig(name="HTTP", target_port=80, published_port=8080),
        PortConfig(name="dns", protocol="udp", target_port=53),
        PortConfig(target_port=443),
    )
    zone = network_names(network(services=[WEB, ROBIN]), {"S": ports})
    assert zone.services["S"].ports == {"_http._tcp": 80, "_dns._udp": 53}
    assert zone.services["R"].ports == {}


def test_ipv6_addresses_are_written_in_one_way():
    six = NetworkService(id="S", name="six", vip="FD00:0::2/64")
    zone = network_names(
        network(endpoint("fd00:0:0::0009/64", "six.1.a", service="S"), services=[six])
    )
    assert zone.services["S"] == ServiceNames(
        virtual=("fd00::2",), tasks=(TaskName("six.1.a", "fd00::9"),)
    )
    assert zone.pointers == {"fd00::2": "six.net", "fd00::9": "six.1.a.net"}


def test_a_container_answers_to_all_its_names_in_lower_case():
    zone = network_names(network(endpoint("10.0.1.9/24", "Box", "0123456789ab", "host", "ALIAS")))
    assert zone.addresses == dict.fromkeys(("box", "0123456789ab", "host", "alias"), ("10.0.1.9",))
    assert zone.pointers == {"10.0.1.9": "box.net"}


def test_a_tasks_alias_that_is_its_services_never_mixes_with_the_vip():
    zone = network_names(
        network(endpoint("10.0.1.4/24", "Web.1.a", "WWW", "web", service="S"), services=[WEB])
    )
    assert set(zone.addresses) == {"web.1.a"}


def test_containers_that_share_a_name_share_its_answer():
    zone = network_names(
        network(endpoint("10.0.1.9", "a", "api"), endpoint("10.0.1.8", "b", "api"))
    )
    assert zone.addresses["api"] == ("10.0.1.9", "10.0.1.8")


# --- names that several services claim


def service(ident, name, *aliases, stack="", age=0):
    return NetworkService(
        id=ident, name=name, vip="10.0.1.2/24", aliases=aliases, stack=stack, created_at=100 - age
    )


def meaning(*services):
    """What names mean network-wide, and who goes without which."""
    assigned = network(services=services)
    left = {c.name: (c.service, *c.others) for c in contests(assigned)}
    return network_names(assigned).scopes, left


@pytest.mark.parametrize(
    ("one", "other"), [("blue", "green"), ("blue", ""), ("", "green"), ("", "")]
)
def test_of_strangers_the_oldest_has_the_name(one, other):
    scopes, left = meaning(
        service("1", "a", "db", stack=one, age=1), service("2", "b", "db", stack=other, age=2)
    )
    assert scopes[""]["db"] == ("2",)
    assert left == {"db": ("b", "a")}
    if one:
        assert scopes[one] == {"a": ("1",), "db": ("1",)}


def test_of_equally_old_ones_the_id_decides():
    assert meaning(service("2", "a", "db"), service("1", "b", "db"))[0][""]["db"] == ("1",)


def test_a_services_own_name_is_its_own_whoever_is_older():
    scopes, left = meaning(service("1", "db"), service("2", "b", "DB", stack="blue", age=9))
    assert scopes[""]["db"] == ("1",)
    assert scopes["blue"]["db"] == ("2",)
    assert left == {"db": ("db", "b")}


def test_a_services_own_name_is_not_shared_within_its_stack():
    scopes, left = meaning(service("1", "db", stack="x"), service("2", "b", "db", stack="x", age=9))
    assert scopes[""]["db"] == scopes["x"]["db"] == ("1",)
    assert left == {"db": ("db", "b")}


def test_services_of_one_stack_share_an_alias():
    scopes, left = meaning(
        service("1", "blue_a", "db", stack="blue", age=3),
        service("2", "green_a", "db", stack="green", age=2),
        service("3", "blue_b", "db", stack="Blue", age=1),
    )
    assert scopes[""]["db"] == scopes["blue"]["db"] == ("1", "3")
    assert scopes["green"]["db"] == ("2",)
    assert left == {"db": ("blue_a", "green_a")}


def test_names_without_dispute_are_no_contest():
    assert meaning(service("1", "a", "a", "x", "x"), service("2", "b"))[1] == {}


def test_host_names_mean_a_stacks_own_containers_within_it():
    zone = network_names(
        network(
            endpoint("10.0.1.4", "b.1.x", "id1", "store", "db", service="1", stack="blue"),
            endpoint("10.0.1.5", "b.2.y", "id2", "store", service="1", stack="blue"),
            endpoint("10.0.1.6", "g.1.z", "id3", "store", service="2", stack="green"),
            services=[service("1", "b", stack="blue"), service("2", "g", "store", stack="green")],
        )
    )
    assert zone.scopes["blue"] == {
        "b": ("1",),
        "id1": ("b.1.x",),
        "id2": ("b.2.y",),
        "store": ("b.1.x", "b.2.y"),
        "db": ("b.1.x",),
    }
    assert zone.scopes["green"] == {"g": ("2",), "id3": ("g.1.z",), "store": ("2",)}
    assert zone.addresses["store"] == ("10.0.1.4", "10.0.1.5")


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
    assert set(Zones().table(view, ()).networks) == {"A", "B"}


def test_sandboxes_see_their_networks_in_order_and_forward_only_with_a_way_out(view):
    servers = ("192.0.2.1",)
    assert Zones().table(view, servers).sandboxes == {
        "0123456789ab": SandboxNames(
            namespace="0123456789ab", networks=("B", "A"), upstreams=servers
        ),
        "fedcba987654": SandboxNames(
            namespace="fedcba987654", networks=("A",), upstreams=servers, forward=False
        ),
        "aaaaaaaaaaaa": SandboxNames(namespace="aaaaaaaaaaaa", upstreams=servers),
    }


def test_a_tasks_sandbox_belongs_to_its_stack(view):
    task = endpoint("10.0.1.4/24", "st_web.1.a", stack="St", ready=False)
    networks = view.networks | {"A": network(task, ident="A", name="a")}
    boxes = (msgspec.structs.replace(view.sandboxes[0], task_id=task.task_id), *view.sandboxes[1:])
    view = msgspec.structs.replace(view, networks=networks, sandboxes=boxes)
    stacks = [box.stack for box in Zones().table(view, ()).sandboxes.values()]
    assert stacks == ["st", "", ""]


def test_what_did_not_change_is_not_made_again(view):
    zones = Zones()
    first = zones.table(view, ())
    again = zones.table(msgspec.structs.replace(view, networks=dict(view.networks)), ())
    assert again.networks["A"] is first.networks["A"]
    changed = view.networks | {"A": network(ident="A", name="a")}
    after = zones.table(msgspec.structs.replace(view, networks=changed), ())
    assert after.networks["A"].addresses == {}
    assert after.networks["B"] is first.networks["B"]


def test_a_published_port_changes_the_names_of_other_networks(view):
    zones = Zones()
    named = PortConfig(name="http", target_port=80)

    def ports(*published):
        entry = NetworkService(id="S", name="web", ports=published)
        networks = view.networks | {
            "A": network(ident="A", name="a", services=[WEB]),
            "I": network(ident="I", name="ingress", services=[entry], ingress=True),
        }
        table = zones.table(msgspec.structs.replace(view, networks=networks), ())
        return table.networks["A"].services["S"].ports

    assert [ports(), ports(named), ports()] == [{}, {"_http._tcp": 80}, {}]


def test_contests_are_told_with_the_table(view):
    zones = Zones()
    rivals = [service("1", "x", "db"), service("2", "y", "db")]
    networks = {"A": network(ident="A", name="a", services=rivals)}
    zones.table(msgspec.structs.replace(view, networks=networks, sandboxes=()), ())
    assert zones.contests == {Contest("a", "db", "x", ("y",))}
    zones.table(view, ())
    assert zones.contests == frozenset()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), 0),
        (("timeout:3",), 0),
        (("ndots:2", "rotate"), 2),
        (("ndots:2", "ndots:0"), 0),
        (("ndots", "ndots:", "ndots:x", "ndots:-1"), 0),
    ],
)
def test_ndots_of_options(options, said):
    assert ndots(options) == said


def test_both_families_of_services_and_containers():
    service = msgspec.structs.replace(WEB, vip6="fd00:1::2")
    ready = msgspec.structs.replace(
        endpoint("10.0.1.5/24", "web.1.a", service="S"), address6="fd00:1::5"
    )
    slow = msgspec.structs.replace(
        endpoint("10.0.1.6/24", "web.2.b", service="S", ready=False), address6="fd00:1::6"
    )
    zone = network_names(network(ready, slow, services=[service]))
    found = zone.services["S"]
    assert found.virtual == ("10.0.1.2", "fd00:1::2")
    assert found.tasks == (TaskName("web.1.a", "10.0.1.5"), TaskName("web.1.a", "fd00:1::5"))
    assert found.waiting == ("10.0.1.6", "fd00:1::6")
    assert zone.addresses["web.1.a"] == ("10.0.1.5", "fd00:1::5")
    assert zone.pointers["fd00:1::2"] == "web.net"
    assert zone.pointers["fd00:1::5"] == "web.1.a.net"
