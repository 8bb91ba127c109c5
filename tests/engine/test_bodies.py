import pytest

from skep.engine.bodies import without_networking

LIMITS = {"nofile": 1000, "nproc": 500}


def test_nothing_that_concerns_networks_is_left():
    body = {
        "Image": "nginx",
        "ExposedPorts": {"80/tcp": {}},
        "MacAddress": "02:42:00:00:00:01",
        "NetworkingConfig": {"EndpointsConfig": {"a": {}}},
        "HostConfig": {
            "NetworkMode": "ns:/run/netns/a",
            "PortBindings": {"80/tcp": [{"HostPort": "80"}]},
            "PublishAllPorts": True,
            "Links": ["a:b"],
            "Dns": ["10.0.0.1"],
            "ExtraHosts": ["a:10.0.0.1"],
            "Binds": ["/a:/b"],
        },
    }
    assert without_networking(body, LIMITS) == {
        "Image": "nginx",
        "StopTimeout": 10,
        "HostConfig": {"NetworkMode": "ns:/run/netns/a", "Binds": ["/a:/b"]},
    }
    assert "PortBindings" in body["HostConfig"], "the caller's own body is untouched"


def test_the_hosts_namespace_keeps_its_name_servers():
    host = {"NetworkMode": "host", "Dns": ["10.0.0.1"], "PortBindings": {}}
    kept = without_networking({"HostConfig": host}, LIMITS)["HostConfig"]
    assert kept == {"NetworkMode": "host", "Dns": ["10.0.0.1"]}


@pytest.mark.parametrize(("asked", "given"), [(None, 10), (0, 0), (3, 3)])
def test_stop_timeout(asked, given):
    body = {"StopTimeout": asked, "HostConfig": {"NetworkMode": "none"}}
    assert without_networking(body, LIMITS)["StopTimeout"] == given


@pytest.mark.parametrize("mode", ["", "bridge", "default", "podman", "my-network"])
def test_an_engine_is_never_asked_for_a_network(mode):
    with pytest.raises(AssertionError, match="asked to make a network"):
        without_networking({"HostConfig": {"NetworkMode": mode}}, LIMITS)
    with pytest.raises(AssertionError, match="no NetworkMode"):
        without_networking({"HostConfig": None}, LIMITS)


def test_a_limit_that_is_named_leaves_the_others_as_they_are():
    asked = [{"Name": "nofile", "Soft": 5, "Hard": 6}]
    body = {"HostConfig": {"NetworkMode": "none", "Ulimits": asked}}
    given = without_networking(body, LIMITS)["HostConfig"]["Ulimits"]
    assert given == [*asked, {"Name": "nproc", "Soft": 500, "Hard": 500}]
    assert "Ulimits" not in without_networking({"HostConfig": {"NetworkMode": "none"}}, LIMITS)
