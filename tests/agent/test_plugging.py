"""What keeps a host in step with its plugins, put together."""

import asyncio

import pytest
from fakeplugin import running
from remote_host import RemoteHost, well

from skep.agent import rejoining as rejoining_module
from skep.agent.looking import look
from skep.agent.plugging import Plugging
from skep.kernel.moving import Candidate
from skep.model.errors import Broken
from skep.model.netstate import GROUP, Link, Namespace
from skep.plugin.discovery import Folders


class Kernel:
    """``links`` are those of every sandbox, ``host`` what is found in the host's namespace."""

    def __init__(self):
        self.links = {}
        self.host = Candidate(Link(name="wp0", kind="veth", group=0, mac="02:00:00:00:00:09"), ())

    async def observe(self, names):
        return {name: Namespace(name=name, links=self.links) for name in names}

    async def within(self, name, work):
        if isinstance(self.host, OSError):
            raise self.host
        return self.host


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(rejoining_module, "LOOK", 0.01)
    rig = RemoteHost(tmp_path, monkeypatch)
    rig.real = Kernel()
    rig.plugging = Plugging(rig.real, rig.network, rig.containers, tmp_path)
    rig.plugging.plugins._folders = Folders(tmp_path, ())
    rig.plugging.load()
    return rig


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_runs_and_joins_again_what_is_gone(rig, tmp_path):
    async with running(tmp_path / "net.sock") as net:
        net.answers |= well()
        await rig.create()
        record = await rig.running()
        seen = Link(name="eth0", kind="veth", source="wp0", group=GROUP)
        rig.real.links = {"eth0": seen}
        keeping = asyncio.create_task(rig.plugging.run())
        try:
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert net.calls.count("NetworkDriver.Join") == 1, "nothing is gone"
            rig.real.links, rig.real.host = {}, None
            await until(lambda: net.calls.count("NetworkDriver.Join") > 1)
            rig.real.host = Kernel().host
            await until(lambda: rig.network.records.get(record.id).endpoints[0].handed is not None)
            rig.real.host = OSError(12, "Cannot allocate memory")
            await until(lambda: rig.plugging._rejoining._news._told)
            assert not keeping.done(), "a kernel that does not say is asked again"
            rig.real.links = {"eth0": seen}
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    assert net.calls.count("NetworkDriver.Leave") >= 1


async def test_a_host_knows_whether_it_manages_a_swarm(rig):
    assert rig.plugging._manages() is None
    rig.network.uplink = rig.uplink
    assert rig.plugging._manages() is False
    assert rig.plugging._hosts() == {}


async def test_a_kernel_that_does_not_say_is_a_refusal(rig):
    rig.real.host = OSError(5, "Input/output error")
    with pytest.raises(Broken, match="cannot look at the link wp0: Input/output error"):
        await look(rig.real, "wp0")
