import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from skep.cluster.change import KINDS, Change
from skep.cluster.codec import decode, encode, key, split
from skep.cluster.state import Draft, State
from skep.model.cluster import (
    Attachment,
    Network,
    Node,
    NodeDescription,
    Service,
    ServiceEndpoint,
    Task,
    TaskState,
    TaskStatus,
    VirtualIp,
)
from skep.model.errors import Invalid, Missing
from skep.model.spec import NetworkSpec, ServiceSpec


def state_of(*records):
    state = State()
    state.load([replace(record, version=1) for record in records], 1)
    return state


def network(id, name, **spec):
    return Network(id=id, spec=NetworkSpec(name=name, **spec))


def task(id, *, service="", node="", address="", state=TaskState.RUNNING):
    attachments = (Attachment(network_id="n1", address=address),) if address else ()
    return Task(
        id=id, service_id=service, node_id=node, attachments=attachments,
        status=TaskStatus(state=state),
    )  # fmt: skip


# --- finding


def test_a_record_is_found_by_id_name_and_unique_prefix_in_that_order():
    state = state_of(
        network("abc1", "web"), network("abd2", "abc1"), network("xyz3", "abd"), network("q", "w")
    )
    assert state.find_network("abc1").spec.name == "web"
    assert state.find_network("abd").id == "xyz3"
    assert state.find_network("abd2").id == "abd2"
    assert state.find_network("xy").id == "xyz3"


def test_an_unknown_reference_is_missing_in_dockers_words():
    state = state_of()
    for find, word in (
        (state.find_node, "node"),
        (state.find_service, "service"),
        (state.find_network, "network"),
        (state.find_task, "task"),
    ):
        with pytest.raises(Missing, match=f"^{word} nosuch not found$"):
            find("nosuch")


def test_nothing_is_found_by_an_empty_reference():
    with pytest.raises(Missing):
        state_of(network("abc", "web")).find_network("")


def test_an_ambiguous_prefix_or_name_is_refused():
    state = state_of(
        network("ab1", "x"),
        network("ab2", "y"),
        Node(id="n1", description=NodeDescription(hostname="h")),
        Node(id="n2", description=NodeDescription(hostname="h")),
    )
    with pytest.raises(Invalid, match=r"^network ab is ambiguous \(2 matches found\)$"):
        state.find_network("ab")
    with pytest.raises(Invalid, match=r"^node h is ambiguous \(2 matches found\)$"):
        state.find_node("h")


def test_a_task_is_found_by_its_full_name():
    found = Task(id="t1", service_name="web", slot=2)
    assert state_of(found).find_task("web.2.t1").id == "t1"


# --- indexes


def test_indexes_follow_changes():
    state = state_of(task("t1", service="s1"), task("t2", service="s1", node="h1"))
    assert [t.id for t in state.tasks_of_service("s1")] == ["t1", "t2"]
    assert [t.id for t in state.tasks_of_node("h1")] == ["t2"]
    state.apply([Change("tasks", "t1", task("t1", service="s1", node="h1"), 1)], 2)
    assert {t.id for t in state.tasks_of_node("h1")} == {"t1", "t2"}
    assert state.tasks["t1"].version == 2
    state.apply([Change("tasks", "t2", None, 1)], 3)
    assert [t.id for t in state.tasks_of_service("s1")] == ["t1"]
    assert state.revision == 3


def test_names_are_indexed():
    state = state_of(
        network("n1", "web", ingress=True), Service(id="s1", spec=ServiceSpec(name="api"))
    )
    assert state.network_named("web").id == state.ingress_id == "n1"
    assert state.ingress is not None
    assert state.service_named("api").id == "s1"
    assert state.network_named("api") is state.service_named("web") is None


@pytest.mark.parametrize("dead", [s for s in TaskState if s > TaskState.RUNNING])
def test_an_address_is_held_until_its_task_is_dead(dead):
    net = network("n1", "web")
    state = state_of(net, task("t1", address="10.0.1.5/24"))
    assert state.in_use(net, "10.0.1.5")
    assert not state.in_use(net, "10.0.1.6")
    state.apply([Change("tasks", "t1", task("t1", address="10.0.1.5/24", state=dead), 1)], 2)
    assert not state.in_use(net, "10.0.1.5")
    assert state.tasks_of_network("n1") == []


