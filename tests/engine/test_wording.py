import pytest

from skep.engine.wording import additions, device_rule, worded


def host_of(**host):
    return worded({"HostConfig": host})["HostConfig"]


def test_memory_file_systems_begin_empty_and_execute_nothing():
    assert host_of(Tmpfs={"/a": "size=1k", "/b": "exec"})["Tmpfs"] == {
        "/a": "size=1k,noexec,notmpcopyup",
        "/b": "exec,notmpcopyup",
    }


def test_mounts_in_memory_become_tmpfs():
    options = {"SizeBytes": 65536, "Mode": 0o700, "Options": [["uid", "5"], ["exec"]]}
    bind = {"Type": "bind", "Source": "/s", "Target": "/b"}
    mounts = [bind, {"Type": "tmpfs", "Target": "/t", "ReadOnly": True, "TmpfsOptions": options}]
    host = host_of(Mounts=mounts, Tmpfs={"/u": ""})
    assert host["Mounts"] == [bind]
    assert host["Tmpfs"] == {
        "/t": "ro,size=65536,mode=700,uid=5,exec,notmpcopyup",
        "/u": "noexec,notmpcopyup",
    }


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3"}},
         {"Type": "json-file", "Config": {"max-size": "1m"}}),
        ({"Type": "local", "Config": None}, {"Type": "json-file", "Config": {"max-size": "100m"}}),
        ({"Type": "none", "Config": {}}, {"Type": "none", "Config": {}}),
    ],
)  # fmt: skip
def test_log_drivers(asked, given):
    assert host_of(LogConfig=asked)["LogConfig"] == given


def test_what_the_client_always_sends_needs_no_amending():
    host = {"CgroupnsMode": "", "BlkioWeight": 0, "MemorySwap": 0, "DeviceCgroupRules": None,
            "MaskedPaths": None, "ReadonlyPaths": None, "ReadonlyRootfs": False}  # fmt: skip
    assert additions({"Domainname": "", "HostConfig": host}) == {}


def test_what_podman_would_drop_is_added():
    host = {
        "Annotations": {"a": "b"}, "CgroupnsMode": "private", "DeviceCgroupRules": ["c 7:* rw"],
        "BlkioWeight": 300, "Memory": 1 << 25, "MemorySwap": -1, "MaskedPaths": [],
        "ReadonlyRootfs": True, "Tmpfs": {"/run": ""}, "Binds": ["/x:/tmp"],
    }  # fmt: skip
    assert additions({"Domainname": "dom.test", "HostConfig": host}) == {
        "annotations": {"a": "b"}, "domainname": "dom.test", "cgroupns": "private",
        "devices": [{"allow": True, "type": "c", "access": "rw", "major": 7}],
        "weight": 300, "swap": -1, "maskedPaths": [], "unasked": ["/var/tmp"],
    }  # fmt: skip


def test_a_device_rule():
    assert device_rule("b 8:1 r") == {
        "allow": True, "type": "b", "access": "r", "major": 8, "minor": 1,
    }  # fmt: skip
