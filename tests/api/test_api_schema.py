"""Bodies: content types, JSON, member names, and nothing silently ignored."""

import pytest

from skep.api import schema
from skep.api.services import service_spec
from skep.model.errors import Invalid, Unsupported
from skep.model.spec import NetworkSpec, NodeSpec, ServiceMode, ServiceSpec

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"{}",
            "unsupported Content-Type header (application/x-www-form-urlencoded): "
            "must be 'application/json'",
        ),
        (JSON, b"{", "invalid JSON: "),
        (JSON, b"   ", "invalid JSON: got EOF while reading request body"),
        (JSON, b"{}{}", "unexpected content after JSON"),
        (JSON, b"[]", "invalid JSON: an object is needed"),
        (JSON, b'{"Name": 5}', "invalid JSON: Expected `str`, got `int` - at `$.Name`"),
        (JSON, b"", "invalid name: name is empty"),
        (JSON, b"null", "invalid name: name is empty"),
        ({"Content-Type": "application/json; charset=utf-8"}, b"{}", "invalid name: name is empty"),
    ],
)
async def test_bad_bodies(client, headers, body, message):
    async with client.post("/networks/create", data=body, headers=headers) as reply:
        assert reply.status == 400
        assert (await reply.json())["message"].startswith(message)


async def test_body_without_content_type(client):
    skip = ["Content-Type"]
    async with client.post("/networks/create", data=b"{}", skip_auto_headers=skip) as reply:
        assert reply.status == 400
        assert "malformed Content-Type header ()" in (await reply.json())["message"]


async def test_empty_create_of_a_container(client):
    async with client.post("/containers/create", data=b"", headers=JSON) as reply:
        assert reply.status == 400
        message = (await reply.json())["message"]
        assert message == "config cannot be empty in order to create a container"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/containers/create", {"Cmd": ["true"]}),
        ("/containers/create", {"Image": 5}),
        ("/containers/create", {"Image": "busybox", "HostConfig": "x"}),
        ("/containers/create", {"Image": "busybox", "HostConfig": {"PortBindings": [1]}}),
        ("/containers/create", {"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": 1}}),
        ("/volumes/create", []),
        ("/volumes/create", {"Name": {}}),
        ("/images/prune?filters=%7B%22dangling%22:[%22x%22]%7D", None),
        ("/images/prune?filters=%7B%22bogus%22:[%22x%22]%7D", None),
    ],
)
async def test_shapes_that_nobody_can_read(client, path, body):
    async with client.post(path, json=body) as reply:
        assert reply.status == 400, await reply.text()


def test_nulls_and_cases():
    body = {"name": "n", "DRIVER": "overlay", "Options": None, "labels": {"A": "b"}}
    spec = schema.decode(schema.without_nulls(body), NetworkSpec)
    assert (spec.name, spec.driver, spec.labels) == ("n", "overlay", {"A": "b"})


def test_names_in_maps_stay_as_they_are():
    spec = schema.decode({"Labels": {"name": "x", "ROLE": "y"}}, NodeSpec)
    assert spec.labels == {"name": "x", "ROLE": "y"}


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"Bogus": 1}, "Bogus"),
        ({"TaskTemplate": {"ContainerSpec": {"Privileges": {"SELinuxContext": {"User": "x"}}}}},
         "TaskTemplate.ContainerSpec.Privileges.SELinuxContext"),
        ({"TaskTemplate": {"PluginSpec": {"Name": "x"}}}, "TaskTemplate.PluginSpec"),
        ({"TaskTemplate": {"ContainerSpec": {"Mounts": [{"ClusterOptions": {"x": "y"}}]}}},
         "TaskTemplate.ContainerSpec.Mounts.ClusterOptions"),
    ],
)  # fmt: skip
def test_unknown_members_with_a_value_are_refused_by_name(body, member):
    with pytest.raises(Unsupported, match=f"^{member} is not supported"):
        schema.decode(body, ServiceSpec)


def test_unknown_members_that_ask_for_nothing_pass():
    container = {
        "Image": "nginx",
        "Healthcheck": {},
        "Privileges": {"CredentialSpec": {}, "NoNewPrivileges": False},
        "Ulimits": [],
        "Mounts": [{"Type": "volume", "Target": "/v", "ClusterOptions": {}}],
    }
    spec = schema.decode({"TaskTemplate": {"ContainerSpec": container}}, ServiceSpec)
    assert spec.task_template.container_spec.mounts[0].target == "/v"


def test_the_global_mode_is_an_empty_object():
    spec = service_spec({"Mode": {"Global": {}}, "TaskTemplate": {"ContainerSpec": {}}})
    assert spec.mode == ServiceMode(global_={})


def test_jobs_are_not_taken_for_services():
    body = {"Mode": {"ReplicatedJob": {"TotalCompletions": 2}}}
    assert service_spec(body).mode.replicated is None


def test_what_clients_send_back_is_no_change():
    asked = {"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}
    shown = {
        "Name": "w",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "nginx", "Isolation": "default"},
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "Labels": {},
    }
    assert service_spec(shown) == service_spec(asked)


def test_no_object():
    with pytest.raises(Invalid):
        service_spec([])