def test_vips_and_nodes_hold_addresses():
    ingress = network("n1", "ingress", ingress=True)
    other = network("n2", "web")
    vip = ServiceEndpoint(virtual_ips=(VirtualIp("n2", "10.0.1.2/24"),))
    state = state_of(
        ingress, other, Service(id="s1", spec=ServiceSpec(name="a"), endpoint=vip),
        Node(id="h1", ingress_address="10.0.0.2/24"),
    )  # fmt: skip
    assert state.in_use(ingress, "10.0.0.2")
    assert not state.in_use(other, "10.0.0.2")
    assert state.in_use(other, "10.0.1.2")
    assert [s.id for s in state.services_of_network("n2")] == ["s1"]


# --- drafts


def test_a_draft_never_touches_the_state():
    state = state_of(network("n1", "web"), network("n2", "db"))
    draft = Draft(state)
    draft.put(network("n3", "new"))
    draft.put(replace(draft.networks["n1"], spec=NetworkSpec(name="renamed")))
    draft.delete(draft.networks["n2"])
    assert sorted(draft.networks) == ["n1", "n3"]
    assert len(draft.networks) == 2
    assert draft.network_named("renamed").id == "n1"
    assert draft.network_named("web") is draft.network_named("db") is None
    assert sorted(state.networks) == ["n1", "n2"]
    assert state.network_named("web").id == "n1"


def test_changes_carry_the_versions_that_were_seen():
    state = state_of(network("n1", "web"), network("n2", "db"))
    draft = Draft(state)
    draft.put(network("n3", "new"))
    draft.put(replace(draft.networks["n1"], created_at=5.0))
    draft.delete(draft.networks["n2"])
    assert {(c.kind, c.id, c.record is None, c.expect) for c in draft.changes()} == {
        ("networks", "n3", False, 0),
        ("networks", "n1", False, 1),
        ("networks", "n2", True, 1),
    }


def test_what_comes_to_nothing_is_no_change():
    state = state_of(network("n1", "web"))
    draft = Draft(state)
    old = draft.networks["n1"]
    draft.put(old)
    assert draft.edits == 0
    draft.put(replace(old, created_at=5.0))
    draft.put(old)
    draft.put(network("n9", "brief"))
    draft.delete(draft.networks["n9"])
    draft.delete(network("n8", "never"))
    assert draft.changes() == ()
    assert draft.edits == 4


RECORDS = st.builds(
    task,
    st.sampled_from("abcd"),
    service=st.sampled_from(["", "s1", "s2"]),
    node=st.sampled_from(["", "h1", "h2"]),
    address=st.sampled_from(["", "10.0.0.5/24", "10.0.0.6/24"]),
    state=st.sampled_from([TaskState.PENDING, TaskState.RUNNING, TaskState.FAILED]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(RECORDS), st.lists(st.tuples(RECORDS, st.booleans())))
def test_a_draft_reads_like_the_state_it_leads_to(before, edits):
    state = state_of(*{record.id: record for record in before}.values())
    draft = Draft(state)
    for record, deletes in edits:
        draft.delete(record) if deletes else draft.put(record)
    seen = picture(draft)
    state.apply(draft.changes(), 2)
    assert picture(state) == seen
    fresh = state_of(*state.tasks.values())
    assert picture(fresh) == seen


def picture(view):
    net = network("n1", "web")
    return (
        {id: replace(t, version=0) for id, t in view.tasks.items()},
        {s: {t.id for t in view.tasks_of_service(s)} for s in ("s1", "s2")},
        {h: {t.id for t in view.tasks_of_node(h)} for h in ("h1", "h2")},
        {t.id for t in view.tasks_of_network("n1")},
        [view.in_use(net, a) for a in ("10.0.0.5", "10.0.0.6")],
        len(view.tasks),
    )


# --- codec


def test_records_survive_the_codec_and_get_their_version_from_the_store(swarm):
    swarm.network("n1", attachable=True, labels={"a": "b"})
    swarm.create(replicas=2, networks=("n1",))
    swarm.obey()
    for kind in KINDS:
        assert swarm.state.records(kind) or kind in ("secrets", "configs")
        for id, record in swarm.state.records(kind).items():
            where = key(kind, id)
            assert split(where) == (kind, id)
            assert decode(where, encode(record), record.version) == record
            assert decode(where, encode(record), 77).version == 77


def test_keys_are_folders_of_kinds():
    assert key("tasks", "t1") == "/tasks/t1"
    with pytest.raises(AssertionError):
        key("task", "t1")
