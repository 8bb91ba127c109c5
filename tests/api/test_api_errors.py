"""Statuses and sentences on the error paths, as clients compare them."""

import pytest
from api_world import INACTIVE, WORKER

ALREADY = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm '
    "and join another one."
)
INIT = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "192.168.90.11"}
JOIN = {
    "ListenAddr": "0.0.0.0:2377",
    "RemoteAddrs": ["192.168.90.11:2377"],
    "JoinToken": f"SWMTKN-1-{'d' * 50}-{'w' * 25}",
}
SERVICE = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:latest"}}}


async def answer(client, method, path, body=None):
    async with client.request(method, path, json=body) as reply:
        return reply.status, (await reply.json())["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/nodes", None, 503, INACTIVE),
        ("GET", "/services", None, 503, INACTIVE),
        ("GET", "/tasks", None, 503, INACTIVE),
        ("GET", "/swarm", None, 503, INACTIVE),
        ("GET", "/secrets", None, 503, INACTIVE),
        ("POST", "/services/create", SERVICE, 503, INACTIVE),
        ("POST", "/networks/create", {"Name": "x", "Driver": "overlay"}, 403, INACTIVE),
        ("POST", "/swarm/leave", None, 503, "This node is not part of a swarm"),
        ("POST", "/swarm/join", {**JOIN, "JoinToken": "SWMTKN-1-bad"}, 500, "invalid join token"),
        ("POST", "/swarm/join", {}, 400, "at least 1 RemoteAddr is required to join"),
        ("GET", "/networks/nosuch", None, 404, "network nosuch not found"),
        ("DELETE", "/networks/nosuch", None, 404, "network nosuch not found"),
        (
            "DELETE",
            "/networks/bridge",
            None,
            403,
            "bridge is a pre-defined network and cannot be removed",
        ),
        ("POST", "/networks/create", {}, 400, "invalid name: name is empty"),
        (
            "POST",
            "/networks/create",
            {"Name": "host"},
            403,
            "operation is not permitted on predefined host network",
        ),
        ("GET", "/containers/nosuch/json", None, 404, "No such container: nosuch"),
        ("DELETE", "/containers/nosuch", None, 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/wait", None, 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/attach", None, 404, "No such container: nosuch"),
        (
            "POST",
            "/containers/create",
            {"Image": "nosuchimage:1"},
            404,
            "No such image: nosuchimage:1",
        ),
        ("GET", "/images/nosuch/json", None, 404, "No such image: nosuch:latest"),
        ("GET", "/volumes/nosuch", None, 404, "volume nosuch not found"),
        ("GET", "/plugins/nosuch/json", None, 404, 'plugin "nosuch" not found'),
        (
            "GET",
            "/distribution/nginx:latest/json",
            None,
            404,
            "no registry access: the digest of nginx:latest cannot be looked up",
        ),
        ("GET", "/networks?filters={%22bogus%22:[%22x%22]}", None, 400, "invalid filter 'bogus'"),
        ("GET", "/nosuch", None, 404, "page not found"),
        ("PATCH", "/info", None, 404, "page not found"),
        (
            "GET",
            "/v1.99/info",
            None,
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.50",
        ),
        (
            "GET",
            "/v1.10/info",
            None,
            400,
            "client version 1.10 is too old. Minimum supported API version is 1.40, "
            "please upgrade your client to a newer version",
        ),
    ],
)
async def test_without_a_swarm(client, method, path, body, status, message):
    assert await answer(client, method, path, body) == (status, message)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/swarm/init", INIT, 503, ALREADY),
        ("POST", "/swarm/join", JOIN, 503, ALREADY),
        ("GET", "/nodes/nosuch", None, 404, "node nosuch not found"),
        ("GET", "/services/nosuch", None, 404, "service nosuch not found"),
        ("DELETE", "/services/nosuch", None, 404, "service nosuch not found"),
        ("GET", "/tasks/nosuch", None, 404, "task nosuch not found"),
        ("GET", "/secrets/nosuch", None, 404, "secret nosuch not found"),
        ("GET", "/configs/nosuch", None, 404, "config nosuch not found"),
        ("GET", '/tasks?filters={"service":["nosuch"]}', None, 404, "service nosuch not found"),
        ("POST", "/services/create", {}, 400, "mismatched Runtime and *Spec fields"),
        ("POST", "/services/x/update?version=", SERVICE, 400,
         "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax"),
        ("POST", "/secrets/create", {"Name": "s"}, 400,
         "rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than "
         "512000 bytes"),
        ("POST", "/secrets/create", {"Name": "s", "Data": "%%"}, 400,
         "invalid JSON: Invalid base64 encoded string - at `$.Data`"),
        ("POST", "/configs/create", {"Data": "eA=="}, 400,
         "rpc error: code = InvalidArgument desc = name must be provided"),
        ("POST", "/secrets/create", {"Name": "s", "Data": "eA==", "Driver": {"Name": "vault"}}, 501,
         "Driver is not supported by this version of Skep"),
        ("POST", "/secrets/x/update", {"Name": "x"}, 400,
         "invalid secret version '': strconv.ParseUint: parsing \"\": invalid syntax"),
        ("POST", "/configs/nosuch/update?version=1", {"Name": "nosuch"}, 404,
         "config nosuch not found"),
        ("DELETE", "/secrets/nosuch", None, 404, "secret nosuch not found"),
        ("GET", '/secrets?filters={"bogus":["x"]}', None, 400, "invalid filter 'bogus'"),
        ("GET", "/services/nosuch/logs?stdout=1", None, 404, "service nosuch not found"),
        ("GET", "/tasks/nosuch/logs?stdout=1", None, 404, "task nosuch not found"),
        ("POST", "/swarm/leave", None, 503,
         "You are attempting to leave the swarm on a node that is participating as a manager. "
         "Removing the last manager erases all current state of the swarm. "
         "Use `--force` to ignore this message."),
        ("POST", "/swarm/unlock", {"UnlockKey": "k"}, 409, "swarm is not locked"),
    ],
)  # fmt: skip
async def test_on_a_manager(  # noqa: PLR0917
    world, client, method, path, body, status, message
):
    await world.swarm()
    assert await answer(client, method, path, body) == (status, message)


