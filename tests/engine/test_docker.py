"""Docker Engine as the engine: what it is asked, and how it must be set."""

import pytest

from skep.engine.docker import check_settings, in_our_namespace, is_docker
from skep.engine.runtime import NETNS_MOUNT
from skep.model.errors import Broken

SET = {"Runtimes": {"runc": {}, "skep": {}}, "LiveRestoreEnabled": True}
NETWORKS = [{"Driver": "host"}, {"Driver": "null"}]


def test_a_namespace_is_asked_for_by_a_mount():
    body = {"Image": "x", "HostConfig": {"NetworkMode": "ns:/run/netns/abc", "Binds": ["a:/b"]}}
    assert in_our_namespace(body) == {
        "Image": "x",
        "HostConfig": {
            "NetworkMode": "none",
            "Runtime": "skep",
            "Binds": ["a:/b", f"/run/netns/abc:{NETNS_MOUNT}:ro"],
        },
    }


@pytest.mark.parametrize("mode", ["host", "none", "container:abc"])
def test_other_modes_are_docker_engines_own(mode):
    body = {"HostConfig": {"NetworkMode": mode}}
    assert in_our_namespace(body) == body


def test_it_is_told_from_podman():
    assert is_docker({"Components": [{"Name": "Engine"}, {"Name": "containerd"}]})
    assert not is_docker({"Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]})
    assert not is_docker({})


def test_one_that_is_set_right_is_taken():
    check_settings("/s", SET, NETWORKS)


@pytest.mark.parametrize(
    ("info", "networks", "why"),
    [
        ({**SET, "Runtimes": {"runc": {}}}, NETWORKS, "does not know the runtime"),
        (SET, [*NETWORKS, {"Driver": "bridge"}], "a bridge and rules of its own"),
        ({**SET, "LiveRestoreEnabled": False}, NETWORKS, "end when it is restarted"),
        ({}, [], "does not know the runtime"),
    ],
)
def test_one_that_is_not_is_refused_with_what_to_do(info, networks, why):
    with pytest.raises(Broken, match=why) as refused:
        check_settings("/run/d.sock", info, networks)
    assert "bin/skep-runc" in str(refused.value)
    assert "/run/d.sock" in str(refused.value)
