"""How many endpoints there is room for: on a network, on a host, and after a network has grown."""

import pytest

from skep.cluster import control, filters
from skep.model.errors import Forbidden, Invalid, Unavailable, Unsupported
from skep.model.spec import IpamConfig


def attach(swarm, host, network, number):
    return swarm.change(
        control.attach, node_id=swarm.node(host).id, container_id=f"c{number:063}",
        container_name=f"box{number}", networks={network: ""},
    )  # fmt: skip


def waiting(swarm, name):
    return [t.status.error for t in swarm.tasks(name) if not t.node_id]


def grow(swarm, network, *subnets):
    configs = tuple(IpamConfig(subnet=each) for each in subnets)
    swarm.change(control.add_subnets, network, configs)


class TestHosts:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(filters, "MOST_PORTS", 2)

    def test_take_so_many_endpoints_of_a_network(self, swarm):
        swarm.network("web", "10.9.0.0/24", attachable=True)
        attach(swarm, "h1", "web", 1)
        swarm.create("s", 6, networks=("web",))
        swarm.settle()
        assert [len(swarm.on("s", host)) for host in ("h1", "h2", "h3")] == [1, 2, 2]
        sentence = "network web: 2 of 2 endpoints of one host in use"
        assert waiting(swarm, "s") == [f"no suitable node (3 nodes: {sentence})"]
        with pytest.raises(Unavailable) as refused:
            attach(swarm, "h2", "web", 2)
        assert str(refused.value) == sentence

    def test_take_so_many_containers_on_all_networks(self, swarm):
        for name in ("one", "two"):
            swarm.network(name, attachable=True)
            attach(swarm, "h1", name, 1)
        swarm.network("three", attachable=True)
        with pytest.raises(Unavailable, match="docker_gwbridge: 2 of 2 endpoints of one host in"):
            attach(swarm, "h1", "three", 2)
        attach(swarm, "h2", "three", 3)

    def test_have_room_again_when_a_container_goes(self, swarm):
        swarm.network("web", attachable=True)
        tasks = [attach(swarm, host, "web", 1) for host in ("h1", "h2", "h3") * 2]
        swarm.create("s", 1, networks=("web",))
        swarm.settle()
        assert len(waiting(swarm, "s")) == 1
        swarm.change(control.detach, node_id=tasks[0].node_id, task_id=tasks[0].id)
        swarm.settle()
        assert waiting(swarm, "s") == []


class TestNetworks:
    def test_are_full_in_words(self, swarm):
        swarm.network("web", attachable=True)
        swarm.create("s", 254, networks=("web",), mode="dnsrr")
        swarm.settle()
        full = "network web: 253 of 253 addresses in use"
        assert waiting(swarm, "s") == [full]
        with pytest.raises(Unavailable, match=full):
            attach(swarm, "h1", "web", 1)

    def test_grow_while_somebody_waits(self, swarm):
        id = swarm.network("web", "10.9.0.0/29")
        swarm.create("s", 8, networks=("web",))
        swarm.settle()
        assert len(waiting(swarm, "s")) == 4, "five addresses, one of them the service's"
        before = swarm.state.networks[id].subnets[0]
        grow(swarm, "web", "10.9.1.0/24")
        swarm.settle()
        assert waiting(swarm, "s") == []
        first, second = swarm.state.networks[id].subnets
        assert (first.config, first.vni) == (before.config, before.vni)
        assert (second.config.gateway, second.vni) == ("10.9.1.1", before.vni + 1)
        given = {t.attachments[0].address for t in swarm.tasks("s")}
        assert len([each for each in given if each.startswith("10.9.1.")]) == 4

    def test_with_ipv6_get_both(self, swarm):
        id = swarm.network("web", "10.9.0.0/24", enable_i_pv6=True)
        grow(swarm, "web", "10.9.1.0/24")
        first, second = swarm.state.networks[id].subnets
        assert second.config6 is not None
        assert second.config6 != first.config6

    def test_do_not_grow_into_what_is_taken_or_nothing(self, swarm):
        swarm.network("web", "10.9.0.0/24")
        with pytest.raises(Forbidden, match=r"10\.9\.0\.0/16 and 10\.9\.0\.0/24 of network web"):
            grow(swarm, "web", "10.9.0.0/16")
        with pytest.raises(Invalid, match="no subnet to add"):
            grow(swarm, "web")
        with pytest.raises(Unsupported, match="remove it and make it anew"):
            grow(swarm, "ingress", "10.9.1.0/24")
