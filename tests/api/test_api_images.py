"""Images, volumes, and the names that users know."""

import pytest

from skep.api import relay
from skep.api.shapes import image as shapes


async def call(client, method, path, **options):
    async with client.request(method, path, **options) as reply:
        return reply.status, await reply.read()


async def test_list(client):
    async with client.get("/images/json") as reply:
        found = await reply.json()
    assert [image["RepoTags"] for image in found] == [["busybox:latest"], ["nginx:latest"]]
    assert found[0]["Id"] == "sha256:" + "11" * 32


async def test_inspect_and_remove(client):
    async with client.get("/images/nginx:latest/json") as reply:
        assert (await reply.json())["RepoTags"] == ["nginx:latest"]
    async with client.delete("/images/nginx") as reply:
        assert await reply.json() == [{"Untagged": "nginx:latest"}, {"Deleted": "sha256:22"}]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/images/x/y:1/history"), ("POST", "/images/x/y:1/tag"), ("DELETE", "/images/x/y:1")],
)
async def test_missing(client, method, path):
    async with client.request(method, path) as reply:
        assert reply.status == 404
        assert (await reply.json())["message"] == "No such image: x/y:1"


async def test_load(world, client):
    status, body = await call(client, "POST", "/images/load?quiet=1", data=b"tar")
    assert (status, body) == (200, b'{"stream":"Loaded image: busybox:latest\\n"}\n')
    assert world.engine.uploads == [b"tar"]
    assert world.engine.asked[-1] == ("POST", "/images/load", {"quiet": "1"})


async def test_progress_comes_in_whole_lines():
    async def pieces():
        yield b'{"stream":"Loaded image: docker.io/library/nginx'
        yield b':1"}\nnot json\n{"status":"sha256:1 localhost/a:1"}'

    assert [line async for line in relay.json_lines(pieces(), shapes.progress)] == [
        b'{"stream":"Loaded image: nginx:1\\n"}\n',
        b"not json\n",
        b'{"status":"sha256:1 a:1"}\n',
    ]


async def test_import_keeps_its_tag(world, client):
    await call(client, "POST", "/images/create?fromSrc=-&repo=r&tag=2", data=b"tar")
    assert world.engine.asked[-1] == ("POST", "/images/create", {"fromSrc": "-", "repo": "r:2"})


async def test_pull_fails_with_the_engines_sentence(world, client):
    status, body = await call(client, "POST", "/images/create?fromImage=busybox&tag=1")
    assert status == 500
    assert body == b'{"message":"no registry access: no image can be pulled"}'
    assert world.engine.uploads == []


async def test_save_several(world, client):
    status, body = await call(client, "GET", "/images/get?names=a&names=b:1")
    assert (status, body) == (200, b"tar")
    assert world.engine.asked[-1] == ("GET", "/images/get?names=a&names=b%3A1", {})


async def test_volumes(client):
    assert await call(client, "GET", "/volumes") == (200, b'{"Volumes":[],"Warnings":[]}')
    async with client.post("/volumes/create", json={"Name": "v9"}) as reply:
        assert reply.status == 201
        assert (await reply.json())["Name"] == "v9"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/build?version=2", 501, "BuildKit is not part of Skep"),
        ("/build?networkmode=web", 501, "building on network web"),
        ("/session", 501, "BuildKit is not part of Skep"),
        ("/plugins/pull", 501, "not supported by"),
        ("/auth", 400, "which registry"),
        ("/commit", 400, "which container"),
        ("/commit?container=nosuch", 404, "No such container: nosuch"),
        ("/images/create", 400, "say what to pull (fromImage=) or where to import from (fromSrc=)"),
        ("/images/x/push", 404, "does not exist locally with the tag: x"),
    ],
)
async def test_refused(client, path, status, words):
    async with client.post(path, json={}) as reply:
        assert reply.status == status
        assert words in (await reply.json())["message"]


async def test_registries_are_shown_what_the_client_shows(world, client):
    async with client.post("/images/x/push?tag=1", headers={"X-Registry-Auth": "e30="}) as reply:
        assert reply.status == 404
    assert world.engine.shown == [{"X-Registry-Auth": "e30="}]


def test_history_of_missing_layers():
    assert shapes.image({"Id": "<missing>", "Tags": None}) == {"Id": "<missing>", "Tags": []}


def test_disk_usage_counts_shared_layers_once():
    base = {"Id": "aa", "Size": 10, "RepoTags": ["localhost/a:1"]}
    listed = [base, {"Id": "bb", "Size": 30, "ParentId": "aa"}]
    usage = [{"Id": "aa", "SharedSize": 10, "Containers": 2, "RepoTags": ["1"]}]
    shown, total = shapes.used(listed, usage)
    assert total == 30
    assert shown[0]["RepoTags"] == ["a:1"]
    assert (shown[0]["Containers"], shown[0]["SharedSize"]) == (2, 10)


def test_prune_of_nothing():
    assert shapes.pruned(None) == {"ImagesDeleted": [], "SpaceReclaimed": 0}
