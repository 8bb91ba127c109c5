"""Secrets and configs."""

import base64
import json

import pytest
from api_world import words

DAEMON = "Error response from daemon: "
RPC = "rpc error: code = InvalidArgument desc = "
VALUE = base64.b64encode(b"topsecret").decode()


async def post(client, path, body, status=201):
    async with client.post(path, json=body) as reply:
        assert reply.status == status, await reply.text()
        return await reply.json() if reply.content_length else None


async def get(client, path, **filters):
    async with client.get(f"{path}?filters={json.dumps(filters)}" if filters else path) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def test_a_secret_is_never_shown(world, client):
    await world.swarm()
    made = await post(
        client, "/secrets/create", {"Name": "s1", "Data": VALUE, "Labels": {"a": "b"}}
    )
    assert world.cluster.state().find_secret("s1").spec.data == b"topsecret"
    shown = await get(client, "/secrets/s1")
    assert shown == await get(client, f"/secrets/{made['ID']}")
    assert shown == (await get(client, "/secrets"))[0]
    assert shown["ID"] == made["ID"]
    assert shown["Version"]["Index"] > 0
    assert shown["CreatedAt"].endswith("Z")
    assert shown["Spec"] == {"Name": "s1", "Labels": {"a": "b"}}
    assert "dG9w" not in json.dumps(shown)


async def test_a_config_is(world, client):
    await world.swarm()
    await post(client, "/configs/create", {"Name": "c1", "Data": VALUE, "Labels": None})
    shown = await get(client, "/configs/c1")
    assert shown["Spec"] == {"Name": "c1", "Labels": {}, "Data": VALUE}
    assert shown == (await get(client, "/configs"))[0]


@pytest.mark.parametrize("kind", ["secrets", "configs"])
async def test_filters(world, client, kind):
    await world.swarm()
    for name, labels in (("one", {"k": "1"}), ("one-more", {"k": "2", "x": ""}), ("two", {})):
        body = {"Name": name, "Data": VALUE, "Labels": labels}
        id = (await post(client, f"/{kind}/create", body))["ID"]
    for filters, names in (
        ({"name": ["one"]}, ["one", "one-more"]),
        ({"names": ["one"]}, ["one"]),
        ({"name": {"two": True}}, ["two"]),
        ({"label": ["k"]}, ["one", "one-more"]),
        ({"label": ["k=2"]}, ["one-more"]),
        ({"label": ["k=2", "x"]}, ["one-more"]),
        ({"id": [id[:20]]}, ["two"]),
        ({"name": ["ne"]}, []),
    ):
        found = await get(client, f"/{kind}", **filters)
        assert sorted(item["Spec"]["Name"] for item in found) == names, filters


@pytest.mark.parametrize("kind", ["secret", "config"])
async def test_only_labels_are_updated(world, client, kind):
    await world.swarm()
    await post(client, f"/{kind}s/create", {"Name": "x", "Data": VALUE})
    shown = await get(client, f"/{kind}s/x")
    path = f"/{kind}s/{shown['ID']}/update?version={shown['Version']['Index']}"
    await post(client, path, {"Name": "x", "Labels": {"a": "b"}}, 200)
    assert (await get(client, f"/{kind}s/x"))["Spec"]["Labels"] == {"a": "b"}
    stale = await post(client, path, {"Name": "x", "Data": VALUE}, 500)
    assert stale["message"] == "rpc error: code = Unknown desc = update out of sequence"
    other = {"Name": "x", "Data": base64.b64encode(b"other").decode()}
    refused = await post(client, path, other, 400)
    assert refused["message"] == RPC + "only updates to Labels are allowed"
    assert (await post(client, path, {"Name": "y"}, 400)) == refused


