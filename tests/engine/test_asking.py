import pytest

from skep.engine.asking import check_request
from skep.model.errors import Invalid, Unsupported


def test_what_a_client_sends_for_nothing_is_well():
    host = {"NetworkMode": "default", "LogConfig": {"Type": "", "Config": {}}, "CpuCount": 0,
            "DeviceRequests": None, "IOMaximumIOps": 0, "Bogus": ""}  # fmt: skip
    assert check_request({"Image": "busybox", "Cmd": None, "HostConfig": host}) == []


REFUSED = [
    ({"Bogus": 1}, Invalid, "Bogus is not a member"),
    ({"NetworkDisabled": True}, Unsupported, "use --network none"),
    ({"HostConfig": {"Bogus": 1}}, Invalid, r"HostConfig\.Bogus is not a member"),
    ({"HostConfig": {"DeviceRequests": [{}]}}, Unsupported, "could not select device driver"),
    ({"HostConfig": {"Isolation": "hyperv"}}, Invalid, "containers here can have default"),
    ({"HostConfig": {"PidMode": "bogus"}}, Invalid, "host, container:NAME"),
    ({"HostConfig": {"DeviceCgroupRules": ["x"]}}, Invalid, "device cgroup rule format: 'x'"),
    ({"HostConfig": {"Mounts": [{"Type": "image"}]}}, Unsupported, "bind, volume, tmpfs"),
    ({"HostConfig": {"Mounts": [{"Type": "volume", "Target": "/t",
                                 "VolumeOptions": {"Subpath": "x"}}]}},
     Unsupported, "Subpath of the mount on /t"),
    ({"HostConfig": {"LogConfig": {"Type": "gelf"}}}, Invalid, "no log driver named 'gelf'"),
    ({"HostConfig": {"LogConfig": {"Config": {"labels": "a"}}}}, Unsupported, "log option labels"),
    ({"HostConfig": {"LogConfig": {"Type": "none", "Config": {"max-size": "1"}}}}, Invalid,
     "unknown log opt 'max-size' for none"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "sentence"), REFUSED)
def test_refused_by_name(body, kind, sentence):
    with pytest.raises(kind, match=sentence):
        check_request(body)


def test_an_option_without_use_is_warned_of():
    config = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3"}}
    (said,) = check_request({"HostConfig": {"LogConfig": config}})
    assert said.startswith("log option max-file has no use")
