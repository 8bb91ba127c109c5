"""What plugins are asked when networks and containers come and go."""

import asyncio

import pytest
from aiohttp import web
from remote_host import MAC, NETWORK, RemoteHost, joined, subnet

from skep.agent import debts as debts_module
from skep.model.errors import Broken, Forbidden, Invalid, Missing, Refusal, Unavailable, Unsupported
from skep.model.spec import Ipam, IpamConfig, NetworkSpec
from skep.plugin.calls import Silent


@pytest.fixture
async def host(tmp_path, monkeypatch):
    host = RemoteHost(tmp_path, monkeypatch)
    await host.plugin.start()
    yield host
    await host.plugin.stop()


async def test_a_network_is_made_as_docker_does_it(host):
    config = subnet("10.9.0.0/24", ip_range="10.9.0.128/25", auxiliary_addresses={"x": "10.9.0.9"})
    id = await host.create(config=config, options={"a": "b"}, internal=True)
    (network,) = [n for n in host.network.locals.all() if n.id == id]
    assert (network.driver, network.ipam_driver, network.pool) == ("net", "net", "pool")
    assert (network.subnet, network.gateway) == ("10.9.0.0/24", "10.9.0.1")
    assert host.plugin.of("IpamDriver.RequestPool") == [{
        "AddressSpace": "here", "Pool": "10.9.0.0/24", "SubPool": "10.9.0.128/25", "Options": {},
        "V6": False,
    }]  # fmt: skip
    gateway, aux = host.plugin.of("IpamDriver.RequestAddress")
    assert gateway["Options"] == {"RequestAddressType": "com.docker.network.gateway"}
    assert aux == {"PoolID": "pool", "Address": "10.9.0.9", "Options": {}}
    (asked,) = host.plugin.of("NetworkDriver.CreateNetwork")
    assert asked == {
        "NetworkID": id,
        "Options": {
            "com.docker.network.generic": {"a": "b"}, "com.docker.network.enable_ipv4": True,
            "com.docker.network.enable_ipv6": False, "com.docker.network.internal": True,
        },
        "IPv4Data": [{
            "AddressSpace": "LocalDefault", "Pool": "10.9.0.0/24", "Gateway": "10.9.0.1/24",
            "AuxAddresses": {"x": "10.9.0.9/24"},
        }],
        "IPv6Data": [],
    }  # fmt: skip
    assert host.networks.drivers() == ("net",)
    await host.networks.remove(network)
    given_back = [call.partition(".")[2] for call in host.plugin.calls[-4:]]
    assert given_back == ["DeleteNetwork", "ReleaseAddress", "ReleaseAddress", "ReleasePool"]
    assert host.owed() == []


async def test_a_container_is_joined_and_leaves(host):
    id = await host.create()
    record = await host.running(DriverOpts={}, MacAddress="")
    (endpoint,) = record.endpoints
    assert (endpoint.address, endpoint.mac, endpoint.link) == ("10.9.0.2/24", MAC, "eth0")
    assert (endpoint.handed.source, endpoint.handed.gateway) == ("wp0", "10.9.0.1")
    assert record.gateway == endpoint.id
    (asked,) = host.plugin.of("NetworkDriver.CreateEndpoint")
    assert asked["Interface"] == {"Address": "10.9.0.2/24", "AddressIPv6": "", "MacAddress": ""}
    assert (asked["NetworkID"], asked["EndpointID"]) == (id, endpoint.id)
    (asked,) = host.plugin.of("NetworkDriver.Join")
    assert asked["SandboxKey"] == f"/run/netns/{record.sandbox_id[:12]}"
    assert host.owed() == [*NETWORK, "ReleaseAddress", "DeleteEndpoint", "Leave"]
    host.engine.states[record.id] = {"Running": False}
    await host.containers.died(record.id)
    calls = [call.partition(".")[2] for call in host.plugin.calls[-3:]]
    assert calls == ["Leave", "DeleteEndpoint", "ReleaseAddress"]
    assert host.plugin.of("IpamDriver.ReleaseAddress") == [
        {"PoolID": "pool", "Address": "10.9.0.2"}
    ]
    assert host.owed() == NETWORK
    assert host.network.records.get(record.id).endpoints == ()


