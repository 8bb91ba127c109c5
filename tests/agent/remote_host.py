"""A host whose plugin is played over a real socket; its kernel and engine are played, too."""

from container_rig import Rig
from fakeplugin import FakePlugin

from skep.agent.debts import Debts
from skep.agent.localnets import LocalNetworks
from skep.agent.remotes import Remotes
from skep.kernel.moving import Candidate
from skep.model.netstate import GROUP, Link
from skep.model.spec import Ipam, IpamConfig, NetworkSpec
from skep.plugin import plugins as plugins_module
from skep.plugin.discovery import Folders
from skep.plugin.plugins import Plugins

MAC = "02:00:00:00:00:09"
LINKS = {
    "wp0": Candidate(Link(name="wp0", kind="veth", group=0, mac=MAC), ()),
    "docker0": Candidate(Link(name="docker0", kind="bridge", group=GROUP), ("172.17.0.1/16",)),
    "eth0": Candidate(Link(name="eth0", kind="", group=0), ("192.0.2.1/24",)),
    "port": Candidate(Link(name="port", kind="veth", group=0, master="br0"), ()),
}

NETWORK = ["ReleasePool", "ReleaseAddress", "DeleteNetwork"]
"""What is owed for a network."""


async def look(name):
    return LINKS.get(name)


class QuietKernel:
    """What a new network must get along with: nothing."""

    async def addresses(self):
        return ()

    async def routed(self):
        return ()

    async def links(self):
        return frozenset()

    async def makes(self, kind):
        return True


def well(**changes):
    """The answers of a plugin that does all it is asked for."""
    given = iter(range(2, 250))

    async def address(body):
        wanted = body["Address"]
        gateway = body["Options"].get("RequestAddressType")
        return {"Address": f"{wanted or ('10.9.0.1' if gateway else f'10.9.0.{next(given)}')}/24"}

    answers = {
        "IpamDriver.GetCapabilities": {},
        "IpamDriver.GetDefaultAddressSpaces": {"LocalDefaultAddressSpace": "here"},
        "IpamDriver.RequestPool": {"PoolID": "pool", "Pool": "10.9.0.0/24"},
        "IpamDriver.RequestAddress": address,
        "IpamDriver.ReleaseAddress": {},
        "IpamDriver.ReleasePool": {},
        "NetworkDriver.GetCapabilities": {"Scope": "local"},
        "NetworkDriver.CreateNetwork": {},
        "NetworkDriver.DeleteNetwork": {},
        "NetworkDriver.CreateEndpoint": {"Interface": {}},
        "NetworkDriver.EndpointOperInfo": {"Value": {}},
        "NetworkDriver.Join": {
            "InterfaceName": {"SrcName": "wp0", "DstPrefix": "eth"}, "Gateway": "10.9.0.1",
        },
        "NetworkDriver.Leave": {},
        "NetworkDriver.DeleteEndpoint": {},
    }  # fmt: skip
    return answers | changes


class RemoteHost(Rig):
    """One host with one plugin, ``net``; `start` and `stop` are the plugin's."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder)
        monkeypatch.setattr(plugins_module, "PATIENCE", 0.0)
        self.plugin = FakePlugin(folder / "net.sock", **well())
        self.plugins = Plugins(Folders(folder, ()), deadline=30.0)
        self.debts = self.read_debts()
        self.remotes = Remotes(self.plugins, self.debts, look)
        self.network.remotes = self.remotes
        self.network.uplink = None
        self.networks = LocalNetworks(self.containers, self.network, QuietKernel())

    def read_debts(self):
        """As skepd does when it starts."""
        debts = Debts(self.folder / "plugins.json", self.plugins)
        debts.load()
        debts.living = self.network.living
        return debts

    async def create(self, driver="net", ipam="net", **members):
        spec = NetworkSpec(
            name="wide", driver=driver, ipam=Ipam(driver=ipam, config=members.pop("config", ())),
            **members,
        )  # fmt: skip
        return await self.networks.create(spec)

    async def running(self, name="box", **config):
        body = {"NetworkingConfig": {"EndpointsConfig": {"wide": config}}}
        box = await self.made(name, "wide", **body)
        await self.containers.start(box)
        return self.containers.record(box.id)

    def owed(self):
        return [debt.call.partition(".")[2] for debt in self.debts]


def subnet(text, **members):
    return (IpamConfig(subnet=text, **members),)


def joined(**members):
    name = {"SrcName": members.pop("src", "wp0"), "DstPrefix": members.pop("prefix", "eth")}
    return {"InterfaceName": name, **members}
