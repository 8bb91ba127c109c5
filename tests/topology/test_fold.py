"""Large pictures: small enough, and nothing that matters is folded away."""

import time

import msgspec
import pytest
from topology_scene import large, small

from skep.model.cluster import TaskState
from skep.topology.build import build
from skep.topology.fold import FOUND, Wanted, fold

LIMIT, PER_HOST = 250_000, 2_500
"""Bytes of a picture at 1,000 endpoints, and for each host in it."""


@pytest.fixture(scope="module")
def whole():
    return build(large().sources())


def folded(graph, **wanted):
    return fold(graph, Wanted(**wanted))


@pytest.mark.parametrize(
    "shape",
    [
        {"hosts": 3, "services": 10},
        {"hosts": 3, "services": 1000},
        {"hosts": 50, "services": 20},
        {"hosts": 10, "services": 100, "networks": 100},
        {"hosts": 100, "services": 500, "networks": 3},
    ],
    ids=str,
)
def test_a_thousand_endpoints_are_a_small_picture(shape):
    cluster = large(boxes=1000, **shape)
    begun = time.process_time()
    graph = fold(build(cluster.sources()), Wanted())
    assert time.process_time() - begun < 2.0
    assert graph.folded and graph.boxes == 1000
    assert len(msgspec.json.encode(graph)) < LIMIT + PER_HOST * shape["hosts"]
    assert sum(each.count for each in graph.things.values() if each.kind in ("group", "rest")
               and each.facts["of"] == "box") + sum(
        each.kind == "box" for each in graph.things.values()) == 1000  # fmt: skip
    for line in graph.lines.values():
        assert line.source in graph.things and line.target in graph.things
    for thing in graph.things.values():
        assert not thing.service or thing.service in graph.things
        assert thing.parent in ("", *graph.things)


def test_small_pictures_are_left_as_they_are():
    graph = build(small().sources())
    assert folded(graph) is graph


def test_boxes_are_grouped_by_host_and_service(whole):
    graph = folded(whole)
    group = graph.things["group:host:n1/service:s0000"]
    assert (group.name, group.kind, group.parent) == ("s0000", "group", "host:n1")
    assert 30 <= group.count <= 40
    plugs = [each for each in graph.lines.values() if each.source == group.id]
    assert {each.target for each in plugs} == {
        "overlay:n1/net0000x", "bridge:n1/docker_gwbridge",
    }  # fmt: skip
    assert {each.count for each in plugs} == {group.count}


def test_a_group_is_expanded_on_demand(whole):
    id = "group:host:n1/service:s0000"
    count = folded(whole).things[id].count
    graph = folded(whole, expand=frozenset([id]))
    assert id not in graph.things
    opened = [
        each
        for each in graph.things.values()
        if each.kind == "box" and each.parent == "host:n1" and each.service == "service:s0000"
    ]
    assert len(opened) == count


def test_what_somebody_looks_for_is_not_folded(whole):
    graph = folded(whole, find="s0007.3")
    shown = [each.name for each in graph.things.values() if each.kind == "box"]
    assert "s0007.3" in shown and len(shown) <= FOUND
    assert not [each for each in folded(whole, find="nowhere").things.values()
                if each.kind == "box"]  # fmt: skip


def test_what_somebody_asks_for_by_name_is_not_folded(whole):
    box = whole.things["box:s0004t7"]
    graph = folded(whole, show=frozenset([box.asked]))
    assert [each for each in graph.things.values() if each.kind == "box"] == [box]


def test_what_is_wrong_is_not_folded():
    cluster = large()
    task = cluster.tasks["s0003t5"]
    cluster.tasks["s0003t5"] = msgspec.structs.replace(
        task, status=msgspec.structs.replace(task.status, state=TaskState.FAILED, error="died")
    )
    graph = folded(build(cluster.sources()))
    (shown,) = (each for each in graph.things.values() if each.kind == "box")
    assert (shown.name, shown.state) == ("s0003.5", "broken")


def test_flows_of_a_group_are_those_of_its_members(whole):
    ids = [id for id in whole.lines if id.startswith("plug:box:s0000t") and id.endswith("/eth0")]
    of_n1 = [id for id in ids if whole.lines[id].target == "overlay:n1/net0000x"]
    busy = msgspec.structs.replace(whole, rates=dict.fromkeys(of_n1, (10.0, 1.0)))
    rates = folded(busy).rates
    (rate,) = rates.values()
    assert rate == (10.0 * len(of_n1), 1.0 * len(of_n1))


def test_everything_can_be_had(whole):
    assert folded(whole, whole=True) is whole