async def test_it_is_connected_and_disconnected(host):
    id = await host.create()
    box = await host.made("box", "bridge")
    await host.containers.start(box)
    network = host.network.locals.named("wide")
    await host.networks.connect(box, network, {"IPAMConfig": {"IPv4Address": "10.9.0.77"}})
    record = host.containers.record(box.id)
    assert [e.address for e in record.endpoints if e.network_id == id] == ["10.9.0.77/24"]
    assert {"eth0", "eth1"} == {e.link for e in record.endpoints}
    await host.networks.disconnect(box, network)
    assert host.owed() == NETWORK
    assert len(host.containers.record(box.id).endpoints) == 1


async def test_a_plugin_may_only_make_interfaces(host):
    await host.create(ipam="default", config=subnet("10.7.0.0/24"))
    record = await host.running()
    assert record.endpoints[0].address == "10.7.0.2/24"
    assert not [call for call in host.plugin.calls if call.startswith("Ipam")]
    assert host.owed() == ["DeleteNetwork", "DeleteEndpoint", "Leave"]


async def test_a_plugin_may_only_give_addresses(host):
    await host.create(driver="bridge")
    record = await host.running()
    (endpoint,) = record.endpoints
    assert (endpoint.address, endpoint.mac) == ("10.9.0.2/24", "02:42:0a:09:00:02")
    assert (endpoint.port[:4], endpoint.handed) == ("veth", None)
    assert not [call for call in host.plugin.calls if call.startswith("Network")]


async def test_a_driver_gives_the_address_where_nobody_else_does(host):
    host.plugin.answers["NetworkDriver.CreateEndpoint"] = {
        "Interface": {"Address": "10.8.0.5/16", "MacAddress": "02:00:00:00:00:0A"}
    }
    await host.create(ipam="null")
    (endpoint,) = (await host.running()).endpoints
    assert (endpoint.address, endpoint.mac) == ("10.8.0.5/16", "02:00:00:00:00:0a")
    host.plugin.answers["NetworkDriver.CreateEndpoint"] = {}
    with pytest.raises(Broken, match="it gave no address, and nobody else does"):
        await host.running("other")
    with pytest.raises(Unsupported, match="needs addresses from somewhere"):
        await host.create(driver="bridge", ipam="null")


async def test_an_ipam_plugin_is_told_the_mac_if_it_needs_it(host):
    host.plugin.answers["IpamDriver.GetCapabilities"] = {"RequiresMACAddress": True}
    await host.create()
    (endpoint,) = (await host.running()).endpoints
    told = host.plugin.of("IpamDriver.RequestAddress")[-1]["Options"]
    assert told == {"com.docker.network.endpoint.macaddress": endpoint.mac}
    asked = host.plugin.of("NetworkDriver.CreateEndpoint")[0]["Interface"]
    assert asked["MacAddress"] == endpoint.mac


async def test_what_a_pool_says_of_its_gateway_is_taken(host):
    host.plugin.answers["IpamDriver.RequestPool"] = {
        "PoolID": "pool", "Pool": "10.9.0.0/24",
        "Data": {"com.docker.network.gateway": "10.9.0.254/24"},
    }  # fmt: skip
    id = await host.create()
    assert next(n.gateway for n in host.network.locals.all() if n.id == id) == "10.9.0.254"
    assert host.plugin.of("IpamDriver.RequestAddress") == []


async def test_a_driver_may_want_no_gateway(host):
    host.plugin.answers["NetworkDriver.GetCapabilities"] = {
        "Scope": "local", "GwAllocChecker": True,
    }  # fmt: skip
    host.plugin.answers["NetworkDriver.GwAllocCheck"] = {"SkipIPv4": True}
    await host.create()
    assert host.plugin.of("NetworkDriver.CreateNetwork")[0]["IPv4Data"][0]["Gateway"] == ""


async def test_without_a_gateway_there_is_another_way_out_unless_the_plugin_minds(host):
    way = {"InterfaceName": {"SrcName": "wp0", "DstPrefix": "wide"}}
    host.plugin.answers["NetworkDriver.Join"] = way
    await host.create()
    record = await host.running()
    assert [e.network_name for e in record.endpoints] == ["wide", "docker_gwbridge"]
    assert record.endpoints[0].link == "wide0"
    assert record.gateway == record.endpoints[1].id
    host.plugin.answers["NetworkDriver.Join"] = way | {"DisableGatewayService": True}
    record = await host.running("other")
    assert [e.network_name for e in record.endpoints] == ["wide"]
    assert record.gateway == ""


