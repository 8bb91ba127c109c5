"""Docker's Resources as the OCI runtime's. Pure.

Sources: the Engine API's Resources; LinuxResources of the OCI runtime specification 1.0, which is
the body of Podman's ``POST /libpod/containers/{id}/update``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

PERIOD = 100_000
"""Microseconds of the period that ``NanoCpus`` are counted in, as with Docker."""

MEMORY = {"Memory": "limit", "MemoryReservation": "reservation", "MemorySwap": "swap"}
CPU = {
    "CpuShares": "shares",
    "CpuQuota": "quota",
    "CpuPeriod": "period",
    "CpuRealtimeRuntime": "realtimeRuntime",
    "CpuRealtimePeriod": "realtimePeriod",
    "CpusetCpus": "cpus",
    "CpusetMems": "mems",
}
OTHERS = ("PidsLimit", "BlkioWeight", "NanoCpus")

KNOWN = frozenset({*MEMORY, *CPU, *OTHERS})
"""The limits of a container that can be changed while it runs."""


def linux_resources(limits: Mapping[str, Any]) -> Json:
    """The limits that are given (zero and "" mean: leave it), as the runtime takes them."""
    memory = _renamed(limits, MEMORY)
    cpu = _renamed(limits, CPU)
    if limits.get("NanoCpus"):
        cpu |= {"period": PERIOD, "quota": int(limits["NanoCpus"]) * PERIOD // 1_000_000_000}
    found: Json = {}
    if memory:
        found["memory"] = memory
    if cpu:
        found["cpu"] = cpu
    if limits.get("PidsLimit"):
        found["pids"] = {"limit": limits["PidsLimit"]}
    if limits.get("BlkioWeight"):
        found["blockIO"] = {"weight": limits["BlkioWeight"]}
    return found


def _renamed(limits: Mapping[str, Any], names: Mapping[str, str]) -> Json:
    return {new: limits[old] for old, new in names.items() if limits.get(old)}