@pytest.mark.parametrize("kind", ["secret", "config"])
async def test_names_are_taken_once_and_removal_answers_204(world, client, kind):
    await world.swarm()
    await post(client, f"/{kind}s/create", {"Name": "x", "Data": VALUE})
    refused = await post(client, f"/{kind}s/create", {"Name": "x", "Data": "eA=="}, 409)
    assert refused["message"] == f"rpc error: code = AlreadyExists desc = {kind} x already exists"
    async with client.delete(f"/{kind}s/x") as reply:
        assert reply.status == 204
    assert await get(client, f"/{kind}s") == []


async def test_with_docker(world):
    await world.swarm()
    id = await world.docker("secret", "create", "sec1", "-", stdin=b"topsecret")
    refused = await world.docker("secret", "create", "sec1", "-", stdin=b"x", code=1)
    assert refused == f"{DAEMON}rpc error: code = AlreadyExists desc = secret sec1 already exists\n"
    form = "{{.ID}} {{.Name}}"
    assert await world.docker("secret", "ls", "--format", form) == f"{id.strip()} sec1\n"
    assert words(await world.docker("secret", "ls"))[0] == "ID NAME DRIVER CREATED UPDATED"
    assert "Name:              sec1" in await world.docker("secret", "inspect", "--pretty", "sec1")
    (shown,) = json.loads(await world.docker("secret", "inspect", "sec1"))
    assert shown["Spec"] == {"Name": "sec1", "Labels": {}}
    await world.docker("config", "create", "--label", "a=b", "cfg1", "-", stdin=b"conf")
    out = await world.docker("config", "ls", "--filter", "name=cfg1", "--format", "{{.Name}}")
    assert out == "cfg1\n"
    out = await world.docker("config", "inspect", "--pretty", "cfg1")
    assert "Data:\nconf" in out
    assert " - a=b" in out
    assert "config nosuch not found" in await world.docker("config", "inspect", "nosuch", code=1)
    assert "secret nosuch not found" in await world.docker("secret", "rm", "nosuch", code=1)


async def test_a_service_with_both(world):
    await world.swarm()
    await world.docker("secret", "create", "sec1", "-", stdin=b"topsecret")
    await world.docker("config", "create", "cfg1", "-", stdin=b"conf")
    await world.docker(
        "service", "create", "--detach", "--name", "withsec",
        "--secret", "source=sec1,target=/run/secrets/s,mode=0400,uid=5",
        "--config", "source=cfg1,target=/etc/c", "busybox", "sleep", "infinity",
    )  # fmt: skip
    form = "{{json .Spec.TaskTemplate.ContainerSpec}}"
    container = json.loads(await world.docker("service", "inspect", "-f", form, "withsec"))
    (secret,), (config,) = container["Secrets"], container["Configs"]
    assert secret["File"] == {"Name": "/run/secrets/s", "UID": "5", "GID": "0", "Mode": 0o400}
    assert config["File"] == {"Name": "/etc/c", "UID": "0", "GID": "0", "Mode": 0o444}
    assert (secret["SecretName"], config["ConfigName"]) == ("sec1", "cfg1")
    refused = await world.docker("secret", "rm", "sec1", code=1)
    used = f"{RPC}secret 'sec1' is in use by the following service: withsec\n"
    assert refused == DAEMON + used
    refused = await world.docker("config", "rm", "cfg1", code=1)
    assert "config 'cfg1' is in use by the following service: withsec" in refused
    refused = await world.docker(
        "service", "create", "--detach", "--secret", "nosuch", "busybox", code=1
    )
    assert "secret not found: nosuch" in refused
    await world.docker("secret", "create", "sec2", "-", stdin=b"new")
    await world.docker(
        "service", "update", "--detach", "--secret-rm", "sec1",
        "--secret-add", "source=sec2,target=/run/secrets/s", "withsec",
    )  # fmt: skip
    assert await world.docker("secret", "rm", "sec1") == "sec1\n"
    await world.docker("service", "rm", "withsec")
    assert await world.docker("secret", "rm", "sec2") == "sec2\n"
    assert await world.docker("config", "rm", "cfg1") == "cfg1\n"