async def test_ports_are_published_by_the_plugin_whose_network_leads_out(host):
    await host.create()
    body = {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}
    body["HostConfig"]["NetworkMode"] = "wide"
    box = await host.made("box", "wide", **body)
    with pytest.raises(Unavailable, match=r"does not know NetworkDriver.ProgramExternalConn"):
        await host.containers.start(box)
    assert host.owed() == NETWORK
    host.plugin.answers["NetworkDriver.ProgramExternalConnectivity"] = {}
    host.plugin.answers["NetworkDriver.RevokeExternalConnectivity"] = {}
    await host.containers.start(box)
    (asked,) = host.plugin.of("NetworkDriver.ProgramExternalConnectivity")[1:]
    (told,) = asked["Options"]["com.docker.network.portmap"]
    assert (told["Proto"], told["Port"], told["HostPort"]) == (6, 80, 8080)
    await host.containers.remove(box, force=True, volumes=True)
    assert "NetworkDriver.RevokeExternalConnectivity" in host.plugin.calls
    assert host.owed() == NETWORK


async def test_what_a_dead_plugin_does_not_take_back_it_gets_when_it_is_back(host, monkeypatch):
    monkeypatch.setattr(debts_module, "RETRY", 0.01)
    await host.create()
    record = await host.running()
    await host.plugin.stop()
    await host.containers.remove(host.containers.find(record.id), force=True, volumes=True)
    await host.networks.remove(host.network.locals.named("wide"))
    assert host.owed() == [*NETWORK, "ReleaseAddress", "DeleteEndpoint", "Leave"]
    host.debts = host.read_debts()
    assert len(host.owed()) == 6, "a restart of skepd forgets nothing"
    giving = asyncio.create_task(host.debts.run())
    await host.plugin.start()
    asked = len(host.plugin.asked)
    async with asyncio.timeout(60):
        while host.owed():
            await asyncio.sleep(0.01)
    giving.cancel()
    back = [call.partition(".")[2] for call, _ in host.plugin.asked[asked:]]
    assert sorted(back) == sorted([*NETWORK, "ReleaseAddress", "DeleteEndpoint", "Leave"])
    assert back.index("Leave") < back.index("DeleteEndpoint")


async def test_what_is_not_owed_for_the_living_stays(host, monkeypatch):
    monkeypatch.setattr(debts_module, "RETRY", 0.01)
    await host.create()
    await host.running()
    before, asked = host.owed(), len(host.plugin.asked)
    giving = asyncio.create_task(host.debts.run())
    for _ in range(20):
        await asyncio.sleep(0)
    giving.cancel()
    assert host.owed() == before
    assert len(host.plugin.asked) == asked


