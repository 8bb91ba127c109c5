import pytest

from skep.agent.locals import Locals
from skep.agent.pools import HostSubnets, pool
from skep.model.errors import Broken


def ids():
    count = iter(range(1, 100))
    return lambda: f"{next(count):064x}"


def test_a_fresh_host_has_dockers_three_networks(tmp_path):
    networks = Locals(tmp_path / "networks.json")
    networks.load()
    networks.ensure_defaults(ids(), 1.0, [])
    assert [(n.name, n.driver, n.subnet) for n in networks.all()] == [
        ("none", "null", ""),
        ("host", "host", ""),
        ("bridge", "bridge", "172.17.0.0/16"),
    ]
    assert [(b.name, b.address, b.icc) for b in networks.bridges()] == [
        ("docker0", "172.17.0.1/16", True)
    ]


def test_ids_are_the_same_after_a_restart(tmp_path):
    first = Locals(tmp_path / "networks.json")
    first.load()
    first.ensure_defaults(ids(), 1.0, [])
    first.ensure_gateway(ids(), 2.0, [])
    second = Locals(tmp_path / "networks.json")
    second.load()
    second.ensure_defaults(ids(), 9.0, [])
    second.ensure_gateway(ids(), 9.0, [])
    assert second.all() == first.all()
    gateway = second.named("docker_gwbridge")
    assert (gateway.subnet, gateway.gateway) == ("172.18.0.0/16", "172.18.0.1")


def test_the_gateway_goes_with_the_swarm(tmp_path):
    networks = Locals(tmp_path / "networks.json")
    networks.load()
    networks.ensure_gateway(ids(), 1.0, [])
    networks.drop_gateway()
    assert networks.named("docker_gwbridge") is None


def test_the_host_may_be_told_its_subnets(tmp_path):
    networks = Locals(tmp_path / "networks.json")
    networks.load()
    networks.subnets = HostSubnets("10.9.0.5/24", (pool("base=10.10.0.0/16,size=20"),))
    networks.ensure_defaults(ids(), 1.0, [])
    networks.ensure_gateway(ids(), 2.0, ["10.10.0.0/24"])
    bridge, gateway = networks.named("bridge"), networks.named("docker_gwbridge")
    assert (bridge.subnet, bridge.gateway) == ("10.9.0.0/24", "10.9.0.5")
    assert gateway.subnet == "10.10.16.0/20"
    assert networks.readdressed() is None
    networks.subnets = HostSubnets("10.8.0.1/16")
    new = networks.readdressed()
    assert (new.id, new.subnet, new.gateway) == (bridge.id, "10.8.0.0/16", "10.8.0.1")
    networks.replace(new)
    assert networks.named("bridge") == new and networks.readdressed() is None


def test_an_unreadable_file_says_what_to_do(tmp_path):
    path = tmp_path / "networks.json"
    path.write_text("{")
    with pytest.raises(Broken, match="move it away"):
        Locals(path).load()
    assert path.read_text() == "{"


def test_networks_are_found_as_docker_finds_them(tmp_path):
    networks = Locals(tmp_path / "networks.json")
    networks.load()
    networks.ensure_defaults(ids(), 1.0, [])
    bridge = networks.named("bridge")
    assert networks.named("default") == bridge
    assert networks.named(bridge.id) == bridge
    assert networks.named("nosuch") is None
