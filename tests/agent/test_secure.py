"""One host's part in encryption: which keys it has, what it tells, what it steers, what it says."""

import os
import stat
import time
from types import SimpleNamespace

import msgspec
import pytest

from skep.agent.secure import FIRST_PORT, LAST_PORT, Secure, make_key
from skep.model.assignment import Assignment, NetworkAssignment, NetworkEndpoint, PeerNode
from skep.model.cluster import Subnet
from skep.model.errors import Missing
from skep.model.host import HostView
from skep.model.secure import OwnKey, SeenPeer, SeenTunnel, TunnelKey
from skep.model.spec import IpamConfig, NetworkSpec

THEIRS = (TunnelKey(3, "theirs3", 51831), TunnelKey(4, "theirs4", 51830))


class Links:
    """WireGuard's links, as `WireGuard` would read and write them."""

    def __init__(self):
        self.seen = {"skep-wg0": SeenTunnel("", 0), "skep-wg1": SeenTunnel("", 0)}
        self.written = []
        self.shaken = {}

    async def read(self, link):
        return self.seen.get(link)

    async def write(self, tunnel):
        self.written.append(tunnel)
        ends = tuple(
            SeenPeer(each.public, each.endpoint, each.address, self.shaken.get(each.public, 0.0))
            for each in tunnel.peers
        )
        self.seen[tunnel.link] = SeenTunnel(tunnel.key.public, tunnel.key.port, ends)


class World:
    """A host with an encrypted network that has an endpoint on host two."""

    def __init__(self, path, by="kernel"):
        self.by, self.path, self.told, self.wanted = by, path, [], 0
        self.links = Links()
        self.options = {"encrypted": ""}
        self.theirs = THEIRS
        self.network = SimpleNamespace(
            keys=(), secure_slots={}, view=self.view, changed=lambda: None,
            converger=SimpleNamespace(want=self.want), assignment=Assignment(mesh_key=b"k"),
            paths=SimpleNamespace(sealed={}, found_sealed=lambda found: None),
        )  # fmt: skip
        self.secure = self.begin()

    def begin(self):
        kernel = SimpleNamespace(
            path=lambda name: f"/nowhere/{name}", wireguard=self.wireguard, within=self.within
        )
        made = Secure(kernel, self.network, self.path, self.tell)
        made._wireguard = self.links
        return made

    async def wireguard(self):
        return self.by

    async def within(self, name, work):
        raise Missing(f"this host has no network namespace {name}")

    async def tell(self, keys):
        self.told.append(tuple(key.generation for key in keys))

    def want(self):
        self.wanted += 1

    def view(self):
        end = NetworkEndpoint(task_id="t", node_id="two", address="10.1.0.3/24", mac="02:42::3")
        subnet = Subnet(IpamConfig(subnet="10.1.0.0/24", gateway="10.1.0.1"), 4097)
        network = NetworkAssignment(
            id="n", spec=NetworkSpec(name="n", options=self.options), created_at=0.0,
            subnets=(subnet,), present=True, endpoints={"t": end},
        )  # fmt: skip
        two = PeerNode(id="two", hostname="two", address="192.0.2.2", vtep="192.0.2.2",
                       ingress_address="", keys=self.theirs)  # fmt: skip
        return HostView(
            node_id="one", vtep="192.0.2.1", keys=self.network.keys, peers={"two": two},
            networks={"n": network}, secure_slots=self.network.secure_slots,
        )  # fmt: skip

    async def generations(self, *wanted):
        for generation in wanted:
            await self.secure.assigned(Assignment(generation=generation))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "tunnel-keys")


def kept(world):
    return msgspec.json.decode(world.path.read_bytes(), type=list[OwnKey])


def test_a_key_is_of_its_slots_ports():
    for generation in (4, 5):
        key = make_key(generation)
        assert FIRST_PORT <= key.port <= LAST_PORT
        assert (key.port - FIRST_PORT) % 2 == generation % 2
        assert key.told == TunnelKey(generation, key.public, key.port)
    assert make_key(4).private != make_key(4).private


async def test_keys_are_made_when_asked_for_and_the_last_two_kept(world):
    await world.secure.enter()
    await world.generations(2, 3, 3, 4)
    assert world.told == [(), (2,), (2, 3), (3, 4)]
    assert [key.generation for key in kept(world)] == [3, 4]
    assert [key.generation for key in world.network.keys] == [3, 4]