async def test_a_container_that_comes_again_waits_for_what_is_owed(host):
    await host.create()
    record = await host.running()
    host.plugin.answers["NetworkDriver.Leave"] = web.Response(status=500)
    host.engine.states[record.id] = {"Running": False}
    await host.containers.died(record.id)
    assert host.owed()[-1] == "Leave"
    with pytest.raises(Silent, match=r"NetworkDriver.Leave: it answered with status 500"):
        await host.containers.start(host.containers.find(record.id))
    host.plugin.answers["NetworkDriver.Leave"] = {"Err": "no such endpoint"}
    await host.containers.start(host.containers.find(record.id))
    calls = [call.partition(".")[2] for call in host.plugin.calls]
    assert len(calls) - calls[::-1].index("Join") > len(calls) - calls[::-1].index("Leave")
    assert host.owed()[-1] == "Leave"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ((IpamConfig(gateway="10.9.0.1"),), "need a subnet"),
        ((IpamConfig(subnet="10.9.0.0/24"), IpamConfig(subnet="10.8.0.0/24")), "multiple subnets"),
        ((IpamConfig(subnet="fd00::/64"),), "needs --ipv6"),
        ((IpamConfig(subnet="10.9.0.0/33"),), "10.9.0.0/33"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_a_plugin_is_asked(host, config, words):
    with pytest.raises(Refusal, match=words):
        await host.create(config=config)
    assert host.plugin.asked == []


@pytest.mark.parametrize(
    ("manager", "scope", "kind", "words"),
    [
        (None, "", None, ""),
        (True, "", Invalid, "legacy plugin net of type NetworkDriver is not supported in swarm"),
        (False, "", Forbidden, "Cannot create a multi-host network from a worker node"),
        (None, "local", Forbidden, "cannot downgrade network scope for net networks"),
    ],
)
async def test_a_driver_of_all_hosts(host, manager, scope, kind, words):
    host.plugin.answers["NetworkDriver.GetCapabilities"] = {"Scope": "global"}
    host.remotes.manager = lambda: manager
    if kind is None:
        id = await host.create()
        assert next(n.scope for n in host.network.locals.all() if n.id == id) == "global"
    else:
        with pytest.raises(kind, match=words):
            await host.create(scope=scope)
        assert host.owed() == []


async def test_options_of_an_endpoint_are_the_plugins(host):
    await host.create()
    await host.running(DriverOpts={"colour": "blue"})
    assert host.plugin.of("NetworkDriver.CreateEndpoint")[0]["Options"]["colour"] == "blue"
    with pytest.raises(Unsupported, match="endpoint option colour is not supported"):
        await host.made("other", "bridge", NetworkingConfig={
            "EndpointsConfig": {"bridge": {"DriverOpts": {"colour": "blue"}}}})  # fmt: skip


async def test_what_a_plugin_lost_is_made_again_with_the_same_addresses(host):
    await host.create()
    record = await host.running()
    host.plugin.asked.clear()
    host.plugin.answers["NetworkDriver.Join"] = joined(src="wp1", Gateway="10.9.0.1")
    with pytest.raises(Broken, match="wp1, which this host does not have"):
        await host.network.rejoin(record, record.endpoints[0])
    record = host.network.records.get(record.id)
    assert record.endpoints[0].handed is None
    host.plugin.answers["NetworkDriver.Join"] = joined(Gateway="10.9.0.1")
    await host.network.rejoin(record, record.endpoints[0])
    (endpoint,) = host.network.records.get(record.id).endpoints
    assert (endpoint.address, endpoint.mac, endpoint.link) == ("10.9.0.2/24", MAC, "eth0")
    assert endpoint.handed.source == "wp0"
    calls = [call.partition(".")[2] for call in host.plugin.calls]
    assert calls[:4] == ["Leave", "DeleteEndpoint", "CreateEndpoint", "Join"]
    assert "ReleaseAddress" not in calls
    asked = host.plugin.of("NetworkDriver.CreateEndpoint")[-1]["Interface"]
    assert (asked["Address"], asked["MacAddress"]) == ("10.9.0.2/24", MAC)
    assert host.owed() == [*NETWORK, "ReleaseAddress", "DeleteEndpoint", "Leave"]


async def test_a_plugin_that_forgets_is_told_again(host):
    await host.create(config=subnet("10.9.0.0/24"))
    await host.running()
    host.plugin.asked.clear()
    await host.remotes.replay(host.network.locals.all())
    assert host.plugin.calls == ["IpamDriver.GetCapabilities"]
    host.plugin.answers["IpamDriver.GetCapabilities"] = {"RequiresRequestReplay": True}
    await host.remotes.replay(host.network.locals.all())
    (pool,) = host.plugin.of("IpamDriver.RequestPool")
    assert (pool["Pool"], pool["V6"]) == ("10.9.0.0/24", False)
    asked = {
        body["Address"]: body["Options"] for body in host.plugin.of("IpamDriver.RequestAddress")
    }
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    assert asked == {"10.9.0.1": gateway, "10.9.0.2": {}}
    await host.plugin.stop()
    await host.remotes.replay(host.network.locals.all())


async def test_a_plugin_that_is_not_there_is_not_found(host):
    with pytest.raises(Missing, match='plugin "weave" not found'):
        await host.create(driver="weave")
    with pytest.raises(Missing, match='plugin "weave" not found'):
        await host.create(driver="bridge", ipam="weave")
    with pytest.raises(Unsupported, match="own IPAM driver has no options"):
        spec = NetworkSpec(name="x", driver="bridge", ipam=Ipam(options={"a": "b"}))
        await host.networks.create(spec)


async def test_addresses_of_skep_itself_rest_across_a_restart(host):
    await host.create(driver="bridge", ipam="default", config=subnet("10.7.0.0/24"))
    record = await host.running()
    assert record.endpoints[0].address == "10.7.0.2/24"
    await host.containers.remove(host.containers.find(record.id), force=True, volumes=True)
    again = type(host.network.cursor)(host.folder / "addresses.json")
    again.load()
    host.network.cursor = again
    assert (await host.running("other")).endpoints[0].address == "10.7.0.3/24"
