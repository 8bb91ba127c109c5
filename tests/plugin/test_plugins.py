import asyncio

import pytest
from fakeplugin import FakePlugin, hang, running

from skep.model.errors import Invalid
from skep.plugin import plugins as module
from skep.plugin.calls import Declined, Silent
from skep.plugin.discovery import Folders
from skep.plugin.plugins import IPAM, NETWORK, Absent, Nothing, Plugins


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.sock"


@pytest.fixture
def plugins(tmp_path):
    return Plugins(Folders(tmp_path, ()), deadline=30.0)


async def test_a_plugin_is_activated_once(path, plugins):
    async with running(path, NetworkDriver__Leave={}) as net:
        asking = [plugins.ask("net", "NetworkDriver.Leave", {"N": n}, Nothing) for n in range(3)]
        await asyncio.gather(*asking)
        assert net.calls.count("Plugin.Activate") == 1
        assert net.asked[0] == ("Plugin.Activate", None)
        assert sorted(body["N"] for body in net.of("NetworkDriver.Leave")) == [0, 1, 2]
    assert plugins.active(NETWORK) == ("net",)
    assert plugins.active(IPAM) == ("net",)


async def test_one_that_came_back_is_activated_again(path, plugins):
    async with running(path, NetworkDriver__Leave={}):
        await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
    with pytest.raises(Silent, match="Connection refused"):
        await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
    path.unlink()
    with pytest.raises(Absent, match='plugin "net" not found'):
        await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
    assert plugins.active(NETWORK) == ()
    async with running(path, NetworkDriver__Leave={}) as net:
        await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
        assert net.calls == ["Plugin.Activate", "NetworkDriver.Leave"]


async def test_one_that_fell_silent_is_activated_again(path, plugins):
    async with running(path, NetworkDriver__Leave={}) as net:
        await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
        net.answers["NetworkDriver.Leave"] = hang
        plugins.deadline = 0.1
        with pytest.raises(Silent):
            await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
        plugins.deadline = 30.0
        net.answers["NetworkDriver.Leave"] = {}
        await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
        assert net.calls.count("Plugin.Activate") == 2


async def test_one_that_does_something_else_is_refused(path, plugins):
    async with running(path, Plugin__Activate={"Implements": ["VolumeDriver"]}) as net:
        with pytest.raises(Invalid, match='"net" is no NetworkDriver: it implements VolumeDriver'):
            await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)
        net.answers["Plugin.Activate"] = {"Implements": "all"}
        plugins._active.clear()
        with pytest.raises(Silent, match=r"Plugin.Activate: its answer makes no sense"):
            await plugins.ask("net", "NetworkDriver.Leave", {}, Nothing)


async def test_what_is_given_back_needs_no_activation(path, plugins):
    net = FakePlugin(path, NetworkDriver__Leave={"Err": "no such endpoint"})
    with pytest.raises(Absent):
        await plugins.tell("net", "NetworkDriver.Leave", {})
    await net.start()
    with pytest.raises(Declined, match="no such endpoint"):
        await plugins.tell("net", "NetworkDriver.Leave", {"A": 1})
    assert net.asked == [("NetworkDriver.Leave", {"A": 1})]
    await net.stop()