async def test_on_a_worker(world, client):
    await answerless(client, "POST", "/swarm/join", JOIN)
    assert await answer(client, "GET", "/nodes") == (503, WORKER)
    made = await answer(client, "POST", "/networks/create", {"Name": "x", "Driver": "overlay"})
    assert made == (403, WORKER)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/secrets"),
        ("GET", "/configs/c"),
        ("POST", "/secrets/create"),
        ("DELETE", "/configs/c"),
        ("GET", "/services/web/logs?stdout=1"),
        ("GET", "/tasks/x/logs?stdout=1"),
    ],
)
async def test_not_on_a_worker(client, method, path):
    await answerless(client, "POST", "/swarm/join", JOIN)
    body = {"Name": "s", "Data": "eA=="} if method == "POST" else None
    assert await answer(client, method, path, body) == (503, WORKER)


async def answerless(client, method, path, body):
    async with client.request(method, path, json=body) as reply:
        assert reply.status == 200, await reply.text()


async def test_names_and_ports_in_use(world, client):
    await world.swarm()
    async with client.post("/networks/create", json={"Name": "n", "Driver": "overlay"}) as reply:
        assert reply.status == 201
    network = {"Name": "n", "Driver": "overlay"}
    assert await answer(client, "POST", "/networks/create", network) == (
        409,
        "network with name n already exists",
    )
    ports = [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress"}]
    async with client.post(
        "/services/create",
        json={**SERVICE, "EndpointSpec": {"Ports": ports}, "Networks": [{"Target": "n"}]},
    ) as reply:
        service = (await reply.json())["ID"]
    again = await answer(client, "POST", "/services/create", SERVICE)
    assert again == (
        409,
        "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
        "service web already exists",
    )
    other = {**SERVICE, "Name": "web2", "EndpointSpec": {"Ports": ports}}
    assert await answer(client, "POST", "/services/create", other) == (
        400,
        "rpc error: code = InvalidArgument desc = port '80' is already in use by service 'web' "
        f"({service}) as an ingress port",
    )
    network_id = world.cluster.state().find_network("n").id
    assert await answer(client, "DELETE", "/networks/n") == (
        400,
        f"rpc error: code = FailedPrecondition desc = network {network_id} is in use by "
        f"service {service}",
    )


async def test_stale_versions(world, client):
    await world.swarm()
    async with client.post("/services/create", json=SERVICE) as reply:
        assert reply.status == 201
    stale = (500, "rpc error: code = Unknown desc = update out of sequence")
    node = {"Role": "manager", "Availability": "drain"}
    assert await answer(client, "POST", "/services/web/update?version=0", SERVICE) == stale
    assert await answer(client, "POST", "/nodes/self/update?version=0", node) == stale
    rotate = "/swarm/update?version=0&rotateWorkerToken=true"
    assert await answer(client, "POST", rotate, {}) == stale


async def test_nodes_that_stay(world, client):
    await world.swarm()
    await world.cluster.add_worker()
    refused = await answer(client, "DELETE", "/nodes/node1")
    assert refused[0] == 400
    assert "is a cluster manager and is a member of the raft cluster" in refused[1]
    refused = await answer(client, "DELETE", "/nodes/node2")
    assert refused[0] == 400
    assert refused[1].endswith("is not down and can't be removed")
    async with client.delete("/nodes/node2?force=1") as reply:
        assert reply.status == 200


async def test_a_fault_of_ours_is_one_sentence(world, client, monkeypatch):
    monkeypatch.setattr(world.host, "local_networks", lambda: 1 / 0)
    status, message = await answer(client, "GET", "/networks")
    assert status == 500
    assert message.startswith("internal error")
    assert "ZeroDivisionError" not in message
