"""Encrypted networks: where their tunnels send from, what WireGuard is told, which link is used."""

import msgspec
import pytest

from skep.model.assignment import NetworkAssignment, NetworkEndpoint, PeerNode
from skep.model.cluster import Subnet
from skep.model.host import HostView
from skep.model.netstate import HOST
from skep.model.secure import (
    SECURE,
    OwnKey,
    SeenPeer,
    SeenTunnel,
    TunnelKey,
    is_encrypted,
)
from skep.model.spec import IpamConfig, NetworkSpec
from skep.plan.desired import closure, desired
from skep.plan.diff import diff
from skep.plan.encrypt import choose, differs, tunnels

NOW = 1_000_000.0
OWN = {3: OwnKey(3, "private3", "public3", 51831), 4: OwnKey(4, "private4", "public4", 51830)}
OURS = tuple(key.told for key in OWN.values())
THEIRS = (TunnelKey(3, "theirs3", 51831), TunnelKey(4, "theirs4", 51830))


def network(name, options):
    subnet = Subnet(IpamConfig(subnet="10.1.0.0/24", gateway="10.1.0.1"), 4097)
    far = NetworkEndpoint(
        task_id="t", node_id="two", address="10.1.0.3/24", mac="02:42:0a:01:00:03"
    )
    return NetworkAssignment(
        id=name, spec=NetworkSpec(name=name, options=options), created_at=0.0,
        subnets=(subnet,), present=True, endpoints={"t": far},
    )  # fmt: skip


def peer(node_id, address, keys=()):
    return PeerNode(
        id=node_id, hostname=node_id, address=address, vtep=address, ingress_address="", keys=keys
    )


def view(*, sixth=False, keys=OURS, theirs=THEIRS, **options):
    one, two = ("fd00::1", "fd00::2") if sixth else ("192.0.2.1", "192.0.2.2")
    return HostView(
        node_id="one", vtep=one, keys=keys,
        peers={"one": peer("one", one), "two": peer("two", two, theirs)},
        networks={"sealed": network("sealed", {"encrypted": "", **options})},
    )  # fmt: skip


def seen(slot, handshake, *, public="", endpoint=""):
    own = next(key for key in OWN.values() if key.told.slot == slot)
    their = next(key for key in THEIRS if key.slot == slot)
    end = SeenPeer(
        public or their.public, endpoint or f"192.0.2.2:{their.port}", "192.0.2.2/32", handshake
    )
    return SeenTunnel(own.public, own.port, (end,))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, False), ({"encrypted": ""}, True), ({"encrypted": "true"}, True),
     ({"encrypted": "False"}, False), ({"encrypted": "0"}, False)],
)  # fmt: skip
def test_the_option_is_read_as_people_mean_it(options, wanted):
    assert is_encrypted(options) is wanted


def test_its_tunnel_sends_from_where_only_wireguard_leads_out():
    state = desired(view())
    (name,) = (each for each in state if each.startswith("1-"))
    tunnel = state[name].links["vxlan0"]
    assert (tunnel.vxlan.underlay, tunnel.mtu) == (SECURE, 1390)
    secure = state[SECURE]
    assert {link.kind for link in secure.links.values() if link.name != "lo"} == {"wireguard"}
    assert {link.mtu for link in secure.links.values() if link.name != "lo"} == {1440}
    assert [route.link for route in secure.routes] == ["skep-wg0"]


def test_over_ipv6_its_headers_are_larger():
    state = desired(view(sixth=True))
    assert state[SECURE].links["skep-wg0"].mtu == 1420
    (name,) = (each for each in state if each.startswith("1-"))
    assert state[name].links["vxlan0"].mtu == 1350


def test_without_keys_there_is_no_way_rather_than_a_clear_one():
    state = desired(view(keys=()))
    assert not state[SECURE].routes
    (name,) = (each for each in state if each.startswith("1-"))
    assert state[name].links["vxlan0"].vxlan.underlay == SECURE


def test_clear_networks_have_nothing_of_it():
    clear = view(encrypted="false")
    assert SECURE not in desired(clear)


def test_whoever_makes_the_tunnel_has_the_namespace_that_it_sends_from():
    wanted = view()
    (name,) = (each for each in desired(wanted) if each.startswith("1-"))
    assert SECURE in closure(wanted, {name})


def test_a_tunnel_that_would_send_in_the_clear_is_made_anew():
    wanted = desired(view())
    (name,) = (each for each in wanted if each.startswith("1-"))
    link = wanted[name].links["vxlan0"]
    wrong = msgspec.structs.replace(link, vxlan=msgspec.structs.replace(link.vxlan, underlay=HOST))
    links = wanted[name].links | {"vxlan0": wrong}
    have = wanted | {name: msgspec.structs.replace(wanted[name], links=links)}
    kinds = [type(op).__name__ for op in diff(wanted, have)]
    assert kinds[:2] == ["DelLink", "AddLink"]


def test_a_route_that_moves_is_never_missing():
    one, two = (msgspec.structs.replace(view(), secure_slots={"two": slot}) for slot in (0, 1))
    ops = [type(op).__name__ for op in diff(desired(two), desired(one))]
    assert ops == ["AddRoute"]


def test_links_are_told_their_peers_by_slot():
    found = {each.link: each for each in tunnels(view(), OWN)}
    assert found["skep-wg0"].peers[0].endpoint == "192.0.2.2:51830"
    assert found["skep-wg1"].peers[0].public == "theirs3"
    assert found["skep-wg1"].peers[0].address == "192.0.2.2/32"


class TestChoosing:
    def test_the_newest_keys_that_are_proven(self):
        both = {0: seen(0, NOW - 5), 1: seen(1, NOW - 5)}
        assert choose(view(), both, NOW) == {"two": 0}

    def test_the_older_ones_until_there_was_a_handshake(self):
        assert choose(view(), {0: seen(0, 0.0), 1: seen(1, NOW - 5)}, NOW) == {"two": 1}

    def test_the_older_ones_when_the_new_link_is_gone(self):
        assert choose(view(), {1: seen(1, NOW - 5)}, NOW) == {"two": 1}

    def test_a_handshake_with_the_last_key_proves_nothing_of_this_one(self):
        stale = {0: seen(0, NOW - 5, public="their last"), 1: seen(1, NOW - 5)}
        assert choose(view(), stale, NOW) == {"two": 1}

    def test_an_old_handshake_proves_nothing(self):
        assert choose(view(), {0: seen(0, NOW - 900), 1: seen(1, NOW - 5)}, NOW) == {"two": 1}

    def test_a_peer_without_keys_is_not_reached(self):
        assert choose(view(theirs=()), {}, NOW) == {}


class TestDiffering:
    @pytest.fixture
    def wanted(self):
        return next(each for each in tunnels(view(), OWN) if each.link == "skep-wg0")

    def test_what_is_so_is_left_alone(self, wanted):
        assert not differs(wanted, seen(0, 0.0), NOW)

    def test_another_key_of_the_peer(self, wanted):
        assert differs(wanted, seen(0, NOW, public="their last"), NOW)

    def test_a_peer_that_speaks_from_elsewhere_may(self, wanted):
        assert not differs(wanted, seen(0, NOW - 5, endpoint="198.51.100.1:4"), NOW)

    def test_one_that_does_not_speak_is_looked_for_where_it_should_be(self, wanted):
        assert differs(wanted, seen(0, 0.0, endpoint="198.51.100.1:4"), NOW)
