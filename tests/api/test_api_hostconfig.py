"""``HostConfig`` and ``Config`` of inspected containers: as their users said them."""

import pytest

from skep.api.shapes import container as shapes
from skep.api.shapes.endpoint import Networks
from skep.api.shapes.hostconfig import MASKED, host_config
from skep.model.host import Container


def box(**asked):
    host = asked.pop("HostConfig", {})
    return Container(id="a" * 64, name="box", image="busybox", network_mode="default",
                     asked={**asked, "HostConfig": host})  # fmt: skip


def test_members_that_nobody_spoke_of_have_dockers_values():
    shown = host_config(box(), {})
    assert shown["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert (shown["IpcMode"], shown["Runtime"], shown["ShmSize"]) == ("private", "runc", 64 << 20)
    assert shown["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert (shown["Binds"], shown["Dns"], shown["Memory"], shown["PidsLimit"]) == (
        None, [], 0, None,
    )  # fmt: skip
    assert shown["MaskedPaths"] == MASKED


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"Memory": 5}, {"Memory": 5, "MemorySwap": 10}),
        ({"Memory": 5, "MemorySwap": -1}, {"MemorySwap": -1}),
        ({"MemorySwappiness": -1}, {"MemorySwappiness": None}),
        ({"MemorySwappiness": 0}, {"MemorySwappiness": 0}),
        ({"Links": ["web:w", "/db"]}, {"Links": ["/web:/box/w", "/db:/box/db"]}),
        ({"PidMode": "container:b"}, {"PidMode": "container:full"}),
        ({"IpcMode": "host"}, {"IpcMode": "host"}),
        ({"MaskedPaths": [], "ReadonlyPaths": []}, {"MaskedPaths": [], "ReadonlyPaths": []}),
        ({"Privileged": True}, {"MaskedPaths": None, "ReadonlyPaths": None}),
    ],
)
def test_what_is_said_is_shown(asked, shown):
    found = host_config(box(HostConfig=asked), {"PidMode": "container:full"})
    assert {name: found[name] for name in shown} == shown


def test_limits_that_were_changed_since_are_shown():
    changed = Container(id="a", name="box", image="x", network_mode="default",
                        asked={"HostConfig": {"Memory": 5}}, limits={"Memory": 7})  # fmt: skip
    assert host_config(changed, {})["Memory"] == 7


def config(engine, **asked):
    found = shapes.inspected({"Config": engine}, box(**asked), Networks((), {}))
    return found["Config"]


def test_a_health_check_is_the_users_over_its_images():
    of_image = {"Test": ["CMD", "x"], "Interval": 30}
    assert config({"Healthcheck": of_image}, Healthcheck={"Retries": 2})["Healthcheck"] == {
        "Test": ["CMD", "x"], "Interval": 30, "Retries": 2,
    }  # fmt: skip
    off = {"Test": ["NONE"]}
    assert config({"Healthcheck": of_image}, Healthcheck=off)["Healthcheck"] == off
    assert config({"Healthcheck": of_image})["Healthcheck"] == of_image
