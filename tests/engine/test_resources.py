"""Limits, from Docker's names to the runtime's."""

import pytest

from skep.engine.resources import linux_resources


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({}, {}),
        ({"Memory": 0, "CpusetCpus": ""}, {}),
        ({"Memory": 64, "MemorySwap": -1}, {"memory": {"limit": 64, "swap": -1}}),
        ({"NanoCpus": 500_000_000}, {"cpu": {"period": 100_000, "quota": 50_000}}),
        ({"CpuQuota": 7, "CpuPeriod": 9}, {"cpu": {"quota": 7, "period": 9}}),
        ({"CpusetCpus": "0-1", "CpuShares": 5}, {"cpu": {"shares": 5, "cpus": "0-1"}}),
        (
            {"PidsLimit": 3, "BlkioWeight": 10},
            {"pids": {"limit": 3}, "blockIO": {"weight": 10}},
        ),
    ],
)
def test_limits(limits, wanted):
    assert linux_resources(limits) == wanted
