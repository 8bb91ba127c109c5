"""Networks as clients see them."""

import json

import pytest
from api_host import GATEWAY, NODE1

from skep.api.shapes.network import peer_name


async def get(client, path):
    async with client.get(path) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def listed(client, **filters):
    found = await get(client, f"/networks?filters={json.dumps(filters)}")
    return sorted(network["Name"] for network in found)


async def make(client, name, **members):
    body = {"Name": name, "Driver": "overlay", "IPAM": {"Driver": "default"}, **members}
    async with client.post("/networks/create", json=body) as reply:
        assert reply.status == 201, await reply.text()
        made = await reply.json()
    assert made["Warning"] == ""
    return made["Id"]


async def serve(client, name, network, replicas=1):
    body = {
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {"Image": "nginx:latest"},
            "Networks": [{"Target": network}],
        },
        "Mode": {"Replicated": {"Replicas": replicas}},
    }
    async with client.post("/services/create", json=body) as reply:
        assert reply.status == 201, await reply.text()
        return (await reply.json())["ID"]


async def test_a_fresh_host(world, client):
    assert await listed(client) == ["bridge", "host", "none"]
    bridge = await get(client, "/networks/bridge")
    assert bridge["IPAM"] == {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}],
    }
    assert (bridge["Driver"], bridge["Scope"], bridge["Id"]) == ("bridge", "local", "b1" * 32)
    assert bridge["Created"] == "1970-01-01T00:00:01.5Z"


async def test_ingress(world, client):
    await world.swarm()
    network = await get(client, "/networks/ingress")
    assert network["Ingress"] is True
    assert network["ConfigFrom"] == {"Network": ""}
    assert network["EnableIPv6"] is False
    assert network["IPAM"]["Config"] == [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]
    assert network["IPAM"]["Options"] is None
    assert network["Options"] == {"com.docker.network.driver.overlay.vxlanid_list": "4096"}
    assert network["Containers"]["ingress-sbox"] == {
        "Name": "ingress-endpoint",
        "EndpointID": "1e" * 32,
        "MacAddress": "02:42:0a:00:00:02",
        "IPv4Address": "10.0.0.2/24",
        "IPv6Address": "",
    }
    assert {peer["IP"] for peer in network["Peers"]} == {"192.168.90.11", "192.168.90.12"}
    assert peer_name(NODE1) in {peer["Name"] for peer in network["Peers"]}
    assert len(peer_name(NODE1)) == 12
    gateway = (await get(client, "/networks/docker_gwbridge"))["Containers"]["ingress-sbox"]
    assert (gateway["Name"], gateway["IPv4Address"]) == ("gateway_ingress-sbox", "172.18.0.2/16")


async def test_a_task_on_its_networks(world, client):
    await world.swarm()
    network = await make(client, "n")
    await serve(client, "web", "n")
    world.host.enter_swarm(world.cluster.state())
    assert (await get(client, "/networks/n")).get("Peers") is None, "not here yet"
    state = world.cluster.state()
    (task,) = state.tasks.values()
    container = world.host.run_task(task, state.networks)
    shown = await get(client, "/networks/n")
    entry = shown["Containers"][container]
    assert entry["Name"] == task.name
    assert entry["IPv4Address"] == task.attachments[0].address
    assert [peer["IP"] for peer in shown["Peers"]] == ["192.168.90.11"]
    gateway = await get(client, f"/networks/{GATEWAY.id}")
    sandbox = world.host.find(container).sandbox
    assert gateway["Containers"][container]["Name"] == f"gateway_{sandbox.id[:12]}"
    detailed = await get(client, f"/networks/{network}?verbose=true")
    (host,) = detailed["Hosts"]
    assert (host["Name"], host["Applied"], host["Told"]) == ("node1", 6, 7)
    verbose = detailed["Services"]["web"]
    assert verbose["LocalLBIndex"] == 256
    (shown_task,) = verbose["Tasks"]
    assert shown_task["Name"] == task.name
    assert shown_task["Info"] == {"Host IP": "192.168.90.11"}
    assert shown_task["EndpointID"] == entry["EndpointID"]


async def test_subnets_are_in_order_of_address(world, client):
    await world.swarm()
    sent = [{"Subnet": each} for each in ("11.1.1.0/24", "9.1.1.0/24", "10.1.1.0/24")]
    await make(client, "many", IPAM={"Config": sent})
    shown = await get(client, "/networks/many")
    assert [each["Subnet"] for each in shown["IPAM"]["Config"]] == [
        "9.1.1.0/24", "10.1.1.0/24", "11.1.1.0/24"
    ]  # fmt: skip


