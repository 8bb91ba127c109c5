import pytest
from fakeplugin import running

from skep.agent.heralding import Heralding
from skep.plugin import plugins as module
from skep.plugin.discovery import Folders
from skep.plugin.plugins import Plugins


class Swarm:
    def __init__(self, folder):
        self.hosts = {"192.0.2.1": True, "192.0.2.2": False}
        self.plugins = Plugins(Folders(folder, ()), deadline=30.0)
        self.heralding = Heralding(self.plugins, lambda: ["net"], lambda: self.hosts)


@pytest.fixture
def swarm(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    return Swarm(tmp_path)


def told(plugin):
    return [
        (call.partition(".")[2], body["DiscoveryData"]["Address"], body["DiscoveryData"]["Self"])
        for call, body in plugin.asked
        if "Discover" in call
    ]


def wide(**answers):
    return {
        "NetworkDriver__GetCapabilities": {"Scope": "local", "ConnectivityScope": "global"},
        "NetworkDriver__DiscoverNew": {},
        "NetworkDriver__DiscoverDelete": {},
        **answers,
    }


async def test_it_is_told_of_hosts_as_they_come_and_go(swarm, tmp_path):
    async with running(tmp_path / "net.sock", **wide()) as net:
        await swarm.heralding.tell("net")
        await swarm.heralding.tell("net")
        assert told(net) == [
            ("DiscoverNew", "192.0.2.1", True),
            ("DiscoverNew", "192.0.2.2", False),
        ]
        assert net.of("NetworkDriver.DiscoverNew")[0]["DiscoveryType"] == 1
        swarm.hosts = {"192.0.2.1": True}
        await swarm.heralding.tell("net")
        assert told(net)[2:] == [("DiscoverDelete", "192.0.2.2", False)]
        swarm.hosts = {}
        await swarm.heralding.tell("net")
        assert told(net)[3:] == [("DiscoverDelete", "192.0.2.1", False)]


async def test_one_of_this_host_alone_is_told_nothing(swarm, tmp_path):
    local = {"NetworkDriver__GetCapabilities": {"Scope": "local"}}
    async with running(tmp_path / "net.sock", **wide(**local)) as net:
        await swarm.heralding.tell("net")
        assert told(net) == []


async def test_one_that_does_not_want_to_know_is_told_once(swarm, tmp_path):
    async with running(tmp_path / "net.sock", **wide()) as net:
        del net.answers["NetworkDriver.DiscoverNew"]
        await swarm.heralding.tell("net")
        await swarm.heralding.tell("net")
        assert len(told(net)) == 2


async def test_one_that_was_away_is_told_all(swarm, tmp_path):
    await swarm.heralding.tell("net")
    async with running(tmp_path / "net.sock", **wide()) as net:
        await swarm.heralding.tell("net")
        assert len(told(net)) == 2
