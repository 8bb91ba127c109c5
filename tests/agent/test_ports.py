import pytest

from skep.agent.ports import DYNAMIC, HostPorts, strange
from skep.model.cluster import TakenPort
from skep.model.errors import Clash
from skep.model.host import Binding, Bridge, Endpoint, HostView, Sandbox
from skep.model.spec import PortConfig

BRIDGE = Bridge(network_id="g", network_name="gw", name="docker_gwbridge", address="172.18.0.1/16")


def port(published=0, protocol="tcp"):
    return PortConfig(
        protocol=protocol, target_port=80, published_port=published, publish_mode="host"
    )


def view(*ports):
    leg = Endpoint(
        id="leg", network_id="g", network_name="gw", link="eth0", port="veth1",
        address="172.18.0.3/16", mac="02:42:ac:12:00:03",
    )  # fmt: skip
    box = Sandbox(
        id="a" * 64, container_name="db.1.x", endpoints=(leg,), gateway="leg", ports=ports
    )
    return HostView(sandboxes=(box,), bridges=(BRIDGE,))


class Programs:
    def __init__(self, *addresses, **listening):
        self.pids = {int(name[1:]): pid for name, pid in listening.items()}
        self.addresses = addresses or ("",)

    async def listening(self):
        return {("tcp", port) for port in self.pids}

    async def programs(self):
        return tuple(
            TakenPort("tcp", port, address, f"nginx (pid {pid})")
            for port, pid in self.pids.items()
            for address in self.addresses
        )


class Ports:
    def __init__(self, programs):
        self.ports = HostPorts(programs.listening, programs.programs)

    async def choose(self, wanted, view, address=""):
        return await self.ports.choose(wanted, address, view)


def ports_of(programs):
    return Ports(programs)


async def test_wanted_ports_are_given_as_they_are():
    wanted = (port(8080), port(53, "udp"))
    assert await ports_of(Programs()).choose(wanted, view()) == wanted
    assert await ports_of(Programs()).choose((), view()) == ()


async def test_a_listener_in_the_way_is_named():
    with pytest.raises(Clash) as refusal:
        await ports_of(Programs(p8080=123)).choose((port(8080),), view())
    assert str(refusal.value) == "port 8080/tcp is in use on this host by nginx (pid 123)"
    assert await ports_of(Programs(p8080=123)).choose((port(8080, "udp"),), view())


async def test_a_listener_at_another_address_is_not():
    own = ports_of(Programs("127.0.0.1", p8080=123))
    assert await own.choose((port(8080),), view(), "192.0.2.1") == (port(8080),)
    with pytest.raises(Clash):
        await own.choose((port(8080),), view(), "127.0.0.1")


async def test_another_tasks_port_is_in_the_way_too():
    with pytest.raises(Clash, match=r"port 8080/tcp is in use on this host by container db\.1\.x"):
        await ports_of(Programs()).choose((port(8080),), view(port(8080)))


async def test_chosen_ports_are_free_and_go_round():
    first, second = DYNAMIC.start, DYNAMIC.start + 1
    taken = Programs(**{f"p{first}": 5})
    ports = ports_of(taken)
    chosen = await ports.choose((port(second), port(), port(0, "udp"), port()), view())
    numbers = [each.published_port for each in chosen]
    assert numbers == [second, first + 2, first + 3, first + 4]
    (later,) = await ports.choose((port(),), view())
    assert later.published_port == first + 5


async def test_none_left():
    taken = Programs(**{f"p{number}": 5 for number in DYNAMIC})
    with pytest.raises(Clash, match="all tcp ports from 32768 on are in use on this host"):
        await ports_of(taken).choose((port(),), view())


async def test_an_address_that_the_host_lacks_is_told():
    ports = HostPorts(Programs().listening, Programs().programs)

    async def addresses():
        return (("lo", "127.0.0.1/8"), ("eth0", "192.0.2.1/24"), ("eth0", "2001:db8::1/64"))

    ports.addresses = addresses
    named = ("", "0.0.0.0", "127.0.0.9", "192.0.2.1", "2001:db8::1", "::1", "192.0.2.2")
    wanted = [Binding(protocol="tcp", port=80, address=each, published=8080) for each in named]
    (said,) = await strange(ports, wanted)
    assert said.startswith("This host has no address 192.0.2.2:")
    assert await strange(None, wanted) == []
