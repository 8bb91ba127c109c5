"""Places: how even weights are, and how few clients a hash moves."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from plan_scene import INGRESS, MONGO, WEB_MARK, WEB_VIP, web_scene

from skep.plan.backends import HASHED, PLACES, Balanced, Member, hashed_places, turn_places
from skep.plan.desired import desired

CLIENT = "client000000"


def service(*weights, balance="rr"):
    found = tuple(
        Member(f"10.0.{n // 250}.{n % 250 + 1}", weight, ready=True)
        for n, weight in enumerate(weights)
    )
    return Balanced(mark=256, members=found, balance=balance)


@pytest.mark.parametrize("balance", ["rr", "random", "lc"])
@pytest.mark.parametrize("weight", [1, 7, 100])
def test_where_all_weigh_the_same_each_has_one_place(balance, weight):
    even = service(weight, weight, weight, balance=balance)
    assert even.places == even.backends == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_places_are_as_the_weights():
    assert Counter(service(3, 2, 1).places) == {"10.0.0.1": 3, "10.0.0.2": 2, "10.0.0.3": 1}
    assert Counter(service(50, 25).places) == {"10.0.0.1": 2, "10.0.0.2": 1}


@pytest.mark.parametrize("weights", [(3, 1), (5, 3, 2), (7, 1, 1, 1), (100, 1)])
def test_turns_of_one_are_spread_over_the_round(weights):
    places = service(*weights).places
    for address, count in Counter(places).items():
        turns = [turn for turn, each in enumerate(places) if each == address]
        gaps = [after - before for before, after in pairwise([*turns, turns[0] + len(places)])]
        assert max(gaps) <= 2 * len(places) / count


def test_rounds_are_bounded():
    weights = [1 + n % 100 for n in range(500)]
    places = service(*weights).places
    assert len(set(places)) == 500
    assert len(places) <= PLACES
    assert len(set(service(*([1, 2] * 700)).places)) == 1400


def test_who_weighs_nothing_or_is_not_ready_has_no_place():
    assert service(0, 2).places == ("10.0.0.2",)
    assert service(0, 0).places == ()
    unready = Balanced(mark=1, members=(Member("10.0.0.1", 1, ready=False),), balance="source")
    assert unready.places == unready.backends == ()
    assert service(4, balance="source").places == ("10.0.0.1",)


def addresses(count):
    return tuple((f"10.0.0.{n}", 1) for n in range(1, count + 1))


@pytest.mark.parametrize("count", [2, 3, 10, 127])
def test_a_hash_moves_no_client_that_it_need_not(count):
    fewer, more = hashed_places(addresses(count)), hashed_places(addresses(count + 1))
    assert len(fewer) == len(more) == HASHED
    come = f"10.0.0.{count + 1}"
    moved = [after for before, after in zip(fewer, more, strict=True) if before != after]
    assert set(moved) == {come}
    assert len(moved) == more.count(come) < 3 * HASHED / (count + 1) + 3


def test_a_hash_has_places_for_everybody():
    places = hashed_places(addresses(129))
    assert (len(places), len(set(places))) == (4 * HASHED, 129)


def test_a_hash_knows_weights_and_a_heavier_one_only_gains():
    light = hashed_places((("10.0.0.1", 1), ("10.0.0.2", 1), ("10.0.0.3", 1)))
    heavy = hashed_places((("10.0.0.1", 4), ("10.0.0.2", 1), ("10.0.0.3", 1)))
    moved = {after for before, after in zip(light, heavy, strict=True) if before != after}
    assert moved == {"10.0.0.1"}
    assert 0.5 * HASHED < heavy.count("10.0.0.1") < 0.8 * HASHED


def test_places_follow_from_members_alone():
    """Every host finds the same."""
    assert hashed_places(addresses(3))[:6] == (
        "10.0.0.1", "10.0.0.3", "10.0.0.3", "10.0.0.2", "10.0.0.3", "10.0.0.3",
    )  # fmt: skip
    assert turn_places((("10.0.0.1", 2), ("10.0.0.2", 1))) == ("10.0.0.1", "10.0.0.1", "10.0.0.2")


def weighed(scene, **weights):
    view = scene.view("h1")
    peers = {
        id: msgspec.structs.replace(peer, labels={"skep.weight": str(weights.get(id, 1))})
        for id, peer in view.peers.items()
    }
    return msgspec.structs.replace(view, peers=peers)


def backends(state, namespace):
    (table,) = (each for each in state[namespace].tables if each.family == "ip")
    return next(each.elements for each in table.sets if each.name == "backends")


def test_a_hosts_label_weighs_its_tasks():
    state = desired(weighed(web_scene(), h1=2))
    web = [(WEB_VIP, 0, "10.0.1.11"), (WEB_VIP, 1, "10.0.1.11"), (WEB_VIP, 2, "10.0.1.12")]
    assert backends(state, CLIENT) == frozenset(web)
    assert {each[2] for each in backends(state, "ingress_sbox")} == {"10.0.0.11", "10.0.0.12"}
    assert len(backends(state, "ingress_sbox")) == 3


def test_a_host_of_no_weight_gets_nothing_new():
    state = desired(weighed(web_scene(), h2=0))
    assert backends(state, CLIENT) == {(WEB_VIP, 0, "10.0.1.11")}
    assert backends(state, "ingress_sbox") == {(WEB_MARK, 0, "10.0.0.11")}
    state = desired(weighed(web_scene(), h1=0, h2=0))
    (table,) = (each for each in state[CLIENT].tables if each.family == "ip")
    idle = next(each.elements for each in table.sets if each.name == "no_backend")
    assert (WEB_VIP,) in idle


def test_a_service_says_how_it_is_balanced_on_each_network():
    scene = web_scene()
    for network in (MONGO, INGRESS):
        web = scene.networks[network].services["web"]
        options = {"skep.balance": "source"}
        scene.add_service(network, msgspec.structs.replace(web, options=options))
    state = desired(scene.view("h1"))
    assert len(backends(state, CLIENT)) == len(backends(state, "ingress_sbox")) == HASHED
