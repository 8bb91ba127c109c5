import pytest

from skep.agent.drafting import check_others, kept_request, refuse_unsupported
from skep.model.errors import Invalid, Missing


def test_what_has_places_of_its_own_is_not_kept_twice():
    body = {"Image": "busybox", "Domainname": "d", "Healthcheck": None, "HostConfig": {
        "NetworkMode": "web", "PortBindings": {}, "Memory": 5, "Dns": None, "CgroupnsMode": "host",
    }}  # fmt: skip
    assert kept_request(body) == {
        "Domainname": "d", "HostConfig": {"Memory": 5, "CgroupnsMode": "host"},
    }  # fmt: skip


def test_the_control_groups_that_are_usual_here_are_said():
    assert kept_request({})["HostConfig"]["CgroupnsMode"] in ("host", "private")


@pytest.mark.parametrize(
    "host",
    [
        {"Links": ["nosuch:x"]}, {"VolumesFrom": ["nosuch:ro"]},
        {"PidMode": "container:nosuch"}, {"IpcMode": "container:nosuch"},
    ],
)  # fmt: skip
def test_others_that_are_not_there_are_no_missing_image(host):
    def find(name):
        raise Missing(f"No such container: {name}")

    with pytest.raises(Invalid, match="could not get container for nosuch: No such container"):
        check_others({"HostConfig": host}, find)
    check_others({"HostConfig": {"PidMode": "host", "IpcMode": "private"}}, find)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"Hostname": "x", "HostConfig": {"NetworkMode": "container:a"}}, "hostname and the net"),
        ({"WorkingDir": "here"}, "needs to be an absolute path"),
        ({"HostConfig": {"Memory": 1024}}, "Minimum memory limit allowed is 6MB"),
    ],
)
def test_what_no_container_could_begin_with_is_refused(body, why):
    with pytest.raises(Invalid, match=why):
        refuse_unsupported(body)
