import json
import subprocess
import sys

import pytest

from skep.engine import amending
from skep.engine.extras import HOOK, Extras, hook
from skep.model.errors import Broken

ID = "ab" * 32


def spec(**linux):
    mounts = [{"destination": path, "type": "tmpfs"} for path in ("/run", "/dev")]
    linux = {"cgroupsPath": f"/own/libpod-{ID}", "namespaces": [{"type": "pid"}], **linux}
    return {"linux": linux, "mounts": [*mounts, {"destination": "/run", "type": "bind"}]}


def test_each_addition_has_its_place():
    more = {
        "annotations": {"a": "b"}, "domainname": "dom.test", "cgroupns": "private",
        "devices": [{"allow": True}], "weight": 300, "swap": -1, "maskedPaths": [],
        "readonlyPaths": ["/x"], "unasked": ["/run"],
    }  # fmt: skip
    found = amending.amended(spec(resources={"devices": [{"allow": False}]}), more)
    assert found["annotations"] == {"a": "b"}
    assert [each["destination"] for each in found["mounts"]] == ["/dev", "/run"]
    linux = found["linux"]
    assert linux["sysctl"] == {"kernel.domainname": "dom.test"}
    assert linux["namespaces"] == [{"type": "pid"}, {"type": "cgroup"}]
    assert linux["resources"] == {
        "devices": [{"allow": False}, {"allow": True}],
        "blockIO": {"weight": 300},
        "memory": {"swap": -1},
    }
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], ["/x"])


def test_the_hosts_control_groups_are_seen():
    found = amending.amended(spec(namespaces=[{"type": "cgroup"}]), {"cgroupns": "host"})
    assert found["linux"]["namespaces"] == []


def run(folder, given):
    done = subprocess.run(hook(folder)["hook"]["args"], input=json.dumps(given),
                          capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


def test_the_hook_amends_its_containers_and_no_other(tmp_path):
    extras = Extras(tmp_path / "extras", tmp_path / "hooks")
    assert not extras
    extras.put(ID, {"domainname": "dom.test"})
    assert extras
    described = json.loads((tmp_path / "hooks" / HOOK).read_text())
    assert described["hook"]["path"] == sys.executable
    assert described["stages"] == ["precreate"]
    assert run(tmp_path / "extras", spec())["linux"]["sysctl"]["kernel.domainname"] == "dom.test"
    other = spec(cgroupsPath="/own/libpod-other")
    assert run(tmp_path / "extras", other) == other


def test_the_hook_goes_with_the_last_container_that_needs_it(tmp_path):
    extras = Extras(tmp_path / "extras", tmp_path / "hooks")
    extras.put(ID, {"weight": 1})
    extras.put("other", {"weight": 1})
    assert extras.ids() == {ID, "other"}
    extras.drop(ID)
    assert extras
    extras.drop("other")
    assert not extras
    assert list((tmp_path / "extras").iterdir()) == []


def test_what_cannot_be_noted_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Broken, match=r"cannot write .*file.*: Not a directory"):
        Extras(tmp_path / "file" / "extras", tmp_path / "hooks").put(ID, {"weight": 1})
