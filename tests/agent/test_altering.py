"""New names and new limits: what is refused."""

import msgspec
import pytest

from skep.agent.altering import check_new_name, wanted_limits
from skep.agent.records import Record
from skep.model.errors import Clash, Invalid, Unsupported

RECORD = Record(
    id="c" * 64, name="old", image="busybox", sandbox_id="", network_mode="default", created_at=0.0
)


@pytest.mark.parametrize("name", ["new", "n", "a.b-c_d"])
def test_names(name):
    check_new_name(RECORD, name)


@pytest.mark.parametrize(
    ("name", "changed", "refusal"),
    [
        ("", {}, Invalid),
        ("old", {}, Invalid),
        ("a b", {}, Invalid),
        ("-a", {}, Invalid),
        ("new", {"task_id": "t"}, Clash),
        ("new", {"attachments": {"net": "task"}}, Unsupported),
    ],
)
def test_names_that_are_refused(name, changed, refusal):
    with pytest.raises(refusal):
        check_new_name(msgspec.structs.replace(RECORD, **changed), name)


def test_limits():
    body = {"Memory": 8 << 20, "CpuShares": 0, "RestartPolicy": {"Name": ""}, "Devices": None}
    assert wanted_limits(body) == {"Memory": 8 << 20}


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"RestartPolicy": {"Name": "always"}}, Unsupported),
        ({"KernelMemory": 5}, Unsupported),
        ({"NanoCpus": 5, "CpuQuota": 5}, Invalid),
    ],
)
def test_limits_that_are_refused(body, refusal):
    with pytest.raises(refusal):
        wanted_limits(body)
