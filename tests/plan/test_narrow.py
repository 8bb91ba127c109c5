"""TCP segments over paths that carry less than their ends: for whom, how large, and when not."""

import msgspec
import pytest
from plan_scene import INGRESS, MONGO, ingress_address, web_scene

from skep.model.ids import mac_of
from skep.model.nft import Match, Meta, Payload, SetSegment
from skep.plan.desired import desired, overlay_namespace


def tables(view, network):
    return desired(view)[overlay_namespace(network)].tables


def chains(view, network):
    """The rules about segments, by hook."""
    return {
        chain.hook.hook: [rule.statements for rule in chain.rules]
        for table in tables(view, network)
        for chain in table.chains
        if chain.name.startswith("segments_")
    }


def narrow(view, **paths):
    return msgspec.structs.replace(view, paths=paths)


@pytest.fixture
def view():
    return web_scene().view("h1")


def macs(view, network, name):
    return {
        mac
        for table in tables(view, network)
        for each in table.sets
        if each.name == name
        for (mac,) in each.elements
    }


def of(view, network, host):
    return {e.mac for e in view.networks[network].endpoints.values() if e.node_id == host}


def test_paths_as_wide_as_their_ends_need_nothing(view):
    assert chains(view, MONGO) == {}
    assert chains(narrow(view, h2=1500), MONGO) == {}
    assert tables(narrow(view), MONGO) == tables(view, MONGO)


def test_both_directions_are_told_of_what_the_path_carries(view):
    """1400 less 50 for the tunnel and 40 for IP and TCP."""
    found = chains(narrow(view, h2=1400), MONGO)
    for hook, field in (("prerouting", "saddr"), ("postrouting", "daddr")):
        key = Payload("ether", field)
        assert found[hook] == [
            (Match((key,), "@narrow_1350"), Match((Meta("protocol"),), "ip"), SetSegment(1310))
        ]
    assert macs(narrow(view, h2=1400), MONGO, "narrow_1350") == of(view, MONGO, "h2") != set()


def test_the_rules_for_senders_are_still_there(view):
    before, after = tables(view, MONGO), tables(narrow(view, h2=1400), MONGO)
    assert len(before) == len(after) == 1
    assert set(before[0].chains) < set(after[0].chains)
    assert set(before[0].sets) < set(after[0].sets)


def test_each_path_has_its_own_size(view):
    found = narrow(view, h2=1400, h3=1300)
    assert macs(found, INGRESS, "narrow_1350") >= {mac_of(ingress_address("h2"))}
    assert macs(found, INGRESS, "narrow_1250") >= {mac_of(ingress_address("h3"))}


def test_a_network_that_is_narrow_enough_itself_needs_nothing(view):
    network = view.networks[MONGO]
    options = {"com.docker.network.driver.mtu": "1350"}
    spec = msgspec.structs.replace(network.spec, options=options)
    small = {**view.networks, MONGO: msgspec.structs.replace(network, spec=spec)}
    there = msgspec.structs.replace(narrow(view, h2=1400), networks=small)
    assert chains(there, MONGO) == {}
    assert chains(there, INGRESS) != {}


def test_hosts_that_are_gone_and_paths_without_room_are_left_out(view):
    assert chains(narrow(view, h9=1400, h2=100), MONGO) == {}


def test_encrypted_networks_go_by_what_passes_inside(view):
    """Which is what was measured there, or 60 bytes less than outside, in pieces of 16."""
    network = view.networks[MONGO]
    spec = msgspec.structs.replace(network.spec, options={"encrypted": ""})
    sealed = msgspec.structs.replace(
        narrow(view, h2=1000), networks={MONGO: msgspec.structs.replace(network, spec=spec)}
    )
    for measured, segment in (({}, 838), ({"h2": 1340}, 838), ({"h2": 800}, 710)):
        found = chains(msgspec.structs.replace(sealed, secure_paths=measured), MONGO)
        assert {rule[-1] for rules in found.values() for rule in rules} == {SetSegment(segment)}
    unknown = msgspec.structs.replace(sealed, paths={}, secure_paths={"h2": 1340})
    found = chains(unknown, MONGO)
    assert {rule[-1] for rules in found.values() for rule in rules} == {SetSegment(1250)}


def test_over_ipv6_and_for_ipv6(view):
    """The tunnel takes 20 more outside, and segments are 20 less inside."""
    network = view.networks[MONGO]
    peers = {
        name: msgspec.structs.replace(peer, vtep=f"fd00::{name[1:]}")
        for name, peer in view.peers.items()
    }
    subnets = tuple(
        msgspec.structs.replace(
            each, config6=msgspec.structs.replace(
                each.config, subnet="fd01::/64", gateway="fd01::1")
        ) for each in network.subnets
    )  # fmt: skip
    six = msgspec.structs.replace(
        narrow(view, h2=1400), vtep="fd00::1", peers=peers,
        networks={MONGO: msgspec.structs.replace(network, subnets=subnets)},
    )  # fmt: skip
    for rules in chains(six, MONGO).values():
        assert [rule[1:] for rule in rules] == [
            (Match((Meta("protocol"),), "ip"), SetSegment(1290)),
            (Match((Meta("protocol"),), "ip6"), SetSegment(1270)),
        ]