async def test_private_halves_are_for_root_alone_and_told_to_nobody(world):
    await world.secure.enter()
    await world.generations(2)
    assert stat.S_IMODE(os.stat(world.path).st_mode) == 0o600
    assert isinstance(world.network.keys[0], TunnelKey)
    assert kept(world)[0].private not in str(world.network.keys)


async def test_a_restart_takes_its_keys_up(world):
    await world.secure.enter()
    await world.generations(2, 3)
    before = kept(world)
    world.secure = world.begin()
    await world.secure.enter()
    assert world.told[-1] == (2, 3)
    await world.generations(3)
    assert kept(world) == before


async def test_a_spoilt_file_is_as_good_as_none(world):
    world.path.write_text("{")
    await world.secure.enter()
    assert world.told == [()]


async def test_a_host_without_wireguard_makes_no_key(tmp_path):
    world = World(tmp_path / "keys", by="")
    await world.secure.enter()
    await world.generations(2)
    assert not world.path.exists()
    (pair,) = world.secure.pairs()
    assert not pair.encrypted
    assert "install wireguard-go" in pair.why


async def test_leaving_forgets_all_keys(world):
    await world.secure.enter()
    await world.generations(2)
    await world.secure.leave()
    assert not world.path.exists()
    assert world.network.keys == ()
    await world.secure.leave()


async def test_links_are_told_once(world):
    await world.secure.enter()
    await world.generations(3, 4)
    await world.secure.look()
    assert [each.link for each in world.links.written] == ["skep-wg1", "skep-wg0"]
    await world.secure.look()
    assert len(world.links.written) == 2


async def test_a_peer_moves_to_the_new_keys_when_they_have_shaken_hands(world):
    world.links.shaken = {"theirs3": time.time() - 5}
    await world.secure.enter()
    await world.generations(3, 4)
    await world.secure.look()
    assert (world.network.secure_slots, world.wanted) == ({"two": 1}, 1)
    world.links.seen["skep-wg0"] = SeenTunnel(
        world.network.keys[1].public, world.network.keys[1].port,
        (SeenPeer("theirs4", "192.0.2.2:51830", "192.0.2.2/32", time.time()),),
    )  # fmt: skip
    await world.secure.look()
    assert (world.network.secure_slots, world.wanted) == ({"two": 0}, 2)


async def test_a_link_that_does_not_run_is_told_so(world):
    world.links.seen = {}
    await world.secure.enter()
    await world.generations(3, 4)
    await world.secure.look()
    assert world.links.written == []
    (pair,) = world.secure.pairs()
    assert (pair.hostname, pair.encrypted) == ("two", False)
    assert pair.why == "skep-wg0 does not run here"


async def test_a_peer_that_does_not_answer_is_told_so(world):
    world.links.shaken = {"theirs4": (shaken := time.time())}
    await world.secure.enter()
    await world.generations(3, 4)
    await world.secure.look()
    (pair,) = world.secure.pairs()
    assert pair.why == "the other host does not answer through the tunnel"
    assert (pair.generation, pair.handshake) == (4, shaken)


async def test_a_peer_without_keys_is_told_so(world):
    world.theirs = ()
    await world.secure.enter()
    await world.generations(3)
    await world.secure.look()
    (pair,) = world.secure.pairs()
    assert "has no WireGuard, or has not told its key" in pair.why


async def test_nothing_is_asked_of_wireguard_where_nothing_is_encrypted(world):
    world.options = {"encrypted": "false"}
    await world.secure.enter()
    await world.generations(3)
    await world.secure.look()
    assert world.links.written == []
    assert world.secure.pairs() == ()


async def test_answers_through_the_tunnel_are_proof_for_a_while(world):
    await world.secure.enter()
    await world.generations(3, 4)
    await world.secure.look()
    health = SimpleNamespace(seen_at=time.time())
    world.secure._probing = SimpleNamespace(snapshot=lambda: {"two": health})
    assert [(each.encrypted, each.why) for each in world.secure.pairs()] == [(True, "")]
    health.seen_at = time.time() - 60
    assert [each.encrypted for each in world.secure.pairs()] == [False]
