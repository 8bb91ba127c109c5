"""Events as Docker words them."""

import msgspec
import pytest

from skep.cluster.change import Change
from skep.cluster.state import State
from skep.engine.events import ContainerEvent
from skep.happenings import of_changes, of_container
from skep.model.cluster import (
    Cluster,
    Config,
    Network,
    Node,
    NodeDescription,
    Secret,
    Service,
    Task,
    Tokens,
    UpdateStatus,
)
from skep.model.host import Container, Endpoint, Sandbox
from skep.model.spec import (
    ContainerSpec,
    NetworkSpec,
    NodeSpec,
    Replicated,
    SecretSpec,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
)

NODE = Node(id="n1", description=NodeDescription(hostname="h1"), state="ready")
BRIDGE = "b" * 64


def service(*, image="nginx:1", replicas=2, update=""):
    return Service(
        id="s1",
        spec=ServiceSpec(
            name="web",
            task_template=TaskSpec(container_spec=ContainerSpec(image=image)),
            mode=ServiceMode(replicated=Replicated(replicas=replicas)),
        ),
        update_status=UpdateStatus(state=update) if update else None,
    )


def told(kind, old, new):
    """The one event of a change."""
    state = State()
    state.load([old] if old else [], 1)
    change = Change(kind, (new or old).id, new)
    (event,) = of_changes([change], state, 5.0)
    return event


@pytest.mark.parametrize(
    ("kind", "word", "record", "name"),
    [
        ("services", "service", service(), "web"),
        ("nodes", "node", NODE, "h1"),
        ("nodes", "node", msgspec.structs.replace(NODE, spec=NodeSpec(name="alias")), "alias"),
        ("secrets", "secret", Secret(id="x", spec=SecretSpec(name="s")), "s"),
        ("configs", "config", Config(id="x", spec=SecretSpec(name="c")), "c"),
    ],
)
def test_what_is_made_changed_and_removed(kind, word, record, name):
    later = msgspec.structs.replace(record, updated_at=9.0)
    for old, new, action in ((None, record, "create"), (record, later, "update"),
                             (record, None, "remove")):  # fmt: skip
        event = told(kind, old, new)
        assert (event.kind, event.action, event.id) == (word, action, record.id)
        assert (event.scope, event.time) == ("swarm", 5.0)
        assert event.attributes == {"name": name}


def test_networks_are_made_and_removed():
    network = Network(id="x", spec=NetworkSpec(name="net"))
    for old, new, action in ((None, network, "create"), (network, None, "remove")):
        event = told("networks", old, new)
        assert (event.kind, event.action, event.attributes) == ("network", action, {"name": "net"})
    state = State()
    state.load([network], 1)
    change = Change("networks", "x", msgspec.structs.replace(network, updated_at=9.0))
    assert list(of_changes([change], state, 5.0)) == []


def test_tasks_and_the_swarm_itself_have_none():
    cluster = Cluster(id="c", ca_certificate="", ca_key="", tokens=Tokens("", ""))
    changes = [Change("tasks", "t", Task(id="t")), Change("cluster", "c", cluster)]
    assert list(of_changes(changes, State(), 5.0)) == []


def test_a_secret_s_event_does_not_tell_it():
    event = told("secrets", None, Secret(id="x", spec=SecretSpec(name="s", data=b"topsecret")))
    assert "topsecret" not in repr(event)


@pytest.mark.parametrize(
    ("old", "new", "news"),
    [
        (service(), service(image="nginx:2"), {"image.old": "nginx:1", "image.new": "nginx:2"}),
        (service(), service(replicas=0), {"replicas.old": "2", "replicas.new": "0"}),
        (service(), service(update="updating"), {"updatestate.new": "updating"}),
        (
            service(update="updating"),
            service(update="completed"),
            {"updatestate.old": "updating", "updatestate.new": "completed"},
        ),
        (service(update="updating"), service(), {}),
    ],
)
def test_news_of_a_service(old, new, news):
    assert told("services", old, new).attributes == {"name": "web", **news}


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ({"state": "down"}, {"state.old": "ready", "state.new": "down"}),
        (
            {"spec": NodeSpec(availability="drain")},
            {"availability.old": "active", "availability.new": "drain"},
        ),
        (
            {"spec": NodeSpec(role="manager")},
            {"role.old": "worker", "role.new": "manager", "reachability.new": "reachable"},
        ),
        ({"seen_at": 9.0}, {}),
    ],
)
def test_news_of_a_node(changes, news):
    new = msgspec.structs.replace(NODE, **changes)
    assert told("nodes", NODE, new).attributes == {"name": "h1", **news}


def test_a_manager_that_is_lost():
    manager = msgspec.structs.replace(NODE, spec=NodeSpec(role="manager"))
    attributes = told("nodes", manager, msgspec.structs.replace(manager, state="down")).attributes
    assert attributes["reachability.old"] == "reachable"
    assert attributes["reachability.new"] == "unreachable"


def endpoint(network_id, name):
    return Endpoint(id="e", network_id=network_id, network_name=name, link="eth0", port="veth0",
                    address="10.0.1.2/24", mac="")  # fmt: skip


BOX = Container(
    id="c1", name="box", image="busybox", network_mode="net", labels={"k": "v"},
    sandbox=Sandbox(
        id="s",
        endpoints=(endpoint("o1", "net"), endpoint(BRIDGE, "bridge"),
                   endpoint("g1", "docker_gwbridge")),
    ),
)  # fmt: skip


def happened(action, container=BOX, **details):
    event = ContainerEvent(id="c1", action=action, **details)
    return list(of_container(event, container, {BRIDGE: "bridge"}, 7.0))


def test_a_start_connects_its_networks_first():
    overlay, bridge, start = happened("start", time=3.0)
    assert (overlay.kind, overlay.action, overlay.id) == ("network", "connect", "o1")
    assert overlay.attributes == {"container": "c1", "name": "net", "type": "overlay"}
    assert bridge.attributes == {"container": "c1", "name": "bridge", "type": "bridge"}
    assert (start.kind, start.action, start.id) == ("container", "start", "c1")
    assert start.attributes == {"k": "v", "name": "box", "image": "busybox"}
    assert {event.time for event in (overlay, bridge, start)} == {3.0}
    assert {event.scope for event in (overlay, bridge, start)} == {"local"}


def test_an_end_disconnects_them_afterwards():
    die, *networks = happened("die", exit_code=3)
    assert (die.action, die.attributes["exitCode"], die.time) == ("die", "3", 7.0)
    assert [(event.action, event.id) for event in networks] == [
        ("disconnect", "o1"),
        ("disconnect", BRIDGE),
    ]


def test_what_else_happens():
    (event,) = happened("remove")
    assert event.action == "destroy"
    assert happened("init") == []
    (event,) = happened("health_status: healthy")
    assert event.action == "health_status: healthy"
    (event,) = happened("start", container=None, attributes={"name": "theirs", "image": "x"})
    assert event.attributes == {"name": "theirs", "image": "x"}
