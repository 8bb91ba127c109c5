"""Affinity: what is written down, and that it leads to nobody who left."""

from __future__ import annotations

import msgspec
from plan_scene import INGRESS, MONGO, WEB_MARK, web_scene

from skep.model.nft import Ct, Meta, Payload, Set, Update
from skep.model.ops import ReplaceTable, SetElements
from skep.plan.backends import Balanced, Member
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.plan.family import IP
from skep.plan.keeping import keeping

CLIENT = "client000000"


def sticky_scene(affinity="10m"):
    scene = web_scene()
    for network in (MONGO, INGRESS):
        web = scene.networks[network].services["web"]
        changed = msgspec.structs.replace(web, options={"skep.affinity": affinity})
        scene.add_service(network, changed)
    return scene


def table_of(state, namespace):
    return next(each for each in state[namespace].tables if each.family == "ip")


def named(table, name):
    return next(each for each in table.sets if each.name == name)


def test_without_an_affinity_there_is_nothing_of_it():
    found = keeping([Balanced(mark=1, members=(), balance="rr")], IP)
    assert (found.sets, found.rules, found.chains) == ((), (), ())


def test_backends_have_numbers_both_ways():
    for namespace, network in ((CLIENT, "10.0.1"), ("ingress_sbox", "10.0.0")):
        table = table_of(desired(sticky_scene().view("h1")), namespace)
        third = int(network[-1]) << 8
        assert named(table, "holders").elements == {
            (WEB_MARK, third + 11, f"{network}.11"),
            (WEB_MARK, third + 12, f"{network}.12"),
        }
        assert named(table, "numbers").elements == {
            (WEB_MARK, f"{network}.11", third + 11),
            (WEB_MARK, f"{network}.12", third + 12),
        }
        assert named(table, "keeps").elements == {(WEB_MARK, "goto keep_600")}
        assert named(table, "sticky") == Set(
            "sticky", ("mark", "ipv4_addr"), frozenset(), ("mark",), dynamic=True
        )
        (writing,) = (chain for chain in table.chains if chain.name == "keep_600")
        assert writing.rules[0].statements[1] == Update(
            "sticky", (Meta("mark"), Payload("ip", "saddr")), 600, Ct("mark")
        )


def test_numbers_differ_where_addresses_end_alike():
    same = tuple(Member(each, 1, ready=True) for each in ("10.0.0.1", "11.0.0.1", "10.0.0.2"))
    found = keeping([Balanced(mark=1, members=same, balance="rr", affinity=60)], IP)
    holders = next(each for each in found.sets if each.name == "holders")
    assert len(holders.elements) == len({each[:2] for each in holders.elements}) == 3


def test_who_leaves_is_no_holder_and_packets_notes_stay():
    scene = sticky_scene()
    before = desired(scene.view("h1"))
    network = scene.networks[MONGO]
    gone = msgspec.structs.replace(network.endpoints["web2"], ready=False)
    endpoints = {**network.endpoints, "web2": gone}
    scene.networks[MONGO] = msgspec.structs.replace(network, endpoints=endpoints)
    todo = [op for op in diff(desired(scene.view("h1")), before) if op.ns == CLIENT]
    assert not any(isinstance(op, ReplaceTable) for op in todo)
    changes = {op.set: op for op in todo if isinstance(op, SetElements)}
    assert changes["holders"].remove == {(WEB_MARK, (1 << 8) + 12, "10.0.1.12")}
    assert "sticky" not in changes
