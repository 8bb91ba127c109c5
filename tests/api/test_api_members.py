import pytest

from skep.api.members import check_members
from skep.model.errors import Invalid


def test_what_clients_send_is_well():
    check_members({
        "Image": "busybox", "Cmd": None, "Entrypoint": "sh", "Labels": {"a": "b"},
        "HostConfig": {"Memory": 5, "Init": None, "LogConfig": {"Type": "", "Config": {}},
                       "Mounts": [{"Type": "tmpfs", "TmpfsOptions": {"Options": [["exec"]]}}]},
        "NetworkingConfig": {"EndpointsConfig": {"web": None, "db": {}}},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"Image": 5}, "Image"),
        ({"HostConfig": []}, "HostConfig"),
        ({"HostConfig": {"ReadonlyRootfs": {"a": 1}}}, "ReadonlyRootfs"),
        ({"HostConfig": {"NanoCpus": ["n2"]}}, "NanoCpus"),
        ({"HostConfig": {"Mounts": [871, [], None]}}, "Mounts"),
        ({"HostConfig": {"Mounts": [{"Target": 5}]}}, "Target"),
        ({"HostConfig": {"Mounts": [{"TmpfsOptions": {"Options": ["exec"]}}]}}, "Options"),
        ({"HostConfig": {"LogConfig": {"Config": {"a": 4}}}}, "Config"),
        ({"NetworkingConfig": {"EndpointsConfig": {"n2": [True]}}}, "EndpointsConfig"),
        ({"Healthcheck": {"Interval": "1s"}}, "Interval"),
    ],
)
def test_another_type_is_refused_by_name(body, name):
    with pytest.raises(Invalid, match=f"invalid JSON: {name} is of another type"):
        check_members(body)
