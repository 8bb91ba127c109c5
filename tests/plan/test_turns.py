"""Turns: which services share a counter, and how even it gets."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from plan_scene import INGRESS, MONGO, WEB_VIP, Scene, web_scene

from skep.model.assignment import NetworkService
from skep.model.nft import Dnat, Jhash, Lookup, Numgen, Payload
from skep.plan.backends import Balanced, Member
from skep.plan.desired import desired
from skep.plan.turns import COUNTERS, Share, chain_name, turn_chains, turn_map
from skep.plan.turns import share as share_of

TARGET = Payload("ip", "daddr")


def share(mark=256, balance="rr", count=3):
    return Share(mark=mark, balance=balance, count=count)


def drawn(chain):
    """What a chain's rule draws its number with."""
    (rule,) = chain.rules
    backend = next(part for part in rule.statements if isinstance(part, Dnat)).to
    assert isinstance(backend, Lookup)
    return backend.keys[-1]


@pytest.mark.parametrize(
    ("one", "name", "number"),
    [
        (share(), "turn_3_0", Numgen(3)),
        (share(mark=256 + COUNTERS), "turn_3_0", Numgen(3)),
        (share(mark=257), "turn_3_1", Numgen(3)),
        (share(balance="random"), "random_3", Numgen(3, "random")),
        (share(balance="source", mark=9), "source_3",
         Jhash(Payload("ip", "saddr"), 3, 0x5BEE)),
        (share(count=1, mark=9), "only_1", Numgen(1)),
        (share(count=1, balance="source"), "only_1", Numgen(1)),
    ],
)  # fmt: skip
def test_what_a_service_draws_with(one, name, number):
    assert chain_name(one) == name
    (chain,) = turn_chains({"10.0.1.2": one}, TARGET)
    assert (chain.name, drawn(chain)) == (name, number)
    assert turn_map({"10.0.1.2": one}, "ipv4_addr").elements == {("10.0.1.2", f"goto {name}")}


@pytest.mark.parametrize(
    ("asked", "drawn_with"), [("lc", "turn_2_1"), ("sh", "source_256"), ("mh", "source_256")]
)
def test_what_only_ipvs_can_do_is_done_as_well_as_can_be(asked, drawn_with):
    both = (Member("10.0.1.1", 1, ready=True), Member("10.0.1.2", 1, ready=True))
    assert chain_name(share_of(Balanced(mark=257, members=both, balance=asked))) == drawn_with


def test_without_a_backend_there_is_no_turn():
    assert turn_chains({"10.0.1.2": share(count=0)}, TARGET) == ()
    assert turn_map({"10.0.1.2": share(count=0)}, "ipv4_addr").elements == frozenset()


def test_chains_do_not_grow_with_services():
    shares = {
        f"10.{number >> 8}.{number & 255}.1": share(mark=256 + number, count=1 + number % 5)
        for number in range(10_000)
    }
    assert len(turn_chains(shares, TARGET)) == 1 + 4 * COUNTERS


@pytest.mark.parametrize("services", [2, 3, COUNTERS])
@pytest.mark.parametrize("backends", [2, 3, 4])
def test_services_asked_alternately_are_each_balanced_evenly(services, backends):
    counters, met = Counter(), {mark: Counter() for mark in range(256, 256 + services)}
    for _ in range(10 * backends):
        for mark, seen in met.items():
            chain = chain_name(share(mark=mark, count=backends))
            seen[counters[chain] % backends] += 1
            counters[chain] += 1
    assert all(set(seen.values()) == {10} for seen in met.values())


def chains_of(namespace):
    (table,) = (each for each in namespace.tables if each.family == "ip")
    return {chain.name for chain in table.chains if chain.hook is None}


def test_a_services_option_counts_for_its_vip_and_its_ports():
    scene = web_scene()
    for network in (MONGO, INGRESS):
        web = scene.networks[network].services["web"]
        options = {"skep.balance": "random"}
        scene.add_service(network, msgspec.structs.replace(web, options=options))
    state = desired(scene.view("h1"))
    assert chains_of(state["client000000"]) == {"random_2"}
    assert chains_of(state["ingress_sbox"]) == {"random_2"}


def test_services_with_as_many_tasks_have_counters_of_their_own():
    scene = web_scene()
    other = NetworkService(id="other", name="other", vip="10.0.1.200", mark=0x107)
    scene.add_service(MONGO, other)
    for number in (1, 2):
        scene.add_sandbox("h2", f"other{number}", {MONGO: f"10.0.1.{60 + number}"}, "other")
    (table,) = desired(scene.view("h1"))["client000000"].tables
    turns = next(each for each in table.sets if each.name == "turns")
    assert turns.elements == {(WEB_VIP, "goto turn_2_0"), ("10.0.1.200", "goto turn_2_7")}


def test_an_empty_network_has_no_turns():
    scene = Scene("h1")
    name = scene.add_sandbox("h1", "lone", {MONGO: "10.0.1.20"})
    assert chains_of(desired(scene.view("h1"))[name]) == set()