async def test_options_and_subnets(world, client):
    await world.swarm()
    config = [{"Subnet": "10.1.1.0/24"}, {"Subnet": "11.1.1.0/24"}]
    await make(client, "two", IPAM={"Config": config}, Labels={"a": "b"}, Attachable=True)
    shown = await get(client, "/networks/two")
    assert [c["Gateway"] for c in shown["IPAM"]["Config"]] == ["10.1.1.1", "11.1.1.1"]
    assert shown["Options"] == {"com.docker.network.driver.overlay.vxlanid_list": "4097,4098"}
    assert (shown["Labels"], shown["Attachable"]) == ({"a": "b"}, True)
    assert (shown["Containers"], shown["Scope"]) == ({}, "swarm")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"driver": ["overlay"]}, ["ingress", "my-network"]),
        ({"scope": ["local"]}, ["bridge", "docker_gwbridge", "host", "none"]),
        ({"type": ["builtin"]}, ["bridge", "host", "none"]),
        ({"type": ["custom"]}, ["docker_gwbridge", "ingress", "my-network"]),
        ({"name": ["my-net"]}, ["my-network"]),
        ({"label": ["a"]}, ["my-network"]),
        ({"label": ["a=c"]}, []),
        ({"id": ["b1b1"]}, ["bridge"]),
        ({"dangling": ["true"]}, ["my-network"]),
        ({"dangling": ["false"]}, ["bridge", "docker_gwbridge", "host", "ingress", "none"]),
    ],
)
async def test_filters(world, client, filters, names):
    await world.swarm()
    await make(client, "my-network", Labels={"a": "b"})
    assert await listed(client, **filters) == names


async def test_unknown_type(client):
    async with client.get('/networks?filters={"type":["x"]}') as reply:
        assert reply.status == 400
        assert (await reply.json())["message"] == "invalid filter: 'type'='x'"


async def test_find(world, client):
    await world.swarm()
    made = await make(client, "n")
    assert (await get(client, f"/networks/{made}"))["Name"] == "n"
    assert (await get(client, "/networks/b1b1b1"))["Name"] == "bridge"
    async with client.get("/networks/bridge?scope=swarm") as reply:
        assert reply.status == 404


async def test_a_worker_knows_its_networks_but_removes_none(world, client):
    await world.swarm()
    await make(client, "n")
    world.host.enter_swarm(world.cluster.state())
    await world.cluster.leave(True)
    assert "n" in await listed(client)
    async with client.delete("/networks/n") as reply:
        assert reply.status == 503


async def test_remove_and_prune(world, client):
    await world.swarm()
    for name in ("used", "free", "kept"):
        await make(client, name, Labels={"keep": name} if name == "kept" else {})
    await serve(client, "web", "used")
    async with client.post('/networks/prune?filters={"label!":["keep"]}') as reply:
        assert await reply.json() == {"NetworksDeleted": ["free"]}
    assert await listed(client, driver=["overlay"]) == ["ingress", "kept", "used"]
    async with client.delete("/networks/kept") as reply:
        assert reply.status == 204


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/networks/create", {"Name": "x", "Driver": "overlay", "Bogus": True}),
    ],
)
async def test_not_yet(world, client, path, body):
    await world.swarm()
    async with client.post(path, json=body) as reply:
        assert reply.status == 501
        assert "not supported" in (await reply.json())["message"] or path == "/networks/create"


async def test_networks_of_the_host_itself(world, client):
    made = await make(client, "own", Driver="bridge", Labels={"a": "b"})
    shown = await get(client, "/networks/own")
    assert (shown["Id"], shown["Driver"], shown["Labels"]) == (made, "bridge", {"a": "b"})
    assert await listed(client, type=["custom"]) == ["own"]
    async with client.post("/networks/create", json={"Name": "own"}) as reply:
        assert reply.status == 409
    for filters, deleted in (('{"until":["1"]}', []), ('{"label":["a"],"until":["1h"]}', ["own"])):
        async with client.post(f"/networks/prune?filters={filters}") as reply:
            assert (await reply.json())["NetworksDeleted"] == deleted
    assert await listed(client, type=["custom"]) == []


async def test_joining_and_leaving_a_network(world, client):
    async with client.post("/containers/create?name=box", json={"Image": "busybox"}) as reply:
        box = (await reply.json())["Id"]
    config = {"Aliases": ["x"]}
    body = {"Container": "box", "EndpointConfig": config}
    async with client.post("/networks/bridge/connect", json=body) as reply:
        assert reply.status == 200, await reply.text()
    async with client.post("/networks/bridge/disconnect", json={"Container": "box"}) as reply:
        assert reply.status == 200, await reply.text()
    async with client.post("/networks/bridge/connect", json={"Container": "nosuch"}) as reply:
        assert reply.status == 404
    assert world.ports.networks.asked == [
        ("connect", box, "bridge", config), ("disconnect", box, "bridge")
    ]  # fmt: skip
