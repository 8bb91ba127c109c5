"""Plugins that do not do their work: told by name and call, and nothing is left of it."""

import pytest
from aiohttp import web
from fakeplugin import hang
from remote_host import NETWORK, RemoteHost, joined, well

from skep.model.errors import Broken, Refusal
from skep.plugin.calls import Silent

GIVEN_GATEWAY = {"com.docker.network.gateway": "172.17.0.1/16"}
ASKED = ["NetworkDriver.CreateEndpoint", "NetworkDriver.Join", "IpamDriver.RequestAddress"]


@pytest.fixture
async def host(tmp_path, monkeypatch):
    host = RemoteHost(tmp_path, monkeypatch)
    await host.plugin.start()
    yield host
    await host.plugin.stop()


@pytest.mark.parametrize(
    ("call", "answer", "words"),
    [
        ("IpamDriver.RequestPool", {"Err": "full"}, "full"),
        ("IpamDriver.RequestPool", {}, "a subnet without an id"),
        ("IpamDriver.RequestPool", {"PoolID": "p", "Pool": "x"}, "'x', which is no subnet"),
        ("IpamDriver.RequestPool", {"PoolID": "p", "Pool": "fd00::/64"}, "not of IPv4"),
        (
            "IpamDriver.RequestPool",
            {"PoolID": "p", "Pool": "172.17.0.0/16", "Data": GIVEN_GATEWAY},
            "overlaps",
        ),
        ("IpamDriver.RequestAddress", {"Address": ""}, "'', which is no address"),
        ("IpamDriver.RequestAddress", {"Address": "10.8.0.1/24"}, "not in 10.9.0.0/24"),
        ("IpamDriver.GetDefaultAddressSpaces", web.Response(status=500), "status 500"),
        ("NetworkDriver.GetCapabilities", {}, "scope '', which is neither"),
        ("NetworkDriver.CreateNetwork", {"Err": "no"}, "CreateNetwork: no"),
        ("NetworkDriver.CreateNetwork", web.Response(text="ok"), "no JSON"),
    ],
)
async def test_a_network_that_cannot_be_made_leaves_nothing(host, call, answer, words):
    before = host.network.locals.all()
    host.plugin.answers[call] = answer
    with pytest.raises(Refusal, match=words) as caught:
        await host.create()
    assert "overlaps" in words or f'plugin "net": {call}: ' in str(caught.value)
    assert host.owed() == []
    assert host.network.locals.all() == before
    host.plugin.answers = well()
    host.plugin.answers["Plugin.Activate"] = {"Implements": ["NetworkDriver", "IpamDriver"]}
    await host.create()


@pytest.mark.parametrize(
    ("call", "answer", "words"),
    [
        ("IpamDriver.RequestAddress", {"Err": "full"}, "full"),
        ("IpamDriver.RequestAddress", {"Address": "10.8.0.1/24"}, "not in 10.9.0.0/24"),
        ("IpamDriver.RequestAddress", {"Address": "10.9.0.1/24"}, "10.9.0.1 is in use"),
        ("IpamDriver.RequestAddress", {"Address": 7}, "makes no sense"),
        ("NetworkDriver.CreateEndpoint", {"Err": "no"}, "no"),
        ("NetworkDriver.CreateEndpoint", {"Interface": {"Address": "10.9.0.9/24"}}, "changed it"),
        ("NetworkDriver.CreateEndpoint", {"Interface": {"MacAddress": "zz"}}, "invalid mac"),
        ("NetworkDriver.Join", {"Err": "no"}, "no"),
        ("NetworkDriver.Join", web.Response(status=500, text="Traceback"), "status 500"),
        ("NetworkDriver.Join", {}, r"named no interface \(''\)"),
        ("NetworkDriver.Join", joined(src="a/b"), "named no interface"),
        ("NetworkDriver.Join", joined(src="wp7"), "which this host does not have"),
        ("NetworkDriver.Join", joined(src="docker0"), "belongs to something else"),
        ("NetworkDriver.Join", joined(src="eth0"), "where the host has 192.0.2.1/24"),
        ("NetworkDriver.Join", joined(src="port"), "which is a port of br0"),
        ("NetworkDriver.Join", joined(prefix="a b"), "which no link can be called"),
        ("NetworkDriver.Join", joined(Gateway="10.9.0.1/24"), "which is no address"),
        ("NetworkDriver.Join", joined(GatewayIPv6="10.9.0.1"), "not of IPv6"),
        ("NetworkDriver.Join", joined(StaticRoutes=[{"Destination": "x"}]), "route to 'x'"),
        ("NetworkDriver.Join", joined(StaticRoutes=[
            {"Destination": "10.0.0.0/8", "RouteType": 0}]), "of type 0 by nobody"),
        ("NetworkDriver.Join", joined(StaticRoutes=[
            {"Destination": "10.0.0.0/8", "RouteType": 0, "NextHop": "fd00::1"}]), "family"),
    ],
)  # fmt: skip
async def test_a_container_that_cannot_be_joined_leaves_nothing(host, call, answer, words):
    await host.create()
    box = await host.made("box", "wide")
    host.plugin.answers[call] = answer
    with pytest.raises(Refusal, match=words) as caught:
        await host.containers.start(box)
    assert f'plugin "net": {call}: ' in str(caught.value)
    assert host.owed() == NETWORK
    record = host.containers.record(box.id)
    assert (record.endpoints, record.gateway) == ((), "")
    host.plugin.answers |= well()
    await host.containers.start(box)
    assert host.containers.record(box.id).endpoints


async def test_an_address_that_somebody_has_is_not_given_back(host):
    await host.create()
    first = await host.running()
    host.plugin.answers["IpamDriver.RequestAddress"] = {"Address": first.endpoints[0].address}
    with pytest.raises(Broken, match=r"10.9.0.2 is in use already"):
        await host.running("other")
    assert host.plugin.of("IpamDriver.ReleaseAddress") == []


@pytest.mark.parametrize("call", ASKED)
async def test_one_that_hangs_is_told_at_its_deadline(host, call, monkeypatch):
    await host.create()
    box = await host.made("box", "wide")
    host.plugin.answers[call] = hang
    request = host.plugins._request

    def hurried(plugin, asked, *more):
        host.plugins.deadline = 0.2 if asked == call else 30.0
        return request(plugin, asked, *more)

    monkeypatch.setattr(host.plugins, "_request", hurried)
    with pytest.raises(Silent, match=f"{call}: no answer within 0.2 s"):
        await host.containers.start(box)
    assert host.containers.record(box.id).endpoints == ()
    monkeypatch.setattr(host.plugins, "_request", request)
    host.plugins.deadline = 30.0
    host.plugin.answers |= well()
    await host.containers.start(box)
