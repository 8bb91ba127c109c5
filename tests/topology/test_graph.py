"""What changed between two pictures, and that it suffices."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from topology_scene import BACK, large, small

from skep.topology.build import build
from skep.topology.find import fits
from skep.topology.fold import Wanted, fold
from skep.topology.graph import Change, Graph, Line, Thing, difference, patched

IDS = st.sampled_from("abcdef")
GRAPHS = st.builds(
    Graph,
    things=st.dictionaries(IDS, st.builds(Thing, id=IDS, kind=st.just("box"), name=IDS)),
    lines=st.dictionaries(
        IDS, st.builds(Line, id=IDS, kind=st.just("plug"), source=IDS, target=IDS)
    ),
    rates=st.dictionaries(IDS, st.tuples(st.floats(0, 9), st.floats(0, 9))),
    boxes=st.integers(0, 3),
    folded=st.booleans(),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(GRAPHS, GRAPHS)
def test_a_change_makes_one_graph_the_other(old, new):
    change = difference(old, new)
    if change is None:
        assert old == new
        return
    sent = msgspec.json.decode(msgspec.json.encode(change), type=Change)
    assert patched(old, sent) == new


def test_nothing_is_said_when_nothing_changed():
    assert difference(build(small().sources()), build(small().sources())) is None


def test_a_change_is_small():
    cluster = large()
    old = fold(build(cluster.sources()), Wanted())
    cluster.box("n1", "newcomer")
    change = difference(old, fold(build(cluster.sources()), Wanted()))
    assert len(msgspec.json.encode(change)) < 3000
    assert change.boxes == 1001


def test_things_are_found_by_words_that_all_fit():
    things = build(small().sources()).things

    def found(text):
        return {each.name for each in things.values() if each.kind == "box" and
                fits(each, text, things)}  # fmt: skip

    assert found("") == {"web.1", "web.2", "client"}
    assert found("WEB") == {"web.1", "web.2"}
    assert found("web host:h2") == {"web.2"}
    assert found("net:ingress") == {"web.1", "web.2"}
    assert found("net:back host:h1") == {"web.1", "client"}
    assert found("service:web") == {"web.1", "web.2"}
    assert found("state:broken") == set()
    assert found("10.0.0.") and not found("nothing")


def test_networks_and_services_are_found_by_their_own_names():
    things = build(small().sources()).things
    assert fits(things[f"network:{BACK}"], "net:back", things)
    assert fits(things["service:web"], "service:web", things)
    assert fits(things["host:n1"], "host:h1", things)
